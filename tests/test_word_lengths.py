"""Every word has a length, and none ends after its recording."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcript.transcript import Segment, Word
from transcript.word_lengths import MIN_WORD_S, lengthen_empty_words

Times = list[tuple[float, float]]


def segment(times: Times) -> Segment:
    words = [Word(" word", start, end, 0.5) for start, end in times]
    return Segment(0, 0, times[0][0], times[-1][1], " word" * len(times), [], 0.0, -0.2, 1.0, 0.0, words)


def lengthened(times: Times, end: float) -> Times:
    part = segment(times)
    lengthen_empty_words([part], end)
    words = part.words or []
    assert (part.start, part.end) == (words[0].start, words[-1].end)
    return [(word.start, word.end) for word in words]


@pytest.mark.parametrize(
    ("times", "end", "expected"),
    [
        ([(0.0, 0.5), (0.5, 0.9)], 5.0, [(0.0, 0.5), (0.5, 0.9)]),
        ([(0.0, 0.5), (0.5, 0.5), (0.5, 0.9)], 5.0, [(0.0, 0.5), (0.5, 0.52), (0.52, 0.9)]),
        ([(1.0, 1.0), (1.0, 1.0), (1.0, 1.03)], 5.0, [(1.0, 1.02), (1.02, 1.04), (1.04, 1.06)]),
        ([(1.0, 1.0), (2.0, 2.4)], 5.0, [(1.0, 1.02), (2.0, 2.4)]),
        ([(4.0, 4.5), (5.0, 5.0)], 5.0, [(4.0, 4.5), (4.98, 5.0)]),
        ([(4.0, 5.0), (5.0, 5.0), (5.0, 5.0)], 5.0, [(4.0, 4.96), (4.96, 4.98), (4.98, 5.0)]),
        ([(4.0, 5.4)], 5.0, [(4.0, 5.0)]),
    ],
)
def test_words_without_length_take_it_from_their_neighbours(times: Times, end: float, expected: Times) -> None:
    assert lengthened(times, end) == expected


@given(st.lists(st.integers(0, 500), min_size=2, max_size=20).map(sorted))
def test_words_stay_in_order_and_within_the_recording(hundredths: list[int]) -> None:
    edges = [number / 100 for number in hundredths]
    words = lengthened(list(pairwise(edges)), 5.0)
    for start, end in words:
        assert end - start >= MIN_WORD_S - 1e-6
        assert 0 <= start < end <= 5.0
    for (_, end), (start, _) in pairwise(words):
        assert start >= end - 1e-6


def test_a_word_may_take_its_length_from_the_next_segment() -> None:
    parts = [segment([(1.0, 1.0)]), segment([(1.0, 1.5)])]
    lengthen_empty_words(parts, 5.0)
    assert [(part.start, part.end) for part in parts] == [(1.0, 1.02), (1.02, 1.5)]


def test_segments_without_words_stay() -> None:
    part = Segment(0, 0, 1.0, 9.0, " text", [], 0.0, -0.2, 1.0, 0.0)
    lengthen_empty_words([part], 5.0)
    assert (part.start, part.end) == (1.0, 9.0)
