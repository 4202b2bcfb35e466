"""`clip_timestamps` for a recording in parts: the spans to send, and the clips to request from each. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from client.errors import WrongUsage

Clips = Sequence[tuple[float, float]]
"""Starts and ends in seconds, in order; the last may end at infinity."""

MARGIN_S = 1.0
"""Audio sent before and after clips: a decoder needs 0.08 s of it to converge."""

MIN_SKIPPED_S = 10.0
"""Shortest unwanted span that is left out."""


def parse_clips(options: dict[str, Any]) -> list[tuple[float, float]] | None:
    """Return the option, in any of the forms that the worker accepts, as clips; None: the whole recording.

    Raises:
        WrongUsage: the option is malformed.
    """
    given = options.get("clip_timestamps")
    if not given:
        return None
    try:
        pairs: list[Any] = given.split(",") if isinstance(given, str) else given
        if not isinstance(pairs[0], list | tuple):
            pairs = [[*pairs[index : index + 2], None][:2] for index in range(0, len(pairs), 2)]
        clips = [(_seconds(start), math.inf if end is None else _seconds(end)) for start, end in pairs]
    except (TypeError, ValueError, KeyError):
        raise WrongUsage(
            'clip_timestamps should be seconds or mm:ss such as "0,30,1:15.5,1:30", or [[0, 30], [75.5, 90]]'
        ) from None
    times = [time for clip in clips for time in clip]
    if times[0] < 0 or any(start >= end for start, end in clips) or times != sorted(times):
        raise WrongUsage("clip_timestamps should be in order and not overlap, each with a start before its end")
    return clips


def add_cuts_around_clips(clips: Clips, cut_points: Sequence[float], total: float) -> list[float]:
    """Return the cut points with more of them, which separate audio inside clips from audio outside.

    Args:
        clips: the wanted spans.
        cut_points: times in seconds, in order.
        total: length of the recording in seconds.
    """
    found = set(cut_points)
    for start, end in pairwise([0.0, *cut_points, total]):
        if inside := clips_in_span(clips, start, end):
            first, last = start + inside[0][0] - MARGIN_S, start + inside[-1][1] + MARGIN_S
            edges = ((first, first - start), (last, end - last))
            found |= {edge for edge, skipped in edges if skipped > MIN_SKIPPED_S}
    return sorted(found)


def _seconds(time: float | str) -> float:
    """Return a time in seconds, given as such or as `mm:ss` or `hh:mm:ss`."""
    *larger, seconds = str(time).strip().split(":")
    if len(larger) > 2 or any(not part.isdecimal() for part in larger):
        raise ValueError
    return float(seconds) + sum(int(part) * factor for part, factor in zip(reversed(larger), (60, 3600), strict=False))


def clips_in_span(clips: Clips, start: float, end: float) -> list[tuple[float, float]]:
    """Return the clips cropped to a span, with times relative to its start."""
    cropped = (
        (round(max(clip_start, start) - start, 3), round(min(clip_end, end) - start, 3))
        for clip_start, clip_end in clips
    )
    return [(clip_start, clip_end) for clip_start, clip_end in cropped if clip_start < clip_end]
