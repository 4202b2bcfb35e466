"""The words of segments with their times, in groups that may share cues. All times are whole milliseconds."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import NamedTuple

from transcript.checks import Check, checked, never
from transcript.formats.layout import UNLIMITED, Layout
from transcript.formats.line_breaks import is_full_width_mark, is_torn, split_words
from transcript.transcript import Segment

MAX_PAUSE_MS = 3000
"""No cue spans a longer pause, as in openai-whisper."""


class TimedWord(NamedTuple):
    """A word with the space before it, if there is one; or the part of a long word that fits into a line."""

    text: str
    start: int
    end: int
    starts_segment: bool = False
    """True for the first word of a segment that is not the first one of its group."""


Line = Sequence[TimedWord]


def group_words(segments: Sequence[Segment], layout: Layout, check: Check = never) -> Iterator[list[TimedWord]]:
    """Yield groups of words that may share cues: those of one segment, or all words up to a long pause."""
    by_segment = [_to_timed_words(segment) for segment in checked(segments, check)]
    segment_starts = set(accumulate(map(len, by_segment), initial=0))
    group: list[TimedWord] = []
    for at, word in enumerate(_make_monotonic([word for words in by_segment for word in words])):
        if group and ((at in segment_starts and layout.keeps_segments) or word.start - group[-1].end > MAX_PAUSE_MS):
            yield group
            group = []
        group.append(_as_segment_start(word, group[-1]) if group and at in segment_starts else word)
    if group:
        yield group


def _to_timed_words(segment: Segment) -> list[TimedWord]:
    """Return the words of a segment.

    If it has none, or words that do not match its text, the text is spread over the segment's time by length.
    """
    spans = [spread_over_time(re.findall(r"\s*\S+", text), start, end) for text, start, end in _word_spans(segment)]
    if "".join(word.text for words in spans for word in words).split() != segment.text.replace("\0", "\ufffd").split():
        spans = [
            spread_over_time(split_words(segment.text), to_milliseconds(segment.start), to_milliseconds(segment.end))
        ]
    joined: list[TimedWord] = []
    for word in (word for words in spans for word in words):
        if joined and is_torn(joined[-1].text, word.text):
            joined[-1] = TimedWord(joined[-1].text + word.text, joined[-1].start, word.end)
        else:
            joined.append(word)
    return joined


def _word_spans(segment: Segment) -> Iterator[tuple[str, int, int]]:
    """Yield text, start and end of each word; a space after a word moves to the front of the next one."""
    space = ""
    for word in segment.words or []:
        text = space + word.word
        yield text, to_milliseconds(word.start), to_milliseconds(word.end)
        space = " " if text[-1:].isspace() else ""


def to_milliseconds(seconds: float) -> int:
    """Round a time to whole milliseconds; negative times become 0."""
    return max(0, round(seconds * 1000))


def spread_over_time(texts: Sequence[str], start: int, end: int) -> list[TimedWord]:
    """Return `texts` as words that share the time from `start` to `end` in proportion to their length."""
    offsets = list(accumulate(map(len, texts), initial=0))
    times = [start + (end - start) * offset // offsets[-1] for offset in offsets] if texts else []
    return [
        TimedWord(" " * text[0].isspace() + text.strip().replace("\0", "\ufffd"), *times)
        for text, times in zip(texts, pairwise(times), strict=True)
    ]


def _make_monotonic(words: Sequence[TimedWord]) -> list[TimedWord]:
    """Return the words with starts that never go back, and ends between their own start and the next word's."""
    starts = list(accumulate((word.start for word in words), max))
    return [
        TimedWord(word.text, start, min(max(start, word.end), next_start))
        for word, start, next_start in zip(words, starts, [*starts[1:], UNLIMITED], strict=False)
    ]


def _as_segment_start(word: TimedWord, previous: TimedWord) -> TimedWord:
    """Return the first word of a segment, with a space before it unless it follows a full-width mark."""
    space = "" if word.text[0] == " " or is_full_width_mark(previous.text[-1]) else " "
    return word._replace(text=space + word.text, starts_segment=True)
