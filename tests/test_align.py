"""Jobs with `align`: a given text gets times, in all formats, with what differs from the recording."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from statistics import median
from typing import Any

import pytest

from src.errors import InvalidInput
from src.job_control import JobControl
from src.request.options import Options
from src.request.validation import parse_input
from src.rp_handler import handler
from src.whisper_processor import WhisperProcessor
from tests.support.clips import CLIPS, as_base64
from transcript.transcript import Segment, Word

DEMO = CLIPS / "demo.ogg"
LINES = ["The QUICK brown fox -- jumps over the lazy dog.", "Speech goes in; and text comes out!"]


@pytest.fixture(scope="module")
def tiny() -> Iterator[WhisperProcessor]:
    processor = WhisperProcessor("tiny.en")
    yield processor
    processor.close()


def words_of(segments: list[Segment]) -> list[Word]:
    return [word for segment in segments for word in segment.words or []]


@pytest.mark.model
@pytest.mark.process
def test_a_text_gets_the_times_of_its_words(tiny: WhisperProcessor) -> None:
    recognised = tiny.transcribe(DEMO, {"word_timestamps": True})
    aligned = tiny.transcribe(DEMO, {"align": "\n\n".join(LINES)})
    assert [segment.text for segment in aligned.segments] == [f" {line}" for line in LINES]
    times = {word.word.strip(" .,;!").lower(): word.start for word in words_of(aligned.segments)}
    expected = {word.word.strip(" .,;!").lower(): word.start for word in words_of(recognised.segments)}
    common = times.keys() & expected.keys() - {"the"}
    assert len(common) >= 12
    assert all(abs(times[word] - expected[word]) < 0.5 for word in common)
    assert aligned.given_text is not None
    assert aligned.given_text.words == 16
    assert aligned.warnings == []


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.process
@pytest.mark.parametrize("options", [{}, {"chunking": "sequential"}, {"clip_timestamps": [[0, 7]]}, {"vad": False}])
def test_what_was_not_said_and_what_was_said_besides(tiny: WhisperProcessor, options: dict[str, Any]) -> None:
    text = "The quick brown fox.\nNobody has ever said this line.\nSpeech goes in, and text comes out."
    aligned = tiny.transcribe(DEMO, {"align": text, **options})
    assert aligned.given_text is not None
    assert [passage.text for passage in aligned.given_text.not_said] == ["Nobody has ever said this line."]
    (besides,) = aligned.given_text.said_besides
    assert besides.text.lower().startswith("jumps over the lazy dog")
    assert 1.3 < besides.start < 2.0
    assert 2.8 < besides.end < 4.4
    said = [word for word in words_of(aligned.segments) if word.said]
    assert "".join(word.word for word in said) == " The quick brown fox. Speech goes in, and text comes out."
    assert all(before.end <= after.start and before.start < before.end for before, after in pairwise(said))
    assert said[4].start > 3.5
    assert len(aligned.warnings) == 2


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.process
def test_another_text_is_a_warning(tiny: WhisperProcessor) -> None:
    aligned = tiny.transcribe(DEMO, {"align": "Il était une fois un grand roi qui vivait dans son château de pierre."})
    assert "align: 0 of 14 words of the text were recognised" in aligned.warnings[0]
    assert aligned.text.startswith("Il était une fois")


@pytest.mark.model
@pytest.mark.process
def test_silence_has_no_text() -> None:
    answer = handler({"input": {"audio": {"base64": as_base64(CLIPS / "silence.flac")}, "align": "One.\nTwo."}})
    assert answer["transcription"]["text"] == "One. Two."
    assert answer["transcription"]["srt"] == ""
    assert [passage["text"] for passage in answer["metadata"]["given_text"]["not_said"]] == ["One. Two."]


@pytest.mark.model
@pytest.mark.process
def test_a_job_has_the_text_in_all_formats() -> None:
    options = {"align": "\n".join([*LINES, "Never said."]), "output_format": ["all", "verbose_json", "lrc"]}
    answer = handler({"input": {"audio": {"base64": as_base64(DEMO)}, "options": {**options, "diarize": True}}})
    transcription = answer["transcription"]
    assert [line for line in transcription["srt"].splitlines() if "Speech" in line or "Never" in line] == [
        f"SPEAKER_00: {LINES[1]}"
    ]
    assert len(transcription["tsv"].splitlines()) == 3
    last = transcription["segments"][-1]
    assert [word.get("not_said") for word in last["words"]] == [True, True]
    assert transcription["segments"][0]["words"][0].keys() == {"word", "start", "end", "probability", "speaker"}
    assert [word["word"] for word in transcription["verbose_json"]["words"]][:2] == ["The", "QUICK"]
    assert answer["metadata"]["given_text"]["not_said"][0]["text"] == "Never said."


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.process
def test_streamed_segments_are_those_of_the_answer(tiny: WhisperProcessor) -> None:
    streamed: list[Segment] = []
    aligned = tiny.transcribe(DEMO, {"align": "\n".join(LINES)}, JobControl(streamed.append))
    assert streamed == aligned.segments


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"align": "..."}, "options.align: should be the text that is said in the recording, at least one word"),
        ({"align": ["a"]}, "options.align: should be a string"),
        ({"align": "a" * 1_000_001}, "options.align: should have at most 1000000 characters"),
        ({"align": "a", "task": "translate"}, 'align needs the text that is spoken: leave task "translate" out'),
        ({"align": "a", "redact": ["card"]}, "align gives a text as it is: leave redact and mask out"),
        ({"align": "a", "mask": ["b"]}, "align gives a text as it is: leave redact and mask out"),
        ({"align": "a", "channels": "split"}, 'align takes one text for all that is said: leave channels "split" out'),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], error: str) -> None:
    with pytest.raises(InvalidInput, match=error.replace(".", r"\.")):
        parse_input({"audio": {"base64": "AAAA"}, "options": options})


def test_tracks_of_several_speakers_have_no_common_text() -> None:
    tracks = [{"url": "https://example.com/a.wav", "name": name} for name in ("Ada", "Ben")]
    with pytest.raises(InvalidInput, match="align is for a single recording: leave it out, or send one"):
        parse_input({"audio": tracks, "options": {"align": "a"}})


def test_a_blank_text_is_none() -> None:
    assert Options(align=" \n").align is None


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.process
def test_lines_begin_where_they_are_spoken(tiny: WhisperProcessor) -> None:
    clip = json.loads((CLIPS / "clips.json").read_text())["long.ogg"]
    lines = re.findall(r"[^.]+\.", clip["text"])
    aligned = tiny.transcribe(CLIPS / "long.ogg", {"align": "\n".join(lines)})
    assert [segment.text.strip() for segment in aligned.segments] == [line.strip() for line in lines]
    distances = [
        abs(segment.start - start) for segment, (start, _) in zip(aligned.segments, clip["speech"], strict=True)
    ]
    assert median(distances) < 0.35  # tiny.en's own words begin 0.25 s from the speech here
    assert max(distances) < 1.0
    assert aligned.given_text is not None
    assert aligned.given_text.not_said == []
