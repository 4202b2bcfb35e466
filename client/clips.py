"""`clip_timestamps` of a recording in parts: which stretches are sent at all, and what is asked of each. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from client.errors import WrongUsage

Clips = list[tuple[float, float]]
"""Starts and ends in seconds, in order; the last may end at infinity."""

MARGIN = 1.0
"""Seconds around clips that are sent with them: a decoder needs the first 0.08 of them to tune in."""

WORTH_A_CUT = 10.0
"""Seconds that nobody asked for, from which on they are not sent."""


def clips_of(options: dict[str, Any]) -> Clips | None:
    """The option in whichever of the worker's forms it is; None: all of the recording.

    Raises:
        WrongUsage: it is none of them.
    """
    given = options.get("clip_timestamps")
    if not given:
        return None
    try:
        flat: list[Any] = [float(one) for one in given.split(",")] if isinstance(given, str) else given
        if not isinstance(flat[0], list | tuple):
            flat = [[*flat[at : at + 2], None][:2] for at in range(0, len(flat), 2)]
        clips = [(float(start), math.inf if end is None else float(end)) for start, end in flat]
    except (TypeError, ValueError, KeyError):
        raise WrongUsage('clip_timestamps should be seconds such as "0,30,75.5,90", or [[0, 30], [75.5, 90]]') from None
    edges = [edge for clip in clips for edge in clip]
    if edges[0] < 0 or any(start >= end for start, end in clips) or edges != sorted(edges):
        raise WrongUsage("clip_timestamps should be in order and not overlap, each with a start before its end")
    return clips


def seams_around(clips: Clips, seams: Sequence[float], total: float) -> list[float]:
    """The seams, and more of them that part what is wanted from what is not."""
    found = set(seams)
    for start, end in pairwise([0.0, *seams, total]):
        if inside := within(clips, start, end):
            first, last = start + inside[0][0] - MARGIN, start + inside[-1][1] + MARGIN
            found |= {edge for edge, left_out in ((first, first - start), (last, end - last)) if left_out > WORTH_A_CUT}
    return sorted(found)


def within(clips: Clips, start: float, end: float) -> Clips:
    """What of the clips lies between two times, in seconds from the first of them."""
    edges = ((round(max(one, start) - start, 3), round(min(other, end) - start, 3)) for one, other in clips)
    return [(one, other) for one, other in edges if one < other]
