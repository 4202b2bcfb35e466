"""Misheard terms are corrected in text, segments and words alike, and nothing else changes."""

from __future__ import annotations

import random
import re
import unicodedata
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from ahocorasick_rs import AhoCorasick
from hypothesis import given
from hypothesis import strategies as st

from src.errors import InvalidInput
from src.request.option_values import MAX_PHRASES, MAX_TERMS
from src.request.validation import parse_input
from tests.support.properties import examples
from tests.support.work import cpu_seconds
from transcript import phrases as phrases_module
from transcript.formats.render import render
from transcript.transcript import Segment, Transcript, Word
from transcript.vocabulary import Corrector, vocabulary_prompt


def transcript(*texts: str, timed: bool = True) -> Transcript:
    """Segments of these texts, half a second per word; words begin with their space, as Whisper's do."""
    segments, now = [], 0.0
    for number, text in enumerate(texts):
        said = re.findall(r"\s*\S+(?:\s+$)?", text) or [text]
        words = [Word(word, now + at / 2, now + at / 2 + 0.5, 0.5 + at / 100) for at, word in enumerate(said)]
        segments.append(segment(number, text, words, timed))
        now = segments[-1].end
    return Transcript("en", 1.0, now, segments)


def segment(number: int, text: str, words: list[Word], timed: bool = True) -> Segment:
    start, end = words[0].start, words[-1].end
    return Segment(number, 0, start, end, text, [number], 0.0, -0.2, 1.0, 0.0, words if timed else None)


def correct(made: Transcript, corrections: dict[str, list[str]]) -> dict[str, int]:
    return Corrector(corrections).correct(made)


def correct_text(text: str, corrections: dict[str, list[str]]) -> str:
    made = transcript(text)
    correct(made, corrections)
    return made.segments[0].text


def times(words: list[Word] | None) -> list[tuple[str, float, float]]:
    return [(word.word, word.start, word.end) for word in words or []]


@pytest.mark.parametrize(
    ("heard", "text", "expected"),
    [
        pytest.param("cuban eddies", " We run Cuban Eddies.", " We run X.", id="any case"),
        pytest.param("cuban eddies", " cuban  \n\teddies", " X", id="any spaces, line ends too"),
        pytest.param("cuban eddies", " cuban\u00a0eddies", " X", id="a no-break space"),
        pytest.param(" Cuban\neddies ", " cuban eddies!", " X!", id="any spaces in the phrase"),
        pytest.param("cuban eddies", " cubaneddies, cuban-eddies, cuban, eddies", None, id="other words"),
        pytest.param("cat", " concatenate cats bobcat cat_1 cat9", None, id="parts of words"),
        pytest.param("cat", ' "cat" (cat) cat... cat/cat', ' "X" (X) X... X/X', id="marks at words"),
        pytest.param("run pod", " Run Pod's, run pod’s", " X's, X’s", id="a possessive"),
        pytest.param("openai", " l'OpenAI d’OpenAI", " l'X d’X", id="an elision"),
        pytest.param("can", " can't, CAN’T, can", " can't, CAN’T, X", id="a contraction is a word"),
        pytest.param("three", " three 3.5", " X 3.5", id="a number"),
        pytest.param("3", " 3.5 1,3 3 3.", " 3.5 1,3 X X.", id="parts of numbers"),
        pytest.param("node", " node.js node.", " node.js X.", id="a name with a full stop inside"),
        pytest.param("o'reilly", " O’Reilly, Oʼreilly", " X, X", id="apostrophes"),
        pytest.param("jean-luc", " Jean‑Luc Jean–Luc", " X X", id="hyphens"),
        pytest.param("c++", " C++ and C", " X and C", id="marks in the phrase"),
        pytest.param("strasse", " STRASSE Straße Straßen", " X X Straßen", id="ß is ss"),
        pytest.param("istanbul", " İSTANBUL Istanbul ıstanbul", " X X X", id="Turkish i"),
        pytest.param("ΟΔΟΣ", " οδος οδοσ", " X X", id="sigma at the end"),
        pytest.param("café", " CAFE\u0301 cafe", " X cafe", id="composed, found decomposed"),
        pytest.param("cafe\u0301", " Café", " X", id="decomposed, found composed"),
        pytest.param("cafe", " cafe\u0301", None, id="an accent belongs to its letter"),
        pytest.param("हिन्दी", " हिन्दी हिन्दीभाषी", " X हिन्दीभाषी", id="vowel signs belong to their word"),
        pytest.param("背景", "我爱背景。", "我爱X。", id="Chinese has no spaces"),
        pytest.param("我 爱", "我爱", "X", id="spaces in a Chinese phrase do not count"),
        pytest.param("クバネ", "クバネを使う", "Xを使う", id="Japanese"),
        pytest.param("กรุง", "ไปกรุงเทพ", "ไปXเทพ", id="Thai"),
        pytest.param("กา", "กาำ กา่", "Xำ กา่", id="Thai: a tone belongs to its letter"),
        pytest.param("gpt4", "用GPT4写", "用X写", id="a name within Chinese"),
        pytest.param("runpods", " Runpods's, the runpods' own", " X's, the X' own", id="a possessive, after an s"),
    ],
)
def test_a_phrase_matches_whole_words_in_any_form(heard: str, text: str, expected: str | None) -> None:
    assert correct_text(text, {"X": [heard]}) == (text if expected is None else expected)


@pytest.mark.parametrize(
    ("heard", "text", "expected"),
    [
        pytest.param("쿠버", " 쿠버는 쿠버가 쿠버를 쿠버와 쿠버로", " X는 X가 X를 X와 X로", id="after a vowel"),
        pytest.param("쿠버", " 쿠버의 쿠버에 쿠버에서 쿠버도 쿠버까지", " X의 X에 X에서 X도 X까지", id="after either"),
        pytest.param("쿠버", " 쿠버에서는 쿠버까지도 쿠버로는", " X에서는 X까지도 X로는", id="two particles"),
        pytest.param("쿠버", " 쿠버입니다, 쿠버예요. 쿠버라고", " X입니다, X예요. X라고", id="is, and is called"),
        pytest.param("런팟", " 런팟은 런팟이 런팟을 런팟으로 런팟과", " X은 X이 X을 X으로 X과", id="after a consonant"),
        pytest.param("서울", " 서울로 서울으로", " X로 서울으로", id="로 after ㄹ"),
        pytest.param("run pod", " Run Pod는 run pod을, run pod", " X는 X을, X", id="after Latin letters"),
        pytest.param("바나", " 바나나 바나는", " X나 X는", id="a word that ends like a particle"),
        pytest.param("런팟", " 런팟는 런팟가 런팟를 런팟와", None, id="a particle that cannot follow"),
        pytest.param("쿠버", " 쿠버네티스는 쿠버네티스", None, id="the beginning of another word"),
        pytest.param("나는 간다", " 나는 간다", " X", id="a particle within the phrase"),
        pytest.param("우리는", " 우리는 우리가", " X 우리가", id="a phrase that ends with a particle"),
    ],
)
def test_a_korean_particle_stays_behind_the_term(heard: str, text: str, expected: str | None) -> None:
    assert correct_text(text, {"X": [heard]}) == (text if expected is None else expected)


def test_a_term_with_a_korean_particle_stays_as_it_is() -> None:
    made = transcript(" 서울 시는 서울은")
    assert correct(made, {"서울 시": ["서울"]}) == {"서울 시": 1}
    assert made.segments[0].text == " 서울 시는 서울 시은"


def test_letters_that_grow_when_folded_shift_no_offset() -> None:
    text = " İİ ßß ŉ ﬃ \u0390 cat, e\u0301\u0301 dog"
    assert correct_text(text, {"X": ["cat"], "Y": ["dog"]}) == text.replace("cat", "X").replace("dog", "Y")


@pytest.mark.parametrize(
    ("corrections", "text", "expected", "counts"),
    [
        pytest.param(
            {"Cuba": ["cuban"], "Kubernetes": ["cuban eddies"]},
            " cuban eddies cuban",
            " Kubernetes Cuba",
            {"Cuba": 1, "Kubernetes": 1},
            id="the longest",
        ),
        pytest.param({"A": ["b"], "B": ["a"]}, " a b", " B A", {"A": 1, "B": 1}, id="an inserted term is not searched"),
        pytest.param({"A": ["a b", "b c"]}, " a b c", " A c", {"A": 1}, id="the first where two overlap"),
        pytest.param({"RunPod": ["runpod"]}, " runpod RunPod", " RunPod RunPod", {"RunPod": 1}, id="only what changes"),
        pytest.param(
            {"New York City": ["new york"]},
            " New York, New York City",
            " New York City, New York City",
            {"New York City": 1},
            id="not within the term itself",
        ),
        pytest.param({"A": ["x"], "B": ["X"]}, " x", " A", {"A": 1, "B": 0}, id="the first of two terms"),
        pytest.param({"A\n B": ["x", "y"]}, " x y", " A B A B", {"A\n B": 2}, id="a term over two lines"),
        pytest.param({"\\1 $0": ["x"]}, " x", " \\1 $0", {"\\1 $0": 1}, id="nothing in a term is a pattern"),
        pytest.param({"A": ["."], "B": []}, " a.b", " a.b", {"A": 0, "B": 0}, id="a mark within a word"),
        pytest.param({"A": [" ", ""]}, " x", " x", {"A": 0}, id="an empty phrase matches nothing"),
        pytest.param({}, " x", " x", {}, id="no terms"),
    ],
)
def test_which_term_is_inserted_and_how_often(
    corrections: dict[str, list[str]], text: str, expected: str, counts: dict[str, int]
) -> None:
    made = transcript(text)
    assert correct(made, corrections) == counts
    assert made.segments[0].text == expected


def test_every_format_has_the_term() -> None:
    made = transcript(" We like cuban", " eddies a lot.")
    assert correct(made, {"Kubernetes": ["cuban eddies"]}) == {"Kubernetes": 1}
    rendered = render(made, ["all"])
    assert rendered["text"] == "We like Kubernetes a lot."
    for form in ("srt", "vtt", "tsv"):
        assert "Kubernetes" in rendered[form]
        assert "eddies" not in rendered[form]
    assert [word["word"] for part in rendered["segments"] for word in part["words"]] == [
        " We",
        " like",
        " Kubernetes",
        " a",
        " lot.",
    ]


def test_a_transcript_without_segments() -> None:
    assert correct(Transcript("en", 1.0, 1.0, []), {"X": ["x"]}) == {"X": 0}


def test_one_word_for_several_has_their_time_and_mean_probability() -> None:
    made = transcript(' So "cuban eddies," he said.')
    correct(made, {"Kubernetes": ["cuban eddies"]})
    words = made.segments[0].words or []
    assert times(words)[1] == (' "Kubernetes,"', 0.5, 1.5)
    assert words[1].probability == pytest.approx((0.51 + 0.52) / 2)


def test_the_same_number_of_words_keeps_its_times() -> None:
    made = transcript(" on cuban eddies, now")
    correct(made, {"Kubernetes Engine": ["cuban eddies"]})
    assert times(made.segments[0].words) == [
        (" on", 0.0, 0.5),
        (" Kubernetes", 0.5, 1.0),
        (" Engine,", 1.0, 1.5),
        (" now", 1.5, 2.0),
    ]


def test_more_words_share_the_time_by_their_length() -> None:
    made = transcript(" a GKE. b")
    correct(made, {"Go Kubernetes": ["gke"]})
    assert times(made.segments[0].words) == [
        (" a", 0.0, 0.5),
        (" Go", 0.5, 0.6),
        (" Kubernetes.", 0.6, 1.0),
        (" b", 1.0, 1.5),
    ]


def test_a_phrase_that_spans_two_segments_moves_to_the_first_with_its_time() -> None:
    made = transcript(" we run cuban", " eddies, mostly.")
    correct(made, {"Kubernetes": ["cuban eddies"]})
    assert [(part.text, part.start, part.end) for part in made.segments] == [
        (" we run Kubernetes,", 0.0, 2.0),
        (" mostly.", 2.0, 2.5),
    ]
    assert times(made.segments[0].words)[-1] == (" Kubernetes,", 1.0, 2.0)
    assert times(made.segments[1].words) == [(" mostly.", 2.0, 2.5)]


def test_empty_segments_are_removed_and_the_others_renumbered() -> None:
    made = transcript(" new", " york", " city!", " Yes.", timed=False)
    assert correct(made, {"NYC": ["new york city"]}) == {"NYC": 1}
    assert [(part.id, part.text, part.start, part.end) for part in made.segments] == [
        (0, " NYC!", 0.0, 1.5),
        (1, " Yes.", 1.5, 2.0),
    ]
    assert [part.words for part in made.segments] == [None, None]
    assert [part.tokens for part in made.segments] == [[0], [3]]


def test_no_phrase_spans_two_channels() -> None:
    made = transcript(" A new", " a new", " york, he", " york, she", " said.")
    for number, part in enumerate(made.segments):
        part.channel = number % 2
    assert correct(made, {"NYC": ["new york"]}) == {"NYC": 2}
    assert [(part.channel, part.text) for part in made.segments] == [
        (0, " A NYC,"),
        (1, " a NYC,"),
        (0, " he"),
        (1, " she"),
        (0, " said."),
    ]


def test_segments_need_no_space_between_them() -> None:
    made = transcript("run", "pod run")
    assert correct(made, {"RunPod": ["run pod"]}) == {"RunPod": 1}
    assert [part.text for part in made.segments] == ["RunPod", " run"]


def test_a_word_that_a_phrase_covers_in_part_is_split() -> None:
    first, second = segment(0, "去背", [Word("去背", 0.0, 1.0, 0.5)]), segment(1, "景了", [Word("景了", 1.0, 2.0, 0.5)])
    made = Transcript("zh", 1.0, 2.0, [first, second])
    assert correct(made, {"北京": ["背景"]}) == {"北京": 1}
    assert [(part.text, part.end, times(part.words)) for part in made.segments] == [
        ("去北京", 1.5, [("去北京", 0.0, 1.5)]),
        ("了", 2.0, [("了", 1.5, 2.0)]),
    ]


def test_words_that_differ_from_the_text_are_corrected_too() -> None:
    """A mark that is a segment by itself belongs, in the words, to the word before it."""
    first = segment(0, "我爱背景", [Word("我爱", 0.0, 0.5, 0.5), Word("背景。", 0.5, 1.0, 0.5)])
    mark = Segment(1, 0, 1.0, 1.0, "。", [1], 0.0, -0.2, 1.0, 0.0, [])
    made = Transcript("zh", 1.0, 1.0, [first, mark])
    assert correct(made, {"北京": ["背景"]}) == {"北京": 1}
    assert [part.text for part in made.segments] == ["我爱北京", "。"]
    assert times(made.segments[0].words) == [("我爱", 0.0, 0.5), ("北京。", 0.5, 1.0)]


TERMS = ["⟦0⟧", "⟦1⟧", "⟦2⟧ ⟦2⟧"]
"""Terms that no text contains."""

said = st.sampled_from(
    ["run", "Run", "pod", "POD", "cafe\u0301", "CAFÉ", "straße", "STRASSE", "İ", "can't", "你", "好", "を", "3.5"]
)
between = st.sampled_from([" ", "  ", "\n", "", "-", ", ", ". ", "'s ", "’"])
phrases = st.lists(st.tuples(said, st.sampled_from([" ", "", "-"])), min_size=1, max_size=3).map(
    lambda pairs: "".join(word + mark for word, mark in pairs)
)
vocabularies = st.fixed_dictionaries({term: st.lists(phrases, max_size=3) for term in TERMS})


@st.composite
def transcripts(draw: st.DrawFn) -> Transcript:
    texts = draw(
        st.lists(st.lists(st.tuples(between, said), min_size=1, max_size=6).map(_joined), min_size=1, max_size=5)
    )
    return transcript(*texts)


def _joined(pairs: list[tuple[str, str]]) -> str:
    return "".join(mark + word for mark, word in pairs)


def folded(text: str) -> str:
    """A rougher form of the comparison under test."""
    plain = unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())
    return re.sub(r"\s", "", plain.replace("’", "'").replace("i\u0307", "i"))


@examples(150)
@given(transcripts(), vocabularies)
def test_only_phrases_are_replaced(made: Transcript, corrections: dict[str, list[str]]) -> None:
    before = "".join(part.text for part in made.segments)
    counts = correct(made, corrections)
    after = "".join(part.text for part in made.segments)
    assert counts == {term: after.count(term) for term in TERMS}
    pieces = re.split(f"({'|'.join(map(re.escape, TERMS))})", after)
    assert is_explained(before, pieces, {term: set(map(folded, phrases)) for term, phrases in corrections.items()})


def is_explained(before: str, pieces: list[str], heard: dict[str, set[str]]) -> bool:
    """True if `before` becomes these pieces, every second one a term, by replacing phrases."""
    ends = {0}
    for number, piece in enumerate(pieces):
        if number % 2 == 0:
            ends = {at + len(piece) for at in ends if before.startswith(piece, at)}
        else:
            rest = [(at, end) for at in ends for end in range(at + 1, len(before) + 1)]
            ends = {end for at, end in rest if folded(before[at:end]) in heard[piece]}
    return len(before) in ends


@examples(150)
@given(transcripts(), vocabularies)
def test_words_match_the_text_and_times_stay_in_order(made: Transcript, corrections: dict[str, list[str]]) -> None:
    duration = made.duration
    correct(made, corrections)
    assert [part.id for part in made.segments] == list(range(len(made.segments)))
    for part in made.segments:
        assert "".join(word.word for word in part.words or []) == part.text
        assert part.text.strip()
        inside = [part.start, *(at for word in part.words or [] for at in (word.start, word.end)), part.end]
        assert inside == sorted(inside)
    assert all(before.end <= after.start for before, after in pairwise(made.segments))
    assert made.segments[0].start == 0
    assert made.segments[-1].end == duration


@examples(100)
@given(transcripts(), vocabularies)
def test_a_second_correction_changes_nothing(made: Transcript, corrections: dict[str, list[str]]) -> None:
    correct(made, corrections)
    once = [part.to_dict() for part in made.segments]
    assert not any(correct(made, corrections).values())
    assert [part.to_dict() for part in made.segments] == once


@examples(100)
@given(transcripts(), vocabularies)
def test_the_text_is_the_same_with_and_without_words(made: Transcript, corrections: dict[str, list[str]]) -> None:
    plain = transcript(*(part.text for part in made.segments), timed=False)
    assert correct(plain, corrections) == correct(made, corrections)
    assert [part.text for part in plain.segments] == [part.text for part in made.segments]


@pytest.mark.slow
@pytest.mark.parametrize("hostile", ["almost everywhere", "random"])
def test_the_cost_grows_with_terms_and_words_but_not_with_their_product(hostile: str) -> None:
    small, large = (cpu_seconds(partial(correct, *hostile_job(hostile, terms))) for terms in (125, MAX_TERMS))
    assert large < 64 * small  # 16 times as many of both: their product is 256 times as large


def hostile_job(kind: str, terms: int) -> tuple[Transcript, dict[str, list[str]]]:
    """Long terms in a transcript of 50 words for each, and how they are heard."""
    made = random.Random(1)
    if kind == "almost everywhere":  # at each word, every term seems to begin
        heard, words = [f"{'a ' * 97}b{number}" for number in range(terms)], [" a"] * 50 * terms
    else:
        heard = ["".join(made.choices("abcdeé  ", k=200)) for _ in range(terms)]
        words = [" " + "".join(made.choices("abcdeé", k=4)) for _ in range(50 * terms)]
    segments = [
        segment(number, "".join(part), [Word(word, number, number + 1.0, 0.5) for word in part])
        for number, part in enumerate(words[at : at + 10] for at in range(0, len(words), 10))
    ]
    corrections = {f"Term {number}": [phrase[:200]] for number, phrase in enumerate(heard)}
    return Transcript("en", 1.0, float(len(words)), segments), corrections


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "said"), [("almost everywhere", " a"), ("random", " nowhere")])
def test_among_long_terms_one_that_is_said_is_corrected(kind: str, said: str) -> None:
    _, corrections = hostile_job(kind, MAX_TERMS)
    heard = corrections["Term 7"][0]
    made = transcript(said * 300, f" {heard.strip()}", said * 300)
    counts = correct(made, corrections)
    assert {term: count for term, count in counts.items() if count} == {"Term 7": 1}
    assert [part.text.strip() for part in made.segments] == [(said * 300).strip(), "Term 7", (said * 300).strip()]


@pytest.mark.slow
def test_a_large_vocabulary_is_made_ready_once_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    ready: list[int] = []
    monkeypatch.setattr(
        phrases_module,
        "AhoCorasick",
        lambda phrases, **kind: ready.append(len(phrases)) or AhoCorasick(phrases, **kind),
    )
    made = random.Random(1)
    phrases = ["".join(made.choices("abcdeéß語  ", k=200)) for _ in range(3 * 1666)]
    corrector = Corrector({f"Term {number}": phrases[number::1666] for number in range(1666)})
    for number in range(3):
        corrector.correct_alone(segment(number, " hello there", [Word(" hello there", 0.0, 1.0, 0.5)]))
    assert ready == [4 * 1666]


def test_a_segment_alone_is_corrected_in_a_copy() -> None:
    original = segment(7, " on cuban eddies", [Word(" on", 0.0, 0.5, 0.5), Word(" cuban eddies", 0.5, 1.0, 0.5)])
    assert Corrector({}).correct_alone(original) is original
    copy = Corrector({"Kubernetes": ["cuban eddies"]}).correct_alone(original)
    assert (copy.id, copy.text, original.text) == (7, " on Kubernetes", " on cuban eddies")


def test_hints_are_a_glossary() -> None:
    assert vocabulary_prompt(["RunPod", "Cuban\n eddies", "北京"]) == "Glossary: RunPod, Cuban eddies, 北京."
    assert vocabulary_prompt([]) == ""


@pytest.mark.parametrize(
    ("vocabulary", "corrections", "hints"),
    [
        ({"RunPod": "run pod"}, {"RunPod": ["run pod"]}, []),
        ({"RunPod": ["run pod", "rampart"]}, {"RunPod": ["run pod", "rampart"]}, []),
        (["RunPod", "vLLM"], {}, ["RunPod", "vLLM"]),
        ({}, {}, []),
        (None, {}, []),
    ],
)
def test_the_option_holds_corrections_or_hints(vocabulary: Any, corrections: Any, hints: Any) -> None:
    options = parse_input({"audio": "https://e.x/a.mp3", "options": {"custom_vocabulary": vocabulary}}).options
    assert options.corrections == corrections
    assert options.hints == hints


@pytest.mark.parametrize(
    ("vocabulary", "sentence"),
    [
        ("RunPod", 'should be {"term": "heard as"}, {"term": ["heard as", ...]} or ["term", ...]'),
        ({"RunPod": None}, 'should be {"term": "heard as"}'),
        ({"RunPod": []}, 'should be {"term": "heard as"}'),
        ({"RunPod": [7]}, "should be a string of 1 to 200 characters"),
        ({"RunPod": " "}, "should be a string of 1 to 200 characters"),
        ({"": "run pod"}, "should be a string of 1 to 200 characters"),
        (["x" * 201], "should be a string of 1 to 200 characters"),
        (["x"] * (MAX_TERMS + 1), "at most 2000 terms"),
        ({"x": ["y"] * MAX_PHRASES}, "5000 with what is heard"),
    ],
)
def test_a_wrong_vocabulary_is_refused_in_one_clause(vocabulary: Any, sentence: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_input({"audio": "https://e.x/a.mp3", "options": {"custom_vocabulary": vocabulary}})
    assert str(caught.value).startswith("options.custom_vocabulary: ")
    assert sentence in str(caught.value)
    assert ";" not in str(caught.value)
