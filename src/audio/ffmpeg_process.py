"""Runs ffmpeg sandboxed: executable lookup, allowed demuxers, limits, cancellation, and the facts of its log.

The file is treated as hostile. ffmpeg opens no other file, uses only demuxers of recordings (a playlist, a concat
script or a subtitle track would name further files and addresses), gets an empty environment, and is bounded by the
kernel: a small file can declare what takes gigabytes.
"""

import errno
import functools
import itertools
import math
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import IO, Any

import ffmpeg

from src.errors import UnsupportedMedia, WorkerError, explain_os_error
from src.job_control import JobControl

# Demuxers of files that contain their media. Left out: playlists, scripts, subtitles, devices, image lists, formats
# that need a second file (imf, vobsub), and raw formats that match any bytes. `mxf` may name other files, but the
# demuxer reads no locators and opens nothing; `gsm` matches only bytes with its sign in each frame of 33. Names that a
# build lacks do no harm.
DEMUXERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dss,dts,dtshd,eac3,flac,flv,gsm,iff,loas,matroska,mlp,mov,"
    "mp3,mpc,mpc8,mpeg,mpegts,mxf,nistsphere,ogg,qcp,rm,tak,truehd,tta,voc,w64,wav,wv"
)

MAX_ALLOC = 512 << 20
"""Bytes in one block; a day of MP4 index takes 100 MB, a forged one asks for gigabytes."""

MAX_MEMORY = 1 << 30
"""Bytes of one process that encodes no picture: decoding, probing or muxing 4K of HEVC or AV1 takes 75 MB."""

MAX_STREAMS = 100
"""Most tracks of a file; each one costs memory before anything is decoded."""

# The shell becomes ffmpeg, so that no instant passes without limits; Python could set them between fork and exec only
# where no other thread runs. A limit that is already lower stays. The kernel warns ffmpeg at the first limit of CPU
# time, and kills it at the second. When memory runs out, ffmpeg is to be killed in place of the worker.
LIMIT_SCRIPT = """
{ ulimit -c 0; ulimit -d "$1"; ulimit -f "$2"; ulimit -S -t "$3"; ulimit -H -t "$4"; } 2>/dev/null
{ echo 1000 >/proc/self/oom_score_adj; } 2>/dev/null
unset PWD
shift 4
exec "$@"
"""
_LAST_CPU_SECONDS = 30

_MAX_ERROR_CHARACTERS = 3000

_MAX_GAPS = 100_000
"""More gaps than there are minutes in a month."""

_MAX_TITLE_CHARACTERS = 1000

# What ffmpeg logs for a packet that cannot be decoded: before version 6, and since.
_DAMAGE = ("Error while decoding stream #", "Error submitting packet to decoder", "Decoding error: ")
_REPETITION = "    Last message repeated "

_STREAM = (
    r" +Stream #0:(\d+)(?:\[\w+\])?(?:\(([\w-]+)\))?.*?: (Audio|Video|Subtitle|Data|Attachment|Unknown): (\w*)(.*)"
)

# What the system answers to ffmpeg when the worker lacks something.
_LACKS = {
    "No space left on device": errno.ENOSPC,
    "Disk quota exceeded": errno.EDQUOT,
    "Too many open files": errno.EMFILE,
}

_turns = itertools.count()
"""Numbers the processes that stay on one core."""

_CLOCK = r"(\d+):(\d\d):(\d\d\.\d+)"

# A number that an expression prints: 1e9 plus where a gap is, then 2e9 plus its length. It may end a line that another
# thread has begun, even with digits; its fixed width tells it from them.
_PRINTED = r"([12])(\d{9}\.\d{6})$"


@dataclass(frozen=True)
class ProcessLimits:
    """What one run of ffmpeg may take; beyond it, the kernel ends the run."""

    cpu_seconds: float
    """Of all cores together."""
    file_bytes: int
    """Of each file that it writes."""
    memory_bytes: int = MAX_MEMORY
    """Of memory that it writes to, in RAM or not; address space alone is free, of which GPUs take much."""


@dataclass
class LoggedStream:
    """One stream of the input, as the header in ffmpeg's log describes it."""

    index: int
    kind: str
    """`Audio`, `Video`, `Subtitle`, `Data`, `Attachment` or `Unknown`."""
    codec: str
    description: str
    """The rest of the stream's line."""
    language: str = ""
    """Its tag, such as `eng`; empty if there is none. Hostile text, like the title."""
    title: str = ""
    rotation: float = 0.0
    """Degrees by which players rotate the picture."""

    @property
    def is_default(self) -> bool:
        """True if the container marks the track as the one to play."""
        return "(default)" in self.description

    @property
    def channels(self) -> int:
        """Number of the channels of a layout without a name; 0 for others."""
        found = re.search(r", (\d{1,5}) channels", self.description)
        return int(found[1]) if found else 0

    @property
    def is_mono(self) -> bool:
        """True for a track with one channel."""
        return re.search(r", mono\b", self.description) is not None

    @property
    def is_known(self) -> bool:
        """True if the build of ffmpeg knows the codec."""
        return self.codec not in ("none", "unknown", "")


@dataclass
class FfmpegLog:
    """The facts of ffmpeg's log that the worker needs; its size is bounded, since a hostile file can log endlessly."""

    status: int = -1
    """ffmpeg's exit status."""
    container: str = ""
    """Name of the demuxer; empty if the file could not be opened."""
    streams: list[LoggedStream] = field(default_factory=list)
    duration: float = 0.0
    """Seconds that the container declares; 0 if it declares none."""
    start: float = 0.0
    """Seconds on the container's clock at which its first packet begins."""
    is_duration_estimated: bool = False
    """True if `duration` was computed from the file's size."""
    position: float = 0.0
    """Seconds on the container's clock, gaps included, up to which the output is written."""
    audio_start: float = 0.0
    """Seconds on the container's clock, never negative, at which its sound begins; from the filter `ashowinfo`."""
    gaps: list[tuple[float, float]] = field(default_factory=list)
    """Where a filter found long gaps in the sound, and their lengths, in seconds (see `src/audio/decode.py`)."""
    channels: int = 0
    """Channels of the first audio frame, from `ashowinfo`; 0 if no frame was decoded."""
    lacks_index: bool = False
    """True if an MP4 has no `moov` atom."""
    ended_early: bool = False
    """True if the file ends inside an element or a packet."""
    damaged_packets: int = 0
    """Packets that a decoder refused."""
    header_read: Event = field(default_factory=Event)
    """Set as soon as `streams` is complete, or the log ends."""
    first_frame_read: Event = field(default_factory=Event)
    """Set as soon as `audio_start` and `channels` are known, or the log ends."""
    has_too_many_streams: bool = False
    """True if there are more than `MAX_STREAMS`, of which no header is logged."""
    lacks: int = 0
    """Number of the system's error that shows that the worker lacks something; 0 if there was none."""
    lacks_memory: bool = False
    """True if ffmpeg got no memory that it asked for."""
    lacks_cpu_time: bool = False
    """True if ffmpeg ended itself at its limit of CPU time."""
    _gap_at: float = 0.0
    errors: str = ""
    """Lines that look like errors, the last one first, at most `_MAX_ERROR_CHARACTERS`."""

    def read(self, stream: IO[str]) -> None:
        """Read the log to its end."""
        is_in_header, previous = False, ""
        while line := stream.readline(4096):  # a longer line comes in pieces, so that memory stays bounded
            if line.startswith("Input #0, "):
                is_in_header = True
                self.container = line.removeprefix("Input #0, ").partition(", from ")[0]
            elif line.startswith(("Stream mapping:", "Output #0")):
                is_in_header = False
                self.header_read.set()
            elif is_in_header:
                self._read_header(line)
            else:
                self._read_message(line)
                self._count_damage(line, previous)
            self._keep_error(line)
            previous = previous if line.startswith(_REPETITION) else line
        self.header_read.set()
        self.first_frame_read.set()

    def _read_header(self, line: str) -> None:
        if found := re.match(rf"  Duration: {_CLOCK}(?:, start: (-?\d+\.\d+))?", line):
            self.duration, self.start = _to_seconds(found), float(found[4] or 0)
        elif found := re.match(_STREAM, line):
            if len(self.streams) < MAX_STREAMS:
                language = found[2] if found[2] not in (None, "und") else ""
                self.streams.append(LoggedStream(int(found[1]), found[3], found[4], found[5], language))
        elif self.streams and (
            found := re.match(r" +display ?matrix: rotation of (-?[\d.]+) degrees", line, re.IGNORECASE)
        ):
            self.streams[-1].rotation = float(found[1])
        elif self.streams and not self.streams[-1].title and (found := re.match(r"      title +: (.*)", line)):
            self.streams[-1].title = found[1][:_MAX_TITLE_CHARACTERS]

    def _read_message(self, line: str) -> None:
        """Take the facts of a line, which may be anywhere in it.

        ffmpeg's threads write some lines in pieces. A message that follows another thread's piece comes in the same
        line, without its sender's name (`[mov @ 0x1]`).
        """
        if found := re.search(_PRINTED, line):
            self._read_printed(found[1], float(found[2]))
        if found := re.search(rf"\btime={_CLOCK}", line):
            self.position = max(self.position, _to_seconds(found))
        if self.channels == 0 and (found := re.search(r" pts_time:(\S+) .*? channels:(\d+) ", line)):
            self.audio_start = max(0.0, float(found[1])) if found[1] != "NOPTS" else 0.0
            self.channels = int(found[2])
            self.first_frame_read.set()
        self.is_duration_estimated |= "Estimating duration from bitrate" in line
        self.lacks_index |= line.endswith("moov atom not found\n")
        self.ended_early |= line.endswith((": partial file\n", "File ended prematurely\n"))

    def _read_printed(self, kind: str, seconds: float) -> None:
        """Take a number that an expression of a filter prints: where a gap is (kind 1), then its length (kind 2)."""
        if kind == "1":
            self._gap_at = seconds
        elif len(self.gaps) < _MAX_GAPS:
            self.gaps.append((self._gap_at, seconds))

    def _count_damage(self, line: str, previous: str) -> None:
        """Count a packet that could not be decoded; ffmpeg logs the same line again as `Last message repeated`."""
        if any(sign in line for sign in _DAMAGE):
            self.damaged_packets += 1
        elif line.startswith(_REPETITION) and any(sign in previous for sign in _DAMAGE):
            self.damaged_packets += int(line.removeprefix(_REPETITION).split()[0])

    def _keep_error(self, line: str) -> None:
        self.has_too_many_streams |= "Number of streams exceeds" in line
        self.lacks = next((number for sign, number in _LACKS.items() if sign in line), self.lacks)
        self.lacks_memory |= "Cannot allocate memory" in line
        self.lacks_cpu_time |= f"received signal {signal.SIGXCPU.value}." in line
        if any(sign in line for sign in ("rror", "Invalid", "No space", "not currently supported")):
            self.errors = f"{line[:300]}{self.errors}"[:_MAX_ERROR_CHARACTERS]


@functools.cache
def ffmpeg_executable() -> str:
    """Return the path of ffmpeg: the system's, else the one of the package imageio-ffmpeg.

    Raises:
        WorkerError: there is neither.
    """
    if found := shutil.which("ffmpeg"):
        return found
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:
        raise WorkerError("ffmpeg is not installed: install it, or the Python package imageio-ffmpeg") from error


def sandboxed_input(source: Path, **options: Any) -> ffmpeg.nodes.FilterableStream:
    """Return `source` as an input that cannot open anything else; `options` are ffmpeg's options of the input."""
    limits = {"protocol_whitelist": "file", "format_whitelist": DEMUXERS, "max_streams": MAX_STREAMS}
    return ffmpeg.input(f"file:{source}", **limits, **options)


def compile_command(output: ffmpeg.nodes.OutputStream, limits: ProcessLimits) -> list[str]:
    """Return the command line that writes `output` within the limits."""
    quiet = output.global_args("-nostdin", "-hide_banner", "-max_alloc", str(MAX_ALLOC))
    command: list[str] = quiet.compile(cmd=ffmpeg_executable(), overwrite_output=True)
    cpu_seconds = math.ceil(limits.cpu_seconds)
    numbers = (limits.memory_bytes // 1024, -(-limits.file_bytes // 512), cpu_seconds, cpu_seconds + _LAST_CPU_SECONDS)
    return ["/bin/sh", "-c", LIMIT_SCRIPT, "sh", *(str(number) for number in numbers), *command]


@contextmanager
def start_ffmpeg(
    command: list[str],
    log: FfmpegLog,
    control: JobControl,
    folder: Path | None = None,
    *,
    piped: bool = False,
    on_one_core: bool = False,
) -> Iterator["subprocess.Popen[str]"]:
    """Start ffmpeg; the end of the block, or of the job, kills it.

    Args:
        command: from `compile_command`.
        log: filled by a thread while ffmpeg runs; complete, with the exit status, after the block.
        control: stops ffmpeg with the job.
        folder: ffmpeg's working directory.
        piped: the process has its output as `stdout`; the block must read it, in bytes, from `stdout.buffer`.
        on_one_core: ffmpeg stays on one core, another one for each call. It passes each packet through five threads,
            which takes most of its time if they wake each other on different cores: 10 minutes of FLAC, Opus and MP3
            take 0.57, 1.7 and 0.75 s of CPU time on two cores, 0.28, 1.06 and 0.36 s on one.

    Raises:
        Cancelled: the job was stopped.
    """
    with _this_thread_on_one_core() if on_one_core and sys.platform == "linux" else nullcontext():
        started = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if piped else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={},
            cwd=folder,
        )
    with started as process:
        assert process.stderr is not None
        reader = Thread(target=log.read, args=(process.stderr,), daemon=True)
        reader.start()
        try:
            with control.on_cancel(process.kill):
                yield process
        finally:
            process.kill()
            reader.join()
    log.status = process.returncode


def refuse_exhausted(log: FfmpegLog) -> None:
    """Raise an error for a run that nobody stopped, if it failed at a limit or for want of something.

    A file over its limit of size is left to the caller, which knows what it means.

    Raises:
        UnsupportedMedia: the file has too many tracks, or takes more memory or CPU time than any that is intact.
        OutOfResources: the worker lacks disk space, memory or descriptors.
    """
    if log.status == 0:
        return
    if log.has_too_many_streams:
        raise UnsupportedMedia(f"the file has more than {MAX_STREAMS} tracks: leave some out")
    if log.lacks_cpu_time:
        raise UnsupportedMedia("the file takes more CPU time than an intact one would: it is damaged; re-encode it")
    if log.lacks_memory:
        raise UnsupportedMedia("the file takes more memory than an intact one would: it is damaged; re-encode it")
    lacks = errno.ENOMEM if log.status == -signal.SIGKILL else log.lacks  # the system kills what takes its last memory
    if error := explain_os_error(OSError(lacks, "")):
        raise error


@contextmanager
def _this_thread_on_one_core() -> Iterator[None]:
    """Keep this thread, and the processes that it starts in the block, on one core; the cores take turns."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[next(_turns) % len(cores)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def _to_seconds(clock: "re.Match[str]") -> float:
    """Convert hours, minutes and seconds, the first three groups of a match, to seconds."""
    return int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3])
