"""What a job's captions take: what can be told of them before the model works, and the captioned video after it."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from src.captions.embed import CaptionedVideo, Captions, Limits, burn, check_drawable, mux
from src.captions.fonts import SYSTEM_FONTS, check_family
from src.captions.probe import Video, examine
from src.errors import TooLarge
from src.formats.cues import Cue, lay_out
from src.formats.layout import Layout
from src.job_control import JobControl
from src.request.options import Options
from src.settings import Settings, get_settings
from src.transcript.transcript import Transcript


def find_video(recording: Path, options: Options, room: int, remedy: str, control: JobControl) -> Video | None:
    """The video that is to have captions; None where none are asked for.

    Args:
        room: bytes that the captioned video may have.
        remedy: how to get room for more.

    Raises:
        InvalidInput: the font that is asked for is not there.
        UnsupportedMedia: there is no video.
        TooLarge: the captioned video would be too much, of pixels or of bytes.
    """
    if options.captions is None:
        return None
    video = examine(recording, control)
    if options.captions == "burn":
        check_drawable(video, _limits(room))
        if options.caption_font is not None:
            check_family(options.caption_font, _font_folders(get_settings()))
    elif (size := recording.stat().st_size) > room:
        raise TooLarge(
            f"the captioned video would be {size / 1e6:.1f} MB, and there is room for {room / 1e6:.1f} MB: {remedy}"
        )
    return video


def caption(
    video: Video, transcript: Transcript, options: Options, folder: Path, room: int, control: JobControl
) -> CaptionedVideo:
    """The video with the transcript as captions, in `folder`; a second track has its translation, if there is one.

    Raises:
        CaptionsFailed: it cannot be done; the transcript is none the worse for it.
        TooLarge: it is more than `room`, in bytes.
        Cancelled: the job was stopped.
    """
    started = time.perf_counter()
    video.seconds = video.seconds or transcript.duration  # some files declare none
    work = _burnt if options.captions == "burn" else _muxed
    try:
        return work(video, transcript, options, folder, room, control)
    finally:
        transcript.timings["captions"] = time.perf_counter() - started


def _muxed(
    video: Video, transcript: Transcript, options: Options, folder: Path, room: int, control: JobControl
) -> CaptionedVideo:
    texts = [transcript, *([transcript.translation] if transcript.translation else [])]
    tracks = [_captions(video, text, options.caption_layout) for text in texts]
    return mux(video, tracks, folder, _limits(room), control)


def _burnt(
    video: Video, transcript: Transcript, options: Options, folder: Path, room: int, control: JobControl
) -> CaptionedVideo:
    captions = _captions(
        video, transcript, _fitting(options.caption_layout, options.caption_style.columns(video.shown))
    )
    style, font, folders = options.caption_style, options.caption_font, _font_folders(get_settings())
    return burn(video, captions, style, font, folder, _limits(room), control, folders)


def _captions(video: Video, transcript: Transcript, layout: Layout) -> Captions:
    cues = lay_out(transcript.segments, layout, transcript.written)
    longest = max(video.seconds, transcript.duration)
    return Captions(_within(cues, longest), transcript.written, layout.highlight_words)


def _within(cues: list[Cue], seconds: float) -> list[Cue]:
    """Captions that do not outlast the video, which would be longer for them."""
    end = int(1000 * seconds)
    return [cue._replace(end=min(cue.end, end)) for cue in cues if cue.start < end]


def _fitting(layout: Layout, columns: int) -> Layout:
    """Lines that are as wide as is asked for, as far as the picture has room."""
    width = layout.max_line_width
    return layout if width is None else replace(layout, max_line_width=min(width, columns))


def _limits(room: int) -> Limits:
    return Limits(seconds=get_settings().max_audio_seconds, bytes=room)


def _font_folders(settings: Settings) -> tuple[Path, ...]:
    return (settings.font_dir, *SYSTEM_FONTS) if settings.font_dir else SYSTEM_FONTS
