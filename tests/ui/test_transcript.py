"""What the page makes of segments, without a browser: its lines, corrections and files."""

from __future__ import annotations

import io
import json

import pytest
from actor import HOSTILE, TALK, segment
from docx import Document

from client.page.exports import WRITERS, Corrected, export
from client.page.lines import Corrections, clock, corrected, default_name, lines
from client.page.viewer import transcript

NAMED = Corrections(names={"SPEAKER_00": "Anna"})


def written(form: str, segments: list[dict], corrections: Corrections = NAMED, **options: object) -> str:
    content = export(form, Corrected(corrected(segments, corrections), "talk", "en", options))
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


def test_subtitles_keep_to_the_layout_that_was_asked_for() -> None:
    long = segment(0.0, "This is quite a long sentence that no broadcaster would put into a single line of text.")
    lengths = [len(line) for line in written("srt", [long], subtitle_preset="broadcast").splitlines()]
    assert max(lengths) <= 42 < len(long["text"])
    assert "<u>This</u>" in written("vtt", [long], highlight_words=True)


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
