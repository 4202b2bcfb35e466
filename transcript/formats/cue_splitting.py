"""Splits words into cues and lines: of all splits within the limits, the one of lowest cost.

Words first become units, which a line does not split. The cost counts the breaks (`line_breaks.py`), lines of unequal
length, pauses within a cue, and the reading time that a cue lacks. Where the limits allow cues of a great many units,
the lines are chosen first, and then cues of whole lines, so that the time is linear in the text whatever the limits.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise, repeat
from math import inf
from typing import TypeAlias

import numpy as np

from transcript.checks import Check, checked, never
from transcript.formats.layout import CueLimits
from transcript.formats.line_breaks import (
    FORBIDDEN_BREAK,
    INSIDE_PHRASE_BREAK,
    PHRASE_BREAK,
    SENTENCE_BREAK,
    break_costs,
    display_width,
    is_unspaced,
    split_graphemes,
)
from transcript.formats.timed_words import Line, TimedWord, spread_over_time

_MAX_LINE_ENDS = 16
"""Line ends that are considered for each start: all ends that a line of 42 columns has, yet few for one of 1000."""
_MAX_LINE_UNITS = 64
"""Units after a start of which those ends are chosen; beside them, only the last one that fits into the line."""
_SEARCHED_WIDTH = 60
_SEARCHED_LINES = 3
_SEARCHED_UNITS = 40
"""Limits of cues for whose lines all choices are compared; larger cues consist of lines that are chosen first."""
_MAX_CUE_LINES = 32
"""Lines of such a cue."""
_STARTS_PER_CHECK = 1024
"""Starts between two looks at whether to go on: some 0.1 s."""

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


_ROUNDING = 1e-6

LineEnds: TypeAlias = "tuple[LineEnds, int] | None"
"""The ends of a cue's lines: those before the last one, and the unit after the last one."""


def split_cues(
    words: Sequence[TimedWord],
    limits: CueLimits,
    language: str,
    *,
    prefer_one: bool,
    next_start: int,
    check: Check = never,
) -> list[list[Line]]:
    """Split a group of words into cues, each as its lines.

    Args:
        words: at least one.
        limits: the limits of cues and lines.
        language: Whisper's code of the text's language.
        prefer_one: if true, the words become a single cue if the limits allow it.
        next_start: start of the next group in milliseconds.
        check: ends the work by an exception.
    """
    return _CueSplitter(_make_units(words, limits, language, check), limits, next_start, check).split(prefer_one)


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


def _make_units(words: Sequence[TimedWord], limits: CueLimits, language: str, check: Check) -> list[_Unit]:
    words = [part for word in checked(words, check) for part in _split_wide_word(word, limits)]
    costs = break_costs([word.text for word in words], language, check)
    for at, word in enumerate(words):
        if word.starts_segment:
            segment_break = SENTENCE_BREAK if is_unspaced(word.text.lstrip()[0]) else PHRASE_BREAK
            costs[at - 1] = min(costs[at - 1], segment_break)
    units = [
        _Unit([word], display_width(word.text.lstrip()), int(word.text[0] == " "), cost)
        for word, cost in checked(zip(words, costs, strict=True), check)
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

    def __init__(self, units: Sequence[_Unit], limits: CueLimits, next_start: int, check: Check) -> None:
        self._units, self._limits, self._check = units, limits, check
        self._starts = [unit.start for unit in units] + [next_start]
        self._ends = [unit.end for unit in units]
        self._columns = list(accumulate((unit.width + unit.space for unit in units), initial=0))
        pauses = (max(0, after - end - _FREE_PAUSE_MS) for end, after in zip(self._ends, self._starts[1:], strict=True))
        self._pause_costs = list(accumulate((pause / 1000 * _PAUSE_COST for pause in pauses), initial=0.0))
        self._line_breaks = [_LINE_COST + _LINE_BREAK_FACTOR * unit.cost for unit in units]
        self._lines = [*self._find_lines(), []]
        # What a line break may cost less than a cue break: a cue that begins there may lack more time to be read.
        lack_ms = inf if limits.ms_per_column else limits.min_ms + limits.gap_ms
        self._most_saved = _LINE_COST + _TOO_SHORT_COST * lack_ms / 1000 + _ROUNDING
        self._costs = [0.0, *repeat(inf, len(units))]
        """Cost of the cheapest cues up to each unit, as far as they have been searched."""

    def split(self, prefer_one: bool) -> list[list[Line]]:
        """Return the cues as lists of lines; a single cue if `prefer_one` and the limits allow it."""
        if prefer_one and (found := self._cues_from(0).get(len(self._units))):
            return [self._to_lines(0, found[1])]
        if not self._may_hold_many_units():
            return self._split()
        lines = [self._join(start, end) for start, end in self._split_into_lines()]
        limits = self._limits._replace(max_words=1, max_lines=min(self._limits.max_lines, _MAX_CUE_LINES))
        return _CueSplitter(lines, limits, self._starts[-1], self._check)._split()

    def _may_hold_many_units(self) -> bool:
        """True if some cue may have so many units that the best lines of each cue would take too long to find."""
        limits = self._limits
        is_large = limits.max_width > _SEARCHED_WIDTH or limits.max_lines > _SEARCHED_LINES
        is_large = is_large and limits.max_lines * limits.max_words > _SEARCHED_UNITS
        spans = zip(self._starts, self._ends[_SEARCHED_UNITS:], strict=False)
        return is_large and any(end - start <= limits.max_ms for start, end in spans)

    def _split(self) -> list[list[Line]]:
        """Return the cheapest cues with the cheapest lines of each."""
        end, costs = len(self._units), self._costs
        last_cues: list[tuple[int, LineEnds]] = [(0, None)] * (end + 1)
        """The start and the lines of the last of the cheapest cues up to each unit."""
        for start in range(end):
            if start % _STARTS_PER_CHECK == 0:
                self._check()
            for stop, (cost, line_ends) in self._cues_from(start).items():
                if costs[start] + cost < costs[stop]:
                    total = costs[start] + cost + self._cue_cost(start, stop)
                    if total < costs[stop]:
                        costs[stop], last_cues[stop] = total, (start, line_ends)
        cues: list[list[Line]] = []
        while end:
            start, line_ends = last_cues[end]
            cues.append(self._to_lines(start, line_ends))
            end = start
        return cues[::-1]

    def _split_into_lines(self) -> list[tuple[int, int]]:
        """Return start and end of each of the cheapest lines, whatever the cues that they will form."""
        end = len(self._units)
        best: list[tuple[float, int]] = [(0.0, 0), *repeat((inf, 0), end)]
        for start in range(end):
            if start % _STARTS_PER_CHECK == 0:
                self._check()
            cost_before = best[start][0] - self._pause_costs[start]
            for stop, cost in self._lines[start]:
                total = cost_before + cost + self._pause_costs[stop - 1] + self._line_breaks[stop - 1]
                if total < best[stop][0]:
                    best[stop] = (total, start)
        lines = []
        while end:
            start = best[end][1]
            lines.append((start, end))
            end = start
        return lines[::-1]

    def _join(self, start: int, end: int) -> _Unit:
        """Return the units of a line as one."""
        units = self._units[start:end]
        width = self._columns[end] - self._columns[start] - units[0].space
        return _Unit([word for unit in units for word in unit.words], width, units[0].space, units[-1].cost)

    def _to_lines(self, start: int, line_ends: LineEnds) -> list[Line]:
        ends = []
        while line_ends is not None:
            line_ends, end = line_ends
            ends.append(end)
        bounds = pairwise([start, *reversed(ends)])
        return [[word for unit in self._units[first:last] for word in unit.words] for first, last in bounds]

    def _cues_from(self, start: int) -> dict[int, tuple[float, LineEnds]]:
        """Return the cheapest line breaks for each end that a cue from `start` can have.

        Left out are cues that would be cheaper with a cue break in place of one of their line breaks.
        """
        lines, line_breaks, pause_costs = self._lines, self._line_breaks, self._pause_costs
        last = max(start + 1, bisect_right(self._ends, self._starts[start] + self._limits.max_ms))
        allowance = pause_costs[start] - self._costs[start] + self._most_saved
        costs: dict[int, float] = {}
        cues: dict[int, tuple[float, LineEnds]] = {}
        last_breaks: dict[int, tuple[float, LineEnds]] = {start: (0.0, None)}
        for _ in range(min(self._limits.max_lines, last - start)):
            longer: dict[int, tuple[float, LineEnds]] = {}
            for at, (cost, line_ends) in last_breaks.items():
                if line_ends is not None:
                    cost += line_breaks[at - 1]
                    if cost + pause_costs[at] > self._costs[at] + allowance:
                        continue
                else:
                    cost = _LINE_COST
                for end, line_cost in lines[at]:
                    if end > last:
                        break
                    total = cost + line_cost
                    if total < costs.get(end, inf):
                        costs[end] = total
                        cues[end] = longer[end] = (total, (line_ends, end))
            if not longer:
                break
            last_breaks = longer
        return cues

    def _find_lines(self) -> Iterator[list[tuple[int, float]]]:
        """Yield, for each start, the ends of lines with their costs: for empty columns and for inner sentence ends.

        Of many ends, only the first, the last and the cheapest are kept.
        """
        columns, limits = np.array(self._columns), self._limits
        spaces = np.array([unit.space for unit in self._units])
        break_costs = np.array([_LINE_BREAK_FACTOR * unit.cost for unit in self._units])
        sentences = np.array(list(accumulate((unit.cost == SENTENCE_BREAK for unit in self._units), initial=0)))
        first_ends = np.arange(1, len(self._units) + 1)
        # The last end that fits by width, by time and by words; a single unit is a line even if it does not fit.
        by_width = np.searchsorted(columns, columns[:-1] + spaces + limits.max_width, side="right") - 1
        by_time = np.searchsorted(self._ends, np.array(self._starts[:-1]) + limits.max_ms, side="right")
        last_ends = np.minimum(np.minimum(by_width, by_time), first_ends + min(limits.max_words, len(self._units)) - 1)
        last_ends = np.maximum(last_ends, first_ends)
        for begin in range(0, len(self._units), _STARTS_PER_CHECK):
            self._check()
            block = slice(begin, begin + _STARTS_PER_CHECK)
            first, last = first_ends[block, np.newaxis], last_ends[block, np.newaxis]
            numbers = np.arange(min(_MAX_LINE_UNITS, int((last - first).max()) + 1))
            ends = np.minimum(first + numbers, last)
            ends[:, -1:] = last
            empty = 1 - (columns[ends] - columns[first - 1] - spaces[first - 1]) / limits.max_width
            costs = _EMPTY_LINE_COST * empty**2 + _INNER_SENTENCE_COST * (sentences[ends - 1] - sentences[first - 1])
            counts = np.minimum(last - first + 1, len(numbers))
            if len(numbers) > _MAX_LINE_ENDS + 2:
                order = np.where(numbers < counts - 1, costs + break_costs[ends - 1], inf)
                order[(numbers == 0) | (numbers == counts - 1)] = -inf
                chosen = np.sort(np.argsort(order, axis=1, kind="stable")[:, : _MAX_LINE_ENDS + 2], axis=1)
                ends, costs = np.take_along_axis(ends, chosen, 1), np.take_along_axis(costs, chosen, 1)
            for row, row_costs, count in zip(ends.tolist(), costs.tolist(), counts[:, 0].tolist(), strict=True):
                yield list(zip(row[:count], row_costs, strict=False))

    def _cue_cost(self, start: int, end: int) -> float:
        """Return the cost of a cue apart from its lines: the break after it, its pauses, the reading time it lacks."""
        needed_ms = self._limits.reading_ms(self._columns[end] - self._columns[start])
        lack_ms = max(0, needed_ms + self._limits.gap_ms - (self._starts[end] - self._starts[start]))
        pauses = self._pause_costs[end - 1] - self._pause_costs[start]
        return _CUE_COST + _CUE_BREAK_FACTOR * self._units[end - 1].cost + pauses + _TOO_SHORT_COST * lack_ms / 1000
