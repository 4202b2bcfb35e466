"""Adds captions to a video: as a track (mux), or drawn into the picture (burn).

Everything else stays as it is. Muxing leaves the bytes of all other tracks alone. Burning encodes the picture once,
with the same timestamps; sound, chapters and other tracks are copied.

ffmpeg runs in a folder of the job, where subtitles and fonts have fixed names: nothing that a caller sends gets into a
command or a filter.
"""

from __future__ import annotations

import functools
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import ffmpeg

from media.captions import (
    BURN_MEMORY,
    Captions,
    burn_attempts,
    burn_output,
    fonts_for,
    mux_containers,
    mux_output,
    write_overlay,
)
from media.containers import lost_picture_warnings, lost_track_warnings
from media.fonts import SYSTEM_FONTS, NoFont
from media.log import FfmpegLog
from media.sandbox import MAX_MEMORY, ProcessLimits
from media.video import Video
from src.audio.ffmpeg_process import compile_command, refuse_exhausted, start_ffmpeg
from src.errors import CaptionsFailed, TooLarge
from src.job_control import JobControl
from transcript.formats.ass import Style

STALL_SECONDS = 60.0
"""ffmpeg has stalled if it makes no progress for so long."""

_POLL_INTERVAL_S = 0.5

_BASE_SECONDS = 600.0
"""Seconds that ffmpeg may take, in addition to the video's length (mux) or `_BURN_FACTOR` times its length."""
_BURN_FACTOR = 20.0
_TRIAL_SECONDS = 30.0
_CORES = os.cpu_count() or 1


@dataclass(frozen=True)
class CaptionedVideo:
    """The result: a file, and how it was made."""

    path: Path
    container: str
    encoder: str | None
    """The encoder of the picture with captions; None if they are a track and nothing was encoded."""
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class VideoLimits:
    """The longest video that is encoded, and the most bytes of a captioned video."""

    seconds: float
    bytes: int


@dataclass(frozen=True)
class EmbedJob:
    """One video to be captioned, and the bounds of the work."""

    video: Video
    folder: Path
    """Working directory of ffmpeg, and place of the captioned video."""
    limits: VideoLimits
    control: JobControl
    stall_seconds: float = STALL_SECONDS


def mux(job: EmbedJob, tracks: Sequence[Captions]) -> CaptionedVideo:
    """Add a track for each of `tracks`; nothing is encoded.

    Raises:
        CaptionsFailed: the video cannot be muxed again.
        TooLarge: the captioned video is over the limits.
    """
    log = FfmpegLog()
    for container in mux_containers(job.video):
        path = job.folder / f"captioned.{container.name}"
        output = mux_output(job.video, container, tracks, job.folder, path, job.control.check)
        log = _run(output, path, job, 1.0, MAX_MEMORY)
        if log.status == 0:
            return CaptionedVideo(path, container.name, None, lost_track_warnings(job.video, container))
    raise CaptionsFailed(f"the video cannot be wrapped up with its captions{_explain_failure(log)}")


def burn(
    job: EmbedJob,
    captions: Captions,
    style: Style,
    *,
    font: str | None = None,
    font_folders: tuple[Path, ...] = SYSTEM_FONTS,
    encoders: Sequence[str] | None = None,
) -> CaptionedVideo:
    """Draw the captions into the picture and encode it as H.264.

    Args:
        job: the video and the bounds of the work.
        captions: the text.
        style: its look.
        font: a family; None: fonts that have all letters.
        font_folders: where fonts are looked for.
        encoders: tried in this order; None: those of `find_encoders`.

    Raises:
        CaptionsFailed: the fonts lack a letter, or the picture cannot be decoded.
        TooLarge: the captioned video is over the limits.
    """
    video = job.video
    try:
        fonts = fonts_for(captions, font, font_folders)
    except NoFont as error:
        raise CaptionsFailed(str(error)) from None
    write_overlay(video, captions, style, fonts, job.folder, job.control.check)
    log = FfmpegLog()
    for container, encoder in burn_attempts(video, encoders or find_encoders()):
        path = job.folder / f"captioned.{container.name}"
        output = burn_output(video, container, encoder, job.limits.seconds, path)
        log = _run(output, path, job, _BURN_FACTOR, BURN_MEMORY)
        if log.status == 0:
            warnings = [*lost_track_warnings(video, container), *lost_picture_warnings(video.picture_track)]
            return CaptionedVideo(path, container.name, encoder, warnings)
    raise CaptionsFailed(f"captions cannot be drawn into the picture{_explain_failure(log)}")


@functools.cache
def find_encoders() -> list[str]:
    """Return the GPU's H.264 encoder, if a trial with it succeeds, and x264."""
    gray = ffmpeg.input("color=gray:size=256x144:rate=5", f="lavfi")
    trial = ffmpeg.output(gray, "-", format="null", vcodec="h264_nvenc", t=1)
    limits = ProcessLimits(_TRIAL_SECONDS * _CORES, file_bytes=0, memory_bytes=BURN_MEMORY)
    command = compile_command(trial, limits)
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, env={}, timeout=_TRIAL_SECONDS)
    except subprocess.TimeoutExpired:
        return ["libx264"]
    return ["h264_nvenc", "libx264"] if done.returncode == 0 else ["libx264"]


def _run(
    output: ffmpeg.nodes.OutputStream, path: Path, job: EmbedJob, time_factor: float, memory_bytes: int
) -> FfmpegLog:
    """Run ffmpeg while it makes progress; if it fails, the file at `path` is removed.

    Args:
        output: what ffmpeg writes.
        path: the file that it writes to.
        job: the video and the bounds of the work.
        time_factor: seconds that ffmpeg may take for each second of the video, in addition to `_BASE_SECONDS`.
        memory_bytes: see `ProcessLimits`.

    Raises:
        CaptionsFailed: ffmpeg stalls, or takes too long.
        TooLarge: the file is over the limit.
        UnsupportedMedia: the video takes too much memory or CPU time.
        OutOfResources: the worker lacks disk space or something else.
    """
    log = FfmpegLog()
    # A declared length may be forged.
    timeout_seconds = _BASE_SECONDS + time_factor * min(job.video.seconds, job.limits.seconds)
    limits = ProcessLimits(timeout_seconds * _CORES, job.limits.bytes + 1, memory_bytes)
    with start_ffmpeg(compile_command(output, limits), log, job.control, job.folder) as process:
        _wait_while_it_advances(process, log, job, timeout_seconds)
    size = path.stat().st_size if path.exists() else 0
    if log.status != 0:
        path.unlink(missing_ok=True)
    if log.status == -signal.SIGXFSZ or size > job.limits.bytes:
        raise TooLarge(f"the captioned video is larger than the limit of {job.limits.bytes / 1e6:.1f} MB")
    refuse_exhausted(log)
    return log


def _wait_while_it_advances(
    process: subprocess.Popen[str], log: FfmpegLog, job: EmbedJob, timeout_seconds: float
) -> None:
    started = last_advance = time.monotonic()
    position = 0.0
    while True:
        job.control.progress("captioning", min(log.position, job.video.seconds), job.video.seconds)
        try:
            process.wait(_POLL_INTERVAL_S)
            return
        except subprocess.TimeoutExpired:
            now = time.monotonic()
        if log.position > position:
            position, last_advance = log.position, now
        if now - last_advance > job.stall_seconds:
            raise CaptionsFailed("captioning the video stalled: it is damaged; re-encode it")
        if now - started > timeout_seconds:
            raise CaptionsFailed(f"captioning the video took longer than {timeout_seconds:.0f} s: send it in parts")


def _explain_failure(log: FfmpegLog) -> str:
    """Return the end of an error sentence: the reason, if the log shows a known one, and the remedy."""
    reasons = {
        "Invalid data found": "it is damaged; re-encode it",
        "not currently supported in container": "a codec of it fits into no container here; re-encode it",
    }
    return next((f": {reason}" for sign, reason in reasons.items() if sign in log.errors), ": re-encode it")
