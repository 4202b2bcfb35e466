"""A phrase that the sound repeats is told from one that only the text repeats."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.recordings import load_pcm
from src.engine.repetition import Loop, find_loop, is_said_repeatedly, sound_repeats
from transcript.transcript import Segment

RATE = 16_000
CLIPS = Path(__file__).parent / "data"


@pytest.mark.parametrize(
    ("text", "loop"),
    [
        ("And so, my fellow Americans. " * 8, Loop(0, 230, 8)),
        ("First this. Go on, go on! Go on. Go on... go on", Loop(12, 47, 5)),
        ("No, no, no!", None),
        ("no no no no", Loop(0, 11, 4)),
        ("谢谢大家。谢谢大家。谢谢大家。谢谢大家。", Loop(0, 19, 4)),
        ("Four score and seven years ago our fathers brought forth.", None),
        ("", None),
    ],
)
def test_the_longest_repetition_of_a_text_is_found_whatever_its_punctuation(text: str, loop: Loop | None) -> None:
    assert find_loop(text) == loop


@pytest.fixture(scope="module")
def speech() -> NDArray[np.int16]:
    return load_pcm(CLIPS / "long.ogg")


def again(phrase: NDArray[np.int16], times: int, gain: float = 1.0, noise: float = 0.0) -> NDArray[np.int16]:
    """A phrase several times, with pauses between 0.2 and 0.6 s, at gains from 1 down to `gain`."""
    random = np.random.default_rng(7)
    parts = []
    for number in range(times):
        level = 1 - (1 - gain) * number / times
        parts += [level * phrase, np.zeros(int(random.uniform(0.2, 0.6) * RATE))]
    sound = np.concatenate(parts)
    return (sound + random.normal(0, noise, len(sound)) if noise else sound).astype(np.int16)


@pytest.mark.process
@pytest.mark.parametrize(
    ("seconds", "times", "gain", "noise"),
    [(2.5, 8, 1.0, 0.0), (2.5, 8, 0.5, 100.0), (1.2, 12, 0.7, 0.0), (0.6, 20, 1.0, 100.0), (4.0, 5, 0.8, 50.0)],
)
def test_a_phrase_that_is_said_again_and_again_repeats(
    speech: NDArray[np.int16], seconds: float, times: int, gain: float, noise: float
) -> None:
    phrase = speech[RATE : RATE + int(seconds * RATE)]
    assert sound_repeats(again(phrase, times, gain, noise), times)


@pytest.mark.process
@pytest.mark.parametrize("repeats", [4, 6, 8, 12, 20, 40, 100])
def test_speech_noise_and_silence_do_not_repeat(speech: NDArray[np.int16], repeats: int) -> None:
    random = np.random.default_rng(7)
    noise = random.normal(0, 800, 24 * RATE).astype(np.int16)
    assert not sound_repeats(speech[: 24 * RATE], repeats)
    assert not sound_repeats(speech[: 9 * RATE], repeats)
    assert not sound_repeats(noise, repeats)
    assert not sound_repeats(np.zeros(24 * RATE, np.int16), repeats)
    assert not sound_repeats(np.zeros(0, np.int16), repeats)


@pytest.mark.process
def test_the_repetition_is_looked_for_where_the_text_has_it(speech: NDArray[np.int16]) -> None:
    before, chant = speech[: 8 * RATE], again(speech[9 * RATE : 11 * RATE], 6)
    audio = np.concatenate((before, chant))
    seconds = len(audio) / RATE

    def segment(start: float, end: float, text: str) -> Segment:
        return Segment(0, 0, start, end, text, [], 0.0, -0.2, 3.0, 0.0)

    said = [segment(100.0, 108.0, " Something else was said."), segment(108.0, 100 + seconds, " Once more." * 6)]
    assert is_said_repeatedly(said, audio, offset=100.0)
    in_speech = [segment(100.0, 108.0, " Once more." * 6), segment(108.0, 100 + seconds, " Something else was said.")]
    assert not is_said_repeatedly(in_speech, audio, offset=100.0)
    assert not is_said_repeatedly(said[:1], audio, offset=100.0)
