"""Adds the second speaker where two speak at once: whoever else speaks nearest in time.

Bullock, Bredin and Garcia-Perera 2020 (https://arxiv.org/abs/1910.11646). Who interrupts mostly goes on, and who is
interrupted has just spoken.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from src.audio.pcm import SAMPLE_RATE, Region
from transcript.transcript import Turn

MIN_SECONDS = 0.05
"""Of an overlap: three frames of its detector."""


def add_overlaps(turns: Sequence[Turn], overlaps: Sequence[Region]) -> list[Turn]:
    """Return the turns by start, with a second speaker in the overlaps.

    Args:
        turns: of one speaker at a time, by start.
        overlaps: in samples, by start.
    """
    ends = [turn.end for turn in turns]
    neighbours = _other_neighbours(turns)
    added: list[Turn] = []
    for start, end in ((region.start / SAMPLE_RATE, region.end / SAMPLE_RATE) for region in overlaps):
        for number in range(bisect_right(ends, start), len(turns)):
            turn = turns[number]
            if turn.start >= end:
                break
            first, last = max(start, turn.start), min(end, turn.end)
            other = _nearest(*neighbours[number], (first + last) / 2)
            if other is not None and last - first >= MIN_SECONDS:
                added.append(Turn(first, last, other))
    return _join([*turns, *added])


def _other_neighbours(turns: Sequence[Turn]) -> list[tuple[Turn | None, Turn | None]]:
    """Return for each turn the last one before it and the first one after it that are not of its speaker."""
    before, after = _last_others(turns), _last_others(turns[::-1])[::-1]
    return list(zip(before, after, strict=True))


def _last_others(turns: Sequence[Turn]) -> list[Turn | None]:
    others: list[Turn | None] = []
    for number, turn in enumerate(turns):
        if number and turns[number - 1].speaker == turn.speaker:
            others.append(others[-1])
        else:
            others.append(turns[number - 1] if number else None)
    return others


def _nearest(before: Turn | None, after: Turn | None, middle: float) -> str | None:
    if before is None or after is None:
        nearest = before or after
        return None if nearest is None else nearest.speaker
    return before.speaker if middle - before.end <= after.start - middle else after.speaker


def _join(turns: Sequence[Turn]) -> list[Turn]:
    """Join turns of one speaker that touch."""
    joined: list[Turn] = []
    last_by_speaker: dict[str, int] = {}
    for turn in sorted(turns):
        last = last_by_speaker.get(turn.speaker)
        if last is not None and turn.start <= joined[last].end:
            joined[last] = joined[last]._replace(end=max(joined[last].end, turn.end))
        else:
            last_by_speaker[turn.speaker] = len(joined)
            joined.append(turn)
    return joined
