"""Speech that no segment covers: found here, so that it can be decoded again.

A decoder that reads a window once may skip a clause or stop early. openai-whisper's sliding window recovers from that,
because its next window starts at the last timestamp. Times are seconds from the window's start.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

Span = tuple[float, float]
"""Start and end, in seconds."""

MIN_GAP_S = 1.0
"""Shortest stretch of speech to decode again, in seconds: in shorter fragments Whisper hallucinates."""

MERGE_GAPS_WITHIN_S = 0.5
"""Gaps closer together than this, in seconds, are decoded as one."""

MAX_OVERLAP_WORDS = 4
"""Words compared on both sides of a cut to find those that were transcribed twice."""


def find_gaps(speech: Iterable[Span], covered: Iterable[Span]) -> list[Span]:
    """Return the stretches of speech of at least `MIN_GAP_S` outside `covered`, with close ones merged."""
    covered = sorted(covered)
    gaps = [gap for region in speech for gap in _gaps_in_region(region, covered) if gap[1] - gap[0] >= MIN_GAP_S]
    merged: list[Span] = []
    for start, end in gaps:
        if merged and start - merged[-1][1] < MERGE_GAPS_WITHIN_S and not _any_between(covered, merged[-1][1], start):
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return merged


def _gaps_in_region(region: Span, covered: Sequence[Span]) -> Iterable[Span]:
    position, region_end = region
    for start, end in covered:
        if end > position and start < region_end:
            if start > position:
                yield position, start
            position = max(position, end)
    if position < region_end:
        yield position, region_end


def _any_between(covered: Sequence[Span], start: float, end: float) -> bool:
    return any(span[0] < end and span[1] > start for span in covered)


def strip_overlap(before: str, text: str) -> str:
    """Remove words at the start of `text` that `before` ends with: the padding of a second decoding repeats them."""
    words_before, matches = _words(before), list(re.finditer(r"\S+", text))
    for count in range(min(MAX_OVERLAP_WORDS, len(words_before), len(matches)), 0, -1):
        if words_before[-count:] == _words(text[: matches[count - 1].end()]):
            return text[matches[count - 1].end() :]
    return text


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+(?:'[^\W_]+)*", text.lower())
