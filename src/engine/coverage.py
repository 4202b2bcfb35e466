"""No speech is dropped: what the voice detector heard and no segment covers is found here, to be decoded again.

A decoder that reads a window once may jump over a clause or end early; openai-whisper's sliding window survives it,
because its next window starts at the last timestamp. Times are seconds from the window's start.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

Span = tuple[float, float]

LEAST_GAP = 1.0
"""Seconds of speech that are worth another attempt; from shorter fragments Whisper makes words up."""

JOIN_WITHIN = 0.5
"""Gaps no further apart than this, in seconds, are decoded as one."""

MOST_ECHOED = 4
"""Words at a seam that are looked at for having been said on both its sides."""


def uncovered(speech: Iterable[Span], covered: Iterable[Span]) -> list[Span]:
    """Stretches of speech of at least `LEAST_GAP` that nothing covers, near ones joined."""
    covered = sorted(covered)
    gaps = [gap for region in speech for gap in _gaps(region, covered) if gap[1] - gap[0] >= LEAST_GAP]
    joined: list[Span] = []
    for start, end in gaps:
        if joined and start - joined[-1][1] < JOIN_WITHIN and not _any_between(covered, joined[-1][1], start):
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _gaps(region: Span, covered: Sequence[Span]) -> Iterable[Span]:
    at, end = region
    for start, stop in covered:
        if stop > at and start < end:
            if start > at:
                yield at, start
            at = max(at, stop)
    if at < end:
        yield at, end


def _any_between(covered: Sequence[Span], start: float, end: float) -> bool:
    return any(one[0] < end and one[1] > start for one in covered)


def without_echo(before: str, text: str) -> str:
    """`text` without the words at its start that `before` ends with: the padding of a repair may hear them again."""
    said, heard = _words(before), list(re.finditer(r"\S+", text))
    for count in range(min(MOST_ECHOED, len(said), len(heard)), 0, -1):
        if said[-count:] == _words(text[: heard[count - 1].end()]):
            return text[heard[count - 1].end() :]
    return text


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower())
