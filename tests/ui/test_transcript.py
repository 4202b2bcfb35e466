"""What the page makes of segments, without a browser: its lines, corrections and files."""

from __future__ import annotations

import io
import json

import pytest
import srt
from actor import HOSTILE, TALK, segment
from docx import Document

from client.page.exports import WRITERS, ExportContent, export
from client.page.lines import Corrections, clock, corrected, default_name, lines
from client.page.viewer import transcript

NAMED = Corrections(names={"SPEAKER_00": "Anna"})


def written(form: str, segments: list[dict], corrections: Corrections = NAMED, **options: object) -> str:
    content = export(form, ExportContent(segments, "talk", "en", options).corrected(corrections))
    if form == "docx":
        return "\n".join(paragraph.text for paragraph in Document(io.BytesIO(content)).paragraphs)
    return content.decode()


def test_words_have_their_places_in_the_line() -> None:
    (line,) = lines([segment(0.0, "Good   morning,\n good morning 😀!")])
    assert line.text == "Good morning, good morning 😀!"
    assert [line.text[word.begins : word.ends] for word in line.words] == line.text.split()


def test_a_word_that_the_vocabulary_replaced_has_no_place_and_the_others_keep_theirs() -> None:
    heard = segment(0.0, "Run pod is fast")
    (line,) = lines([{**heard, "text": " RunPod is fast"}])
    assert [line.text[word.begins : word.ends] for word in line.words] == ["is", "fast"]


@pytest.mark.parametrize(
    ("voice", "name"), [("SPEAKER_00", "Speaker 1"), ("CHANNEL_1", "Channel 2"), ("Anna", "Anna"), ("_7", "_7")]
)
def test_voices_have_names_for_people(voice: str, name: str) -> None:
    assert default_name(voice) == name


def test_a_correction_keeps_the_words_times_where_their_number_is_the_same() -> None:
    fixed, longer = (corrected(TALK, Corrections({1: text}))[1] for text in ("Of course, have some tea.", "Sit!"))
    assert [word["word"] for word in fixed["words"]] == [" Of", " course,", " have", " some", " tea."]
    assert [word["start"] for word in fixed["words"]] == [word["start"] for word in TALK[1]["words"]]
    assert "words" not in longer
    assert longer["text"] == " Sit!"


def test_what_the_page_sends_is_read_whatever_it_is() -> None:
    sent = Corrections.from_page({"texts": {"3": "a"}, "names": {"SPEAKER_00": " Anna\n B ", "SPEAKER_01": " "}})
    assert sent == Corrections({3: "a"}, {"SPEAKER_00": "Anna B"})
    assert Corrections.from_page(None) == Corrections()


def test_each_form_has_texts_times_and_names() -> None:
    assert written("txt", TALK).startswith("Anna: Good morning, may I come in?\n\nSpeaker 2: Of course")
    assert "2\n00:00:03,000 --> 00:00:06,000\nSpeaker 2: Of course, have a seat.\n" in written("srt", TALK)
    assert "00:00:06.000 --> 00:00:09.000\n<v Anna>Thank you very much.\n" in written("vtt", TALK)
    assert [one["speaker"] for one in json.loads(written("json", TALK))["segments"]] == ["Anna", "Speaker 2", "Anna"]
    assert written("docx", TALK).splitlines()[:2] == ["talk", "0:00  Anna: Good morning, may I come in?"]


def test_subtitles_keep_to_the_width_of_lines_that_was_asked_for() -> None:
    long = segment(0.0, "This is quite a long sentence that no broadcaster would put into a single line of text.")
    for options, most in (({"subtitle_preset": "broadcast"}, 42), ({"max_line_width": 20}, 20)):
        blocks = list(srt.parse(written("srt", [long], **options)))
        lines = blocks[0].content.splitlines()
        assert (len(blocks), " ".join(lines)) == (1, long["text"].strip())
        assert most - 10 < max(map(len, lines)) <= most
    chinese = {"start": 0.0, "end": 3.0, "text": "今天天气很好我们去公园散步吧"}
    assert "\n今天天气很\n好我们去公\n园散步吧\n" in written("vtt", [chinese], max_line_width=10)


def test_the_workers_subtitles_are_handed_out_until_something_is_changed() -> None:
    own = {"srt": "the worker's own", "vtt": "WEBVTT"}
    whole = ExportContent(TALK, "talk", "en", {}, own)
    untouched = Corrections({0: "Good morning, may I  come in?"}, {"SPEAKER_00": "Speaker 1"})
    for form, text in own.items():
        assert export(form, whole.corrected(untouched)).decode() == text
        for change in (Corrections({0: "Good evening."}), NAMED):
            assert "Of course, have a seat." in export(form, whole.corrected(change)).decode()


def test_a_cue_that_is_over_as_it_begins_is_not_lost() -> None:
    moment = {"start": 1.0, "end": 1.0, "text": " Now!"}
    assert "00:00:01,000 --> 00:00:01,000\nNow!" in written("srt", [moment])


@pytest.mark.parametrize("form", WRITERS)
def test_hostile_texts_and_names_break_no_file(form: str) -> None:
    bad = f"{HOSTILE}\x00\x0b\ud800 --> \n\n1"
    whole = written(form, [segment(0.0, bad, speaker=bad)], Corrections(names={bad: "<v x> --> y"}))
    assert "window.hacked = 1" in whole
    if form in ("srt", "vtt"):
        assert whole.count("-->") == 1
        assert whole.strip().count("\n\n") == (form == "vtt")
    if form == "vtt":
        assert "<script>" not in whole


def test_the_html_has_no_tag_or_attribute_of_the_transcripts_own() -> None:
    shown = transcript([segment(0.0, HOSTILE, speaker="\"'><script>")], complete=True)
    assert "<script" not in shown
    assert "<img" not in shown
    assert "\"'>" not in shown


def test_times_are_read_as_clocks() -> None:
    assert [clock(seconds) for seconds in (0, 59.9, 61, 3661)] == ["0:00", "0:59", "1:01", "1:01:01"]
