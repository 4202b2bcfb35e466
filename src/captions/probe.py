"""Probes a video: its container, its tracks and the size of its picture, from the header in ffmpeg's log."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import ffmpeg

from media.log import FfmpegLog
from media.sandbox import ProcessLimits, sandboxed_input
from media.video import MAX_PIXELS, Video, video_of
from src.audio.ffmpeg_process import compile_command, refuse_exhausted, start_ffmpeg
from src.errors import TooLarge, UnsupportedMedia
from src.job_control import JobControl

_HEADER_TIMEOUT_S = 60.0
_LIMITS = ProcessLimits(cpu_seconds=_HEADER_TIMEOUT_S * (os.cpu_count() or 1), file_bytes=0)
"""It writes no file."""


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
    video = video_of(source, log)
    if not video.has_picture:
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
