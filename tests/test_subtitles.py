"""Cues: their invariants, and line breaks where a reader expects them."""

from __future__ import annotations

import io
import re
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from wcwidth import wcswidth
from whisper.utils import WriteSRT

from src.request.options import Options
from tests.support.properties import examples
from tests.support.work import MAX_LINES_UNCHECKED, counted_lines
from transcript.formats import line_breaks
from transcript.formats.cues import CLOSING_MARK, MIN_CUE_MS, OPENING_MARKS, Cue, lay_out, to_subtitles
from transcript.formats.layout import PRESETS, Layout
from transcript.formats.line_breaks import break_costs
from transcript.formats.srt_vtt_tsv import to_srt
from transcript.transcript import Segment, Word

BROADCAST = PRESETS["broadcast"]
ENGLISH = (
    "One fine day his aunt Josephine said to him: look here, no one will ever care for you if you carry on like this. "
    "The young rat coughed to look wise, as usual, but said nothing. Don't you think so? No. In 1963 President John F. "
    "Kennedy met Dr. Martin Luther King at the White House, where 25 people had waited for well-known guests."
)


def segment(text: str, start: float, end: float, words: list[Word] | None = None) -> Segment:
    return Segment(0, 0, start, end, text, [], 0.0, -0.1, 1.0, 0.01, words)


def spoken(text: str, start: float = 0.0, pace: float = 0.06) -> Segment:
    """A segment with words as Whisper has them; each takes `pace` seconds per character."""
    words = []
    for part in re.findall(r"\s*[^\W\d_\u0e00-\u9fff]+\S*|\s*\S" if not text.isascii() else r"\s*\S+", text):
        words.append(Word(part, round(start, 2), round(start + pace * len(part), 2), 0.9))
        start = words[-1].end
    return segment(text, words[0].start, start, words)


def lines(cues: list[Cue]) -> list[list[str]]:
    return [cue.text.split("\n") for cue in cues]


def bare(text: str) -> str:
    """The text without spaces, which line breaks replace, and without marks of direction."""
    return "".join(re.sub(f"[{OPENING_MARKS}{CLOSING_MARK}]", "", text).replace("\0", "\ufffd").split())


def columns(line: str) -> int:
    return max(0, wcswidth(line))


some_words = st.sampled_from(
    [
        *ENGLISH.split(),
        "Donaudampfschifffahrtsgesellschaftskapitänsmütze",
        "?",
        "»",
        "(",
        "-",
        "25",
        "%",
        "e\u0301",
        "שלום",
        "🇩🇪",
    ]
)
spaced = st.lists(some_words, min_size=1, max_size=12).map(lambda words: "".join(" " + word for word in words))
unspaced = st.text(st.sampled_from("東京都のラーメン、。「」ーっ今天我们สวัสดี 12"), min_size=1, max_size=30)
anything = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=12)
times = st.floats(0.0, 60.0)


@st.composite
def segments(draw: st.DrawFn) -> list[Segment]:
    """Segments in order or not, with their own words, the words of another text, or none."""
    made: list[Segment] = []
    for text in draw(st.lists(spaced | unspaced | anything, max_size=5)):
        start = draw(times) if draw(st.integers(0, 9)) == 0 else (made[-1].end if made else 0.0) + draw(st.floats(0, 4))
        new = (
            spoken(text, start, draw(st.sampled_from([0.0, 0.02, 0.06, 0.5])))
            if text.strip()
            else segment(text, start, 1.0)
        )
        kind = draw(st.sampled_from(["words", "words", "none", "empty", "others", "wild"]))
        if kind == "wild":
            for word in new.words or []:
                word.start, word.end = draw(times), draw(times)
        elif kind != "words":
            new.words = {"none": None, "empty": [], "others": [Word(" other", 0.0, 1.0, 0.5)]}[kind]
        made.append(new)
    return made


layouts = st.builds(
    Layout,
    max_line_width=st.none() | st.integers(2, 50) | st.just(1000),
    max_line_count=st.none() | st.integers(1, 3) | st.just(100),
    max_words_per_line=st.none() | st.integers(1, 6) | st.just(1000),
    min_cue_duration=st.none() | st.floats(0, 2),
    max_cue_duration=st.none() | st.floats(2, 8) | st.just(600.0),
    min_cue_gap=st.none() | st.floats(0, 0.5) | st.just(10.0),
    max_chars_per_second=st.none() | st.floats(5, 40) | st.just(1.0),
)
languages = st.sampled_from(["en", "de", "ja", "zh", "ar", "th", "pl"])


@examples(250)
@given(segments(), layouts, languages)
@example([spoken(ENGLISH)], BROADCAST, "en")
def test_cues_keep_to_the_layout_and_lose_no_text(made, layout, language):
    cues = lay_out(made, layout, language)
    assert bare("".join(cue.text for cue in cues)) == bare("".join(segment.text for segment in made))
    gap = round(1000 * (layout.min_cue_gap or 0))
    for cue, following in pairwise([*cues, None]):
        assert cue is not None
        room = following.start - gap - cue.start if following else 10**9
        assert cue.end - cue.start >= MIN_CUE_MS
        assert following is None or cue.end <= following.start - (gap if room >= MIN_CUE_MS else 0)
        needed = max(
            layout.min_cue_duration or 0, columns(cue.text.replace("\n", " ")) / (layout.max_chars_per_second or 1e9)
        )
        longest = layout.limits.max_ms / 1000  # 30 s where neither a limit nor the segments bound a cue
        assert cue.end - cue.start <= round(1000 * longest)
        assert cue.end - cue.start >= min(round(1000 * min(needed, longest)) - 1, max(room, MIN_CUE_MS))
        shown = cue.text.split("\n")
        assert len(shown) <= (layout.max_line_count or (1 if layout.max_line_width is None else len(shown)))
        for line in shown:
            assert line.strip()
            assert columns(line) <= (layout.max_line_width or 10**9)
            assert sum(word in ENGLISH.split() for word in line.split()) <= (layout.max_words_per_line or 10**9)
        pieces = [piece for line in cue.lines for piece in line]
        assert all(cue.start <= piece.start <= piece.end <= cue.end for piece in pieces)
        assert all(before.end <= after.start for before, after in pairwise(pieces))


EXTREME_LAYOUTS = [
    Layout(max_line_width=1000, max_line_count=100, max_cue_duration=600.0),
    Layout(max_line_width=200, max_line_count=100, max_cue_duration=600.0),
    Layout(max_line_width=40, max_line_count=100, max_cue_duration=600.0),
    Layout(max_line_width=1000, max_line_count=100, max_words_per_line=1, max_cue_duration=600.0),
    Layout(1000, 100, None, False, 60.0, 600.0, 10.0, 1.0),
    Layout(max_words_per_line=1000, max_cue_duration=25.0),
    Layout(max_line_width=80, max_line_count=2),
    Layout(max_line_width=60, max_line_count=3),
    Layout(max_line_width=42, max_cue_duration=25.0),
    Layout(max_line_width=1),
]


def speech(words: int, pace: float = 0.06) -> list[Segment]:
    """Dense speech without a pause, in segments of twelve words."""
    said = (ENGLISH.split() * (words // 50 + 1))[:words]
    made: list[Segment] = []
    for at in range(0, words, 12):
        made.append(spoken(" " + " ".join(said[at : at + 12]), made[-1].end if made else 0.0, pace))
    return made


@pytest.mark.slow
@pytest.mark.parametrize("layout", EXTREME_LAYOUTS, ids=str)
def test_whatever_the_limits_the_work_of_a_layout_grows_with_the_words_alone(layout):
    work = {}
    for words in (1_000, 4_000):
        made = speech(words)
        with counted_lines() as lines:
            lay_out(made, layout, "en")
        work[words] = lines.run / words
    assert work[4_000] < 1.2 * work[1_000]
    assert work[4_000] < 1_500


@pytest.mark.slow
@pytest.mark.parametrize("layout", EXTREME_LAYOUTS, ids=str)
def test_an_hour_is_laid_out_within_any_limits(layout):
    made = speech(9_000)
    cues = lay_out(made, layout, "en")
    assert bare("".join(cue.text for cue in cues)) == bare("".join(segment.text for segment in made))
    for cue in cues:
        assert len(cue.lines) <= (layout.max_line_count or 10**9)
        assert all(len(line) <= (layout.max_line_width or 10**9) for line in cue.text.split("\n"))
        assert cue.end - cue.start <= 1000 * (layout.max_cue_duration or 10**9)


@pytest.mark.slow
@pytest.mark.parametrize("layout", [Layout(), BROADCAST, *EXTREME_LAYOUTS], ids=str)
def test_a_layout_looks_often_whether_to_go_on(layout):
    made, looks = speech(4_000), [0]
    with counted_lines() as lines:
        lay_out(made, layout, "en", check=lambda: looks.append(lines.run))
    assert max(after - before for before, after in pairwise([*looks, lines.run])) < MAX_LINES_UNCHECKED


def test_a_layout_is_ended_by_its_check():
    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        lay_out(speech(12), BROADCAST, "en", check=stop)


def test_long_japanese_has_the_same_phrases_as_when_searched_at_once(monkeypatch):
    text = "しかもあとで聞くとそれは書生という人間中で一番獰悪な種族であったそうだ。" * 5
    expected = break_costs(list(text), "ja")
    for stretch in (1, 7, 50):
        monkeypatch.setattr(line_breaks, "_BUDOUX_STRETCH", stretch)
        assert break_costs(list(text), "ja") == expected


def test_highlighted_words_do_not_multiply_a_text_without_bound():
    layout = Layout(max_line_width=1000, max_line_count=100, max_cue_duration=600.0, highlight_words=True)
    cues = lay_out(speech(2_000), layout, "en")
    assert max(cue.end - cue.start for cue in cues) <= 30_000
    assert max(len(cue.lines) for cue in lay_out(speech(200), Layout(1, highlight_words=True), "en")) <= 32


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            " In the winter, the water froze and nobody could cross the bridge.",
            [["In the winter, the water froze", "and nobody could cross the bridge."]],
            id="before a conjunction, lines of like length",
        ),
        pytest.param(
            " The first room on the left is the kitchen.",
            [["The first room on the left is the kitchen."]],
            id="one line",
        ),
        pytest.param(
            " The house was built by a farmer and his family. They carried every stone from the river with two horses.",
            [
                ["The house was built", "by a farmer and his family."],
                ["They carried every stone", "from the river with two horses."],
            ],
            id="cues end with sentences",
        ),
        pytest.param(
            " We heard that afternoon how old Mr. Hale had bought shares of the Bank of England.",
            [["We heard that afternoon how old Mr. Hale", "had bought shares of the Bank of England."]],
            id="titles and names",
        ),
        pytest.param(
            " The workers of this town had been paid about 3 million dollars on July 4, 1963.",
            [["The workers of this town had been paid", "about 3 million dollars on July 4, 1963."]],
            id="numbers",
        ),
        pytest.param(
            " Est-ce que vous savez vraiment pourquoi le président a décidé cela ? Personne ne le sait !",
            [["Est-ce que vous savez vraiment", "pourquoi le président a décidé cela ?"], ["Personne ne le sait !"]],
            id="French marks",
        ),
        pytest.param(
            " - Are you coming with us today? - No, I would rather stay at home with my mother.",
            [["- Are you coming with us today?"], ["- No, I would rather stay", "at home with my mother."]],
            id="dashes of a dialogue",
        ),
    ],
)
def test_lines_end_where_a_reader_expects_it(text, expected):
    assert lines(lay_out([spoken(text)], BROADCAST, "fr" if "é" in text else "en")) == expected


@pytest.mark.parametrize("width", range(26, 50))
def test_names_stay_in_one_line(width):
    text = (
        " Yesterday President John F. Kennedy met with Dr. Martin Luther King Jr. at the White House, to talk about "
        "the Bank of England and George Bernard Shaw, whom Mary Ann Evans and Mr. Hale had heard of."
    )
    cues = lay_out([spoken(text)], Layout(max_line_width=width, max_line_count=2), "en")
    shown = [line for cue in lines(cues) for line in cue]
    for name in (
        "John F. Kennedy",
        "Dr. Martin Luther",
        "Luther King",
        "White House",
        "Bank of England",
        "Bernard Shaw",
    ):
        assert any(name in line for line in shown)


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        pytest.param(
            "ja",
            "しかもあとで聞くとそれは書生という人間中で一番獰悪な種族であったそうだ。「この書生というのは時々我々を捕えて煮て食う」という話である。",
            [
                ["しかもあとで聞くとそれは書生という", "人間中で一番獰悪な種族であったそうだ。"],
                ["「この書生というのは時々我々を", "捕えて煮て食う」という話である。"],
            ],
            id="Japanese",
        ),
        pytest.param(
            "zh",
            "《人民日报》报道说，这项技术将会“改变世界”，并且影响很多人的生活。",
            [["《人民日报》报道说，这项技术将会", "“改变世界”，并且影响很多人的生活。"]],
            id="Chinese",
        ),
        pytest.param(
            "th",
            "วันนี้อากาศดีมาก เราไปเที่ยวสวนสาธารณะกันเถอะแล้วค่อยไปกินข้าว",
            [["วันนี้อากาศดีมาก", "เราไปเที่ยวสวนสาธารณะกันเถอะแล้วค่อยไปกินข้าว"]],
            id="Thai",
        ),
    ],
)
def test_text_without_spaces_breaks_between_phrases(language, text, expected):
    assert lines(lay_out([spoken(text)], BROADCAST, language)) == expected


@pytest.mark.parametrize("width", range(8, 44, 2))
def test_no_line_begins_or_ends_with_the_wrong_mark(width):
    """JIS X 4051; and no Thai vowel sign begins a line, although Whisper may return it as a word."""
    texts = [
        "「ラーメン」、「うどん」、それから（もちろん）「そば」を食べました。どうですか？",
        "他说：“这项技术（人工智能）将会改变世界”。",
    ]
    for text, language in zip([*texts, "สวัสดีครับวันนี้อากาศดีมาก"], ["ja", "zh", "th"], strict=True):
        for cue in lines(lay_out([spoken(text)], Layout(max_line_width=width, max_line_count=2), language)):
            for line in cue:
                assert line[0] not in "、。」）？”ーっゃ，：ัี้"
                assert line[-1] not in "「（“"


def test_a_full_width_character_takes_two_columns():
    cues = lay_out([spoken("今天我们去北京大学参观图书馆")], Layout(max_line_width=16), "zh")
    assert all(len(line) <= 8 for cue in lines(cues) for line in cue)


@pytest.mark.parametrize("width", range(8, 30, 2))
def test_chinese_words_stay_whole(width):
    text = "我们今天要去北京大学的图书馆参观展览然后在附近的餐厅吃饭"
    shown = lay_out([spoken(text)], Layout(max_line_width=width, max_line_count=2), "zh")
    for word in ("北京大学", "图书馆", "参观", "展览", "然后", "附近的", "餐厅", "吃饭"):
        assert any(word in line for cue in lines(shown) for line in cue)


def test_chinese_segments_without_punctuation_stay_apart():
    made = [spoken("大家好", 0.0, 0.2), spoken("欢迎收看", 0.7, 0.2)]
    assert lines(lay_out(made, BROADCAST, "zh")) == [["大家好", "欢迎收看"]]
    one_line = Layout(max_line_width=42, max_line_count=1, min_cue_duration=3.0)
    assert lines(lay_out(made, one_line, "zh")) == [["大家好 欢迎收看"]]


def test_lines_of_right_to_left_text_keep_its_direction():
    text = " OpenAI هي شركة أمريكية متخصصة في الذكاء الاصطناعي، وقد أطلقت نموذج Whisper للتعرف على الكلام."
    shown = [line for cue in lines(lay_out([spoken(text)], BROADCAST, "ar")) for line in cue]
    assert len(shown) > 2
    assert all(line.startswith(OPENING_MARKS) and line.endswith(CLOSING_MARK) for line in shown)
    assert " ".join(line[len(OPENING_MARKS) : -len(CLOSING_MARK)] for line in shown) == text.strip()  # as spoken


@pytest.mark.parametrize(
    ("language", "text", "marked"),
    [
        ("he", "- שלום, מה שלומך?", True),
        ("he", "YouTube הוא אתר.", True),
        ("yi", "אַ גוטן טאָג!", True),
        ("ar", "أعمل في Google", True),
        ("fa", "۵۰ درصد.", True),
        ("ur", "شکریہ۔", True),
        ("he", "OK, thanks.", False),
        ("ar", "50%.", False),
        ("en", "Shalom is שלום.", False),
    ],
)
def test_marks_of_direction_are_around_lines_with_letters_of_such_a_script(language: str, text: str, marked: bool):
    shown = f"{OPENING_MARKS}{text}{CLOSING_MARK}" if marked else text
    cue = spoken(f" {text}")
    for layout in (Layout(), BROADCAST):
        assert lines(to_subtitles([cue], layout, language)) == [[shown]]


def test_a_word_wider_than_a_line_is_split_between_characters():
    family = "👨‍👩‍👧"
    assert lines(lay_out([spoken(" Donaudampfschiff éa" + family)], Layout(max_line_width=5), "de")) == [
        ["Donau", "dampf", "schif", "f", "éa" + family]
    ]


def test_no_cue_spans_two_segments_unless_width_and_lines_are_given():
    made = [
        spoken(" And so my fellow Americans,", 0.0),
        spoken(" ask not what", 2.0),
        spoken(" your country can do.", 3.0),
    ]
    for layout in (
        Layout(highlight_words=True),
        Layout(max_line_width=42),
        Layout(max_line_count=2),
        Layout(min_cue_gap=0.1),
    ):
        assert [cue.text for cue in lay_out(made, layout, "en")] == [segment.text.strip() for segment in made]
    assert lines(lay_out(made, BROADCAST, "en")) == [
        ["And so my fellow Americans,", "ask not what your country can do."]
    ]


def test_no_cue_spans_a_long_pause():
    """Not even for a name."""
    layout = Layout(max_line_width=42, max_line_count=2)
    for pause, expected in ((2.9, [["George Washington."]]), (3.1, [["George"], ["Washington."]])):
        words = [Word(" George", 0.0, 0.4, 0.9), Word(" Washington.", 0.4 + pause, 1.0 + pause, 0.9)]
        assert lines(lay_out([segment(" George Washington.", 0.0, 5.0, words)], layout, "en")) == expected


def test_cues_split_at_pauses():
    """Even if the sentence would fit into one cue."""
    made = [spoken(" The walls shook"), spoken(" and the roof fell in.", 2.9)]
    assert lines(lay_out(made, BROADCAST, "en")) == [["The walls shook"], ["and the roof fell in."]]


def test_words_in_a_line():
    cues = lay_out([spoken(" She kept all of his letters in a blue box.")], Layout(max_words_per_line=4), "en")
    assert lines(cues) == [["She kept all"], ["of his letters"], ["in a blue box."]]


def test_a_short_cue_stays_until_it_is_read_or_the_next_one_starts():
    made = [spoken(" No.", 0.0), spoken(" That is not quite what I had meant by it.", 0.5, pace=0.03)]
    layout = Layout(min_cue_duration=0.83, min_cue_gap=0.08, max_chars_per_second=20.0)
    first, second = lay_out(made, layout, "en")
    assert (first.start, first.end) == (0, 420)  # spoken until 240
    assert (second.start, second.end) == (500, 500 + 41 * 50)
    assert lay_out(made[:1], layout, "en")[0].end == 830


def test_a_segment_without_words_gets_times_by_the_length_of_its_text():
    [cue] = lay_out([segment("One three, eleven.", 1.0, 2.8)], Layout(max_line_width=42), "en")
    assert [(piece.text, piece.start, piece.end) for piece in cue.lines[0]] == [
        ("One", 1000, 1300),
        (" three,", 1300, 2000),
        (" eleven.", 2000, 2800),
    ]


def test_words_that_differ_from_the_text_do_not_replace_it():
    differing = segment(
        " Nürnberg is nice.", 0.0, 2.0, [Word(" Nuremberg", 0.0, 1.0, 0.5), Word(" is nice.", 1.0, 2.0, 0.9)]
    )
    assert [cue.text for cue in lay_out([differing], BROADCAST, "en")] == ["Nürnberg is nice."]


def test_highlighted_words_are_those_of_openai_whisper():
    made = [spoken(ENGLISH[:60]), spoken(" And then, after a while:", 6.5), spoken(" silence.", 9.0)]
    made[0].words[3].end -= 0.1  # a pause within
    written = io.StringIO()
    WriteSRT("").write_result({"segments": [segment.to_dict() for segment in made]}, written, {"highlight_words": True})
    assert to_srt(lay_out(made, Layout(highlight_words=True), "en"), True) == written.getvalue()[:-1]


def test_options_override_the_broadcast_preset():
    layout = Options(subtitle_preset="broadcast", max_line_width=30, min_cue_gap=0.0).layout
    assert (layout.max_line_width, layout.max_line_count, layout.min_cue_gap) == (30, 2, 0.0)
    assert layout.needs_words
    assert not Options().layout.needs_words


def test_the_shortest_cue_may_not_be_longer_than_the_longest():
    with pytest.raises(ValueError, match="min_cue_duration is longer than max_cue_duration"):
        Options(subtitle_preset="broadcast", min_cue_duration=8.0)
