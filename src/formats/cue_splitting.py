"""Where lines and cues part: of all ways within the limits, the one that costs least.

Words become units that a line should not part. What counts are the breaks (`line_breaks.py`), lines that are full and
of like length, pauses within a cue, and the time that is lacking to read it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import inf

from src.formats.layout import Limits
from src.formats.line_breaks import (
    INSIDE,
    NEVER,
    PHRASE,
    SENTENCE,
    break_costs,
    is_unspaced,
    split_graphemes,
    width,
)
from src.formats.timed_words import Line, Piece, spread

_CHOICES = 16
"""Ends of a line that are looked at: all that a line of broadcasting has, and few enough for one of 1000 columns."""

_CUE = 3.0
_LINE = 0.5
_CUE_BREAK = 2.0
_LINE_BREAK = 0.6
"""By the cost of the break itself."""
_EMPTY_LINE = 3.0
"""By the square of the part of a line that is empty, so that two lines are best of one length."""
_PASSED_SENTENCE = 4.0
"""By each end of a sentence that is not the end of its line."""
_PAUSE = 8.0
_SHORT_PAUSE = 400
"""By each second of a pause within a cue beyond this one."""
_TOO_SHORT = 6.0
"""By each second that a cue lacks to be read."""


Way = tuple[float, tuple[int, ...]]
"""What the lines of a cue cost, and the units that they end before."""


def part(run: Sequence[Piece], limits: Limits, language: str, *, whole: bool, until: int) -> list[list[Line]]:
    """The cues of a run, each as its lines.

    Args:
        whole: whether the run is one cue if it can be.
        until: when the next run starts (ms).
    """
    return _Parting(_units(run, limits, language), limits, until).best(whole)


@dataclass(slots=True)
class _Unit:
    """What a line should not part: mostly a word; in a script without blanks, a phrase."""

    pieces: list[Piece]
    width: int
    """Without the blank before it."""
    blank: int
    """Width of the blank before it."""
    cost: float
    """Of a break after it."""

    @property
    def start(self) -> int:
        return self.pieces[0].start

    @property
    def end(self) -> int:
        return self.pieces[-1].end


def _units(run: Sequence[Piece], limits: Limits, language: str) -> list[_Unit]:
    pieces = [part for piece in run for part in _narrow(piece, limits)]
    costs = break_costs([piece.text for piece in pieces], language)
    for at, piece in enumerate(pieces):
        if piece.is_first:
            costs[at - 1] = min(costs[at - 1], SENTENCE if is_unspaced(piece.text.lstrip()[0]) else PHRASE)
    units = [
        _Unit([piece], width(piece.text.lstrip()), int(piece.text[0] == " "), cost)
        for piece, cost in zip(pieces, costs, strict=True)
    ]
    # What never parts comes first, so that where a phrase is too long for a line, its marks stay with its words.
    return _joined(_joined(units, NEVER, limits), INSIDE, limits)


def _narrow(piece: Piece, limits: Limits) -> list[Piece]:
    """A word that no line can hold, as its characters."""
    if width(piece.text.lstrip()) <= limits.width:
        return [piece]
    first, *others = spread(split_graphemes(piece.text), piece.start, piece.end)
    return [first._replace(is_first=piece.is_first), *others]


def _joined(units: Sequence[_Unit], cost: float, limits: Limits) -> list[_Unit]:
    """The units with all breaks of `cost` closed, as far as a line and a cue can hold them."""
    joined: list[_Unit] = []
    for unit in units:
        last = joined[-1] if joined else unit
        together = last.width + unit.blank + unit.width
        fits = together <= limits.width and unit.end - last.start <= limits.longest
        if joined and last.cost >= cost and fits:
            joined[-1] = _Unit(last.pieces + unit.pieces, together, last.blank, unit.cost)
        else:
            joined.append(unit)
    return joined


class _Parting:
    """The ways to part a run into cues and lines, and the best of them."""

    def __init__(self, units: Sequence[_Unit], limits: Limits, until: int) -> None:
        self._units, self._limits = units, limits
        self._starts = [unit.start for unit in units] + [until]
        self._ends = [unit.end for unit in units]
        self._columns = list(accumulate((unit.width + unit.blank for unit in units), initial=0))
        self._sentences = list(accumulate((unit.cost == SENTENCE for unit in units), initial=0))
        pauses = (max(0, after.start - before.end - _SHORT_PAUSE) for before, after in pairwise(units))
        self._pauses = list(accumulate((pause / 1000 * _PAUSE for pause in pauses), initial=0.0))
        self._lines = [self._lines_from(at) for at in range(len(units))] + [[]]

    def best(self, whole: bool) -> list[list[Line]]:
        """Cues as lists of lines; one, if that is wanted and can be."""
        end = len(self._units)
        if whole and (way := self._cues_from(0).get(end)):
            return [self._cut(0, way[1])]
        best: list[tuple[float, int, tuple[int, ...]]] = [(0.0, 0, ()), *((inf, 0, ()) for _ in self._units)]
        for start in range(end):
            for stop, (cost, ends) in self._cues_from(start).items():
                total = best[start][0] + cost + self._cue_cost(start, stop)
                if total < best[stop][0]:
                    best[stop] = (total, start, ends)
        cues: list[list[Line]] = []
        while end:
            _, start, ends = best[end]
            cues.append(self._cut(start, ends))
            end = start
        return cues[::-1]

    def _cut(self, start: int, ends: Sequence[int]) -> list[Line]:
        bounds = pairwise([start, *ends])
        return [[piece for unit in self._units[first:last] for piece in unit.pieces] for first, last in bounds]

    def _cues_from(self, start: int) -> dict[int, Way]:
        """For each end that a cue from `start` may have, the best way to break its lines."""
        latest = self._starts[start] + self._limits.longest
        cues: dict[int, Way] = {}
        ways: dict[int, Way] = {start: (0.0, ())}
        for _ in range(min(self._limits.lines, len(self._units) - start)):
            longer: dict[int, Way] = {}
            for at, (cost, ends) in ways.items():
                cost += _LINE + (_LINE_BREAK * self._units[at - 1].cost if ends else 0.0)
                for end, shape in self._lines[at]:
                    if self._ends[end - 1] > latest and end > start + 1:
                        break
                    if end not in cues or cost + shape < cues[end][0]:
                        cues[end] = longer[end] = (cost + shape, (*ends, end))
            if not longer:
                break
            ways = longer
        return cues

    def _lines_from(self, start: int) -> list[tuple[int, float]]:
        """The ends of lines that start at `start`, and what they cost: for room that is empty, for sentences passed.

        Where there are many, only the first, the last and the cheapest are looked at.
        """
        lines: list[tuple[int, float]] = []
        for end in range(start + 1, min(len(self._units), start + self._limits.words) + 1):
            used = self._columns[end] - self._columns[start] - self._units[start].blank
            fits = used <= self._limits.width and self._ends[end - 1] <= self._starts[start] + self._limits.longest
            if lines and not fits:
                break
            passed = self._sentences[end - 1] - self._sentences[start]
            empty = 1 - used / self._limits.width
            lines.append((end, _EMPTY_LINE * empty**2 + _PASSED_SENTENCE * passed))
        between = sorted(lines[1:-1], key=lambda line: line[1] + _LINE_BREAK * self._units[line[0] - 1].cost)
        return sorted({*lines[:1], *between[:_CHOICES], *lines[-1:]})

    def _cue_cost(self, start: int, end: int) -> float:
        """What a cue costs beside its lines: the break after it, the pauses in it, the time that it lacks."""
        needed = self._limits.reading_time(self._columns[end] - self._columns[start])
        lack = max(0, needed + self._limits.gap - (self._starts[end] - self._starts[start]))
        pauses = self._pauses[end - 1] - self._pauses[start]
        return _CUE + _CUE_BREAK * self._units[end - 1].cost + pauses + _TOO_SHORT * lack / 1000
