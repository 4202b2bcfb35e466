"""Words and segments get the speakers of the turns that they overlap, two of them where two speak at once."""

from __future__ import annotations

import pytest

from src.speakers.assignment import assign_speakers
from transcript.transcript import Diarization, Segment, Transcript, Turn, Word

LONG, SHORT = Turn(0.0, 10.0, "ANN"), Turn(4.0, 5.0, "BOB")


def segment(*words: tuple[float, float]) -> Segment:
    spoken = [Word(f" w{number}", start, end, 0.9) for number, (start, end) in enumerate(words)]
    text = "".join(word.word for word in spoken)
    return Segment(0, 0, words[0][0], words[-1][1], text, [], 0.0, -0.1, 1.0, 0.0, words=spoken)


def assign(turns: list[Turn], *words: tuple[float, float]) -> Transcript:
    transcript = Transcript("en", 1.0, 20.0, [segment(*words)])
    assign_speakers(transcript, Diarization(turns))
    return transcript


@pytest.mark.parametrize(
    ("turns", "span", "speaker", "others"),
    [
        ([LONG], (1.0, 2.0), "ANN", ()),
        # within both turns: the longer turn's
        ([LONG, SHORT], (4.2, 4.6), "ANN", ("BOB",)),
        ([Turn(3.0, 5.0, "BOB"), Turn(4.0, 9.0, "ANN")], (4.2, 4.6), "ANN", ("BOB",)),
        # at the end of the longer one: whoever speaks longer in it
        ([Turn(0.0, 5.0, "ANN"), Turn(4.8, 6.0, "BOB")], (4.8, 5.4), "BOB", ()),
        ([Turn(0.0, 5.2, "ANN"), Turn(4.8, 6.0, "BOB")], (4.8, 5.4), "BOB", ("ANN",)),
        # less than half of a word is not told
        ([LONG, SHORT], (3.4, 4.4), "ANN", ()),
        ([LONG, SHORT], (3.6, 4.6), "ANN", ("BOB",)),
        # a turn within another, and the word after it
        ([LONG, SHORT], (6.0, 7.0), "ANN", ()),
        # in nobody's turn: the nearest
        ([Turn(0.0, 1.0, "ANN"), Turn(4.0, 5.0, "BOB")], (3.0, 3.5), "BOB", ()),
        ([LONG, SHORT], (11.0, 12.0), "ANN", ()),
        # two turns of one speaker add up
        (
            [Turn(0.0, 1.0, "ANN"), Turn(0.9, 1.5, "BOB"), Turn(1.4, 2.0, "ANN")],
            (0.5, 1.8),
            "ANN",
            (),
        ),
    ],
)
def test_a_word_is_of_whoever_speaks_longer_in_it(
    turns: list[Turn], span: tuple[float, float], speaker: str, others: tuple[str, ...]
) -> None:
    (only,) = assign(turns, span).segments
    assert only.words is not None
    assert (only.speaker, only.words[0].speaker, only.words[0].other_speakers) == (speaker, speaker, others)


def test_other_speakers_are_in_the_json_of_a_word_only_where_there_are_any() -> None:
    (only,) = assign([LONG, SHORT], (1.0, 1.5), (4.2, 4.6)).segments
    assert only.words is not None
    alone, at_once = (word.to_dict() for word in only.words)
    assert "other_speakers" not in alone
    assert at_once["other_speakers"] == ["BOB"]


def test_a_short_turn_over_a_long_one_does_not_split_its_segment() -> None:
    assert len(assign([LONG, SHORT], (3.0, 3.9), (4.0, 4.5), (4.5, 5.0), (5.1, 6.0)).segments) == 1
