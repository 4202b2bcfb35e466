"""`set_words`: for any token times, the words and segments are openai-whisper's."""

from __future__ import annotations

from collections.abc import Sequence
from unittest import mock

import numpy as np
import pytest
import torch
import whisper.timing
from hypothesis import given
from hypothesis import strategies as st
from whisper.timing import WordTiming
from whisper.tokenizer import Tokenizer, get_tokenizer

from src.engine.word_timing import set_words, text_tokens_of
from tests.support.properties import examples
from transcript.transcript import Segment

ENGLISH = get_tokenizer(multilingual=True, language="en", task="transcribe")
CHINESE = get_tokenizer(multilingual=True, language="zh", task="transcribe")


@st.composite
def spoken_segments(
    draw: st.DrawFn, tokenizer: Tokenizer, first: str, between: Sequence[str], last: str
) -> list[Segment]:
    """Segments of a window at any times, each with fixed words at both ends."""
    middles = draw(st.lists(st.lists(st.sampled_from(between), max_size=8).map("".join), max_size=4))
    times = sorted(draw(st.lists(hundredths(3000), min_size=2 * len(middles), max_size=2 * len(middles))))
    return [
        segment(first + middle + last, start, end, tokenizer)
        for middle, start, end in zip(middles, times[::2], times[1::2], strict=True)
    ]


def hundredths(most: int) -> st.SearchStrategy[float]:
    return st.integers(0, most).map(lambda number: number / 100)


def segment(text: str, start: float, end: float, tokenizer: Tokenizer) -> Segment:
    tokens = [tokenizer.timestamp_begin, *tokenizer.encode(text), tokenizer.timestamp_begin + 50]
    return Segment(0, 0, start, end, text, tokens, 0.0, -0.2, 1.5, 0.0)


def openai_words(
    segments: Sequence[Segment], tokenizer: Tokenizer, onsets: np.ndarray, probabilities: Sequence[float]
) -> list[dict]:
    """The result of `add_word_timestamps` for tokens at these times."""
    text = text_tokens_of(segments, tokenizer)
    words, tokens = tokenizer.split_to_word_tokens([*text, tokenizer.eot])
    bounds = np.cumsum([0, *map(len, tokens[:-1])])
    timings = [
        WordTiming(word, its_tokens, onsets[start], onsets[end], float(np.mean(probabilities[start:end])))
        for word, its_tokens, start, end in zip(words, tokens, bounds, bounds[1:], strict=False)
    ]
    expected = [segment.to_dict() for segment in segments]
    with mock.patch.object(whisper.timing, "find_alignment", return_value=timings):
        whisper.timing.add_word_timestamps(
            segments=expected,
            model=mock.Mock(),
            tokenizer=tokenizer,
            mel=torch.empty(0),
            num_frames=3000,
            last_speech_timestamp=0.0,
        )
    return expected


def check(data: st.DataObject, segments: list[Segment], tokenizer: Tokenizer) -> None:
    text = text_tokens_of(segments, tokenizer)
    # Mostly short tokens, a few far too long.
    steps = data.draw(
        st.lists(st.sampled_from([0, 4, 8, 10, 15, 30, 200]), min_size=len(text) + 1, max_size=len(text) + 1)
    )
    onsets = np.cumsum(steps) / 50
    probabilities = data.draw(st.lists(st.floats(0.01, 1), min_size=len(text), max_size=len(text)))
    expected = openai_words(segments, tokenizer, onsets, probabilities)
    set_words(segments, tokenizer, onsets, probabilities)
    for ours, theirs in zip(segments, expected, strict=True):
        assert (ours.start, ours.end) == pytest.approx((theirs["start"], theirs["end"]), abs=1e-6)
        for word, its_word in zip(ours.words, theirs["words"], strict=True):
            assert word.word == its_word["word"]
            assert (word.start, word.end) == pytest.approx((its_word["start"], its_word["end"]), abs=1e-6)
            assert word.probability == pytest.approx(its_word["probability"])


@examples(100)
@given(
    st.data(),
    spoken_segments(
        ENGLISH,
        " One",
        [" one", " incomprehensibly", ".", ",", "?", ' "', '"', " (", ")", "'s", " 3.5", " é", " "],
        " end.",
    ),
)
def test_words_between_spaces(data: st.DataObject, segments: list[Segment]) -> None:
    check(data, segments, ENGLISH)


@examples(50)
@given(st.data(), spoken_segments(CHINESE, "你", ["你", "好", "。", "，", "「", "我们", "！", "龘", "“"], "好。"))
def test_words_without_spaces(data: st.DataObject, segments: list[Segment]) -> None:
    check(data, segments, CHINESE)


def test_a_segment_of_only_a_punctuation_mark_does_not_shift_later_words() -> None:
    segments = [segment(text, 0.0, 1.0, CHINESE) for text in ("你", "。", "好", "龘")]
    count = len(text_tokens_of(segments, CHINESE))
    set_words(segments, CHINESE, np.arange(count + 1) / 10, [0.5] * count)
    assert [[word.word for word in timed.words or []] for timed in segments] == [["你。"], [], ["好"], ["龘"]]


def test_an_incomplete_character_is_not_a_word() -> None:
    cut = segment("你", 0.0, 1.0, CHINESE)
    cut.tokens += CHINESE.encode("🫠")[:2]
    count = len(text_tokens_of([cut], CHINESE))
    set_words([cut], CHINESE, np.arange(count + 1) / 10, [0.5] * count)
    assert [word.word for word in cut.words or []] == ["你"]
