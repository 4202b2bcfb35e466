"""Edits of a transcript's texts that segments and words follow: each stretch of text is replaced by another one.

The text of all segments is one text, so that an edit may span several of them. It moves, with the rest of its last
word, to the first of them.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate, pairwise
from statistics import fmean
from typing import NamedTuple

import regex

from transcript.checks import Check, checked, never
from transcript.transcript import Segment, Transcript, Word

UNSPACED = r"[\w&&[\p{scx=Han}\p{scx=Hira}\p{scx=Kana}\p{scx=Thai}\p{scx=Laoo}\p{scx=Mymr}\p{scx=Khmr}]]"
"""A character of a script without spaces between words, in a pattern of `regex` (version 1)."""

_REST_OF_WORD = regex.compile(rf"(?: (?!{UNSPACED}) \S )*", regex.VERSION1 | regex.VERBOSE)
_WORD = regex.compile(r"\s*\S+(?:\s+$)?")


class Edit(NamedTuple):
    """The characters [start, end) of a text, and the text that replaces them."""

    start: int
    end: int
    text: str


FindEdits = Callable[[Sequence[str], Check], list[Edit]]
"""Returns the edits of one text in several parts, in order of their place; no word spans two parts."""


class PlacedEdit(NamedTuple):
    """An edit with its time in seconds, and the channel of its segment."""

    edit: Edit
    start: float
    end: float
    channel: int | None


def edit_transcript(transcript: Transcript, find: FindEdits, check: Check = never) -> list[PlacedEdit]:
    """Apply the edits that `find` finds to the texts and words of a transcript, in place.

    An edit that spans two segments moves to the first of them, but never to another channel; a segment without text
    left is removed. `tokens` stay as they were decoded. Words keep their times. Where their number changes, the new
    words share the time of the old ones in proportion to their length, and have their mean probability.

    Args:
        transcript: changed in place; its translation is not.
        find: finds the edits.
        check: ends the work by an exception.

    Returns:
        The edits of the segments' texts.
    """
    return edit_channels(transcript, lambda _: find, check)


def edit_channels(
    transcript: Transcript, find_in: Callable[[Sequence[Segment]], FindEdits], check: Check = never
) -> list[PlacedEdit]:
    """Do the same where what finds the edits depends on the segments of the channel, which `find_in` takes."""
    placed = []
    for channel in {segment.channel: None for segment in transcript.segments}:
        segments = [segment for segment in transcript.segments if segment.channel == channel]
        placed += edit_segments(segments, find_in(segments), check)
    kept = [segment for segment in transcript.segments if segment.text]
    if len(kept) < len(transcript.segments):
        transcript.segments = [replace(segment, id=number) for number, segment in enumerate(kept)]
    return placed


def edit_segments(segments: Sequence[Segment], find: FindEdits, check: Check = never) -> list[PlacedEdit]:
    """Do the same with segments of one channel, in place; segments without text left have an empty text."""
    texts = [segment.text for segment in segments]
    words = [segment.words or [] for segment in segments]
    word_texts = ["".join(word.word for word in segment_words) for segment_words in words]
    edited = _EditedText(texts, find(texts, check))
    edited_words = edited if word_texts == texts else _EditedText(word_texts, find(word_texts, check))
    placed = _place(segments, edited, is_by_word=word_texts == texts)
    previous = None
    for segment, text, new_words, is_entered in checked(
        zip(segments, edited.texts(), edited_words.words(words), edited.is_entered, strict=True), check
    ):
        segment.text = text
        segment.words = None if segment.words is None else new_words
        if previous and is_entered:
            _move_boundary(previous, segment)
        previous = segment if segment.text else previous
    return placed


def _place(segments: Sequence[Segment], edited: _EditedText, *, is_by_word: bool) -> list[PlacedEdit]:
    """Return the edits with their times before they are applied: those of their words, else of their segments."""
    if not edited.edits:
        return []
    if is_by_word:
        spans = [(word.start, word.end) for segment in segments for word in segment.words or []]
        lengths = [len(word.word) for segment in segments for word in segment.words or []]
    else:
        spans = [(segment.start, segment.end) for segment in segments]
        lengths = [len(segment.text) for segment in segments]
    begins = list(accumulate(lengths, initial=0))
    placed = []
    for edit in edited.edits:
        first, last = bisect_right(begins, edit.start) - 1, bisect_left(begins, edit.end) - 1
        start, end = spans[first][0], max(end for _, end in spans[first : last + 1])
        placed.append(PlacedEdit(edit, start, end, segments[0].channel))
    return placed


class _EditedText:
    """A text in parts with its edits. If an edit spans two parts, the first part is extended to the end of that edit.

    Args:
        parts: the parts of the text before the edits.
        edits: in order of their place.

    Attributes:
        is_entered: for each part, true if an edit of an earlier part extends into it.
    """

    def __init__(self, parts: Sequence[str], edits: list[Edit]) -> None:
        self.edits = edits
        self._text = "".join(parts)
        ends = list(accumulate(map(len, parts)))
        self._starts = [edit.start for edit in edits]
        self._ends = [self._extended_end(end, ends) for end in ends]
        is_extended = [new_end > end for new_end, end in zip(self._ends, ends, strict=True)]
        self.is_entered = [False, *is_extended][: len(ends)]

    def _extended_end(self, end: int, ends: Sequence[int]) -> int:
        while (number := bisect_left(self._starts, end) - 1) >= 0 and self.edits[number].end > end:
            edit_end = self.edits[number].end
            rest = _REST_OF_WORD.match(self._text, edit_end, ends[bisect_left(ends, edit_end)])
            end = rest.end() if rest else edit_end
        return end

    def texts(self) -> Iterator[str]:
        """Yield the text of each part after the edits."""
        for begin, end in pairwise([0, *self._ends]):
            yield self._apply(self._edits_between(begin, end), begin, end)

    def words(self, words: Sequence[Sequence[Word]]) -> Iterator[list[Word]]:
        """Yield the words of each part after the edits; `words` are those before, which joined are the text."""
        remaining = deque(word for part_words in words for word in part_words)
        for begin, end in pairwise([0, *self._ends]):
            yield self._edit_words(_take_words(remaining, end - begin), begin, self._edits_between(begin, end))

    def _edit_words(self, words: list[Word], begin: int, edits: Sequence[Edit]) -> list[Word]:
        offsets = list(accumulate((len(word.word) for word in words), initial=begin))
        edited, done = [], 0
        for first, after, run_edits in _edit_runs(offsets, edits):
            text = self._apply(run_edits, offsets[first], offsets[after])
            edited += words[done:first] + _replace_words(words[first:after], text)
            done = after
        return edited + words[done:]

    def _edits_between(self, begin: int, end: int) -> list[Edit]:
        return self.edits[bisect_left(self._starts, begin) : bisect_left(self._starts, end)]

    def _apply(self, edits: Sequence[Edit], begin: int, end: int) -> str:
        parts = []
        for edit in edits:
            parts += [self._text[begin : edit.start], edit.text]
            begin = edit.end
        return "".join([*parts, self._text[begin:end]])


def _move_boundary(first: Segment, second: Segment) -> None:
    """Move the boundary of two segments to the end of a phrase that spans both, if word timestamps give it."""
    if not second.text.strip():
        second.text = ""
        first.end = max(first.end, second.end)
    elif first.words:
        end = first.words[-1].end
        first.end = max(first.end, end)
        second.start = min(max(second.start, end), second.end)


def _edit_runs(offsets: Sequence[int], edits: Sequence[Edit]) -> Iterator[tuple[int, int, list[Edit]]]:
    """Yield the ranges [first, after) of words that edits touch, with their edits; no two ranges share a word."""
    first, after, run_edits = 0, 0, list[Edit]()
    for edit in edits:
        begin = bisect_right(offsets, edit.start) - 1
        if run_edits and begin >= after:
            yield first, after, run_edits
            run_edits = []
        first = first if run_edits else begin
        after = bisect_left(offsets, edit.end)
        run_edits.append(edit)
    if run_edits:
        yield first, after, run_edits


def _take_words(remaining: deque[Word], length: int) -> list[Word]:
    """Remove words of `length` characters from the front; a word that is longer is split in two."""
    taken = []
    while remaining and length > 0:
        word = remaining.popleft()
        if len(word.word) > length:
            word, rest = _share_time([word.word[:length], word.word[length:]], [word])
            remaining.appendleft(rest)
        length -= len(word.word)
        taken.append(word)
    return taken


def _replace_words(words: Sequence[Word], text: str) -> list[Word]:
    """Return `text` as words in the time of `words`; if the number is the same, each keeps its own time."""
    texts = _WORD.findall(text)
    if len(texts) != len(words):
        return _share_time(texts, words)
    return [replace(word, word=text) for word, text in zip(words, texts, strict=True)]


def _share_time(texts: Sequence[str], words: Sequence[Word]) -> list[Word]:
    """Return words that share the time of `words` in proportion to their length, to the millisecond."""
    start, end, probability = words[0].start, words[-1].end, fmean(word.probability for word in words)
    lengths = list(accumulate(map(len, texts)))
    inner = [round(start + (end - start) * length / lengths[-1], 3) for length in lengths[:-1]]
    times = [start, *(min(max(time, start), end) for time in inner), end]
    return [Word(text, *span, probability, words[0].speaker) for text, span in zip(texts, pairwise(times), strict=True)]
