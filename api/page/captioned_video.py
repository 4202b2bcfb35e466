"""A video with the corrected lines as its captions: as a track, or drawn into the picture."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import ffmpeg

from api.page.document import Document
from api.page.ffmpeg import Bounds, MediaFailed, run_ffmpeg
from api.page.made_files import Making
from api.page.media import MAX_SECONDS, read_header
from media.captions import (
    BURN_MEMORY,
    Captions,
    burn_attempts,
    burn_output,
    cut_at,
    fit_to_picture,
    fonts_for,
    mux_containers,
    mux_output,
    write_overlay,
)
from media.containers import Container, lost_picture_warnings, lost_track_warnings
from media.fonts import SYSTEM_FONTS, NoFont
from media.sandbox import MAX_MEMORY
from media.video import MAX_PIXELS, Video, video_of
from transcript.checks import Check
from transcript.formats.ass import Style
from transcript.formats.cues import to_subtitles
from transcript.formats.layout import PRESETS, Layout

Mode = Literal["mux", "burn"]

MODES: tuple[Mode, ...] = ("mux", "burn")
"""`mux` adds a track, which players can hide; `burn` draws into the picture."""

_BASE_SECONDS = 600.0
_FACTORS = {"mux": 1.0, "burn": 20.0}
"""Seconds that the work may take for each second of the video, besides `_BASE_SECONDS`."""

_MEMORY = {"mux": MAX_MEMORY, "burn": BURN_MEMORY}
_UNKNOWN_LANGUAGE = "en"
"""Taken where none is known: containers and fonts need one."""


@dataclass(frozen=True)
class CaptionedVideo:
    """A captioned video.

    Attributes:
        suffix: the usual one of its container: `.mp4`, `.mov`, `.webm` or `.mkv`.
        warnings: what it has lost of the recording, a sentence each.
    """

    suffix: str
    warnings: list[str] = field(default_factory=list)


def write_captioned(
    source: Path,
    document: Document,
    mode: Mode,
    layout: Layout,
    target: Path,
    making: Making,
    *,
    names: bool = True,
    max_bytes: int,
) -> CaptionedVideo:
    """Write the video with its captions.

    Args:
        source: the recording.
        document: the corrected lines.
        mode: how the captions get into the video.
        layout: of the captions; drawn ones without a layout get the usual one of television.
        target: the path of the result, whatever its container.
        making: takes the progress, and stops the work.
        names: whether speakers are named.
        max_bytes: of the result.

    Raises:
        MediaFailed: the recording has no video, or one that cannot be captioned.
        Stopped: the video is not wanted any more.
    """
    video = video_of(source, read_header(source))
    _check(video, mode)
    video = replace(video, seconds=video.seconds or document.duration or 0.0)  # some files declare no duration
    if mode == "burn":
        layout = PRESETS["broadcast"] if layout == Layout() else layout
        layout = fit_to_picture(layout, Style().max_columns(video.display_size))
    captions = _to_captions(document, layout, video, names, making.check)
    bounds = Bounds(_BASE_SECONDS + _FACTORS[mode] * min(video.seconds, MAX_SECONDS), max_bytes + 1, _MEMORY[mode])
    follow = making.follow(video.seconds)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="captions-") as name:
        folder = Path(name)
        for container, output in _attempts(video, captions, mode, folder, target, making.check):
            log = run_ffmpeg(output, bounds, making.stop, folder=folder, on_position=follow)
            if log.status == 0:
                return CaptionedVideo(f".{container.name}", _warnings(video, container, mode))
    raise MediaFailed("the captions cannot be put into this video: convert it to MP4 and begin again")


def _attempts(
    video: Video, captions: Captions, mode: Mode, folder: Path, target: Path, check: Check
) -> Iterator[tuple[Container, ffmpeg.nodes.OutputStream]]:
    """The containers that are tried, and what is written for each."""
    if mode == "mux":
        for container in mux_containers(video):
            yield container, mux_output(video, container, [captions], folder, target, check)
        return
    try:
        fonts = fonts_for(captions, None, _font_folders())
    except NoFont as error:
        raise MediaFailed(str(error)) from None
    write_overlay(video, captions, Style(), fonts, folder, check)
    for container, encoder in burn_attempts(video, ["libx264"]):
        yield container, burn_output(video, container, encoder, MAX_SECONDS, target)


def _warnings(video: Video, container: Container, mode: Mode) -> list[str]:
    """What the captioned video has lost, in the words that jobs have for it."""
    lost_picture = lost_picture_warnings(video.picture_track) if mode == "burn" else []
    return [*lost_track_warnings(video, container), *lost_picture]


def _font_folders() -> tuple[Path, ...]:
    """Where fonts are looked for, as for the captions of jobs."""
    own = os.environ.get("FONT_DIR")
    return (Path(own), *SYSTEM_FONTS) if own else SYSTEM_FONTS


def _check(video: Video, mode: Mode) -> None:
    """Check that the video can be captioned.

    Raises:
        MediaFailed: it cannot.
    """
    if not video.has_picture:
        raise MediaFailed("the recording has no picture: captions need a video")
    if mode == "mux":
        return
    track = video.picture_track
    if 0 in video.display_size:
        raise MediaFailed("the size of the picture is unknown: convert the video, or add the captions as a track")
    if track.width * track.height > MAX_PIXELS:
        raise MediaFailed("the picture is larger than 4096 x 2304: add the captions as a track")


def _to_captions(document: Document, layout: Layout, video: Video, names: bool, check: Check) -> Captions:
    transcript = document.spoken.to_transcript(names=names)
    cues = to_subtitles(transcript.segments, layout, transcript.language, check)
    end = max(video.seconds, document.duration or 0.0)
    return Captions(cut_at(end, cues), transcript.language or _UNKNOWN_LANGUAGE)
