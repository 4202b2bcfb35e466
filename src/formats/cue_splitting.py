"""Splits words into cues and lines: of all splits within the limits, the one of lowest cost.

Words first become units, which a line does not split. The cost counts the breaks (`line_breaks.py`), lines of unequal
length, pauses within a cue, and the reading time that a cue lacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import inf

from src.formats.layout import CueLimits
from src.formats.line_breaks import (
    FORBIDDEN_BREAK,
    INSIDE_PHRASE_BREAK,
    PHRASE_BREAK,
    SENTENCE_BREAK,
    break_costs,
    display_width,
    is_unspaced,
    split_graphemes,
)
from src.formats.timed_words import Line, TimedWord, spread_over_time

_MAX_LINE_ENDS = 16
"""Line ends that are considered for each start: all ends that a line of 42 columns has, yet few for one of 1000."""

_CUE_COST = 3.0
_LINE_COST = 0.5
_CUE_BREAK_FACTOR = 2.0
_LINE_BREAK_FACTOR = 0.6
"""Cost of a cue's or line's end, times the cost of the break itself."""
_EMPTY_LINE_COST = 3.0
"""Cost per squared share of a line that is empty; two lines are cheapest at equal length."""
_INNER_SENTENCE_COST = 4.0
"""Cost per end of a sentence inside a line."""
_PAUSE_COST = 8.0
"""Cost per second of a pause within a cue, beyond `_FREE_PAUSE_MS`."""
_FREE_PAUSE_MS = 400
_TOO_SHORT_COST = 6.0
"""Cost per second of reading time that a cue lacks."""


Breaks = tuple[float, tuple[int, ...]]
"""The cost of a cue's lines, and the unit after each line's last one."""


def split_cues(
    words: Sequence[TimedWord], limits: CueLimits, language: str, *, prefer_one: bool, next_start: int
) -> list[list[Line]]:
    """Split a group of words into cues, each as its lines.

    Args:
        words: at least one.
        limits: the limits of cues and lines.
        language: Whisper's code of the text's language.
        prefer_one: if true, the words become a single cue if the limits allow it.
        next_start: start of the next group in milliseconds.
    """
    return _CueSplitter(_make_units(words, limits, language), limits, next_start).split(prefer_one)


@dataclass(slots=True)
class _Unit:
    """Words that a line keeps together: mostly one word; in a script without spaces, a phrase."""

    words: list[TimedWord]
    width: int
    """Columns without the space before the unit."""
    space: int
    """Columns of the space before the unit."""
    cost: float
    """Cost of a break after the unit."""

    @property
    def start(self) -> int:
        return self.words[0].start

    @property
    def end(self) -> int:
        return self.words[-1].end


def _make_units(words: Sequence[TimedWord], limits: CueLimits, language: str) -> list[_Unit]:
    words = [part for word in words for part in _split_wide_word(word, limits)]
    costs = break_costs([word.text for word in words], language)
    for at, word in enumerate(words):
        if word.starts_segment:
            segment_break = SENTENCE_BREAK if is_unspaced(word.text.lstrip()[0]) else PHRASE_BREAK
            costs[at - 1] = min(costs[at - 1], segment_break)
    units = [
        _Unit([word], display_width(word.text.lstrip()), int(word.text[0] == " "), cost)
        for word, cost in zip(words, costs, strict=True)
    ]
    # Forbidden breaks are closed first: where a phrase is too long for a line, its marks then stay with their words.
    return _join_units(_join_units(units, FORBIDDEN_BREAK, limits), INSIDE_PHRASE_BREAK, limits)


def _split_wide_word(word: TimedWord, limits: CueLimits) -> list[TimedWord]:
    """Split a word that is wider than a line into its characters."""
    if display_width(word.text.lstrip()) <= limits.max_width:
        return [word]
    first, *rest = spread_over_time(split_graphemes(word.text), word.start, word.end)
    return [first._replace(starts_segment=word.starts_segment), *rest]


def _join_units(units: Sequence[_Unit], cost: float, limits: CueLimits) -> list[_Unit]:
    """Join units across breaks of at least `cost`, where a line and a cue can hold the result."""
    joined: list[_Unit] = []
    for unit in units:
        last = joined[-1] if joined else unit
        width = last.width + unit.space + unit.width
        fits = width <= limits.max_width and unit.end - last.start <= limits.max_ms
        if joined and last.cost >= cost and fits:
            joined[-1] = _Unit(last.words + unit.words, width, last.space, unit.cost)
        else:
            joined.append(unit)
    return joined


class _CueSplitter:
    """The search for the cheapest split of units into cues and lines, by dynamic programming."""

    def __init__(self, units: Sequence[_Unit], limits: CueLimits, next_start: int) -> None:
        self._units, self._limits = units, limits
        self._starts = [unit.start for unit in units] + [next_start]
        self._ends = [unit.end for unit in units]
        self._columns = list(accumulate((unit.width + unit.space for unit in units), initial=0))
        self._sentences = list(accumulate((unit.cost == SENTENCE_BREAK for unit in units), initial=0))
        pauses = (max(0, after.start - before.end - _FREE_PAUSE_MS) for before, after in pairwise(units))
        self._pause_costs = list(accumulate((pause / 1000 * _PAUSE_COST for pause in pauses), initial=0.0))
        self._lines = [self._lines_from(at) for at in range(len(units))] + [[]]

    def split(self, prefer_one: bool) -> list[list[Line]]:
        """Return the cues as lists of lines; a single cue if `prefer_one` and the limits allow it."""
        end = len(self._units)
        if prefer_one and (breaks := self._cues_from(0).get(end)):
            return [self._to_lines(0, breaks[1])]
        best: list[tuple[float, int, tuple[int, ...]]] = [(0.0, 0, ()), *((inf, 0, ()) for _ in self._units)]
        for start in range(end):
            for stop, (cost, line_ends) in self._cues_from(start).items():
                total = best[start][0] + cost + self._cue_cost(start, stop)
                if total < best[stop][0]:
                    best[stop] = (total, start, line_ends)
        cues: list[list[Line]] = []
        while end:
            _, start, line_ends = best[end]
            cues.append(self._to_lines(start, line_ends))
            end = start
        return cues[::-1]

    def _to_lines(self, start: int, line_ends: Sequence[int]) -> list[Line]:
        bounds = pairwise([start, *line_ends])
        return [[word for unit in self._units[first:last] for word in unit.words] for first, last in bounds]

    def _cues_from(self, start: int) -> dict[int, Breaks]:
        """Return the cheapest line breaks for each end that a cue from `start` can have."""
        latest = self._starts[start] + self._limits.max_ms
        cues: dict[int, Breaks] = {}
        last_breaks: dict[int, Breaks] = {start: (0.0, ())}
        for _ in range(min(self._limits.max_lines, len(self._units) - start)):
            longer: dict[int, Breaks] = {}
            for at, (cost, line_ends) in last_breaks.items():
                cost += _LINE_COST + (_LINE_BREAK_FACTOR * self._units[at - 1].cost if line_ends else 0.0)
                for end, line_cost in self._lines[at]:
                    if self._ends[end - 1] > latest and end > start + 1:
                        break
                    if end not in cues or cost + line_cost < cues[end][0]:
                        cues[end] = longer[end] = (cost + line_cost, (*line_ends, end))
            if not longer:
                break
            last_breaks = longer
        return cues

    def _lines_from(self, start: int) -> list[tuple[int, float]]:
        """Return the ends of lines from `start` with their costs: for empty columns and for inner sentence ends.

        Of many ends, only the first, the last and the cheapest are kept.
        """
        lines: list[tuple[int, float]] = []
        for end in range(start + 1, min(len(self._units), start + self._limits.max_words) + 1):
            used = self._columns[end] - self._columns[start] - self._units[start].space
            fits = used <= self._limits.max_width and self._ends[end - 1] <= self._starts[start] + self._limits.max_ms
            if lines and not fits:
                break
            inner_sentences = self._sentences[end - 1] - self._sentences[start]
            empty = 1 - used / self._limits.max_width
            lines.append((end, _EMPTY_LINE_COST * empty**2 + _INNER_SENTENCE_COST * inner_sentences))
        by_cost = sorted(lines[1:-1], key=lambda line: line[1] + _LINE_BREAK_FACTOR * self._units[line[0] - 1].cost)
        return sorted({*lines[:1], *by_cost[:_MAX_LINE_ENDS], *lines[-1:]})

    def _cue_cost(self, start: int, end: int) -> float:
        """Return the cost of a cue apart from its lines: the break after it, its pauses, the reading time it lacks."""
        needed_ms = self._limits.reading_ms(self._columns[end] - self._columns[start])
        lack_ms = max(0, needed_ms + self._limits.gap_ms - (self._starts[end] - self._starts[start]))
        pauses = self._pause_costs[end - 1] - self._pause_costs[start]
        return _CUE_COST + _CUE_BREAK_FACTOR * self._units[end - 1].cost + pauses + _TOO_SHORT_COST * lack_ms / 1000
