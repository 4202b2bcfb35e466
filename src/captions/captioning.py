"""Captions a job's video: checks that run before transcription, and the captioned video after it."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from media.captions import Captions, cut_at, fit_to_picture
from media.fonts import SYSTEM_FONTS
from media.video import Video
from src.captions.embed import CaptionedVideo, EmbedJob, VideoLimits, burn, mux
from src.captions.fonts import check_family, check_language
from src.captions.probe import check_drawable, probe_video
from src.errors import TooLarge, explain_os_error
from src.job_control import JobControl
from src.settings import Settings, get_settings
from transcript.formats.ass import Style
from transcript.formats.cues import lay_out
from transcript.formats.layout import Layout
from transcript.transcript import Transcript


@dataclass(frozen=True)
class CaptionRequest:
    """The captions that a job asks for."""

    mode: Literal["mux", "burn"]
    """`mux` adds a track; `burn` draws captions into the picture."""
    layout: Layout
    style: Style
    """The look of burnt captions."""
    font: str | None = None
    """Font family of burnt captions; None: one with all letters of the text."""
    language: str | None = None
    """Whisper's code of the text, if the job says it."""


def find_video(recording: Path, request: CaptionRequest, max_bytes: int, remedy: str, control: JobControl) -> Video:
    """Return the video, after the checks of whether it can be captioned.

    Args:
        recording: the file with the video.
        request: the captions that the job asks for.
        max_bytes: the largest captioned video.
        remedy: the end of the error sentence: how to get a larger limit.
        control: stops the checks with the job.

    Raises:
        InvalidInput: the worker lacks the font, or any for the script of the language.
        UnsupportedMedia: the recording has no video.
        TooLarge: the captioned video would have too many pixels or bytes.
    """
    video = probe_video(recording, control)
    if request.mode == "burn":
        check_drawable(video, get_settings().max_audio_seconds)
        if request.font is not None:
            check_family(request.font, _font_folders(get_settings()))
        if request.language is not None:
            check_language(request.language, _font_folders(get_settings()))
    elif (size := recording.stat().st_size) > max_bytes:
        raise TooLarge(
            f"the captioned video would be {size / 1e6:.1f} MB, and there is room for {max_bytes / 1e6:.1f} MB: "
            f"{remedy}"
        )
    return video


def caption(
    video: Video, transcript: Transcript, request: CaptionRequest, folder: Path, max_bytes: int, control: JobControl
) -> CaptionedVideo:
    """Write the video with the transcript as captions to `folder`; with `mux`, a translation gets a second track.

    Raises:
        CaptionsFailed: the captions cannot be added; the transcript is unaffected.
        TooLarge: the captioned video has more than `max_bytes`.
        UnsupportedMedia: the video takes more memory or CPU time than an intact one would.
        OutOfResources: the worker lacks disk space or something else.
        Cancelled: the job was stopped.
    """
    started = time.perf_counter()
    video = replace(video, seconds=video.seconds or transcript.duration)  # some files declare no duration
    job = EmbedJob(video, folder, _limits(max_bytes), control)
    embed = _burn if request.mode == "burn" else _mux
    try:
        return embed(job, transcript, request)
    except OSError as error:
        raise explain_os_error(error) or error from None
    finally:
        transcript.timings["captions"] = time.perf_counter() - started


def _mux(job: EmbedJob, transcript: Transcript, request: CaptionRequest) -> CaptionedVideo:
    texts = [transcript, *([transcript.translation] if transcript.translation else [])]
    return mux(job, [_to_captions(job, text, request.layout) for text in texts])


def _burn(job: EmbedJob, transcript: Transcript, request: CaptionRequest) -> CaptionedVideo:
    captions = _to_captions(job, transcript, shown_layout(job.video, request))
    return burn(job, captions, request.style, font=request.font, font_folders=_font_folders(get_settings()))


def shown_layout(video: Video, request: CaptionRequest) -> Layout:
    """Return the layout of the captions in the video; the picture limits the width of burnt ones."""
    if request.mode == "mux":
        return request.layout
    return fit_to_picture(request.layout, request.style.max_columns(video.display_size))


def _to_captions(job: EmbedJob, transcript: Transcript, layout: Layout) -> Captions:
    cues = lay_out(transcript.segments, layout, transcript.text_language, job.control.check)
    end = max(job.video.seconds, transcript.duration)
    return Captions(cut_at(end, cues), transcript.text_language, layout.highlight_words)


def _limits(max_bytes: int) -> VideoLimits:
    return VideoLimits(seconds=get_settings().max_audio_seconds, bytes=max_bytes)


def _font_folders(settings: Settings) -> tuple[Path, ...]:
    return (settings.font_dir, *SYSTEM_FONTS) if settings.font_dir else SYSTEM_FONTS
