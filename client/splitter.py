"""Where to cut a recording into parts: at pauses, as the worker's windows are cut (`src/audio/vad.py`). Pure.

Loudness alone tells pauses from speech here, and no threshold is needed: of all places that are near enough, the one
that is quietest around.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

PAUSE = 1.0
"""Seconds around a seam that are quietest: longer than gaps between words, so that sentences stay whole."""

SLACK = 60.0
"""Seconds by which a seam may be off its even place, for a better pause; less where parts are short."""

GRID = 0.16
"""Seconds of which every seam is a multiple: Opus packets (20 ms) and the frames of the worker's voice detector (32 ms)
begin there, so that it hears a part as it would have heard the whole, and its windows are soon the same ones."""

SHORTEST = 300.0
"""Seconds that a part has at least, where the limit allows it: a worker needs some work to be worth its start."""


def seams(levels: Sequence[float], frame: float, longest: float, wanted: int = 1) -> list[float]:
    """Where to cut, in seconds, into parts of about one length, none longer than `longest`.

    Args:
        levels: loudness in dB of each `frame` seconds.
        wanted: how many parts would be good, if each has `SHORTEST` seconds.
    """
    total = len(levels) * frame
    slack = min(SLACK, longest / 8)
    needed = math.ceil(total / (longest - 2 * slack)) if total > longest else 1
    count = max(needed, min(wanted, int(total / SHORTEST)))
    found: list[float] = []
    start = 0.0
    for left in range(count, 1, -1):
        even = start + (total - start) / left
        reach = min(slack, (even - start) / 4)
        start = _quietest(levels, frame, even - reach, min(even + reach, start + longest))
        found.append(start)
    return found


def _quietest(levels: Sequence[float], frame: float, earliest: float, latest: float) -> float:
    """The middle of the quietest pause with its middle between two times; the most even one of several."""
    step, half = round(GRID / frame), round(PAUSE / 2 / frame)
    first = math.ceil(earliest / GRID) * step
    last = max(first, math.floor(latest / GRID) * step)
    start = max(0, first - half)
    powers = [10 ** (level / 10) for level in levels[start : last + half]]
    sums = list(accumulate(powers, initial=0.0))

    def loudness(middle: int) -> float:
        begin, end = max(0, middle - half - start), min(len(powers), middle + half - start)
        return (sums[end] - sums[begin]) / (end - begin)

    return (
        min(range(first, last + 1, step), key=lambda middle: (loudness(middle), abs(middle - (first + last) / 2)))
        * frame
    )
