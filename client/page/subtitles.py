"""Writes corrected segments as SRT and WebVTT, one cue per segment.

The worker lays out its subtitles by word times, which a correction may remove. Only the line width is kept here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from html import escape
from typing import Any

import srt
from wcwidth import wrap

from client.page.lines import Segments, speaker_key

_PRESET_WIDTHS = {"broadcast": 42}
"""`max_line_width` of each `subtitle_preset`, as in `docs/options.md`."""

_Cue = tuple[timedelta, timedelta, str, str]
"""Start, end, speaker (or empty), text in one line."""


def to_srt(segments: Segments, options: Mapping[str, Any]) -> str:
    """Return SubRip. The format has no escapes, so that the arrow of timing lines is removed from texts.

    Args:
        segments: with names as speakers.
        options: the job's, for the line width.
    """
    cues = []
    for number, (start, end, speaker, text) in enumerate(_to_cues(segments), start=1):
        content = re.sub("-{2,}>", "->", f"{speaker}: {text}" if speaker else text)
        cues.append(srt.Subtitle(number, start, end, "\n".join(_wrap(content, options))))
    # The library's renumbering would drop cues of no length.
    return str(srt.compose(cues, reindex=False))


def to_vtt(segments: Segments, options: Mapping[str, Any]) -> str:
    """Return WebVTT (W3C), with voice tags for speakers. Not by webvtt-py, which does not escape texts.

    Args:
        segments: with names as speakers.
        options: the job's, for the line width.
    """
    blocks = ["WEBVTT\n"]
    for start, end, speaker, text in _to_cues(segments):
        content = "\n".join(escape(line, quote=False) for line in _wrap(text, options))
        times = (srt.timedelta_to_srt_timestamp(time).replace(",", ".") for time in (start, end))
        voice_tag = f"<v {escape(speaker, quote=False)}>" if speaker else ""
        blocks.append(f"{' --> '.join(times)}\n{voice_tag}{content}\n")
    return "\n".join(blocks)


def _to_cues(segments: Segments) -> Iterator[_Cue]:
    for segment in segments:
        if text := _single_line(str(segment["text"])):
            start, end = (timedelta(milliseconds=round(1000 * float(segment[key]))) for key in ("start", "end"))
            yield start, max(start, end), _single_line(speaker_key(segment) or ""), text


def _single_line(text: str) -> str:
    """Join lines, and replace NUL as WebVTT parsers do (section 6.1)."""
    return " ".join(text.replace("\0", "\ufffd").split())


def _wrap(text: str, options: Mapping[str, Any]) -> list[str]:
    """Wrap a text to the job's line width, if it has one; full-width characters count as two."""
    width = options.get("max_line_width") or _PRESET_WIDTHS.get(str(options.get("subtitle_preset")))
    return wrap(text, width, control_codes="ignore", break_on_hyphens=False) if width else [text]
