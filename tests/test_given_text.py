"""`align`: where the words of a given text are in what was recognised, and the segments that are made of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from whisper.tokenizer import get_tokenizer

from src.transcription.passages import MAX_PASSAGE_S, Heard, Stretch, find_passages, find_stretches
from src.transcription.silences import Silence, fit_to_speech
from src.transcription.text_matching import match_units
from src.transcription.text_segments import PlacedWord, passages_not_said, to_segments
from src.transcription.text_units import split_lines, split_units
from tests.support.properties import examples

TOKENIZER = get_tokenizer(multilingual=True, language="en", task="transcribe")


# --- Units -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("Hello, “world”!", "en", [("Hello,", "hello"), ("“world”!", "world")]),
        ("he said—well…", "en", [("he", "he"), ("said—", "said"), ("well…", "well")]),
        ("— Yes — no", "en", [("— Yes —", "yes"), ("no", "no")]),
        ("♪ la la ♪", "en", [("♪ la", "la"), ("la ♪", "la")]),
        ("25% don't", "en", [("25%", "25"), ("don't", "dont")]),
        ("Café NAÏVE Straße", "fr", [("Café", "cafe"), ("NAÏVE", "naive"), ("Straße", "strasse")]),
        ("「今も」相手に、 Hello世界。", "ja", ["「今", "も」", "相", "手", "に、", "Hello", "世", "界。"]),
        ("ＡＢＣ　だ", "ja", [("ＡＢＣ", "abc"), ("だ", "だ")]),
        ("這個", "zh", [("這", "这"), ("個", "个")]),
        ("這個", "ja", [("這", "這"), ("個", "個")]),
        ("สวัสดี", "th", ["ส", "วั", "ส", "ดี"]),
        ("한국어 말", "ko", [("한국어", "한국어"), ("말", "말")]),
        (" ... — ", "en", []),
    ],
)
def test_units(text: str, language: str, expected: Sequence[str | tuple[str, str]]) -> None:
    units = split_units(text, language)
    pairs = [(text[unit.start : unit.end], unit.key) for unit in units]
    assert [pair if isinstance(want, tuple) else pair[0] for pair, want in zip(pairs, expected, strict=True)] == [
        *expected
    ]


@examples(100)
@given(st.text(st.sampled_from("ab'「あ。— \n♪“ดั"), max_size=30))
def test_units_have_all_characters_of_a_text_in_order(text: str) -> None:
    units = split_units(text, "en")
    outside = list(text)
    for before, unit in zip([None, *units], units, strict=False):
        assert before is None or before.end <= unit.start
        outside[unit.start : unit.end] = " " * (unit.end - unit.start)
    assert not units or not "".join(outside).strip()


def test_lines() -> None:
    text = "\n One \r\n\r\nTwo two\u2028three  \n"
    assert [text[start:end] for start, end in split_lines(text)] == ["One", "Two two", "three"]


# --- Matching --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ("", "", []),
        ("a b", "", []),
        ("a b c", "a b c", [(0, 0, 3)]),
        ("a b c d", "a x c d", [(0, 0, 1), (2, 2, 2)]),
        ("a b d", "a b c d", [(0, 0, 2), (2, 3, 1)]),
        ("a b c", "x y z", []),
        # a chorus that is said twice, and written three times
        ("v w c d x y c d z c d", "v w c d x y c d z", [(0, 0, 9)]),
        # the word before a passage that is not said is also in it
        ("go to the sea it was the old one near the house", "go to the house", [(0, 0, 2), (10, 2, 2)]),
        # chance: one word in two unrelated texts
        ("a b c d e the f g h i j", "k l m n o the p q r s t", []),
    ],
)
def test_matches(first: str, second: str, expected: list[tuple[int, int, int]]) -> None:
    assert match_units(first.split(), second.split()) == expected


@examples(50)
@given(st.lists(st.sampled_from("abcd"), max_size=12), st.lists(st.sampled_from("abcd"), max_size=12))
def test_matches_are_equal_units_in_order(first: list[str], second: list[str]) -> None:
    i = j = 0
    for match in match_units(first, second):
        assert match.first >= i
        assert match.second >= j
        i, j = match.first + match.size, match.second + match.size
        assert first[match.first : i] == second[match.second : j]


def test_long_texts_are_matched_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = random.Random(1)
    first = [numbers.randrange(300) for _ in range(2000)]
    second = [unit if numbers.random() > 0.1 else -1 for unit in first if numbers.random() > 0.05]
    monkeypatch.setattr("src.transcription.text_matching.SMALL_CELLS", 1 << 10)
    matched = sum(match.size for match in match_units(first, second))
    assert matched > 0.97 * sum(unit >= 0 for unit in second)


def test_long_texts_without_a_common_phrase_are_cut_where_the_edit_distance_asks_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = [0, 1] * 100 + [2] * 50 + [0, 1] * 100
    second = [0, 1] * 100 + [3] * 20 + [0, 1] * 100
    expected = match_units(first, second)
    monkeypatch.setattr("src.transcription.text_matching.SMALL_CELLS", 64)
    monkeypatch.setattr("src.transcription.text_matching.MAX_CELLS", 64)
    assert match_units(first, second) == expected == [(0, 0, 200), (250, 220, 200)]


# --- Stretches and passages ------------------------------------------------------------------------------------------


def heard(text: str, start: float = 0.0, seconds: float = 0.5) -> list[Heard]:
    return [
        Heard(f" {word}", word.lower(), start + seconds * number, start + seconds * (number + 1))
        for number, word in enumerate(text.split())
    ]


def stretches_of(text: str, recognised: Sequence[Heard], end: float = 60.0) -> list[Stretch]:
    units = split_units(text, "en")
    starts = [sum(unit.end <= begin for unit in units) for begin, _ in split_lines(text)]
    matches = match_units([unit.key for unit in units], [unit.key for unit in recognised])
    return find_stretches(units, recognised, matches, starts, end)


def summary(stretches: Sequence[Stretch]) -> list[tuple[int, int, str]]:
    """For each stretch, the number of units of the text and of recognised ones, and what it is."""
    return [
        (
            len(stretch.given),
            len(stretch.heard),
            "sure" if stretch.sure else "doubtful" if stretch.possible else "impossible",
        )
        for stretch in stretches
        if not (stretch.sure and len(stretch.given) == len(stretch.heard) == 1)
    ]


@pytest.mark.parametrize(
    ("text", "recognised", "expected"),
    [
        ("one two three", "one two three", []),
        ("one colour three", "one color three", []),
        ("one house three", "one tree three", [(1, 1, "doubtful")]),
        ("one Kubernetes three", "one cooper netties three", [(1, 2, "sure")]),
        ("one 25 three", "one twenty five three", [(1, 2, "doubtful")]),
        ("one not said colours three", "one colors three", [(2, 0, "doubtful")]),
        ("one colours not said three", "one colors besides three", [(2, 1, "doubtful")]),
        ("one three", "one two three", [(0, 1, "doubtful")]),
        ("one two three", "one three", [(1, 0, "doubtful")]),
        ("one " + "impossibly long words " * 20 + "three", "one three", [(60, 0, "impossible")]),
        ("one two", "", [(2, 0, "impossible")]),
    ],
)
def test_stretches(text: str, recognised: str, expected: list[tuple[int, int, str]]) -> None:
    assert summary(stretches_of(text, heard(recognised))) == expected


def test_text_that_was_not_recognised_is_looked_for_beside_the_line_that_it_is_in() -> None:
    recognised = [*heard("one", 10.0), *heard("three", 50.0)]
    (in_line,) = [part for part in stretches_of("one two\nthree", recognised) if not part.sure]
    assert in_line.start == 10.5
    assert in_line.end < 13
    (own_line,) = [part for part in stretches_of("one\ntwo three", recognised) if not part.sure]
    assert own_line.start > 47
    assert own_line.end == 50.0


def test_passages_are_cut_at_the_longest_pause_and_have_all_text() -> None:
    recognised = [*heard("a b c d e f g h " * 5), *heard("i j k l m n o p " * 3, 21.0)]
    stretches = stretches_of(" ".join(word.key for word in recognised), recognised)
    passages = find_passages(stretches, [1] * len(stretches), 100, 60.0)
    assert [part for passage in passages for part in passage.stretches] == stretches
    assert [(passage.start, passage.end) for passage in passages] == [(0.0, 20.5), (20.5, 33.5)]


def test_passages_are_short_in_continuous_speech_too() -> None:
    recognised = heard("word " * 1000)
    stretches = stretches_of("word " * 1000, recognised)
    passages = find_passages(stretches, [3] * len(stretches), 100, 500.0)
    assert all(passage.end - passage.start <= MAX_PASSAGE_S for passage in passages)
    assert max(len(passage.stretches) for passage in passages) <= 33
    assert sum(len(passage.stretches) for passage in passages) == 1000


def test_what_is_said_besides_needs_no_passages() -> None:
    recognised = [*heard("one two"), *heard("besides " * 200, 10.0), *heard("three four", 150.0)]
    passages = find_passages(stretches_of("one two three four", recognised), [1] * 204, 100, 200.0)
    assert sum(passage.end - passage.start for passage in passages) < 60


def test_passages_end_at_long_silences() -> None:
    recognised = [*heard("one two"), *heard("three four", 2.0), *heard("five six", 9.0)]
    stretches = stretches_of("one two three four\nnot said\nfive six", recognised)
    silences = [Silence(1.0, 2.0), Silence(3.0, 9.0), Silence(10.0, inf)]
    passages = find_passages(stretches, [1] * len(stretches), 100, 60.0, silences)
    assert [part for passage in passages for part in passage.stretches] == stretches
    # What was not recognised begins a line: it is looked for before the one that follows.
    assert [sum(len(part.given) for part in passage.stretches) for passage in passages] == [4, 4]
    assert passages[0].end < 4.0
    assert passages[1].start > 6.0


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ((1.0, 1.5), (1.0, 1.5)),
        ((1.8, 2.5), (1.8, 2.05)),  # ends in a silence
        ((2.5, 3.4), (2.95, 3.4)),  # begins in one
        ((1.8, 3.4), (2.95, 3.4)),  # spans one: the word after it
        ((1.8, 3.02), (2.95, 3.02)),
        ((1.0, 8.5), (7.95, 8.5)),  # spans two
        ((2.95, 5.0), (2.95, 4.05)),
        ((2.2, 2.6), (2.2, 2.6)),  # lies in a short one
        ((6.0, 6.5), (7.95, 8.0)),  # lies in a long one
        ((4.2, 4.4), (4.0, 4.05)),
        ((0.1, 0.2), (0.45, 0.5)),
        ((9.5, 9.9), (9.0, 9.05)),
    ],
)
def test_words_are_kept_out_of_silences(word: tuple[float, float], expected: tuple[float, float]) -> None:
    silences = [Silence(-inf, 0.5), Silence(2.0, 3.0), Silence(4.0, 8.0), Silence(9.0, inf)]
    assert fit_to_speech(*word, silences, 0.1) == pytest.approx(expected)


def test_a_word_that_is_sure_stays_where_the_detector_hears_nothing() -> None:
    assert fit_to_speech(5.0, 5.5, [Silence(4.0, 8.0)], 0.9) == (5.0, 5.5)


# --- Segments --------------------------------------------------------------------------------------------------------


def placed(text: str, seconds: float = 0.5, not_said: Sequence[int] = ()) -> list[PlacedWord]:
    return [
        PlacedWord(unit.start, unit.end, number * seconds, (number + 1) * seconds, 0.9, said=number not in not_said)
        for number, unit in enumerate(split_units(text, "en"))
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One two.\nThree   four.", [" One two.", " Three four."]),
        ("今も。\n相手に 世界", ["今も。", "相手に 世界"]),
        ("he said—well", [" he said—well"]),
    ],
)
def test_a_line_is_a_segment(text: str, expected: list[str]) -> None:
    segments = to_segments(text, placed(text), TOKENIZER)
    assert [segment.text for segment in segments] == expected
    assert all("".join(word.word for word in segment.words or []) == segment.text for segment in segments)


def test_long_lines_are_cut_after_sentences() -> None:
    text = "This is a sentence with some words, and with more. " * 10
    segments = to_segments(text, placed(text), TOKENIZER)
    assert len(segments) > 3
    assert all(segment.text.endswith("more.") and segment.end - segment.start <= 12 for segment in segments)
    assert "".join(segment.text for segment in segments).split() == text.split()


def test_lines_without_marks_are_cut_at_pauses() -> None:
    text = "word " * 40
    words = [*placed("word " * 16), *(PlacedWord(5 * i, 5 * i + 4, 20 + i, 20.5 + i, 0.9) for i in range(16, 40))]
    segments = to_segments(text, words, TOKENIZER)
    assert segments[0].end == 8.0
    assert all(segment.end - segment.start <= 12 for segment in segments)


def test_words_that_were_not_said_do_not_lengthen_a_segment() -> None:
    text = "no one two no\nno no"
    segments = to_segments(text, placed(text, not_said=[0, 3, 4, 5]), TOKENIZER)
    assert [(segment.start, segment.end, segment.said) for segment in segments] == [(0.5, 1.5, True), (2.0, 3.0, False)]
    assert [passage.text for passage in passages_not_said(text, placed(text, not_said=[0, 3, 4, 5]))] == [
        "no",
        "no no no",
    ]


def test_a_text_of_one_long_line_is_cut_too() -> None:
    text = "one two three, four five six. " * 300
    segments = to_segments(text, placed(text), TOKENIZER)
    assert "".join(segment.text for segment in segments).split() == text.split()
    assert all(segment.end - segment.start <= 12 for segment in segments)
    assert sum(segment.text.endswith("six.") for segment in segments) > 0.9 * len(segments)
