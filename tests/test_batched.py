"""A whole recording through voice detection, the batch and back: words in place, and metadata to judge them by."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from benchmarks.scoring import errors
from src.request.validation import parse_input
from src.rp_handler import handler
from src.transcript.transcript import Transcript
from src.whisper_processor import WhisperProcessor
from tests.support.clips import CLIPS, as_base64, spoken

pytestmark = [pytest.mark.model, pytest.mark.process]

SPOKEN = " ".join(spoken("long.ogg"))


@pytest.fixture(scope="module")
def base() -> Iterator[WhisperProcessor]:
    """A model of several languages."""
    processor = WhisperProcessor("base")
    yield processor
    processor.close()


def transcribed(processor: WhisperProcessor, clip: str, **options: Any) -> Transcript:
    asked = parse_input({"audio": "https://example.com/a.mp3", "options": options}).options
    return processor.transcribe(CLIPS / clip, asked)


@pytest.mark.parametrize("options", [{}, {"beam_size": 3}, {"word_timestamps": True}, {"vad": False}])
def test_a_recording_of_several_windows_keeps_its_words_and_their_order(
    base: WhisperProcessor, options: dict[str, Any]
) -> None:
    transcript = transcribed(base, "long.ogg", **options)
    assert errors(SPOKEN, transcript.text, "en").rate < 0.05
    assert transcript.uncovered == []
    times = [time for one in transcript.segments for time in (one.start, one.end)]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= transcript.duration
    assert [one.id for one in transcript.segments] == list(range(len(transcript.segments)))


def test_words_stand_where_they_are_said(base: WhisperProcessor) -> None:
    transcript = transcribed(base, "demo.ogg", word_timestamps=True)
    said = [word for segment in transcript.segments for word in segment.words or []]
    assert "".join(word.word for word in said).strip() == transcript.text
    # The second sentence begins at 4.165 s, by clips.json, with flite's own silence of about 0.2 s before it.
    assert next(word.start for word in said if "Speech" in word.word) == pytest.approx(4.3, abs=0.3)


def test_the_language_is_detected_with_its_probability(base: WhisperProcessor) -> None:
    transcript = transcribed(base, "demo.ogg")
    assert transcript.language == "en"
    assert 0.5 < transcript.language_probability < 1.0


def test_a_translation_of_english_is_english(base: WhisperProcessor) -> None:
    translation = transcribed(base, "demo.ogg", task="translate").text
    assert errors(" ".join(spoken("demo.ogg")), translation, "en").edits <= 1


@pytest.mark.parametrize("clip", ["silence.flac", "noise.ogg"])
def test_where_no_one_speaks_there_are_no_words(base: WhisperProcessor, clip: str) -> None:
    transcript = transcribed(base, clip)
    assert transcript.segments == []
    assert transcript.speech == 0


def test_the_metadata_tells_how_much_was_speech_and_what_was_missed() -> None:
    job = {"input": {"audio": {"base64": as_base64(CLIPS / "long.ogg")}, "options": {"output_format": "text"}}}
    metadata = handler(job)["metadata"]
    assert 50 < metadata["speech_duration"] < metadata["audio_duration"]
    assert metadata["uncovered_speech"] == []
    assert metadata["repaired_speech"] >= 0
