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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ffmpeg

from media.log import FfmpegLog
from media.sandbox import MAX_MEMORY, ProcessLimits, sandboxed_input
from src.audio.ffmpeg_process import compile_command, refuse_exhausted, start_ffmpeg
from src.captions.containers import (
    CONTAINERS_BY_FAMILY,
    MKV,
    MOV,
    MP4,
    Container,
    language_tag,
    lost_picture_warnings,
    lost_track_warnings,
    select_tracks,
)
from src.captions.fonts import SYSTEM_FONTS, FontFallback, choose_fonts
from src.captions.probe import MAX_PIXELS, Video
from src.errors import CaptionsFailed, TooLarge
from src.job_control import JobControl
from transcript.checks import Check
from transcript.formats.ass import Style, to_ass_overlay, to_timed_text
from transcript.formats.cues import Cue
from transcript.formats.srt_vtt_tsv import to_srt, to_vtt

STALL_SECONDS = 60.0
"""ffmpeg has stalled if it makes no progress for so long."""

_POLL_INTERVAL_S = 0.5

_BASE_SECONDS = 600.0
"""Seconds that ffmpeg may take, in addition to the video's length (mux) or `_BURN_FACTOR` times its length."""
_BURN_FACTOR = 20.0
_TRIAL_SECONDS = 30.0
_CORES = os.cpu_count() or 1

_BURN_MEMORY = 4 << 30
"""Bytes. 4K of HEVC or AV1 with 10 bits a colour takes 2.4 GB, a third more with the most reference frames."""

_THREADS = 8
"""Of the decoder and of x264 each; more of them would take 0.1 GB each for 4K, on a host with many cores."""

_QUALITY: dict[str, dict[str, Any]] = {
    "h264_nvenc": {"preset:v:{}": "p5", "rc:v:{}": "vbr", "cq:v:{}": 21, "b:v:{}": 0},
    "libx264": {"preset:v:{}": "veryfast", "crf:v:{}": 20, "threads:v:{}": _THREADS},
}
"""Options of each encoder; `{}` is the number of the video track."""


@dataclass(frozen=True)
class Captions:
    """Captions in one language."""

    cues: Sequence[Cue]
    language: str
    """Whisper's code."""
    highlight: bool = False
    """If true, the word that is being spoken is highlighted."""


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
    for container in dict.fromkeys([CONTAINERS_BY_FAMILY.get(job.video.family, MKV), MKV]):
        texts = [_write_track(captions, container, job, number) for number, captions in enumerate(tracks)]
        path = job.folder / f"captioned.{container.name}"
        log = _run(_mux_output(job.video, container, tracks, texts, path), path, job, 1.0, MAX_MEMORY)
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
    text = "".join(f"{cue.voice}{cue.text}" for cue in captions.cues)
    _write_overlay(job, captions, style, choose_fonts(f"{text}:", font, captions.language, font_folders))
    log = FfmpegLog()
    for container, encoder in _burn_attempts(video, encoders or find_encoders()):
        path = job.folder / f"captioned.{container.name}"
        output = _burn_output(video, container, encoder, job.limits.seconds, path)
        log = _run(output, path, job, _BURN_FACTOR, _BURN_MEMORY)
        if log.status == 0:
            warnings = [*lost_track_warnings(video, container), *lost_picture_warnings(video.picture_track)]
            return CaptionedVideo(path, container.name, encoder, warnings)
    raise CaptionsFailed(f"captions cannot be drawn into the picture{_explain_failure(log)}")


def _burn_attempts(video: Video, encoders: Sequence[str]) -> list[tuple[Container, str]]:
    """Return containers and encoders in the order in which they are tried: Matroska last, since it holds anything."""
    container = {"mp4": MP4, "mov": MOV}.get(video.family, MKV)  # WebM cannot hold H.264
    attempts = [(container, encoder) for encoder in encoders]
    return attempts if container is MKV else [*attempts, (MKV, "libx264")]


def _write_overlay(job: EmbedJob, captions: Captions, style: Style, fonts: FontFallback) -> None:
    """Write the overlay that libass draws, and link the fonts that it needs."""
    (job.folder / "fonts").mkdir()
    for number, face in enumerate(fonts.faces):
        (job.folder / "fonts" / f"{number}{face.file.suffix}").symlink_to(face.file)
    overlay = to_ass_overlay(
        captions.cues,
        style,
        job.video.display_size,
        fonts.split_by_font,
        captions.language,
        captions.highlight,
        job.control.check,
    )
    (job.folder / "captions.ass").write_text(overlay, encoding="utf-8", errors="replace")


def _write_track(captions: Captions, container: Container, job: EmbedJob, number: int) -> Path:
    """Write the file from which ffmpeg makes the track, in the format that it changes least."""
    formats: dict[str, tuple[str, Callable[[Sequence[Cue], bool, Check], str]]] = {
        "mov_text": (".ass", to_timed_text),
        "subrip": (".srt", to_srt),
        "webvtt": (".vtt", to_vtt),
    }
    suffix, write = formats[container.caption_codec]
    path = job.folder / f"captions-{number}{suffix}"
    path.write_text(write(captions.cues, captions.highlight, job.control.check), encoding="utf-8", errors="replace")
    return path


def _mux_output(
    video: Video, container: Container, tracks: Sequence[Captions], texts: Sequence[Path], path: Path
) -> ffmpeg.nodes.OutputStream:
    kept = select_tracks(video, container)
    first = sum(track.kind == "Subtitle" for track in kept)
    options: dict[str, Any] = {"c": "copy"}
    for number, captions in enumerate(tracks, start=first):
        options[f"c:s:{number}"] = container.caption_codec if container.caption_codec == "mov_text" else "copy"
        options[f"metadata:s:s:{number}"] = f"language={language_tag(captions.language, container)}"
    if first == 0:
        options["disposition:s:0"] = "default"
    media = sandboxed_input(video.source, fflags="+genpts")  # AVI has no timestamps
    demuxers = {".ass": "ass", ".srt": "srt", ".vtt": "webvtt"}
    added = [ffmpeg.input(f"file:{text}", f=demuxers[text.suffix], protocol_whitelist="file")["s:0"] for text in texts]
    return _output([*(media[str(track.index)] for track in kept), *added], container, path, options)


def _burn_output(
    video: Video, container: Container, encoder: str, max_seconds: float, path: Path
) -> ffmpeg.nodes.OutputStream:
    kept, picture = select_tracks(video, container), video.picture_track
    number = [track for track in kept if track.kind == "Video"].index(picture)
    width, height = video.display_size
    filters = [
        f"ass=filename=captions.ass:fontsdir=fonts:original_size={width}x{height}",
        "pad=ceil(iw/2)*2:ceil(ih/2)*2",  # H.264 stores colours for two by two pixels
        "format=yuv420p",
    ]
    options: dict[str, Any] = {f"c:{index}": "copy" for index, track in enumerate(kept) if track is not picture}
    options |= {
        f"c:v:{number}": encoder,
        f"filter:v:{number}": ",".join(filters),
        f"fps_mode:v:{number}": "passthrough",
        **{name.format(number): value for name, value in _QUALITY[encoder].items()},
        "t": max_seconds,
    }
    if picture.ticks_per_second:
        options[f"enc_time_base:v:{number}"] = f"1:{picture.ticks_per_second}"
    media = sandboxed_input(video.source, max_pixels=MAX_PIXELS, threads=_THREADS)
    return _output([media[str(track.index)] for track in kept], container, path, options)


def _output(
    streams: Sequence[ffmpeg.nodes.FilterableStream], container: Container, path: Path, options: dict[str, Any]
) -> ffmpeg.nodes.OutputStream:
    if container.muxer in ("mp4", "mov"):
        options["movflags"] = "+faststart"
    return ffmpeg.output(*streams, f"file:{path}", format=container.muxer, map_metadata=0, map_chapters=0, **options)


@functools.cache
def find_encoders() -> list[str]:
    """Return the GPU's H.264 encoder, if a trial with it succeeds, and x264."""
    gray = ffmpeg.input("color=gray:size=256x144:rate=5", f="lavfi")
    trial = ffmpeg.output(gray, "-", format="null", vcodec="h264_nvenc", t=1)
    limits = ProcessLimits(_TRIAL_SECONDS * _CORES, file_bytes=0, memory_bytes=_BURN_MEMORY)
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
