"""The facts of ffmpeg's log: the tracks of a file, how far the output is, and what went wrong."""

from __future__ import annotations

import errno
import re
import signal
from dataclasses import dataclass, field
from threading import Event
from typing import IO

from media.sandbox import MAX_STREAMS

_MAX_ERROR_CHARACTERS = 3000

_MAX_GAPS = 100_000
"""More gaps than there are minutes in a month."""

_MAX_TITLE_CHARACTERS = 1000

# What ffmpeg logs for a packet that cannot be decoded: before version 6, and since.
_DAMAGE = ("Error while decoding stream #", "Error submitting packet to decoder", "Decoding error: ")
_REPETITION = "    Last message repeated "

_CPU_TIME_IS_UP = f"received signal {int(getattr(signal, 'SIGXCPU', 24))}."
"""What ffmpeg logs when the kernel warns it, which only Unix does."""

_STREAM = (
    r" +Stream #0:(\d+)(?:\[\w+\])?(?:\(([\w-]+)\))?.*?: (Audio|Video|Subtitle|Data|Attachment|Unknown): (\w*)(.*)"
)

# What the system answers to ffmpeg when the worker lacks something.
_LACKS = {
    "No space left on device": errno.ENOSPC,
    "Disk quota exceeded": errno.EDQUOT,
    "Too many open files": errno.EMFILE,
}

_CLOCK = r"(\d+):(\d\d):(\d\d\.\d+)"

# A number that an expression prints: 1e9 plus where a gap is, then 2e9 plus its length. It may end a line that another
# thread has begun, even with digits; its fixed width tells it from them.
_PRINTED = r"([12])(\d{9}\.\d{6})$"


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
    """Where a filter found long gaps in the sound, and their lengths, in seconds (see `src/audio/decoding_run.py`)."""
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
        # `name` is what MP4 and MOV have for it.
        elif self.streams and not self.streams[-1].title and (found := re.match(r"      (?:title|name) +: (.*)", line)):
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
        self.lacks_cpu_time |= _CPU_TIME_IS_UP in line
        if any(sign in line for sign in ("rror", "Invalid", "No space", "not currently supported")):
            self.errors = f"{line[:300]}{self.errors}"[:_MAX_ERROR_CHARACTERS]


def _to_seconds(clock: re.Match[str]) -> float:
    """Convert hours, minutes and seconds, the first three groups of a match, to seconds."""
    return int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3])
