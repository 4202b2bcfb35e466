"""Gives every word a length: alignment can put several words at one moment, and players skip cues of no length."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from transcript.transcript import Segment, Word

MIN_WORD_S = 0.02
"""Shortest length of a word in seconds: one step of Whisper's timestamps."""


def lengthen_empty_words(segments: Sequence[Segment], end: float) -> None:
    """Make each word last at least `MIN_WORD_S` and end by `end`; its neighbours give way, and segments follow.

    Args:
        segments: in order, with words; other words and segments stay as they are.
        end: of the window or the recording, in seconds.
    """
    words = [word for segment in segments for word in segment.words or []]
    for word, following in pairwise([*words, Word("", end, end, 0.0)]):
        if word.end - word.start < MIN_WORD_S:
            word.end = round(word.start + MIN_WORD_S, 3)
            following.start = max(following.start, word.end)
    latest = end
    for word in reversed(words):
        if word.end <= latest:
            break
        word.end = latest
        word.start = max(0.0, min(word.start, round(latest - MIN_WORD_S, 3)))
        latest = word.start
    for segment in segments:
        if segment.words:
            segment.start, segment.end = segment.words[0].start, segment.words[-1].end
