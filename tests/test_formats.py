"""The output formats, read back by independent parsers."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from math import ceil

import lemony_lrc_parser as lrc
import pysubs2
import pytest
import srt
import webvtt
from hypothesis import example, given
from hypothesis import strategies as st
from openai.types.audio import TranscriptionVerbose

from transcript.formats.cues import CLOSING_MARK, OPENING_MARKS
from transcript.formats.layout import PRESETS, Layout
from transcript.formats.render import OUTPUT_FORMATS, PLAIN, render
from transcript.transcript import Segment, Transcript, Word

MAX_SECONDS = 400_000.0
"""Past 100 hours, so that the hours need a third digit."""

LINE_BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"

SPECIAL = ["-->", "--->", "<b>", "</i>", "&amp;", "&", "\t", " ", '"', "1", "00:00:01,000 --> 00:00:02,000", "WEBVTT"]
"""Markup of subtitles, and text that looks like it."""


def segment(start: float, end: float, text: str, words: list[Word] | None = None) -> Segment:
    return Segment(
        id=0,
        seek=0,
        start=start,
        end=end,
        text=text,
        tokens=[],
        temperature=0.0,
        avg_logprob=-0.1,
        compression_ratio=1.0,
        no_speech_prob=0.01,
        words=words,
    )


def rendered(made: Transcript, form: str, layout: Layout = PLAIN) -> str:
    return render(made, [form], layout)[form]


def transcript(*segments: Segment) -> Transcript:
    return Transcript(language="en", language_probability=1.0, duration=MAX_SECONDS, segments=list(segments))


def normal(text: str) -> str:
    """The part of `text` that every parser keeps: its words, with one space between them."""
    return " ".join(text.replace("\0", "\ufffd").split())


def milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def expected(made: Transcript) -> list[tuple[int, int, str]]:
    """Start and end in ms and words of each segment with text."""
    return [
        (milliseconds(part.start), max(milliseconds(part.start), milliseconds(part.end)), normal(part.text))
        for part in made.segments
        if normal(part.text)
    ]


times = st.floats(min_value=0.0, max_value=MAX_SECONDS)
any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
hard_text = st.lists(st.sampled_from([*SPECIAL, *LINE_BREAKS, "\r\n", "\0", "word"]), max_size=8).map("".join)
transcripts = st.lists(st.builds(segment, times, times, any_text | hard_text), max_size=6).map(
    lambda segments: transcript(*segments)
)


@given(transcripts)
@example(transcript(segment(0.0, 1.0, "a ---> b"), segment(1.0, 2.0, "\n2\n00:00:05,000 --> 00:00:06,000\nc")))
def test_srt_is_read_back(made):
    found = list(srt.parse(rendered(made, "srt")))
    assert [cue.index for cue in found] == list(range(1, len(found) + 1))
    assert [
        (cue.start // timedelta(milliseconds=1), cue.end // timedelta(milliseconds=1), normal(cue.content))
        for cue in found
    ] == [(start, end, re.sub("-{2,}>", "->", text)) for start, end, text in expected(made)]


@given(transcripts)
@example(transcript(segment(0.0, 1.0, "a --> b & <i>c</i> &lt;"), segment(1.0, 2.0, "NOTE\n\nSTYLE")))
def test_vtt_is_read_back(made):
    found = webvtt.from_string(rendered(made, "vtt"))
    # `raw_text`, because `text` omits anything that looks like a tag: here nothing may.
    assert [
        (
            cue.start_time.in_milliseconds(),
            cue.end_time.in_milliseconds(),
            normal(html.unescape(cue.raw_text)),
        )
        for cue in found.captions
    ] == expected(made)


@given(transcripts)
def test_tsv_is_read_back(made):
    header, *rows = csv.reader(io.StringIO(rendered(made, "tsv")), delimiter="\t", quoting=csv.QUOTE_NONE)
    assert header == ["start", "end", "text"]
    assert [(int(start), int(end), normal(text)) for start, end, text in rows] == expected(made)


@given(transcripts)
def test_each_cue_is_one_block_for_every_reader(made):
    """No parser finds more lines than were written, whatever it counts as a line break."""
    count = len(expected(made))
    assert len(rendered(made, "srt").splitlines()) == max(0, 4 * count - 1)
    assert len(rendered(made, "vtt").splitlines()) == 2 + max(0, 3 * count - 1)
    assert len(rendered(made, "tsv").splitlines()) == 1 + count


@given(transcripts)
def test_the_arrow_is_in_timing_lines_only(made):
    count = len(expected(made))
    assert rendered(made, "srt").count("-->") == count
    assert rendered(made, "vtt").count("-->") == count


@pytest.mark.parametrize(
    ("segments", "expected_srt", "expected_vtt", "expected_tsv"),
    [
        pytest.param([], "", "WEBVTT\n\n", "start\tend\ttext\n", id="no segments"),
        pytest.param(
            [segment(0.0, 1.5, " Hello."), segment(1.5, 3723.0004, " Good bye. ")],
            "1\n00:00:00,000 --> 00:00:01,500\nHello.\n\n2\n00:00:01,500 --> 01:02:03,000\nGood bye.\n",
            "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nHello.\n\n00:00:01.500 --> 01:02:03.000\nGood bye.\n",
            "start\tend\ttext\n0\t1500\tHello.\n1500\t3723000\tGood bye.\n",
            id="two segments",
        ),
        pytest.param(
            [segment(0.0, 1.0, " \n\u2028"), segment(1.0, 2.0, "Words"), segment(2.0, 3.0, "")],
            "1\n00:00:01,000 --> 00:00:02,000\nWords\n",
            "WEBVTT\n\n00:00:01.000 --> 00:00:02.000\nWords\n",
            "start\tend\ttext\n1000\t2000\tWords\n",
            id="segments without text",
        ),
        pytest.param(
            [segment(0.9996, 0.5, "a --> b\tR&D\n\n<b>")],
            "1\n00:00:01,000 --> 00:00:01,000\na -> b\tR&D <b>\n",
            "WEBVTT\n\n00:00:01.000 --> 00:00:01.000\na --&gt; b\tR&amp;D &lt;b&gt;\n",
            "start\tend\ttext\n1000\t1000\ta --> b R&D <b>\n",
            id="markup, a tab, a blank line, an end before its start",
        ),
        pytest.param(
            [segment(0.0, 1.0, "nul\0here")],
            "1\n00:00:00,000 --> 00:00:01,000\nnul\ufffdhere\n",
            "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nnul\ufffdhere\n",
            "start\tend\ttext\n0\t1000\tnul\ufffdhere\n",
            id="NUL",
        ),
        pytest.param(
            [segment(359999.9995, 400000.0, "Größe 你好")],
            "1\n100:00:00,000 --> 111:06:40,000\nGröße 你好\n",
            "WEBVTT\n\n100:00:00.000 --> 111:06:40.000\nGröße 你好\n",
            "start\tend\ttext\n360000000\t400000000\tGröße 你好\n",
            id="more than 99 hours",
        ),
    ],
)
def test_exact_output(segments, expected_srt, expected_vtt, expected_tsv):
    made = transcript(*segments)
    assert rendered(made, "srt") == expected_srt
    assert rendered(made, "vtt") == expected_vtt
    assert rendered(made, "tsv") == expected_tsv


KEYS = {
    "text": {"text"},
    "srt": {"text", "srt"},
    "vtt": {"text", "vtt"},
    "tsv": {"text", "tsv"},
    "lrc": {"text", "lrc"},
    "ass": {"text", "ass"},
    "ttml": {"text", "ttml", "cue_report"},
    "stl": {"text", "stl", "cue_report"},
    "rttm": {"text", "rttm"},
    "json": {"text", "language", "segments"},
    "verbose_json": {"text", "verbose_json"},
    "all": {"text", "language", "segments", "srt", "vtt", "tsv"},
}


def spoken(*texts: str, start: float = 1.0) -> Transcript:
    """Segments with words of a tenth of a second per character, without pauses; half a second between segments."""
    made = []
    for text in texts:
        words = []
        for word in re.findall(r"\s*\S+", text):
            words.append(Word(word, start, round(start + len(word) / 10, 2), 0.9))
            start = words[-1].end
        made.append(segment(words[0].start, start, text, words))
        start += 0.5
    return transcript(*made)


HELLO = spoken(" Hello there, R&D.", " How do you do <today>?")


def test_every_format_is_expected_here():
    assert set(OUTPUT_FORMATS) == set(KEYS)


@pytest.mark.parametrize("output_format", OUTPUT_FORMATS)
def test_render_gives_the_keys_of_the_format(output_format):
    found = render(HELLO, [output_format])
    assert set(found) == KEYS[output_format]
    json.dumps(found)


def test_several_formats_give_the_keys_of_each():
    found = render(HELLO, ["lrc", "verbose_json", "json"])
    assert set(found) == {"text", "lrc", "verbose_json", "language", "segments"}
    assert all(
        render(HELLO, [name])[key] == found[key] for name in ("lrc", "verbose_json", "json") for key in KEYS[name]
    )


def test_render_all_in_full():
    words = [Word(" Hi.", 0.0, 0.5, 0.9)]
    made = transcript(segment(0.0, 1.0, " Hi.", words), segment(1.0, 2.0, " You?"))
    found = render(made, ["all"])
    assert found["text"] == "Hi. You?"
    assert found["language"] == "en"
    assert found["segments"] == [part.to_dict() for part in made.segments]
    assert found["segments"][0]["words"] == [{"word": " Hi.", "start": 0.0, "end": 0.5, "probability": 0.9}]
    assert "words" not in found["segments"][1]


def test_an_unknown_format_is_a_key_error():
    with pytest.raises(KeyError):
        render(transcript(), ["docx"])


def test_a_layout_shapes_subtitles_but_not_the_rows_of_a_table():
    layout = Layout(max_line_width=12, max_line_count=1)
    shown = [cue.content for cue in srt.parse(rendered(HELLO, "srt", layout))]
    assert shown == ["Hello there,", "R&D.", "How do you", "do <today>?"]
    assert [cue.raw_text for cue in webvtt.from_string(rendered(HELLO, "vtt", layout)).captions][1] == "R&amp;D."
    assert rendered(HELLO, "tsv", layout) == rendered(HELLO, "tsv")


def test_highlighted_words_follow_each_other_without_a_gap():
    made = spoken(" Ink & pens.", " And so on.")
    made.segments[0].words[1].end -= 0.05
    layout = Layout(max_line_width=42, max_line_count=2, highlight_words=True)
    subtitles = list(srt.parse(rendered(made, "srt", layout)))
    assert [cue.content for cue in subtitles] == [
        "<u>Ink</u> & pens.\nAnd so on.",
        "Ink <u>&</u> pens.\nAnd so on.",
        "Ink & pens.\nAnd so on.",
        "Ink & <u>pens.</u>\nAnd so on.",
        "Ink & pens.\nAnd so on.",
        "Ink & pens.\n<u>And</u> so on.",
        "Ink & pens.\nAnd <u>so</u> on.",
        "Ink & pens.\nAnd so <u>on.</u>",
    ]
    assert all(before.end == after.start for before, after in pairwise(subtitles))
    found = webvtt.from_string(rendered(made, "vtt", layout))
    assert [html.unescape(cue.raw_text) for cue in found.captions] == [cue.content for cue in subtitles]


ass_text = st.lists(
    st.sampled_from(["{\\b1}", "\\N", "}", "{", "\\", "Dialogue: 0,", ",", "word", *LINE_BREAKS]), max_size=8
)


@given(
    st.lists(st.builds(segment, st.floats(0, 9000), st.floats(0, 9000), any_text | ass_text.map("".join)), max_size=4)
)
@example([segment(0.0, 1.0, " a {\\k10} b \\N c")])
def test_ass_is_read_back(segments):
    made = transcript(*segments)
    read = pysubs2.SSAFile.from_string(rendered(made, "ass"), format_="ass")
    marks = str.maketrans("{}\\", "｛｝＼")
    assert [normal(event.plaintext) for event in read] == [text.translate(marks) for _, _, text in expected(made)]
    assert all(event.duration >= 10 for event in read)
    assert all(before.end <= after.start for before, after in pairwise(read))


def test_ass_highlights_words_as_they_are_spoken():
    made = spoken(" Hello there, old friend.")
    made.segments[0].words[1].end -= 0.3
    read = pysubs2.SSAFile.from_string(rendered(made, "ass", Layout(max_line_width=12, max_line_count=2)))
    [event] = read.events
    assert event.text == r"{\k60}Hello{\k40} there,\N{\k30}{\k40}old{\k80} friend."
    assert (event.start, event.end, event.plaintext) == (1000, 3500, "Hello there,\nold friend.")
    assert read.styles["Default"].encoding == 1


def test_ass_has_no_karaoke_without_words_and_takes_the_text_direction_from_its_letters():
    made = transcript(segment(0.0, 1.0, " שלום"))
    read = pysubs2.SSAFile.from_string(rendered(replace(made, language="he"), "ass"))
    assert read.events[0].text == f"{OPENING_MARKS}שלום{CLOSING_MARK}"
    assert read.styles["Default"].encoding == -1
    translated = rendered(replace(made, language="he", task="translate"), "ass")
    assert pysubs2.SSAFile.from_string(translated).styles["Default"].encoding == 1


lrc_text = st.lists(st.sampled_from(["[00:01.00]", "<00:02.50>", "[ti:x]", "[offset:5]", "word", "<", "]"]), max_size=6)


@given(st.lists(st.builds(segment, st.floats(0, 9000), st.floats(0, 9000), lrc_text.map(" ".join)), max_size=4))
def test_lrc_is_read_back(segments):
    made = transcript(*segments)
    read = lrc.loads(rendered(made, "lrc"))
    escaped = [re.sub(r"[\[<](\d+:[\d.]+)[\]>]", r"(\1)", text) for _, _, text in expected(made)]
    assert [normal(line.text) for line in read] == escaped
    assert read.metadata["length"] == "6666:40"
    assert all(before.start < after.start for before, after in pairwise(read))


def test_lrc_has_the_time_of_each_word_if_there_are_any():
    made = spoken(" Hello there, old friend.", " 5 < 7.", start=3599.5)
    layout = Layout(max_line_width=14)
    assert rendered(made, "lrc", layout) == (
        "[length:6666:40]\n"
        "[59:59.50]<59:59.50>Hello <60:00.10>there,<60:00.80>\n"
        "[60:00.80]<60:00.80>old <60:01.20>friend.<60:02.00>\n"
        "[60:02.50]<60:02.50>5 <60:02.70>< <60:02.90>7.<60:03.20>\n"
    )
    read = lrc.loads(rendered(made, "lrc", layout))
    assert [normal(line.text) for line in read] == ["Hello there,", "old friend.", "5 < 7."]
    assert [word.start for word in read[0]] == [3_599_500, 3_600_100]


def test_verbose_json_is_openais():
    """Their own client reads it; nothing is missing and nothing has another type."""
    found = render(HELLO, ["verbose_json"])["verbose_json"]
    read = TranscriptionVerbose.model_validate(found, strict=True)
    assert read.model_dump(exclude_none=True) == found
    assert (read.language, read.duration, read.text) == ("english", MAX_SECONDS, HELLO.text)
    assert [(part.text, part.start, part.end) for part in read.segments] == [
        (part.text, part.start, part.end) for part in HELLO.segments
    ]
    assert [word.word for word in read.words] == ["Hello", "there,", "R&D.", "How", "do", "you", "do", "<today>?"]


def test_verbose_json_has_words_only_if_they_are_asked_for():
    found = render(HELLO, ["verbose_json", "json"], words=False)
    assert TranscriptionVerbose.model_validate(found["verbose_json"], strict=True).words is None
    assert not any("words" in part for part in found["segments"] + found["verbose_json"]["segments"])


@pytest.mark.parametrize(
    ("duration", "seconds"), [(0.2, 1), (9.00006, 9), (8.47, 9), (9.0, 9), (MAX_SECONDS, ceil(MAX_SECONDS))]
)
def test_usage_is_the_duration_rounded_up(duration, seconds):
    found = render(replace(HELLO, duration=duration), ["verbose_json"])["verbose_json"]
    assert found["usage"] == {"type": "duration", "seconds": seconds}


def test_verbose_json_of_a_translation_is_english():
    found = render(replace(HELLO, language="de", task="translate"), ["verbose_json"])["verbose_json"]
    assert (found["task"], found["language"]) == ("translate", "english")
    assert render(replace(HELLO, language="haw"), ["verbose_json"])["verbose_json"]["language"] == "hawaiian"


def test_verbose_json_without_speech():
    read = TranscriptionVerbose.model_validate(render(transcript(), ["verbose_json"])["verbose_json"], strict=True)
    assert (read.text, read.segments, read.words) == ("", [], [])


@pytest.mark.parametrize("layout", [PLAIN, PRESETS["broadcast"], Layout(highlight_words=True)], ids=str)
@pytest.mark.parametrize("voice", [None, "SPEAKER_00"])
def test_each_line_of_right_to_left_text_is_marked_for_players(layout, voice):
    texts = [" שלום, מה שלומך?", " אני עובד ב-Google.", " YouTube הוא אתר.", " 99 בלונים אדומים."]
    made = transcript(*(segment(2.0 * number, 2.0 * number + 1.9, text) for number, text in enumerate(texts)))
    made = replace(made, language="he", segments=[replace(part, speaker=voice) for part in made.segments])
    label = f"{OPENING_MARKS}{voice}: {CLOSING_MARK}" if voice else ""
    for cue in srt.parse(rendered(made, "srt", layout)):
        assert all(is_marked(line) for line in cue.content.removeprefix(label).split("\n"))
        assert cue.content.startswith(label)
    for caption in webvtt.from_string(rendered(made, "vtt", layout)).captions:
        assert all(is_marked(line) for line in caption.text.split("\n"))
    for unmarked in (rendered(made, "tsv", layout), rendered(replace(made, language="en"), "srt", layout)):
        assert not set(OPENING_MARKS + CLOSING_MARK) & set(unmarked)


def is_marked(line):
    return line.startswith(OPENING_MARKS) and line.endswith(CLOSING_MARK) and line.count(CLOSING_MARK) == 1
