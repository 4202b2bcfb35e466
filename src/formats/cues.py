"""A transcript's text as cues: what is on the screen, and from when to when. All times are whole milliseconds."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import NamedTuple

from src.formats.cue_splitting import part
from src.formats.layout import EVER, Layout, Limits
from src.formats.line_breaks import width
from src.formats.timed_words import Line, Piece, runs_of
from src.transcript.transcript import Segment

SHORTEST = 10
"""The shortest cue, and the finest time that LRC and ASS can tell."""

RIGHT_TO_LEFT = frozenset(["ar", "fa", "he", "ps", "sd", "ur", "yi"])
RIGHT_TO_LEFT_MARK = "\u200f"
"""Takes no room, and has what stands after it read from the right."""


class Cue(NamedTuple):
    """What is on the screen at one time."""

    start: int
    end: int
    lines: Sequence[Line]
    voice: str = ""
    """Who speaks; empty where nobody looked."""

    @property
    def text(self) -> str:
        return "\n".join(line_text(line) for line in self.lines)


def line_text(line: Line) -> str:
    return "".join(piece.text for piece in line).strip()


def plain_cues(segments: Sequence[Segment]) -> list[Cue]:
    """The segments that have text, in order, as they are: each is a cue of one line."""
    cues = []
    for segment in segments:
        if text := single_line(segment.text):
            start = round(segment.start * 1000)
            end = max(start, round(segment.end * 1000))
            cues.append(Cue(start, end, [[Piece(text, start, end)]], segment.voice))
    return cues


def single_line(text: str) -> str:
    """`text` without line breaks and outer blanks; blanks between words stay as they are.

    `str.splitlines` knows every character that some reader takes for a line break (\\v, \\f, U+0085, U+2028…).
    NUL becomes U+FFFD, as every WebVTT reader would make it (W3C WebVTT, section 6.1).
    """
    lines = (line.strip() for line in text.replace("\0", "\ufffd").splitlines())
    return " ".join(line for line in lines if line)


def lay_out(segments: Sequence[Segment], layout: Layout, language: str) -> list[Cue]:
    """The text of `segments` as cues that keep to `layout`; `language` is the code of what is written.

    Cues of one voice never overlap, and none is shorter than `SHORTEST`. A line is too wide only where a single
    character is.
    """
    voices = dict.fromkeys(segment.voice for segment in segments)
    cues = [
        cue._replace(voice=voice)
        for voice in voices
        for cue in _of_one_voice([one for one in segments if one.voice == voice], _beside(voice, layout), language)
    ]
    return sorted(cues, key=lambda cue: cue.start)


def _beside(voice: str, layout: Layout) -> Layout:
    """The layout of what stands after the voice's name, which takes its part of the first line."""
    if not voice or layout.max_line_width is None:
        return layout
    return replace(layout, max_line_width=max(1, layout.max_line_width - len(f"{voice}: ")))


def _of_one_voice(segments: Sequence[Segment], layout: Layout, language: str) -> list[Cue]:
    limits = layout.limits
    runs = list(runs_of(segments, layout))
    starts = [run[0].start for run in runs]
    parted = [
        lines
        for run, until in zip(runs, [*starts[1:], EVER], strict=False)
        for lines in part(run, limits, language, whole=layout.keeps_segments, until=until)
    ]
    return list(_timed(parted, limits, language))


def _timed(parted: Sequence[Sequence[Line]], limits: Limits, language: str) -> Iterator[Cue]:
    """Cues with their times: each stays as long as it is spoken, and to be read as far as the next one lets it."""
    starts = list(accumulate((lines[0][0].start for lines in parted), lambda last, start: max(start, last + SHORTEST)))
    for lines, start, following in zip(parted, starts, [*starts[1:], EVER], strict=False):
        columns = sum(width(line_text(line)) for line in lines) + len(lines) - 1
        end = max(lines[-1][-1].end, start + SHORTEST, start + limits.reading_time(columns))
        apart = following - limits.gap if following - limits.gap >= start + SHORTEST else following
        end = min(end, apart, start + limits.longest)
        yield Cue(start, end, [_directed([_within(piece, start, end) for piece in line], language) for line in lines])


def _within(piece: Piece, start: int, end: int) -> Piece:
    return piece._replace(start=min(max(piece.start, start), end), end=min(max(piece.end, start), end))


def _directed(line: Line, language: str) -> Line:
    """A line of a right-to-left text, marked as such where it begins with a word that is read from the left.

    Players take the direction of a line from its first letter (UAX #9, rule P2), which here would be wrong.
    """
    directions = (unicodedata.bidirectional(character) for piece in line for character in piece.text)
    if language not in RIGHT_TO_LEFT or next((one for one in directions if one in ("L", "R", "AL")), "R") != "L":
        return line
    first, *others = line
    return [first._replace(text=RIGHT_TO_LEFT_MARK + first.text.lstrip()), *others]
