"""Probes a video: its container, its tracks and the size of its picture, from the header in ffmpeg's log."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import ffmpeg

from media.log import FfmpegLog, LoggedStream
from media.sandbox import ProcessLimits, sandboxed_input
from src.audio.ffmpeg_process import compile_command, refuse_exhausted, start_ffmpeg
from src.errors import TooLarge, UnsupportedMedia
from src.job_control import JobControl

MAX_PIXELS = 4096 * 2304
"""The largest picture that captions are drawn into: 4K."""

_HEADER_TIMEOUT_S = 60.0
_LIMITS = ProcessLimits(cpu_seconds=_HEADER_TIMEOUT_S * (os.cpu_count() or 1), file_bytes=0)
"""It writes no file."""


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
    """A file with a moving picture."""

    source: Path
    container: str = ""
    """Name of ffmpeg's demuxer."""
    seconds: float = 0.0
    """Declared duration; 0 if there is none."""
    tracks: list[Track] = field(default_factory=list)

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


def probe_video(source: Path, control: JobControl) -> Video:
    """Read the header of a video.

    Raises:
        UnsupportedMedia: the file has no moving picture, or reading its header takes too much time or memory.
        OutOfResources: the worker lacks something.
        Cancelled: the job was stopped.
    """
    log = FfmpegLog()
    # Nothing is decoded. The null output may refuse a track, but by then the header is in the log.
    output = ffmpeg.output(sandboxed_input(source), "-", format="null", map="0", c="copy", t=0)
    with start_ffmpeg(compile_command(output, _LIMITS), log, control) as process:
        try:
            process.wait(_HEADER_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise UnsupportedMedia("the file's header cannot be read: it is damaged; re-encode it") from None
    refuse_exhausted(log)
    if not log.container:
        raise UnsupportedMedia("the file is not audio or video in a format that can be decoded")
    streams = [stream for stream in log.streams if stream.kind != "Unknown"]
    streams.sort(key=lambda stream: stream.index)  # ffmpeg lists the tracks of a group together
    video = Video(source, log.container, log.duration, [_to_track(stream) for stream in streams])
    if not any(track.is_moving_picture for track in video.tracks):
        raise UnsupportedMedia("captions need a video, and the recording has none: leave captions out")
    return video


def check_drawable(video: Video, max_seconds: float) -> None:
    """Check that captions can be drawn into the picture.

    Raises:
        UnsupportedMedia: the header does not say how large the picture is.
        TooLarge: the picture has too many pixels, or the video is too long.
    """
    track = video.picture_track
    if 0 in video.display_size:
        raise UnsupportedMedia('the size of the picture is unknown: re-encode the video, or ask for captions "mux"')
    if track.width * track.height > MAX_PIXELS:
        raise TooLarge(
            f"the picture is {track.width} x {track.height}, and captions are drawn into at most 4096 x 2304: "
            'ask for captions "mux"'
        )
    if video.seconds > max_seconds:
        raise TooLarge(
            f"the video is {video.seconds:.0f} s long, and captions are drawn into at most {max_seconds:.0f} s"
        )


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
