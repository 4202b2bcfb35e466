"""The cues of a transcript as its subtitle files have them, each with the lines that its text comes from."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any

from api.openai.errors import ApiError
from api.page.document import Document
from transcript.checks import Check, never
from transcript.formats.cues import CLOSING_MARK, OPENING_MARKS, Cue, line_text, to_subtitles
from transcript.formats.layout import PRESETS, Layout

CONTEXT_SECONDS = 60.0
"""Of text on both sides of a part, since line breaks weigh what is around them."""

_LEAST_AND_MOST: dict[str, tuple[float, float]] = {
    "max_line_width": (1, 1000),
    "max_line_count": (1, 100),
    "max_words_per_line": (1, 1000),
    "min_cue_duration": (0, 60),
    "max_cue_duration": (0.5, 600),
    "min_cue_gap": (0, 10),
    "max_chars_per_second": (1, 1000),
}
"""The bounds of a job's options of these names."""

LAYOUT_OPTIONS = frozenset({"subtitle_preset", *_LEAST_AND_MOST})
"""Options of a job that shape its subtitles."""

_WHOLE = ("max_line_width", "max_line_count", "max_words_per_line")


def parse_layout(given: Mapping[str, Any]) -> Layout:
    """Read the shape of subtitles: a `preset`, and numbers that replace those of the preset.

    Args:
        given: of the address, or of a body; values may be anything.

    Raises:
        ApiError: naming the wrong field and the correct form.
    """
    preset = given.get("preset") or None
    if preset is not None and (not isinstance(preset, str) or preset not in PRESETS):
        names = " or ".join(PRESETS)
        raise ApiError(400, f"preset: should be {names}, or left out", param="preset")
    numbers = {name: _parse_number(name, given[name]) for name in _LEAST_AND_MOST if given.get(name) not in (None, "")}
    layout = replace(PRESETS[preset] if preset else Layout(), **numbers)
    if (layout.min_cue_duration or 0.0) > (layout.max_cue_duration or math.inf):
        raise ApiError(400, "min_cue_duration: should not be longer than max_cue_duration", param="min_cue_duration")
    return layout


def _parse_number(name: str, value: Any) -> Any:
    least, most = _LEAST_AND_MOST[name]
    try:
        number = float(value) if type(value) in (str, int, float) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not least <= number <= most or (name in _WHOLE and number != int(number)):
        kind = "whole number" if name in _WHOLE else "number"
        raise ApiError(400, f"{name}: should be a {kind} from {least:g} to {most:g}", param=name)
    return int(number) if name in _WHOLE else number


def cues_of(document: Document, layout: Layout, *, names: bool = True, check: Check = never) -> list[dict[str, Any]]:
    """The cues as the page reads them, times in seconds; `check` ends the work by an exception."""
    document = document.spoken
    transcript = document.to_transcript(names=names)
    cues = to_subtitles(transcript.segments, layout, transcript.language, check)
    voices = [segment.voice for segment in transcript.segments]
    return [
        {
            "start": cue.start / 1000,
            "end": cue.end / 1000,
            "lines": [line_text(line) for line in cue.lines],
            "voice": cue.voice,
            "line_ids": ids,
        }
        for cue, ids in zip(cues, _line_ids(cues, document, voices), strict=True)
    ]


def cues_between(
    document: Document, layout: Layout, start: float, end: float, *, names: bool = True, check: Check = never
) -> list[dict[str, Any]]:
    """The cues that are seen between two times in seconds, from a document with `CONTEXT_SECONDS` around them.

    They are those of the whole document where cues keep to lines, or speech has a long pause in the context. Where it
    has none, a cue may end at another word: the best breaks of a text without a pause depend on all of it.
    """
    cues = cues_of(document, layout, names=names, check=check)
    return [cue for cue in cues if cue["start"] <= end and cue["end"] >= start]


def _line_ids(cues: Sequence[Cue], document: Document, voices: Sequence[str]) -> Iterator[list[str]]:
    """The ids of the lines in each cue.

    A voice's cues have the same letters as its lines, in the same order: counting them finds the lines of a cue.
    """
    ids: dict[str, list[str]] = defaultdict(list)
    letters: dict[str, list[int]] = defaultdict(list)
    for line, voice in zip(document.lines, voices, strict=True):
        if count := _count_letters(line.text):
            ids[voice].append(line.id)
            letters[voice].append(count)
    begins = {voice: list(accumulate(counts, initial=0)) for voice, counts in letters.items()}
    positions: dict[str, int] = defaultdict(int)
    for cue in cues:
        count = sum(_count_letters(_unmarked(line_text(line))) for line in cue.lines)
        first = positions[cue.voice]
        positions[cue.voice] = first + count
        begin = begins[cue.voice]
        yield ids[cue.voice][bisect_right(begin, first) - 1 : bisect_right(begin, first + count - 1)]


def _unmarked(text: str) -> str:
    """A cue's line without the marks of direction that the layout puts around it."""
    return text[len(OPENING_MARKS) : -len(CLOSING_MARK)] if text.startswith(OPENING_MARKS) else text


def _count_letters(text: str) -> int:
    return sum(map(len, text.split()))
