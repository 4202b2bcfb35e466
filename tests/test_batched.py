"""Batched transcription of whole recordings: words, their order and times, and metadata about the quality."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.recordings import load_pcm, write_wav
from benchmarks.scoring import count_errors
from src.rp_handler import handler
from src.whisper_processor import WhisperProcessor
from tests.support.clips import CLIPS, as_base64, spoken
from transcript.transcript import Transcript

pytestmark = [pytest.mark.model, pytest.mark.process]

SPOKEN = " ".join(spoken("long.ogg"))


@pytest.fixture(scope="module")
def base() -> Iterator[WhisperProcessor]:
    """A multilingual model."""
    processor = WhisperProcessor("base")
    yield processor
    processor.close()


def transcribe(processor: WhisperProcessor, clip: str, **options: Any) -> Transcript:
    return processor.transcribe(CLIPS / clip, options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"beam_size": 3, "word_timestamps": True},
        pytest.param({"vad": False}, marks=pytest.mark.slow),
    ],
)
def test_a_recording_of_several_windows_keeps_its_words_and_their_order(
    base: WhisperProcessor, options: dict[str, Any]
) -> None:
    transcript = transcribe(base, "long.ogg", **options)
    assert count_errors(SPOKEN, transcript.text, "en").rate < 0.05
    assert transcript.uncovered == []
    times = [time for segment in transcript.segments for time in (segment.start, segment.end)]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= transcript.duration
    assert [segment.id for segment in transcript.segments] == list(range(len(transcript.segments)))


def test_words_have_the_times_at_which_they_are_spoken(base: WhisperProcessor) -> None:
    transcript = transcribe(base, "demo.ogg", word_timestamps=True)
    words = [word for segment in transcript.segments for word in segment.words or []]
    assert "".join(word.word for word in words).strip() == transcript.text
    # The second sentence begins at 4.165 s, by clips.json, with flite's own silence of about 0.2 s before it.
    assert next(word.start for word in words if "Speech" in word.word) == pytest.approx(4.3, abs=0.3)


@pytest.mark.slow
def test_the_language_is_detected_with_its_probability(base: WhisperProcessor) -> None:
    transcript = transcribe(base, "demo.ogg")
    assert transcript.language == "en"
    assert 0.5 < (transcript.language_probability or 0.0) < 1.0


@pytest.mark.slow
def test_a_translation_of_english_is_english(base: WhisperProcessor) -> None:
    translation = transcribe(base, "demo.ogg", task="translate").text
    assert count_errors(" ".join(spoken("demo.ogg")), translation, "en").edits <= 1


@pytest.mark.slow
@pytest.mark.parametrize("clip", ["silence.flac", "noise.ogg"])
def test_without_speech_there_are_no_words(base: WhisperProcessor, clip: str) -> None:
    transcript = transcribe(base, clip)
    assert transcript.segments == []
    assert transcript.speech == 0


@pytest.mark.slow
@pytest.mark.parametrize("decibels", [-40, -55])
def test_a_quiet_voice_is_heard_at_a_second_look(base: WhisperProcessor, tmp_path: Path, decibels: int) -> None:
    loud = load_pcm(CLIPS / "demo.ogg")
    quiet = (loud * 10 ** (decibels / 20)).round().astype(np.int16)
    recording = write_wav(np.concatenate((loud, quiet)), tmp_path / "loud and quiet.wav")
    transcript = base.transcribe(recording)
    # In bfloat16, `base` can mishear two words of each half.
    assert count_errors(" ".join(spoken("demo.ogg") * 2), transcript.text, "en").edits <= 4
    half = len(loud) / 16_000
    assert transcript.doubtful_speech
    assert all(look.start > half - 0.5 and look.transcribed for look in transcript.doubtful_speech)


def test_the_metadata_has_the_amount_of_speech_and_what_was_missed() -> None:
    job = {"input": {"audio": {"base64": as_base64(CLIPS / "long.ogg")}, "options": {"output_format": "text"}}}
    metadata = handler(job)["metadata"]
    assert 50 < metadata["speech_duration"] < metadata["audio_duration"]
    assert metadata["uncovered_speech"] == []
    assert metadata["repaired_speech"] >= 0
