"""A video: its container, its tracks and the size of its picture, from the header in ffmpeg's log."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from media.log import FfmpegLog, LoggedStream

MAX_PIXELS = 4096 * 2304
"""The largest picture that captions are drawn into: 4K."""


@dataclass(frozen=True)
class Track:
    """One stream of a file; the numbers of the picture are 0 where there is none."""

    index: int
    """Index in the file, from 0."""
    kind: str
    """`Audio`, `Video`, `Subtitle`, `Data` or `Attachment`."""
    codec: str
    description: str = ""
    """The rest of ffmpeg's line about the stream."""
    width: int = 0
    height: int = 0
    pixel_ratio: float = 1.0
    """Width of a pixel divided by its height."""
    rotation: float = 0.0
    """Degrees by which players rotate the picture."""
    ticks_per_second: int = 0
    """Resolution of the track's timestamps."""

    @property
    def is_moving_picture(self) -> bool:
        """True for a video track that is not a cover or a thumbnail."""
        return self.kind == "Video" and not re.search(
            r"\((attached pic|timed thumbnails|still image)\)", self.description
        )


@dataclass(frozen=True)
class Video:
    """A file with its tracks; most have a moving picture."""

    source: Path
    container: str = ""
    """Name of ffmpeg's demuxer."""
    seconds: float = 0.0
    """Declared duration; 0 if there is none."""
    tracks: list[Track] = field(default_factory=list)

    @property
    def has_picture(self) -> bool:
        """True if any track is a moving picture."""
        return any(track.is_moving_picture for track in self.tracks)

    @property
    def picture_track(self) -> Track:
        """The first track with a moving picture."""
        return next(track for track in self.tracks if track.is_moving_picture)

    @property
    def display_size(self) -> tuple[int, int]:
        """Width and height of the picture as players show it, in square pixels."""
        track = self.picture_track
        size = round(track.width * track.pixel_ratio), track.height
        return size if round(track.rotation / 90) % 2 == 0 else (size[1], size[0])

    @property
    def family(self) -> str:
        """The container's usual name: `mov`, `mp4`, `webm` or `mkv`; empty for any other."""
        with self.source.open("rb") as file:
            head = file.read(64)
        if self.container.startswith("mov,"):
            return "mov" if head[8:12] == b"qt  " or head[4:8] != b"ftyp" else "mp4"
        if self.container.startswith("matroska"):
            return "webm" if b"webm" in head else "mkv"
        return ""


def video_of(source: Path, log: FfmpegLog) -> Video:
    """Return what the log says of a file."""
    streams = [stream for stream in log.streams if stream.kind != "Unknown"]
    streams.sort(key=lambda stream: stream.index)  # ffmpeg lists the tracks of a group together
    return Video(source, log.container, log.duration, [_to_track(stream) for stream in streams])


def _to_track(stream: LoggedStream) -> Track:
    size = re.search(r", (\d{1,6})x(\d{1,6})\b", stream.description)
    if stream.kind != "Video" or size is None:
        return Track(stream.index, stream.kind, stream.codec, stream.description, rotation=stream.rotation)
    ratio = re.search(r"\bSAR (\d{1,9}):([1-9]\d{0,8})\b", stream.description)
    pixel_ratio = int(ratio[1]) / int(ratio[2]) if ratio else 1.0
    clock = re.search(r"\b(\d{1,7})(k?) tbn\b", stream.description)
    return Track(
        stream.index,
        stream.kind,
        stream.codec,
        stream.description,
        width=int(size[1]),
        height=int(size[2]),
        pixel_ratio=pixel_ratio if 0.1 < pixel_ratio < 10 else 1.0,
        rotation=stream.rotation,
        ticks_per_second=int(clock[1]) * (1000 if clock[2] else 1) if clock else 0,
    )
