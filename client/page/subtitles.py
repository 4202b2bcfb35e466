"""Corrected segments as SRT and WebVTT: a cue each.

The layout of the worker's own subtitles goes by the times of words, which a correction may take away: of it, the width
of lines is left.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from html import escape
from typing import Any

import srt
from wcwidth import wrap

from client.page.lines import Segments, voice_of

_PRESET_WIDTHS = {"broadcast": 42}
"""`max_line_width` of each `subtitle_preset`, as the README has it."""

_Cue = tuple[timedelta, timedelta, str, str]
"""Start, end, whose it is (or empty), text in one line."""


def to_srt(segments: Segments, options: Mapping[str, Any]) -> str:
    """SubRip. It has no escapes, so that the arrow of a timing line must go."""
    cues = []
    for number, (start, end, voice, text) in enumerate(_cues(segments), start=1):
        said = re.sub("-{2,}>", "->", f"{voice}: {text}" if voice else text)
        cues.append(srt.Subtitle(number, start, end, "\n".join(_lines(said, options))))
    # Its own numbering would leave out cues that are over as they begin.
    return str(srt.compose(cues, reindex=False))


def to_vtt(segments: Segments, options: Mapping[str, Any]) -> str:
    """WebVTT (W3C): with a voice tag where voices are told apart; webvtt-py would leave the escapes to its caller."""
    blocks = ["WEBVTT\n"]
    for start, end, voice, text in _cues(segments):
        said = "\n".join(escape(line, quote=False) for line in _lines(text, options))
        times = (srt.timedelta_to_srt_timestamp(time).replace(",", ".") for time in (start, end))
        blocks.append(f"{' --> '.join(times)}\n{f'<v {escape(voice, quote=False)}>' if voice else ''}{said}\n")
    return "\n".join(blocks)


def _cues(segments: Segments) -> Iterator[_Cue]:
    for segment in segments:
        if text := _one_line(str(segment["text"])):
            start, end = (timedelta(milliseconds=round(1000 * float(segment[key]))) for key in ("start", "end"))
            yield start, max(start, end), _one_line(voice_of(segment) or ""), text


def _one_line(text: str) -> str:
    """NUL becomes what every reader of WebVTT would make of it (section 6.1)."""
    return " ".join(text.replace("\0", "\ufffd").split())


def _lines(text: str, options: Mapping[str, Any]) -> list[str]:
    """No wider than the job's lines, where those have a width; a full-width character counts as two."""
    width = options.get("max_line_width") or _PRESET_WIDTHS.get(str(options.get("subtitle_preset")))
    return wrap(text, width, control_codes="ignore", break_on_hyphens=False) if width else [text]
