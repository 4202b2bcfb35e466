"""Which windows are listened to for the language, and what they say together."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.recordings import pcm_of
from src.audio.pcm import SAMPLE_RATE
from src.engine.scheduler import Client
from src.request.options import Options
from src.transcription.language_detection import AT_HAND, SAMPLES, detect_language
from src.transcription.windows import find_windows
from tests.support.clips import CLIPS

LONG = pcm_of(CLIPS / "long.ogg")


class Ear:
    """Stands for the engine: notes what it is given to listen to."""

    def __init__(self, pcm: Any, says: list[dict[str, float]]) -> None:
        self.vocabulary = SimpleNamespace(multilingual=True)
        self.places: list[float] = []
        self._pcm, self._says = pcm, says

    def identify_languages(self, windows: Any, caller: Client) -> Any:
        start = self._pcm.ctypes.data
        self.places = [(window.audio.ctypes.data - start) / 2 / SAMPLE_RATE for window in windows]
        return [(self._says[at % len(self._says)], window) for at, window in enumerate(windows)]


def detected(pcm: Any, says: list[dict[str, float]], soon: bool = False, **options: Any) -> tuple[Any, list[Any], Ear]:
    ear: Any = Ear(pcm, says)
    asked = Options(**options)
    found, windows = detect_language(ear, Client(), find_windows(pcm, asked), pcm, asked, soon=soon)
    return found, list(windows), ear


def test_the_samples_of_a_short_recording_are_its_own_windows_and_all_come_back() -> None:
    found, windows, ear = detected(LONG, [{"en": 0.9, "de": 0.1}])
    assert found.language == "en"
    assert [one.start for one in windows] == [one.start for one in find_windows(LONG, Options())]
    assert ear.places == [one.start / SAMPLE_RATE for one in windows][: len(ear.places)]
    assert len(ear.places) == min(SAMPLES, len(windows))


def test_the_samples_of_a_long_recording_are_from_all_of_it() -> None:
    pcm = np.tile(LONG, 26)  # 34 minutes
    _, windows, ear = detected(pcm, [{"en": 1.0}])
    assert len(windows) > AT_HAND
    assert len(ear.places) == SAMPLES
    fifth = len(pcm) / SAMPLE_RATE / SAMPLES
    assert [int(place // fifth) for place in ear.places] == list(range(SAMPLES))


def test_where_words_are_waited_for_the_first_window_decides() -> None:
    _, windows, ear = detected(LONG, [{"en": 1.0}], soon=True)
    assert len(ear.places) == 1
    assert len(windows) > 1


def test_a_greeting_in_another_language_does_not_decide() -> None:
    found, _, _ = detected(LONG, [{"fr": 0.9, "en": 0.1}, {"fr": 0.1, "en": 0.9}, {"fr": 0.1, "en": 0.9}])
    assert found.language == "en"
    assert found.probability == pytest.approx(found.languages["en"])
    assert sum(found.languages.values()) == pytest.approx(1.0)


def test_only_candidates_are_chosen_from() -> None:
    found, _, _ = detected(LONG, [{"en": 0.9, "de": 0.04, "fr": 0.06}], language_candidates=["de", "fr"])
    assert found.language == "fr"
    assert found.languages == pytest.approx({"fr": 0.6, "de": 0.4})


def test_without_speech_there_is_nothing_to_tell() -> None:
    found, windows, _ = detected(np.zeros(5 * SAMPLE_RATE, np.int16), [{"en": 1.0}])
    assert found is None
    assert windows == []
