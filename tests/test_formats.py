"""The text forms, read back by parsers that other people wrote."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from datetime import timedelta

import pytest
import srt
import webvtt
from hypothesis import example, given
from hypothesis import strategies as st

from src import formats
from src.transcript import Segment, Transcript, Word

MAX_SECONDS = 400_000.0
"""Past 100 hours, so that the hours need a third digit."""

LINE_BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"

SPECIAL = ["-->", "--->", "<b>", "</i>", "&amp;", "&", "\t", " ", '"', "1", "00:00:01,000 --> 00:00:02,000", "WEBVTT"]
"""What means something to a reader of subtitles, and what is made of such things."""


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


def transcript(*segments: Segment) -> Transcript:
    return Transcript(language="en", language_probability=1.0, duration=MAX_SECONDS, segments=list(segments))


def normal(text: str) -> str:
    """`text` as far as a reader may be trusted with it: words, one space between them."""
    return " ".join(text.replace("\0", "\ufffd").split())


def milliseconds(seconds: float) -> int:
    return round(seconds * 1000)


def expected(made: Transcript) -> list[tuple[int, int, str]]:
    """Times in ms and words of all segments that have any."""
    return [
        (milliseconds(one.start), max(milliseconds(one.start), milliseconds(one.end)), normal(one.text))
        for one in made.segments
        if normal(one.text)
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
    found = list(srt.parse(formats.to_srt(made)))
    assert [cue.index for cue in found] == list(range(1, len(found) + 1))
    assert [
        (cue.start // timedelta(milliseconds=1), cue.end // timedelta(milliseconds=1), normal(cue.content))
        for cue in found
    ] == [(start, end, re.sub("-{2,}>", "->", text)) for start, end, text in expected(made)]


@given(transcripts)
@example(transcript(segment(0.0, 1.0, "a --> b & <i>c</i> &lt;"), segment(1.0, 2.0, "NOTE\n\nSTYLE")))
def test_vtt_is_read_back(made):
    found = webvtt.from_string(formats.to_vtt(made))
    # `raw_text`, because `text` leaves out whatever it takes for a tag: here nothing may be one.
    assert [
        (
            cue.start_time.in_milliseconds(),
            cue.end_time.in_milliseconds(),
            normal(html.unescape(cue.raw_text)),
        )
        for cue in found
    ] == expected(made)


@given(transcripts)
def test_tsv_is_read_back(made):
    header, *rows = csv.reader(io.StringIO(formats.to_tsv(made)), delimiter="\t", quoting=csv.QUOTE_NONE)
    assert header == ["start", "end", "text"]
    assert [(int(start), int(end), normal(text)) for start, end, text in rows] == expected(made)


@given(transcripts)
def test_each_cue_is_one_block_for_every_reader(made):
    """No reader, whatever it takes for a line break, finds more lines than were written."""
    count = len(expected(made))
    assert len(formats.to_srt(made).splitlines()) == max(0, 4 * count - 1)
    assert len(formats.to_vtt(made).splitlines()) == 2 + max(0, 3 * count - 1)
    assert len(formats.to_tsv(made).splitlines()) == 1 + count


@given(transcripts)
def test_the_arrow_stands_in_timing_lines_only(made):
    count = len(expected(made))
    assert formats.to_srt(made).count("-->") == count
    assert formats.to_vtt(made).count("-->") == count


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
    assert formats.to_srt(made) == expected_srt
    assert formats.to_vtt(made) == expected_vtt
    assert formats.to_tsv(made) == expected_tsv


KEYS = {
    "text": {"text"},
    "srt": {"text", "srt"},
    "vtt": {"text", "vtt"},
    "tsv": {"text", "tsv"},
    "json": {"text", "language", "segments"},
    "all": {"text", "language", "segments", "srt", "vtt", "tsv"},
}


def test_every_format_is_expected_here():
    assert set(formats.OUTPUT_FORMATS) == set(KEYS)


@pytest.mark.parametrize("output_format", formats.OUTPUT_FORMATS)
def test_render_gives_the_keys_of_the_format(output_format):
    words = [Word(" Hello", 0.0, 0.5, 0.9), Word(" there.", 0.5, 1.0, 0.8)]
    made = transcript(segment(0.0, 1.0, " Hello there.", words), segment(1.0, 2.0, " You too."))
    rendered = formats.render(made, [output_format])
    assert set(rendered) == KEYS[output_format]
    whole = formats.render(made, "all")
    assert all(whole[key] == value for key, value in rendered.items())
    json.dumps(rendered)


def test_render_all_in_full():
    words = [Word(" Hi.", 0.0, 0.5, 0.9)]
    made = transcript(segment(0.0, 1.0, " Hi.", words), segment(1.0, 2.0, " You?"))
    rendered = formats.render(made, "all")
    assert rendered["text"] == formats.to_text(made) == "Hi. You?"
    assert rendered["language"] == "en"
    assert rendered["segments"] == [one.to_dict() for one in made.segments]
    assert rendered["segments"][0]["words"] == [{"word": " Hi.", "start": 0.0, "end": 0.5, "probability": 0.9}]
    assert "words" not in rendered["segments"][1]
    assert (rendered["srt"], rendered["vtt"], rendered["tsv"]) == (
        formats.to_srt(made),
        formats.to_vtt(made),
        formats.to_tsv(made),
    )


def test_an_unknown_format_is_the_callers_bug():
    with pytest.raises(KeyError):
        formats.render(transcript(), "docx")
