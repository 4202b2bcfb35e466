"""The delays of a live transcript's words."""

from __future__ import annotations

import pytest

from benchmarks.live_delays import (
    Arrival,
    completion_delays,
    find_arrivals,
    first_word_delays,
    word_delays,
)
from benchmarks.live_session import Utterance
from benchmarks.recordings import TimedWord

SPOKEN = [TimedWord("One,", 0.5, 1.0), TimedWord("two,", 1.0, 1.5), TimedWord("three.", 1.5, 2.0)]


@pytest.mark.parametrize(
    ("deltas", "text", "arrivals"),
    [
        pytest.param([], "One, two.", [("one", 9, False), ("two", 9, False)], id="no delta"),
        pytest.param([(1, "One,"), (2, " two.")], "One, two.", [("one", 1, True), ("two", 2, True)], id="all stay"),
        pytest.param([(1, "One, too.")], "One, two.", [("one", 1, True), ("two", 9, False)], id="one is corrected"),
        pytest.param([(1, "Well, two.")], "Two.", [("two", 1, True)], id="one is gone"),
        pytest.param([(1, "Tw"), (2, "o.")], "Two.", [("two", 2, True)], id="a word in two deltas"),
        pytest.param([(1, "ONE two")], "One – two!", [("one", 1, True), ("two", 1, True)], id="case and punctuation"),
        pytest.param([(1, "one one"), (2, " one")], "one", [("one", 1, True)], id="one of several alike"),
        pytest.param([(1, "one")], "", [], id="nothing is left"),
    ],
)
def test_a_word_arrives_with_the_delta_that_brought_it_or_else_with_the_complete_text(deltas, text, arrivals):
    utterance = Utterance(deltas=deltas, completed=9, text=text)
    assert find_arrivals(utterance) == [Arrival(*arrival) for arrival in arrivals]


def test_words_of_a_failed_utterance_never_arrive():
    assert find_arrivals(Utterance(deltas=[(1, "one")])) == []


def test_a_delay_counts_from_the_end_of_the_same_spoken_word():
    first = Utterance(deltas=[(1.5, "One,")], completed=4.0, text="One, two,")
    second = Utterance(completed=5.0, text="or free three.")
    delays = word_delays([first, second], SPOKEN)
    assert [(delay.seconds, delay.is_early) for delay in delays] == [(0.5, True), (2.5, False), (3.0, False)]


@pytest.mark.parametrize(
    ("utterance", "delays"),
    [
        (Utterance(0.4, 2.1, [(1.25, "One,")], 4.0, "One, two, three."), [0.75]),
        (Utterance(0.4, 2.1, [], 4.0, "One, two, three."), [3.5]),
        (Utterance(1.2, 2.1, [], 4.0, "two, three."), [3.0]),
        (Utterance(2.5, 3.0, [], 4.0, "Hm."), []),
        (Utterance(0.4, 2.1, [(1.25, "One,")], None, ""), []),
    ],
    ids=["a delta", "no delta", "the second word is its first", "no spoken word", "failed"],
)
def test_the_first_word_counts_from_its_start(utterance, delays):
    assert first_word_delays([utterance], SPOKEN) == delays


def test_a_complete_text_counts_from_the_end_of_the_speech():
    assert completion_delays([Utterance(end=2.0, completed=3.5), Utterance(end=4.0)]) == [1.5]
