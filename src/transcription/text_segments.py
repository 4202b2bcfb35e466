"""Makes segments of the timed words of a given text: its lines, and parts of lines that are long."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from math import log
from statistics import fmean

from whisper.tokenizer import Tokenizer
from whisper.utils import compression_ratio

from src.transcription.text_units import is_spaced, split_lines
from transcript.transcript import Segment, TimedText, Word

MAX_SEGMENT_S = 12.0
MAX_SEGMENT_CHARACTERS = 200
"""Longer lines are cut: as subtitles they would fill the screen."""

_SENTENCE_BONUS_S, _CLAUSE_BONUS_S = 1.0, 0.3
"""How much longer a pause counts after a sentence, and after a clause."""

_SENTENCE_ENDS = ".!?…。！？"
_CLAUSE_ENDS = ",;:—–、，；："
_CLOSING = "\"'”’»)]}」』）》"

_MIN_PROBABILITY = 1e-10


@dataclass(frozen=True)
class PlacedWord:
    """A word of a given text with its times in the recording.

    Attributes:
        begin: position of its first character in the text.
        end: position after the last one.
        start: seconds.
        stop: seconds.
        probability: mean of its tokens'.
        said: it is in the recording.
    """

    begin: int
    end: int
    start: float
    stop: float
    probability: float
    said: bool = True


def to_segments(text: str, words: Sequence[PlacedWord], tokenizer: Tokenizer) -> list[Segment]:
    """Return the segments of a text, in order, which together have all of its words.

    Args:
        text: the given text.
        words: in order.
        tokenizer: gives the segments' tokens.
    """
    lines = [begin for begin, _ in split_lines(text)]
    segments: list[Segment] = []
    for _, group in groupby(words, lambda word: bisect_right(lines, word.begin)):
        for part_number, part in enumerate(_cut_long_line(text, list(group))):
            segments.append(_to_segment(text, part, len(segments), tokenizer, begins_line=part_number == 0))
    return segments


def _cut_long_line(text: str, line: Sequence[PlacedWord]) -> Iterator[Sequence[PlacedWord]]:
    """Cut a line at the longest pauses, which are best after sentences, until no part is long."""
    pending = [line]
    while pending:
        part = pending.pop()
        if len(part) < 2 or _fits(part[0], part[-1], 1):
            yield part
            continue
        # Of a very long line only the beginning is searched, so that the work grows with its length.
        end = max(2, bisect_left(part, x=True, key=lambda word: not _fits(part[0], word, 2)))
        cut = max(range(1, min(end + 1, len(part))), key=lambda index: _cut_quality(text, part, index, end))
        pending += [part[cut:], part[:cut]]


def _fits(first: PlacedWord, last: PlacedWord, times: int) -> bool:
    """Return true if the words from the first to the last are no longer than so many segments."""
    seconds, characters = last.stop - first.start, last.end - first.begin
    return seconds <= times * MAX_SEGMENT_S and characters <= times * MAX_SEGMENT_CHARACTERS


def _cut_quality(text: str, words: Sequence[PlacedWord], cut: int, end: int) -> float:
    """Return the pause before a word in seconds, with a bonus after marks, and for being midway to `end`."""
    last = text[words[cut - 1].begin : words[cut - 1].end].rstrip(_CLOSING)[-1:]
    bonus = _SENTENCE_BONUS_S if last in _SENTENCE_ENDS else _CLAUSE_BONUS_S if last in _CLAUSE_ENDS else 0.0
    from_end = min(cut, end - cut) / end
    return words[cut].start - words[cut - 1].stop + bonus + from_end


def _to_segment(
    text: str, words: Sequence[PlacedWord], number: int, tokenizer: Tokenizer, *, begins_line: bool
) -> Segment:
    timed = [
        Word(
            _written(text, word, begins_line=begins_line and word is words[0]),
            word.start,
            word.stop,
            word.probability,
            said=word.said,
        )
        for word in words
    ]
    spoken = [word for word in words if word.said] or words
    its_text = "".join(word.word for word in timed)
    return Segment(
        id=number,
        seek=round(100 * spoken[0].start),
        start=spoken[0].start,
        end=spoken[-1].stop,
        text=its_text,
        tokens=tokenizer.encode(its_text),
        temperature=0.0,
        avg_logprob=fmean(log(max(word.probability, _MIN_PROBABILITY)) for word in spoken),
        compression_ratio=compression_ratio(its_text),
        no_speech_prob=0.0,
        words=timed,
    )


def _written(text: str, word: PlacedWord, *, begins_line: bool) -> str:
    """Return a word as it is written, after a space if one is before it, or if it begins a line of a spaced script."""
    written = " ".join(text[word.begin : word.end].split())
    is_after_space = is_spaced(written) if begins_line else text[word.begin - 1 : word.begin].isspace()
    return f" {written}" if is_after_space else written


def passages_not_said(text: str, words: Sequence[PlacedWord]) -> list[TimedText]:
    """Return the passages of a text that are not in the recording, in order."""
    groups = [list(group) for said, group in groupby(words, lambda word: word.said) if not said]
    return [
        TimedText(group[0].start, group[-1].stop, " ".join(text[group[0].begin : group[-1].end].split()))
        for group in groups
    ]
