"""A live session tells no value, neither in drafts, which may be misheard, nor in pieces, by pauses."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from src.request.options import Options
from transcript.transcript import Segment, Transcript, Word

CARD = "4242 4242 4242 4242"


@pytest.mark.parametrize(
    ("draft", "told"),
    [
        (" My card is", " My card "),  # "is" may be a name before an "at"
        (" My card is 4242 4242", " My card is "),
        (f" My card is {CARD}, thanks", " My card is "),  # digits may follow
        (f" My card is {CARD}, thanks a lot", " My card is [card], thanks a "),
        (" My card is 4242 4242 4242 4243, thanks a lot", " My card is "),  # perhaps misheard
        (" and 4 2 4 2 4 2 more of it", " and "),
        (" 4242 is the rest of it", " "),
        (" In 1999 we met there", " In 1999 we met "),
        (" It costs $25000 at the moment", " It costs $25000 at the "),
        (" write to john dot smith at gmail dot com today please", " write to [email] today "),
        (" write to john dot smith at gmail", " write to "),
        (" damn it all", " d*** it "),
    ],
)
def test_a_draft_is_told_as_far_as_it_is_certain(draft: str, told: str) -> None:
    changes = Options(redact=["card", "email"], mask=["damn"]).text_changes
    assert changes.hide_in_draft(draft, "en") == told


def test_a_draft_without_these_options_is_told_as_it_is() -> None:
    assert Options().text_changes.hide_in_draft(" 4242 4242", "en") == " 4242 4242"
    assert Options(mask=["damn"]).text_changes.hide_in_draft(" damn 4242 4242", "en") == " d*** 4242 4242"


def words(text: str) -> list[Word]:
    return [Word(f" {word}", at / 2, at / 2 + 0.5, 0.9) for at, word in enumerate(text.split())]


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (["My card is 4242 4242.", "4242 4242. Thanks."], ["My card is [number].", "[card]. Thanks."]),
        (["4242.", "4242.", "4242.", "4242."], ["4242.", "[number].", "[number].", "[card]."]),
        (["It is DE89 3704", "0044 0532 0130 00, right?"], ["It is DE89 3704", "[iban], right?"]),
        ([f"It is {CARD}", "4242"], ["It is [card]", "4242"]),
        (["It was in 1999.", "Prices rose by 20 000 $."], ["It was in 1999.", "Prices rose by 20 000 $."]),
    ],
)
def test_an_utterance_goes_on_in_what_the_one_before_began(said: Sequence[str], told: Sequence[str]) -> None:
    changes = Options(redact=["card", "iban"]).text_changes
    assert changes.redactor is not None
    finals, end = [], ""
    for text in said:
        segment = Segment(0, 0, 0.0, 1.0, f" {text}", [], 0.0, -0.1, 1.0, 0.0, words(text))
        made = Transcript("en", 1.0, 1.0, [segment])
        changes.apply(made)
        segments, end = changes.redactor.redact_next(made.segments, end, made)
        finals.append("".join(each.text for each in segments).strip())
        assert "".join(word.word for each in segments for word in each.words or []).strip() == finals[-1]
    assert finals == told
