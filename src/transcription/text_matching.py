"""Finds which units of two texts are the same: an alignment of both texts as wholes, by edit distance.

Long texts are first cut where both have the same rare phrase, so that time and memory grow with their length and not
with its square. Where they have no phrase in common, the cut is the one that the edit distance asks for (Hirschberg,
"A linear space algorithm for computing maximal common subsequences", 1975).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from transcript.checks import Check, never

PHRASE_UNITS = (5, 3, 2)
"""Lengths of the phrases at which long texts are cut, tried in this order."""

SMALL_CELLS = 1 << 16
"""Texts of so many steps are aligned at once; longer ones are cut at common phrases first."""

MAX_CELLS = 1 << 22
"""Largest table of an alignment, in bytes; texts beyond it are cut even if they have no phrase in common."""

ISOLATION = 4
"""A run of matches is chance where both gaps around it are so many times as long."""

_ROWS_PER_CHECK = 64

Codes = NDArray[np.int32]


class Match(NamedTuple):
    """A run of units that are the same in both texts."""

    first: int
    """Index of its first unit in the first text."""
    second: int
    size: int


def match_units(first: Sequence[Hashable], second: Sequence[Hashable], check: Check = never) -> list[Match]:
    """Return the runs of equal units, in order and without overlap, that leave the fewest units of both texts over.

    Args:
        first: the units of a text.
        second: those of the other one.
        check: called now and then; its exceptions end the work.
    """
    numbers: dict[Hashable, int] = {}
    a, b = (
        np.array([numbers.setdefault(unit, len(numbers)) for unit in units], dtype=np.int32)
        for units in (first, second)
    )
    pairs = _align(a, b, check)
    return _extend(_without_chance(_to_runs(pairs), len(a), len(b)), a, b)


def _align(a: Codes, b: Codes, check: Check) -> list[tuple[int, int]]:
    """Return the pairs of equal units of a cheapest alignment."""
    pairs: list[tuple[int, int]] = []
    pending = [(0, len(a), 0, len(b))]
    while pending:
        check()
        a_start, a_end, b_start, b_end = pending.pop()
        part_a, part_b = a[a_start:a_end], b[b_start:b_end]
        cells = len(part_a) * len(part_b)
        cuts = _common_phrases(part_a, part_b) if cells > SMALL_CELLS else []
        if not cuts and cells <= MAX_CELLS:
            pairs += [(a_start + i, b_start + j) for i, j in _align_table(part_a, part_b, check)]
            continue
        cuts = cuts or [_best_cut(part_a, part_b, check)]
        edges = [(0, 0), *cuts, (len(part_a), len(part_b))]
        # A cut's units begin the part after it, so that its parts are smaller than this one.
        pending += [(a_start + i, a_start + k, b_start + j, b_start + m) for (i, j), (k, m) in pairwise(edges)]
    return sorted(pairs)


def _align_table(a: Codes, b: Codes, check: Check) -> list[tuple[int, int]]:
    """Align two short texts with a table of all steps."""
    if not len(a) or not len(b):
        return []
    is_pair = np.empty((len(a), len(b)), dtype=bool)
    is_left_over = np.empty((len(a), len(b)), dtype=bool)  # of the first text
    costs = np.arange(len(b) + 1, dtype=np.int32)
    for row, unit in enumerate(a):
        if row % _ROWS_PER_CHECK == 0:
            check()
        before, costs = costs, _next_costs(costs, unit, b)
        is_pair[row] = (b == unit) & (costs[1:] == before[:-1])
        is_left_over[row] = costs[1:] == before[1:] + 1
    pairs = []
    i, j = len(a), len(b)
    while i and j:
        if is_pair[i - 1, j - 1]:
            i, j = i - 1, j - 1
            pairs.append((i, j))
        elif is_left_over[i - 1, j - 1]:
            i -= 1
        else:
            j -= 1
    return pairs


def _next_costs(costs: Codes, unit: np.int32, b: Codes) -> Codes:
    """Return the next row of costs: one for each unit that is left over in either text.

    A row at once: what is left over of the second text is a running minimum.
    """
    row = costs + 1
    row[1:][b == unit] = np.minimum(row[1:], costs[:-1])[b == unit]
    steps = np.arange(len(row), dtype=np.int32)
    return np.minimum.accumulate(row - steps) + steps


def _common_phrases(a: Codes, b: Codes) -> list[tuple[int, int]]:
    """Return where phrases begin that both texts have once, in the same order in both; empty if there are none."""
    for size in PHRASE_UNITS:
        places = _unique_phrases(a, size), _unique_phrases(b, size)
        common = sorted((place, places[1][phrase]) for phrase, place in places[0].items() if phrase in places[1])
        chain = [(i, j) for i, j in _longest_chain(common) if i or j]
        if chain:
            return chain
    return []


def _unique_phrases(codes: Codes, size: int) -> dict[tuple[int, ...], int]:
    units = codes.tolist()
    phrases = list(zip(*(units[offset:] for offset in range(size)), strict=False))
    counts = Counter(phrases)
    return {phrase: place for place, phrase in enumerate(phrases) if counts[phrase] == 1}


def _longest_chain(pairs: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the longest part of `pairs`, sorted by their first numbers, in which the second ones rise too."""
    lowest: list[int] = []  # the lowest last number of a chain of each length
    last: list[int] = []  # its index in `pairs`
    previous: list[int] = []
    for index, (_, value) in enumerate(pairs):
        length = bisect_left(lowest, value)
        previous.append(last[length - 1] if length else -1)
        lowest[length : length + 1], last[length : length + 1] = [value], [index]
    chain = []
    index = last[-1] if last else -1
    while index >= 0:
        chain.append(pairs[index])
        index = previous[index]
    return chain[::-1]


def _best_cut(a: Codes, b: Codes, check: Check) -> tuple[int, int]:
    """Return where a cheapest alignment passes the middle of the longer text."""
    if len(a) < len(b):
        j, i = _best_cut(b, a, check)
        return i, j
    middle = len(a) // 2
    total = _last_costs(a[:middle], b, check) + _last_costs(a[middle:][::-1], b[::-1], check)[::-1]
    return middle, int(total.argmin())


def _last_costs(a: Codes, b: Codes, check: Check) -> Codes:
    costs = np.arange(len(b) + 1, dtype=np.int32)
    for row, unit in enumerate(a):
        if row % _ROWS_PER_CHECK == 0:
            check()
        costs = _next_costs(costs, unit, b)
    return costs


def _to_runs(pairs: Sequence[tuple[int, int]]) -> list[Match]:
    runs: list[Match] = []
    for i, j in pairs:
        if runs and (i, j) == (runs[-1].first + runs[-1].size, runs[-1].second + runs[-1].size):
            runs[-1] = runs[-1]._replace(size=runs[-1].size + 1)
        else:
            runs.append(Match(i, j, 1))
    return runs


def _without_chance(runs: Sequence[Match], first_end: int, second_end: int) -> list[Match]:
    """Drop short runs between long gaps: unrelated texts have some words in common too."""
    edges = [Match(0, 0, 0), *runs, Match(first_end, second_end, 0)]
    gaps = [
        after.first - before.first + after.second - before.second - 2 * before.size for before, after in pairwise(edges)
    ]
    return [run for run, gap in zip(runs, map(min, pairwise(gaps)), strict=True) if gap <= ISOLATION * run.size]


def _extend(runs: Sequence[Match], a: Codes, b: Codes) -> list[Match]:
    """Lengthen each run by equal units after it and before it, and join those that meet."""
    pairs: list[tuple[int, int]] = []
    edges = [*runs, Match(len(a), len(b), 0)]
    i = j = 0
    for run in edges:
        while i < run.first and j < run.second and a[i] == b[j]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        first, second = run.first, run.second
        while first > i and second > j and a[first - 1] == b[second - 1]:
            first, second = first - 1, second - 1
        i, j = run.first + run.size, run.second + run.size
        pairs += zip(range(first, i), range(second, j), strict=True)
    return _to_runs(pairs)
