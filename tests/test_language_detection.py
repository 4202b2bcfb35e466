"""Language detection: which windows are sampled, and how their probabilities are averaged."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.recordings import load_pcm
from src.audio.pcm import SAMPLE_RATE, Pcm, Region
from src.audio.vad import VadOptions
from src.engine.scheduler import Client
from src.transcription import language_detection
from src.transcription.language_detection import NUM_SAMPLES, detect_language, sounds_foreign
from src.transcription.windows import find_windows
from tests.support.clips import CLIPS
from transcript.transcript import Segment

LONG = load_pcm(CLIPS / "long.ogg")


class FakeEngine:
    """Answers with given probabilities in turn, and records the positions of the windows it gets, in seconds."""

    def __init__(self, pcm: Pcm, probabilities: list[dict[str, float]]) -> None:
        self.token_sets = SimpleNamespace(multilingual=True)
        self.positions: list[float] = []
        self._pcm, self._probabilities = pcm, probabilities

    def identify_languages(self, windows: Any, client: Client) -> Any:
        start = self._pcm.ctypes.data
        self.positions = [(window.audio.ctypes.data - start) / 2 / SAMPLE_RATE for window in windows]
        count = len(self._probabilities)
        return [(self._probabilities[number % count], window) for number, window in enumerate(windows)]


def detect(
    pcm: Pcm,
    probabilities: list[dict[str, float]],
    *,
    first_window_only: bool = False,
    candidates: tuple[str, ...] = (),
    clips: list[Region] | None = None,
) -> tuple[Any, list[Any], FakeEngine]:
    engine: Any = FakeEngine(pcm, probabilities)
    clips = [Region(0, len(pcm))] if clips is None else clips
    vad = VadOptions()
    found, windows = detect_language(
        engine,
        Client(),
        find_windows(pcm, clips, vad),
        pcm,
        clips,
        vad,
        candidates,
        first_window_only=first_window_only,
    )
    return found, list(windows), engine


def test_a_short_recording_is_sampled_from_its_windows_and_all_are_returned() -> None:
    found, windows, engine = detect(LONG, [{"en": 0.9, "de": 0.1}])
    assert found.language == "en"
    expected = [window.start for window in find_windows(LONG, [Region(0, len(LONG))], VadOptions())]
    assert [window.start for window in windows] == expected
    assert engine.positions == [start / SAMPLE_RATE for start in expected][: len(engine.positions)]
    assert len(engine.positions) == min(NUM_SAMPLES, len(windows))


@pytest.fixture
def long_recording(monkeypatch: pytest.MonkeyPatch) -> Pcm:
    """A recording of more windows than are found in advance: 4 minutes here."""
    monkeypatch.setattr(language_detection, "LOOKAHEAD_WINDOWS", 4)
    return np.tile(LONG, 3)


@pytest.mark.slow
def test_a_long_recording_is_sampled_throughout(long_recording: Pcm) -> None:
    _, windows, engine = detect(long_recording, [{"en": 1.0}])
    assert len(windows) > 4
    assert len(engine.positions) == NUM_SAMPLES
    fifth = len(long_recording) / SAMPLE_RATE / NUM_SAMPLES
    assert [int((position + 0.001) // fifth) for position in engine.positions] == list(range(NUM_SAMPLES))


def test_long_clips_are_sampled_from_their_own_windows(long_recording: Pcm) -> None:
    clip = Region(0, len(long_recording) - SAMPLE_RATE * 20)
    _, windows, engine = detect(long_recording, [{"en": 1.0}], clips=[clip])
    assert len(windows) > 4
    assert {round(position * SAMPLE_RATE) for position in engine.positions} <= {window.start for window in windows}


def test_in_streaming_the_first_window_decides() -> None:
    _, windows, engine = detect(LONG, [{"en": 1.0}], first_window_only=True)
    assert len(engine.positions) == 1
    assert len(windows) > 1


def test_a_greeting_in_another_language_does_not_decide() -> None:
    found, _, _ = detect(LONG, [{"fr": 0.9, "en": 0.1}, {"fr": 0.1, "en": 0.9}, {"fr": 0.1, "en": 0.9}])
    assert found.language == "en"
    assert found.probability == pytest.approx(found.languages["en"])
    assert sum(found.languages.values()) == pytest.approx(1.0)


def test_only_candidates_are_chosen() -> None:
    found, _, _ = detect(LONG, [{"en": 0.9, "de": 0.04, "fr": 0.06}], candidates=("de", "fr"))
    assert found.language == "fr"
    assert found.languages == pytest.approx({"fr": 0.6, "de": 0.4})


@pytest.mark.parametrize(
    ("probabilities", "candidates", "warnings"),
    [
        ({"en": 0.9, "de": 0.04, "fr": 0.06}, (), []),
        ({"en": 0.6, "de": 0.4}, ("de", "fr"), []),
        (
            {"en": 0.95, "de": 0.01, "fr": 0.04},
            ("de", "fr"),
            [
                "language_candidates: none of de, fr is likely; without them it would be English, en, with a "
                "probability of 0.95"
            ],
        ),
    ],
)
def test_candidates_that_are_all_unlikely_are_a_warning(
    probabilities: dict[str, float], candidates: tuple[str, ...], warnings: list[str]
) -> None:
    found, _, _ = detect(LONG, [probabilities], candidates=candidates)
    assert found.warnings == warnings


def test_candidates_that_the_model_does_not_know_are_not_chosen() -> None:
    found, _, _ = detect(LONG, [{"en": 0.9, "de": 0.1}], candidates=("yue", "de"))
    assert (found.language, found.probability) == ("de", 1.0)


def test_without_speech_there_is_no_language() -> None:
    found, windows, _ = detect(np.zeros(5 * SAMPLE_RATE, np.int16), [{"en": 1.0}])
    assert found is None
    assert windows == []


@pytest.mark.parametrize(
    ("windows", "foreign"),
    [
        ([(30.0, -0.3)], False),
        ([(30.0, -0.79)], False),
        ([(30.0, -0.81)], True),
        ([(30.0, -0.3), (1.0, -3.0)], False),
        ([(30.0, -1.0), (5.0, -0.1)], True),
        ([(0.0, -1.0)], True),
    ],
)
def test_speech_is_foreign_if_most_of_its_text_is_improbable(windows: list[tuple[float, float]], foreign: bool) -> None:
    segments = [Segment(0, 0, 0.0, seconds, " A", [1], 0.0, logprob, 1.0, 0.0) for seconds, logprob in windows]
    assert sounds_foreign(segments) is foreign
