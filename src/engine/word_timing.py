"""Turns the times of tokens into the words of segments, by openai-whisper's rules (`add_word_timestamps`).

The rules are the same with one exception: words are assigned to segments by a token count over the whole window, so
that a word that extends beyond a segment's end does not shift the words of all segments after it.

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

from transcript.transcript import Segment, Word

MAX_TYPICAL_WORD_S = 0.7
"""Upper bound in seconds of a window's typical word duration; a word is too long at twice that duration."""

LEADING_MARKS = "\"'“¿([{-"
TRAILING_MARKS = "\"'.。,，!！?？:：”)]}、"
SENTENCE_ENDS = ".。!！?？"


@dataclass
class WordTiming:
    """A word or punctuation mark with its time, before it becomes a `Word`."""

    text: str
    num_tokens: int
    start: float
    end: float
    probability: float

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.end - self.start


def text_tokens_of(segments: Sequence[Segment], tokenizer: Tokenizer) -> list[int]:
    """Return the tokens of the segments' text, without timestamps and other special tokens."""
    return [token for segment in segments for token in segment.tokens if token < tokenizer.eot]


def set_words(
    segments: Sequence[Segment], tokenizer: Tokenizer, onsets: npt.NDArray[np.float64], probabilities: Sequence[float]
) -> None:
    """Set the words of a window's segments, and adjust the segments' times to them.

    Args:
        onsets: [text tokens + 1], start of each token of the segments' text, and the end of the last one.
        probabilities: [text tokens].
    """
    timings = _time_words(text_tokens_of(segments, tokenizer), tokenizer, onsets, probabilities)
    typical = _typical_duration(timings)
    _shorten_at_sentence_ends(timings, 2 * typical)
    _assign_to_segments(_merge_marks(timings), segments, tokenizer)
    _fit_segments_to_words(segments, typical)


def _time_words(
    text: list[int], tokenizer: Tokenizer, onsets: npt.NDArray[np.float64], probabilities: Sequence[float]
) -> list[WordTiming]:
    words, tokens = tokenizer.split_to_word_tokens([*text, tokenizer.eot])
    # The last one is the end token, or an incomplete character before it.
    bounds = pairwise(accumulate(map(len, tokens[:-1]), initial=0))
    return [
        WordTiming(word, end - start, float(onsets[start]), float(onsets[end]), fmean(probabilities[start:end]))
        for word, (start, end) in zip(words[:-1], bounds, strict=True)
    ]


def _typical_duration(timings: Sequence[WordTiming]) -> float:
    durations = [timing.duration for timing in timings if timing.duration]
    return min(MAX_TYPICAL_WORD_S, median(durations)) if durations else 0.0


def _shorten_at_sentence_ends(timings: Sequence[WordTiming], longest: float) -> None:
    """Cut the pause between sentences off the closing mark, or off the word after it: alignment adds it to them."""
    for before, timing in pairwise(timings):
        if timing.duration > longest:
            if timing.text in SENTENCE_ENDS:
                timing.end = timing.start + longest
            elif before.text in SENTENCE_ENDS:
                timing.start = timing.end - longest


def _merge_marks(timings: Sequence[WordTiming]) -> list[WordTiming]:
    """Attach punctuation marks to their words, which keep their times and probabilities."""
    reversed_words: list[WordTiming] = []
    for timing in reversed(timings):
        if reversed_words and timing.text.startswith(" ") and timing.text.strip() in LEADING_MARKS:
            word = reversed_words[-1]
            word.text, word.num_tokens = timing.text + word.text, timing.num_tokens + word.num_tokens
        else:
            reversed_words.append(timing)
    words: list[WordTiming] = []
    for timing in reversed(reversed_words):
        if words and not words[-1].text.endswith(" ") and timing.text in TRAILING_MARKS:
            words[-1].text += timing.text
            words[-1].num_tokens += timing.num_tokens
        else:
            words.append(timing)
    return words


def _assign_to_segments(timings: Sequence[WordTiming], segments: Sequence[Segment], tokenizer: Tokenizer) -> None:
    """Assign each word to the segment in which it begins."""
    begins = list(accumulate((timing.num_tokens for timing in timings), initial=0))
    ends = accumulate(len(text_tokens_of([segment], tokenizer)) for segment in segments)
    for segment, (start, end) in zip(segments, pairwise([0, *ends]), strict=True):
        segment.words = [
            Word(timing.text, round(timing.start, 2), round(timing.end, 2), timing.probability)
            for timing, begin in zip(timings, begins, strict=False)
            if start <= begin < end
        ]


def _fit_segments_to_words(segments: Sequence[Segment], typical: float) -> None:
    """Shorten overlong words at the segments' ends, and make the segments begin and end with their words.

    Speech before the window is assumed to end where the window starts. openai-whisper knows where it ended, but windows
    here start just before speech, or where speech was cut.
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
    first, *rest = words
    second = rest[0] if rest else None
    if first.end - first.start > longest or (second and second.end - first.start > 2 * longest):
        if second and second.end - second.start > longest:
            first.end = second.start = max(second.end / 2, second.end - longest)
        first.start = max(0.0, first.end - longest)


def _fit_start(segment: Segment, first: Word, typical: float) -> None:
    """Start the segment with its first word; if that is much too early, the decoder's timestamp wins."""
    if first.start + 0.5 < segment.start < first.end:
        first.start = max(0.0, min(first.end - typical, segment.start))
    else:
        segment.start = first.start


def _fit_end(segment: Segment, last: Word, typical: float) -> None:
    """End the segment with its last word; if that is much too late, the decoder's timestamp wins."""
    if last.start < segment.end < last.end - 0.5:
        last.end = max(last.start + typical, segment.end)
    else:
        segment.end = last.end
