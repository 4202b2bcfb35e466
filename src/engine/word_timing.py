"""From the times of tokens to the words of segments, by openai-whisper's rules (`add_word_timestamps`).

The rules are kept to the letter but for one thing: words are dealt out to segments by a count over the whole window,
so that a word that reaches over a segment's end does not shift the words of all segments after it.

All times are seconds from the window's start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from statistics import fmean, median

import numpy as np
import numpy.typing as npt
from whisper.tokenizer import Tokenizer

from src.transcript.transcript import Segment, Word

LONGEST_TYPICAL_WORD = 0.7
"""Seconds. A word is too long at twice a window's typical duration, which is never taken for more than this."""

LEADING_MARKS = "\"'“¿([{-"
TRAILING_MARKS = "\"'.。,，!！?？:：”)]}、"
SENTENCE_ENDS = ".。!！?？"


@dataclass
class Timing:
    """One word or mark on its way to becoming a `Word`."""

    text: str
    tokens: int
    start: float
    end: float
    probability: float

    @property
    def duration(self) -> float:
        return self.end - self.start


def text_of(segments: Sequence[Segment], tokenizer: Tokenizer) -> list[int]:
    """The tokens that are text: not timestamps, nor any other special ones."""
    return [token for segment in segments for token in segment.tokens if token < tokenizer.eot]


def set_words(
    segments: Sequence[Segment], tokenizer: Tokenizer, onsets: npt.NDArray[np.float64], probabilities: Sequence[float]
) -> None:
    """Sets the words of a window's segments, and fits the segments' times to them.

    Args:
        onsets: [text + 1], when each token of the segments' text begins, and when the last one ends.
        probabilities: [text].
    """
    timings = _time_words(text_of(segments, tokenizer), tokenizer, onsets, probabilities)
    typical = _typical_duration(timings)
    _shorten_at_sentence_ends(timings, 2 * typical)
    _deal_out(_merge_marks(timings), segments, tokenizer)
    _fit(segments, typical)


def _time_words(
    text: list[int], tokenizer: Tokenizer, onsets: npt.NDArray[np.float64], probabilities: Sequence[float]
) -> list[Timing]:
    words, tokens = tokenizer.split_to_word_tokens([*text, tokenizer.eot])
    # The last one is the end, or a character that was cut off by it.
    bounds = pairwise(accumulate(map(len, tokens[:-1]), initial=0))
    return [
        Timing(word, end - start, float(onsets[start]), float(onsets[end]), fmean(probabilities[start:end]))
        for word, (start, end) in zip(words[:-1], bounds, strict=True)
    ]


def _typical_duration(timings: Sequence[Timing]) -> float:
    durations = [timing.duration for timing in timings if timing.duration]
    return min(LONGEST_TYPICAL_WORD, median(durations)) if durations else 0.0


def _shorten_at_sentence_ends(timings: Sequence[Timing], longest: float) -> None:
    """A mark that ends a sentence, and what follows it, take the pause between sentences for their own: it is cut."""
    for before, timing in pairwise(timings):
        if timing.duration > longest:
            if timing.text in SENTENCE_ENDS:
                timing.end = timing.start + longest
            elif before.text in SENTENCE_ENDS:
                timing.start = timing.end - longest


def _merge_marks(timings: Sequence[Timing]) -> list[Timing]:
    """Puts marks to the words they stand at, whose times and probabilities stay."""
    reversed_words: list[Timing] = []
    for timing in reversed(timings):
        if reversed_words and timing.text.startswith(" ") and timing.text.strip() in LEADING_MARKS:
            word = reversed_words[-1]
            word.text, word.tokens = timing.text + word.text, timing.tokens + word.tokens
        else:
            reversed_words.append(timing)
    words: list[Timing] = []
    for timing in reversed(reversed_words):
        if words and not words[-1].text.endswith(" ") and timing.text in TRAILING_MARKS:
            words[-1].text += timing.text
            words[-1].tokens += timing.tokens
        else:
            words.append(timing)
    return words


def _deal_out(timings: Sequence[Timing], segments: Sequence[Segment], tokenizer: Tokenizer) -> None:
    """Gives each segment the words that begin in it."""
    begins = list(accumulate((timing.tokens for timing in timings), initial=0))
    ends = accumulate(len(text_of([segment], tokenizer)) for segment in segments)
    for segment, (start, end) in zip(segments, pairwise([0, *ends]), strict=True):
        segment.words = [
            Word(timing.text, round(timing.start, 2), round(timing.end, 2), timing.probability)
            for timing, begin in zip(timings, begins, strict=False)
            if start <= begin < end
        ]


def _fit(segments: Sequence[Segment], typical: float) -> None:
    """Cuts what is too long of the words at the segments' ends, and has the segments begin and end with their words.

    Speech before the window counts as ending where the window starts: openai-whisper knows where it ended, but windows
    here start at most a moment before speech, or where speech was cut.
    """
    speech_end = 0.0
    for segment in segments:
        if segment.words:
            if segment.words[0].end - speech_end > 4 * typical:
                _shorten_after_pause(segment.words, 2 * typical)
            _fit_start(segment, segment.words[0], typical)
            _fit_end(segment, segment.words[-1], typical)
            speech_end = segment.end


def _shorten_after_pause(words: list[Word], longest: float) -> None:
    first, *others = words
    second = others[0] if others else None
    if first.end - first.start > longest or (second and second.end - first.start > 2 * longest):
        if second and second.end - second.start > longest:
            first.end = second.start = max(second.end / 2, second.end - longest)
        first.start = max(0.0, first.end - longest)


def _fit_start(segment: Segment, first: Word, typical: float) -> None:
    """The segment begins with its first word, unless that is so early that the decoder's timestamp is to be trusted."""
    if first.start + 0.5 < segment.start < first.end:
        first.start = max(0.0, min(first.end - typical, segment.start))
    else:
        segment.start = first.start


def _fit_end(segment: Segment, last: Word, typical: float) -> None:
    """The segment ends with its last word, unless that is so late that the decoder's timestamp is to be trusted."""
    if last.start < segment.end < last.end - 0.5:
        last.end = max(last.start + typical, segment.end)
    else:
        segment.end = last.end
