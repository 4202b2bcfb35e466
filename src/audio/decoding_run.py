"""The runs of ffmpeg that decode a recording's track: their filters, outputs and limits.

The sound comes out on the media's clock, which goes on where it steps back.
"""

import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import IO

import ffmpeg

from media.log import FfmpegLog
from media.sandbox import ProcessLimits, sandboxed_input
from src.audio.completeness import RiffLength
from src.audio.ffmpeg_process import compile_command, refuse_exhausted, start_ffmpeg
from src.audio.pcm import SAMPLE_RATE
from src.audio.tracks import TrackName
from src.errors import UnsupportedMedia
from src.job_control import JobControl

STALL_SECONDS = 60.0
"""Decoding has stalled if in this time it advances by less than the same length of the recording."""

DENOISE = "afftdn=nf=-25"
"""ffmpeg's filter for `denoise`.

It lowers white noise at -44 dB by 12 dB, with the default floor of -50 by only 4; a tone at -21 dB stays. No filter we
measured improves Whisper consistently (benchmarks/denoise.py), so none is configurable.
"""

SAMPLE_BYTES = 2
_SAMPLES = {"acodec": "pcm_s16le", "ar": SAMPLE_RATE}
_NO_TAGS = {"map_metadata": -1, "map_chapters": -1}
"""Options of every output: ffmpeg logs its tags and chapters, whose text could be taken for messages."""

_STEADY_CLOCK = (
    "st(0, if(isnan(PTS), ld(1), PTS + ld(2)));"  # 0: this packet's time, 1: the previous one's end, 2: the offset
    "st(2, ld(2) + if(gt(N, 0) * lt(ld(0), ld(1) - 1/TB), ld(1) - ld(0), 0));"
    "st(0, if(isnan(PTS), ld(1), if(gt(N, 0), max(PTS + ld(2), ld(1)), PTS)));"
    "if(gt(N, 0) * gt(ld(0) - ld(1), {long_gap}/TB), print(1e9 + ld(1) * TB); print(2e9 + (ld(0) - ld(1)) * TB);"
    " {at_long_gap});"
    "st(1, ld(0) + S/SR/TB);"
    "ld(0)"
)
"""Expression of the filter `asetpts` after which the clock never steps back.

Recordings that were joined, or whose recorder was restarted, have times that begin again: from 1 s backwards, all later
times are moved. For less, the sound only waits until the clock is ahead again. `aresample` would drop all such sound.
"""

_LONG_GAP_S = 60
"""Gaps up to here are filled by `aresample`, which keeps a gap in memory and loses those over some hours."""

_MAX_GAP_S = "1e8"  # three years; ffmpeg takes the time of a packet that is further away for a fault, and drops it
_END = f"st(0, {_MAX_GAP_S}/TB)"  # after the end of any recording, so that decoding ends there
_CLOSE = "st(2, ld(2) - ld(0) + ld(1)); st(0, ld(1))"

_BASE_CPU_SECONDS = 600.0
_FILE_MARGIN = 1 << 20  # bytes; ffmpeg's own limit comes first
_PROBED_SHARE = 8  # one of so many packets is looked at for sound that the mix loses


@dataclass(frozen=True)
class AudioOptions:
    """What a job asks of the decoder."""

    track: TrackName | None = None
    """Number (from 1), language or title of the audio track; None: the one that players take."""
    split: bool = False
    """Keep the channels apart."""
    denoise: bool = False
    """Lower steady background noise."""
    strict: bool = False
    """Refuse a recording that is cut off."""


@dataclass(frozen=True)
class DecodingTask:
    """A recording and how it is decoded; see `decode_recording`."""

    source: Path
    pcm: Path
    """The file that receives the samples."""
    riff: RiffLength
    options: AudioOptions
    limit: int
    """Most samples, of all channels together."""
    control: JobControl
    stall_seconds: float
    closes_gaps: bool
    """Leave long gaps out, to be inserted afterwards; else decoding ends at the first one."""
    on_final_samples: Callable[[FfmpegLog], None]
    """Called when the samples in `pcm` are those of the result, unless the sound begins late."""


def open_source(task: DecodingTask) -> ffmpeg.nodes.FilterableStream:
    """Return the recording as an input of ffmpeg."""
    return sandboxed_input(task.source, threads=1, **({"ignore_length": 1} if task.riff.goes_on else {}))


def steady(track: ffmpeg.nodes.FilterableStream, task: DecodingTask) -> ffmpeg.nodes.FilterableStream:
    """Return the sound on a clock that never steps back, up to the limit."""
    # Filters restart where a stream changes its channels, as broadcasts do: none may pad or count from the start.
    clock = _STEADY_CLOCK.format(long_gap=_LONG_GAP_S, at_long_gap=_CLOSE if task.closes_gaps else _END)
    return track.filter("asetpts", clock).filter("atrim", end=task.limit / SAMPLE_RATE + 1)


def _resample(sound: ffmpeg.nodes.FilterableStream, task: DecodingTask) -> ffmpeg.nodes.FilterableStream:
    # `async` fills gaps, so that samples keep the media's clock; without it, subtitles would run ahead.
    if task.options.denoise:
        name, _, options = DENOISE.partition("=")
        sound = sound.filter(name, **dict([options.split("=")]))
    return sound.filter("aresample", SAMPLE_RATE, **{"async": 1}).filter("atrim", start=0, end_sample=task.limit + 1)


def to_file(sound: ffmpeg.nodes.FilterableStream, task: DecodingTask) -> ffmpeg.nodes.OutputStream:
    """Write the sound to the file: hardly more than the limit."""
    # `fs` limits the whole output, but is checked after each packet: one packet of a WAV at 1 Hz resamples to 130 MB.
    options = {"format": "s16le", "fs": _max_bytes(task), **_NO_TAGS, **({} if task.options.split else {"ac": 1})}
    return ffmpeg.output(_resample(sound, task), f"file:{task.pcm}", **_SAMPLES, **options)


def to_pipe(sound: ffmpeg.nodes.FilterableStream, task: DecodingTask) -> ffmpeg.nodes.OutputStream:
    """Write all channels to the pipe, as a WAV, whose header says what channels they are."""
    return ffmpeg.output(_resample(sound, task), "pipe:1", format="wav", **_SAMPLES, **_NO_TAGS)


def to_probe(sound: ffmpeg.nodes.FilterableStream) -> ffmpeg.nodes.OutputStream:
    """Write some packets, with all channels and as they are, to the pipe."""
    some = sound.filter("aselect", f"not(mod(n,{_PROBED_SHARE}))")
    return ffmpeg.output(some, "pipe:1", format="wav", acodec="pcm_s16le", **_NO_TAGS)


def to_first_frame(sound: ffmpeg.nodes.FilterableStream) -> ffmpeg.nodes.OutputStream:
    """Log the start of the sound and its number of channels."""
    return ffmpeg.output(sound, "-", format="null", af="ashowinfo", **{"frames:a": 1}, **_NO_TAGS)


def run_ffmpeg(
    task: DecodingTask,
    outputs: list[ffmpeg.nodes.OutputStream],
    consume: Callable[[IO[bytes]], None],
    is_right: Callable[[FfmpegLog], bool] = lambda _: True,
) -> FfmpegLog:
    """Run ffmpeg to its end; kill it when the job ends, when it stalls, or when its header is not the right one.

    Args:
        task: the recording.
        outputs: what ffmpeg writes.
        consume: reads ffmpeg's pipe, on a thread of its own.
        is_right: decides when the header is known; an error of it ends the run, too.

    Raises:
        UnsupportedMedia: ffmpeg stalls, or takes too much memory or CPU time.
        OutOfResources: the worker lacks disk space or something else.
        Cancelled: the job was stopped.
    """
    log = FfmpegLog()

    def read(pipe: IO[bytes]) -> None:
        with pipe:  # an unread pipe would block ffmpeg
            consume(pipe)

    # Decoding that is slower than the recording stalls, and stays on one core.
    limits = ProcessLimits(task.limit / SAMPLE_RATE + _BASE_CPU_SECONDS, _max_bytes(task) + _FILE_MARGIN)
    output = ffmpeg.merge_outputs(*outputs).global_args("-dts_error_threshold", _MAX_GAP_S)
    command = compile_command(output, limits)
    is_stopped = False
    running = start_ffmpeg(command, log, task.control, piped=True, on_one_core=True)
    with running as process, ThreadPoolExecutor(1) as thread:
        assert isinstance(process.stdout, TextIOWrapper)
        reading = thread.submit(read, process.stdout.buffer)
        try:
            if log.header_read.wait(task.stall_seconds) and not is_right(log):
                is_stopped = True
                process.kill()
            _wait_while_it_advances(process, task.pcm, task.stall_seconds)
        finally:
            process.kill()
    if not is_stopped:
        refuse_exhausted(log)
    reading.result()
    return log


def _wait_while_it_advances(process: "subprocess.Popen[str]", pcm: Path, stall_seconds: float) -> None:
    """Wait for the end of `process` as long as it decodes at least at the recording's own speed."""
    written = 0
    while True:
        try:
            process.wait(stall_seconds)
            return
        except subprocess.TimeoutExpired:
            advance = file_size(pcm) - written
            if advance < stall_seconds * SAMPLE_RATE * SAMPLE_BYTES:
                raise UnsupportedMedia("decoding the file stalled: it is damaged; re-encode it") from None
            written += advance


def _max_bytes(task: DecodingTask) -> int:
    """Return the size of a file from which is seen that the recording is too long."""
    return (task.limit + 1) * SAMPLE_BYTES


def file_size(file: Path) -> int:
    """Return the bytes of `file`; 0 if ffmpeg has not created it yet."""
    return file.stat().st_size if file.exists() else 0
