"""A text is divided into paragraphs at pauses, other voices and ends of sentences, and never loses a word."""

from __future__ import annotations

from src.request.options import Options
from transcript.formats.render import render
from transcript.paragraphs import LONG, TOO_LONG, Piece, find_paragraphs, join_paragraphs
from transcript.transcript import Segment, Transcript


def pieces(*texts: str, pause: float = 0.0, voice: str = "") -> list[Piece]:
    return [Piece(at * (1 + pause), at * (1 + pause) + 1, text, voice) for at, text in enumerate(texts)]


def test_a_pause_ends_a_paragraph() -> None:
    assert join_paragraphs(pieces(" One", " two.", pause=1.9)) == "One two."
    assert join_paragraphs(pieces(" One", " two.", pause=2.0)) == "One\n\ntwo."


def test_another_voice_ends_a_paragraph_and_is_named_once() -> None:
    spoken = [
        Piece(0, 1, " Hi.", "Ada"),
        Piece(1, 2, " So.", "Ada"),
        Piece(5, 6, " Well.", "Ada"),
        Piece(6, 7, " Yes.", "Bob"),
        Piece(7, 8, " No.", "Ada"),
    ]
    assert join_paragraphs(spoken) == "Ada: Hi. So.\n\nWell.\n\nBob: Yes.\n\nAda: No."


def test_a_long_paragraph_ends_with_its_sentence() -> None:
    long = " a" * (LONG // 2)
    assert join_paragraphs(pieces(long, " b.", " c")) == f"{long.strip()} b.\n\nc"
    assert join_paragraphs(pieces(f"{long}.”", " c")) == f"{long.strip()}.”\n\nc"
    assert join_paragraphs(pieces("字" * LONG + "。", "字")) == "字" * LONG + "。\n\n字"
    assert join_paragraphs(pieces(" a.", " b.", " c.")) == "a. b. c."


def test_without_a_full_stop_it_ends_at_last() -> None:
    found = list(find_paragraphs(pieces(*[" word"] * TOO_LONG)))
    assert {len(paragraph) for paragraph in found} == {TOO_LONG // 5}
    assert sum(map(len, found)) == TOO_LONG


def test_nothing_has_no_paragraph() -> None:
    assert join_paragraphs([]) == ""


def test_only_the_text_of_an_answer_has_them_and_only_if_asked_for() -> None:
    segments = [
        Segment(number, 0, start, start + 1, text, [], 0.0, 0.0, 1.0, 0.0)
        for number, (start, text) in enumerate([(0.0, " One."), (5.0, " Two.")])
    ]
    made = Transcript("en", 1.0, 6.0, segments)
    plain = render(made, ["all", "verbose_json"])
    divided = render(made, ["all", "verbose_json"], paragraphs=True)
    assert (plain["text"], divided["text"]) == ("One. Two.", "One.\n\nTwo.")
    assert divided["verbose_json"]["text"] == "One.\n\nTwo."
    assert {**divided, "text": "", "verbose_json": {}} == {**plain, "text": "", "verbose_json": {}}
    assert not Options().paragraphs
