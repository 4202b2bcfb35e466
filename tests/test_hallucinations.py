"""Hallucinations are removed and counted; spoken text stays."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transcript.hallucinations import KEPT_REPEATS, PHANTOM_PHRASES, remove_hallucinations
from transcript.transcript import Segment, Word

LOOPING = 3.0
"""A compression ratio that only a loop has."""


def segment(text: str, start: float = 0.0, ratio: float = 1.2, words: list[Word] | None = None) -> Segment:
    return Segment(0, 0, start, start + 2.0, text, [], 0.0, -0.3, ratio, 0.1, words)


def remaining(
    *segments: Segment, speech: float = 1.0, speech_only: bool = False, said: bool = False
) -> tuple[list[str], dict[str, int]]:
    kept, dropped = remove_hallucinations(
        segments,
        lambda start, end: speech,
        lambda run: said,
        compression_ratio_threshold=2.4,
        speech_only=speech_only,
    )
    assert [part.id for part in kept] == list(range(len(kept)))
    return [part.text for part in kept], dict(dropped)


@pytest.mark.parametrize(
    "phrase",
    [
        " Thanks for watching!",
        " Untertitel der Amara.org-Community",
        "ご視聴ありがとうございました。",
        " Продолжение следует...",
    ],
)
def test_a_phantom_phrase_without_speech_is_removed(phrase: str) -> None:
    assert remaining(segment(" Hello."), segment(phrase), speech=0.1) == ([" Hello."], {"phantom_phrases": 1})


def test_a_phantom_phrase_with_speech_stays() -> None:
    assert remaining(segment(" Thank you."), speech=0.5) == ([" Thank you."], {})


def test_a_phantom_phrase_within_a_sentence_stays() -> None:
    assert remaining(segment(" I said thank you to her."), speech=0.0) == ([" I said thank you to her."], {})


def test_text_without_speech_is_removed_if_only_speech_is_wanted() -> None:
    assert remaining(segment(" BAH!"), speech=0.0, speech_only=True) == ([], {"without_speech": 1})
    assert remaining(segment(" BAH!"), speech=0.0) == ([" BAH!"], {})


def test_of_repeated_segments_in_a_loop_a_few_stay() -> None:
    again = [segment(" And then we go.", start=2.0 * at, ratio=LOOPING) for at in range(8)]
    texts, dropped = remaining(segment(" First."), *again, segment(" Last.", start=30.0))
    assert texts == [" First.", *[" And then we go."] * KEPT_REPEATS, " Last."]
    assert dropped == {"loops": 8 - KEPT_REPEATS}


def test_what_the_sound_repeats_stays() -> None:
    again = [segment(" And then we go.", start=2.0 * at, ratio=LOOPING) for at in range(8)]
    assert remaining(*again, said=True) == ([" And then we go."] * 8, {})
    chant = segment(" Go on!" * 20, ratio=LOOPING)
    assert remaining(chant, said=True) == ([chant.text], {})


def test_repetitions_that_are_no_loop_stay() -> None:
    chorus = [segment(" We will rock you.", start=2.0 * at) for at in range(8)]
    assert remaining(*chorus) == ([" We will rock you."] * 8, {})
    assert remaining(segment(" No, no, no.", ratio=LOOPING)) == ([" No, no, no."], {})


@pytest.mark.parametrize(
    ("said", "stays"),
    [
        (" We go home." * 20 + " Good night.", " We go home." * KEPT_REPEATS + " Good night."),
        (" Yes." + " ha" * 60, " Yes." + " ha" * KEPT_REPEATS),
        ("好" * 80, "好" * KEPT_REPEATS),
    ],
)
def test_a_loop_within_a_segment_is_cut_with_its_words(said: str, stays: str) -> None:
    pieces = said.split(" ")[1:] if " " in said else list(said)
    spaced = [f" {piece}" for piece in pieces] if " " in said else pieces
    words = [Word(piece, 0.1 * at, 0.1 * at + 0.1, 0.5) for at, piece in enumerate(spaced)]
    kept, dropped = remove_hallucinations(
        [segment(said, ratio=LOOPING, words=words)],
        lambda *_: 1.0,
        lambda _: False,
        compression_ratio_threshold=2.4,
        speech_only=False,
    )
    assert kept[0].text == stays
    assert "".join(word.word for word in kept[0].words or []) == stays
    assert dropped == {"loops": 1}


def test_phantom_phrases_are_normalized() -> None:
    for phrase in PHANTOM_PHRASES:
        assert remaining(segment(phrase), speech=0.0) == ([], {"phantom_phrases": 1}), phrase


@given(st.lists(st.text(st.sampled_from(" abc.好"), max_size=30), max_size=8), st.sampled_from([0.0, 1.0]))
def test_no_text_is_added_and_a_second_removal_removes_no_less(texts: list[str], speech: float) -> None:
    def removed(segments: list[Segment]) -> list[Segment]:
        kept, _ = remove_hallucinations(
            segments, lambda *_: speech, lambda _: False, compression_ratio_threshold=2.4, speech_only=False
        )
        return kept

    kept = removed([segment(text, ratio=LOOPING) for text in texts])
    assert sum(len(part.text) for part in kept) <= sum(len(text) for text in texts)
    assert len(removed([replace(part) for part in kept])) <= len(kept)
