"""Lines, corrections and files made from segments, without a browser."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
import srt
from docx import Document

from client.page.exports import WRITERS, ExportContent, export
from client.page.lines import Corrections, corrected, default_name, format_clock, to_lines
from client.page.viewer import transcript
from tests.ui.actor import HOSTILE, TALK, segment

pytestmark = pytest.mark.process

NAMED = Corrections(names={"SPEAKER_00": "Anna"})


def export_text(
    suffix: str, segments: list[dict[str, Any]], corrections: Corrections = NAMED, **options: object
) -> str:
    content = export(suffix, ExportContent(segments, "talk", "en", options).corrected(corrections))
    if suffix == "docx":
        return "\n".join(paragraph.text for paragraph in Document(io.BytesIO(content)).paragraphs)
    return content.decode()


def test_words_are_located_in_the_line() -> None:
    (line,) = to_lines([segment(0.0, "Good   morning,\n good morning 😀!")])
    assert line.text == "Good morning, good morning 😀!"
    assert [line.text[word.text_start : word.text_end] for word in line.words] == line.text.split()


def test_a_word_replaced_by_the_vocabulary_is_left_out() -> None:
    original = segment(0.0, "Run pod is fast")
    (line,) = to_lines([{**original, "text": " RunPod is fast"}])
    assert [line.text[word.text_start : word.text_end] for word in line.words] == ["is", "fast"]


@pytest.mark.parametrize(
    ("key", "name"), [("SPEAKER_00", "Speaker 1"), ("CHANNEL_1", "Channel 2"), ("Anna", "Anna"), ("_7", "_7")]
)
def test_speakers_have_readable_default_names(key: str, name: str) -> None:
    assert default_name(key) == name


def test_a_correction_keeps_word_times_if_the_number_of_words_is_the_same() -> None:
    fixed, longer = (corrected(TALK, Corrections({1: text}))[1] for text in ("Of course, have some tea.", "Sit!"))
    assert [word["word"] for word in fixed["words"]] == [" Of", " course,", " have", " some", " tea."]
    assert [word["start"] for word in fixed["words"]] == [word["start"] for word in TALK[1]["words"]]
    assert "words" not in longer
    assert longer["text"] == " Sit!"


def test_corrections_are_parsed_from_the_page() -> None:
    parsed = Corrections.from_page({"texts": {"3": "a"}, "names": {"SPEAKER_00": " Anna\n B ", "SPEAKER_01": " "}})
    assert parsed == Corrections({3: "a"}, {"SPEAKER_00": "Anna B"})
    assert Corrections.from_page(None) == Corrections()


def test_each_format_has_texts_times_and_names() -> None:
    assert export_text("txt", TALK).startswith("Anna: Good morning, may I come in?\n\nSpeaker 2: Of course")
    assert "2\n00:00:03,000 --> 00:00:06,000\nSpeaker 2: Of course, have a seat.\n" in export_text("srt", TALK)
    assert "00:00:06.000 --> 00:00:09.000\n<v Anna>Thank you very much.\n" in export_text("vtt", TALK)
    assert [segment["speaker"] for segment in json.loads(export_text("json", TALK))["segments"]] == [
        "Anna",
        "Speaker 2",
        "Anna",
    ]
    assert export_text("docx", TALK).splitlines()[:2] == ["talk", "0:00  Anna: Good morning, may I come in?"]


def test_subtitles_respect_the_requested_line_width() -> None:
    long = segment(0.0, "This is quite a long sentence that no broadcaster would put into a single line of text.")
    for options, max_width in (({"subtitle_preset": "broadcast"}, 42), ({"max_line_width": 20}, 20)):
        blocks = list(srt.parse(export_text("srt", [long], **options)))
        lines = blocks[0].content.splitlines()
        assert (len(blocks), " ".join(lines)) == (1, long["text"].strip())
        assert max_width - 10 < max(map(len, lines)) <= max_width
    chinese = {"start": 0.0, "end": 3.0, "text": "今天天气很好我们去公园散步吧"}
    assert "\n今天天气很\n好我们去公\n园散步吧\n" in export_text("vtt", [chinese], max_line_width=10)


def test_the_workers_subtitles_are_exported_until_something_is_changed() -> None:
    subtitles = {"srt": "the worker's", "vtt": "WEBVTT"}
    content = ExportContent(TALK, "talk", "en", {}, subtitles)
    untouched = Corrections({0: "Good morning, may I  come in?"}, {"SPEAKER_00": "Speaker 1"})
    for suffix, text in subtitles.items():
        assert export(suffix, content.corrected(untouched)).decode() == text
        for change in (Corrections({0: "Good evening."}), NAMED):
            assert "Of course, have a seat." in export(suffix, content.corrected(change)).decode()


def test_a_cue_of_no_length_is_kept() -> None:
    moment = {"start": 1.0, "end": 1.0, "text": " Now!"}
    assert "00:00:01,000 --> 00:00:01,000\nNow!" in export_text("srt", [moment])


@pytest.mark.parametrize("suffix", WRITERS)
def test_hostile_texts_and_names_do_not_break_files(suffix: str) -> None:
    bad = f"{HOSTILE}\x00\x0b\ud800 --> \n\n1"
    exported = export_text(suffix, [segment(0.0, bad, speaker=bad)], Corrections(names={bad: "<v x> --> y"}))
    assert "window.hacked = 1" in exported
    if suffix in ("srt", "vtt"):
        assert exported.count("-->") == 1
        assert exported.strip().count("\n\n") == (suffix == "vtt")
    if suffix == "vtt":
        assert "<script>" not in exported


def test_the_html_escapes_tags_and_attributes_of_the_transcript() -> None:
    shown = transcript([segment(0.0, HOSTILE, speaker="\"'><script>")], complete=True)
    assert "<script" not in shown
    assert "<img" not in shown
    assert "\"'>" not in shown


def test_times_are_formatted_as_clocks() -> None:
    assert [format_clock(seconds) for seconds in (0, 59.9, 61, 3661)] == ["0:00", "0:59", "1:01", "1:01:01"]
