"""Chooses where to cut a recording into parts: at pauses, as the worker cuts its windows (`src/audio/vad.py`). Pure.

Pauses are found by loudness alone and without a threshold: the quietest point near each target position is taken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate

PAUSE_S = 1.0
"""Length of the span whose loudness is compared: longer than gaps between words, so that sentences stay whole."""

MAX_SHIFT_S = 60.0
"""Largest distance of a cut from its target position; less for short parts."""

GRID_S = 0.16
"""Every cut is a multiple of this, a common boundary of Opus packets (20 ms) and the frames of the worker's voice
detector (32 ms). The detector then sees the same frames as in the whole recording, and soon forms the same windows."""

MIN_PART_S = 300.0
"""Shortest part, where the limit allows it: a worker's start must be worth it."""


def cut_points(levels: Sequence[float], frame_s: float, max_part_s: float, wanted: int = 1) -> list[float]:
    """Return the times, in seconds, that cut a recording into parts of about equal length.

    Args:
        levels: loudness of each frame, in dB.
        frame_s: length of a frame.
        max_part_s: no part is longer.
        wanted: preferred number of parts, if each has at least `MIN_PART_S`.
    """
    total = len(levels) * frame_s
    max_shift = min(MAX_SHIFT_S, max_part_s / 8)
    needed = math.ceil(total / (max_part_s - 2 * max_shift)) if total > max_part_s else 1
    count = max(needed, min(wanted, int(total / MIN_PART_S)))
    found: list[float] = []
    start = 0.0
    for parts_left in range(count, 1, -1):
        target = start + (total - start) / parts_left
        shift = min(max_shift, (target - start) / 4)
        start = _quietest_point(levels, frame_s, target - shift, min(target + shift, start + max_part_s))
        found.append(start)
    return found


def _quietest_point(levels: Sequence[float], frame_s: float, earliest: float, latest: float) -> float:
    """Return the middle of the quietest `PAUSE_S` between two times; of equally quiet ones, the most central."""
    step, half = round(GRID_S / frame_s), round(PAUSE_S / 2 / frame_s)
    first = math.ceil(earliest / GRID_S) * step
    last = max(first, math.floor(latest / GRID_S) * step)
    start = max(0, first - half)
    powers = [10 ** (level / 10) for level in levels[start : last + half]]
    sums = list(accumulate(powers, initial=0.0))

    def mean_power(middle: int) -> float:
        begin, end = max(0, middle - half - start), min(len(powers), middle + half - start)
        return (sums[end] - sums[begin]) / (end - begin)

    def rank(middle: int) -> tuple[float, float]:
        return mean_power(middle), abs(middle - (first + last) / 2)

    return min(range(first, last + 1, step), key=rank) * frame_s
