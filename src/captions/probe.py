"""What a recording shows: its tracks, its picture and what wraps them, read from the header that ffmpeg prints."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

import ffmpeg

from src.audio.ffmpeg_process import compile_command, parse_clock, read_log_lines, recording, running
from src.errors import UnsupportedMedia
from src.job_control import JobControl

_PATIENCE = 60.0  # seconds for a header
_MOST_TRACKS = 100
_TRACK = re.compile(r" +Stream #0:(\d+)\S*: (Audio|Video|Subtitle|Data|Attachment): (\w+)(.*)")


@dataclass(frozen=True)
class Track:
    """One stream; the numbers are those of a picture, 0 where there is none."""

    number: int
    """In the file, from 0."""
    kind: str
    """`Audio`, `Video`, `Subtitle`, `Data` or `Attachment`."""
    codec: str
    described: str = ""
    """The rest of ffmpeg's line about it."""
    width: int = 0
    height: int = 0
    pixel_ratio: float = 1.0
    """Width of a pixel by its height."""
    rotation: float = 0.0
    """Degrees by which a player turns the picture."""
    clock: int = 0
    """Ticks a second in which its times are told."""

    @property
    def moves(self) -> bool:
        """Whether it is a film, and no cover or thumbnail."""
        return self.kind == "Video" and not re.search(
            r"\((attached pic|timed thumbnails|still image)\)", self.described
        )


@dataclass
class Video:
    """A recording, and the film in it."""

    source: Path
    container: str = ""
    """The demuxer's name."""
    seconds: float = 0.0
    """How long it declares to be; 0 where it does not."""
    tracks: list[Track] = field(default_factory=list)

    @property
    def film(self) -> Track:
        """The first track that is one."""
        return next(track for track in self.tracks if track.moves)

    @property
    def shown(self) -> tuple[int, int]:
        """Width and height of the film as a player shows it, in square pixels."""
        film = self.film
        size = round(film.width * film.pixel_ratio), film.height
        return size if round(film.rotation / 90) % 2 == 0 else (size[1], size[0])

    @property
    def family(self) -> str:
        """What wraps it, as people call it: `mov`, `mp4`, `webm`, `mkv`, or else empty."""
        with self.source.open("rb") as file:
            head = file.read(64)
        if self.container.startswith("mov,"):
            return "mov" if head[8:12] == b"qt  " or head[4:8] != b"ftyp" else "mp4"
        if self.container.startswith("matroska"):
            return "webm" if b"webm" in head else "mkv"
        return ""

    def read(self, log: IO[str]) -> None:
        """Takes in ffmpeg's log up to its end; what comes after the header is not looked at."""
        in_header = False
        for line in read_log_lines(log):
            if line.startswith("Input #0, "):
                in_header = True
                self.container = line.removeprefix("Input #0, ").partition(", from ")[0]
            elif line.startswith(("Stream mapping:", "Output #0")):
                in_header = False
            elif in_header:
                self._read_header(line)

    def _read_header(self, line: str) -> None:
        if found := re.match(r"  Duration: (\d+):(\d\d):(\d\d\.\d+)", line):
            self.seconds = parse_clock(found)
        elif (found := _TRACK.match(line)) and len(self.tracks) < _MOST_TRACKS:
            self.tracks.append(_track(int(found[1]), found[2], found[3], found[4]))
        elif found := re.match(r" +display ?matrix: rotation of (-?[\d.]+) degrees", line, re.IGNORECASE):
            self.tracks[-1:] = [replace(track, rotation=float(found[1])) for track in self.tracks[-1:]]


def examine(source: Path, control: JobControl) -> Video:
    """What `source` shows.

    Raises:
        UnsupportedMedia: nothing: it has no film, or its header takes too long.
        Cancelled: `control` stopped the job.
    """
    video = Video(source)
    # Nothing is decoded; and should the null output not take a track, the header has been told before.
    nothing = ffmpeg.output(recording(source), "-", format="null", map="0", c="copy", t=0)
    with running(compile_command(nothing), video.read, control) as process:
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            raise UnsupportedMedia("the file's header cannot be read: it is damaged; re-encode it") from None
    video.tracks.sort(key=lambda track: track.number)  # those of a group are told together
    if not video.container:
        raise UnsupportedMedia("the file is not audio or video in a format that can be decoded")
    if not any(track.moves for track in video.tracks):
        raise UnsupportedMedia("captions need a video, and the recording has none: leave captions out")
    return video


def _track(number: int, kind: str, codec: str, described: str) -> Track:
    track = Track(number, kind, codec, described)
    size = re.search(r", (\d{1,6})x(\d{1,6})\b", described)
    if kind != "Video" or size is None:
        return track
    ratio = re.search(r"\bSAR (\d{1,9}):([1-9]\d{0,8})\b", described)
    pixel = int(ratio[1]) / int(ratio[2]) if ratio else 1.0
    clock = re.search(r"\b(\d{1,7})(k?) tbn\b", described)
    return replace(
        track,
        width=int(size[1]),
        height=int(size[2]),
        pixel_ratio=pixel if 0.1 < pixel < 10 else 1.0,
        clock=int(clock[1]) * (1000 if clock[2] else 1) if clock else 0,
    )
