"""Speech that only a second look finds: disturbed and quiet voices, made from the repository's clips."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from src.audio import speech, vad
from src.audio.levelling import MAX_DIFFERENCE_DB, level_voices, loudness
from src.audio.pcm import SAMPLE_RATE, Pcm, Region, to_float
from src.audio.second_look import MARGIN, clean_and_level, probabilities_at_second_look
from src.audio.segmentation import CLASSES, CPU, FIRST_MIDDLE, HOP, LENGTH, load_segmentation, speech_of_anyone
from src.audio.speech import SpeechRegion, find_speech, seconds_of_speech
from src.audio.vad import FRAME, VadOptions, speech_probabilities, speech_regions
from src.audio.windowing import join_regions
from src.transcription.windows import find_windows

CLIPS = Path(__file__).parent / "data"
SPOKEN: list[list[float]] = json.loads((CLIPS / "clips.json").read_text())["long.ogg"]["speech"]
SECONDS = 28
"""Length of the recordings made from long.ogg."""

Audio = NDArray[np.float64]


@cache
def clip(name: str = "long.ogg") -> Pcm:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", CLIPS / name]
    pcm = subprocess.run([*command, "-ar", "16000", "-ac", "1", "-f", "s16le", "-"], capture_output=True, check=True)
    return np.frombuffer(pcm.stdout, dtype=np.int16)


def voice() -> Audio:
    """Returns `SECONDS` of long.ogg, with its speech at -23 dBFS."""
    audio = clip()[: SECONDS * SAMPLE_RATE] / 32768.0
    active = np.concatenate([audio[int(a * SAMPLE_RATE) : int(b * SAMPLE_RATE)] for a, b in spoken()])
    return audio * (amplitude(-23) / rms(active))


def spoken(start: float = 0.0) -> list[list[float]]:
    return [span for span in SPOKEN if start <= span[0] and span[1] < SECONDS]


def amplitude(decibels: float) -> float:
    return float(10 ** (decibels / 20))


def rms(audio: Audio) -> float:
    return float(np.sqrt(np.square(audio).mean()))


def to_pcm(audio: Any) -> Pcm:
    return np.clip(np.rint(audio * 32768), -32768, 32767).astype(np.int16)


def hiss(samples: int) -> Audio:
    return np.random.default_rng(0).normal(0, 1, samples)


def rumble(samples: int) -> Audio:
    """Returns an engine: brown noise and the harmonics of 38 Hz."""
    spectrum = np.fft.rfft(hiss(samples)) / np.maximum(np.fft.rfftfreq(samples, 1 / SAMPLE_RATE), 15)
    noise = np.fft.irfft(spectrum, samples)
    return noise / rms(noise) + hum(samples, 38, harmonics=4)


def hum(samples: int, frequency: float, harmonics: int = 7) -> Audio:
    time = np.arange(samples) / SAMPLE_RATE
    tones = sum(np.sin(2 * np.pi * frequency * k * time + k) / k for k in range(1, harmonics + 1))
    return np.asarray(tones / rms(np.asarray(tones)))


def telephone(audio: Audio) -> Audio:
    """Returns the audio between 300 and 3400 Hz."""
    frequencies = np.fft.rfftfreq(len(audio), 1 / SAMPLE_RATE)
    return np.fft.irfft(np.fft.rfft(audio) * ((frequencies > 300) & (frequencies < 3400)), len(audio))


def with_noise(noise: Audio, snr: float) -> Pcm:
    """Returns the voice with noise; `snr` is the voice's level over the noise's, in dB. 6 dB less than full."""
    return to_pcm((voice() + noise / rms(noise) * amplitude(-23 - snr)) * amplitude(-6))


def from_the_middle(changed: Audio) -> Pcm:
    half = SECONDS // 2 * SAMPLE_RATE
    return to_pcm(np.concatenate((voice()[:half], changed[half:])))


def recall(regions: Iterable[SpeechRegion | Region], spans: list[list[float]]) -> float:
    """Returns the share of the spans that is within the regions."""
    found = np.zeros(SECONDS * SAMPLE_RATE, dtype=bool)
    for region in regions:
        found[region.start : region.end] = True
    return float(np.concatenate([found[int(a * SAMPLE_RATE) : int(b * SAMPLE_RATE)] for a, b in spans]).mean())


LENGTH_OF_VOICE = SECONDS * SAMPLE_RATE

DISTURBED = {
    # name: (recording, seconds from which it is disturbed, recall at first look is below)
    "engine -13 dB": (lambda: with_noise(rumble(LENGTH_OF_VOICE), -13), 0, 0.9),
    "hum 100 Hz -10 dB": (lambda: with_noise(hum(LENGTH_OF_VOICE, 100), -10), 0, 0.9),
    "all at -55 dB": (lambda: to_pcm(voice() * amplitude(-55)), 0, 0.9),
    "then 40 dB quieter": (lambda: from_the_middle(voice() * amplitude(-40)), 14, 0.8),
    "then on a telephone": (lambda: from_the_middle(telephone(voice()) * amplitude(-26)), 14, 0.9),
}


@cache
def found_in(name: str) -> tuple[SpeechRegion, ...]:
    return tuple(find_speech(DISTURBED[name][0](), VadOptions()))


@pytest.mark.process
@pytest.mark.parametrize("name", DISTURBED)
def test_a_second_look_finds_disturbed_and_quiet_speech(name):
    make, start, at_first_look = DISTURBED[name]
    assert recall(speech_regions(make()), spoken(start)) < at_first_look
    assert recall(found_in(name), spoken(start)) > 0.95


@pytest.mark.process
@pytest.mark.parametrize("name", DISTURBED)
def test_long_pauses_stay_pauses_at_the_second_look(name):
    pauses = [[end + 0.6, start - 0.6] for (_, end), (start, _) in pairwise(spoken()) if start - end > 1.4]
    assert pauses
    assert recall(found_in(name), pauses) < 0.5


@pytest.mark.process
@pytest.mark.parametrize("name", ["long.ogg", "demo.ogg", "dialogue.ogg", "numbers.mp3", "noise.ogg", "silence.flac"])
def test_clear_recordings_are_found_at_first_look_as_before(name):
    pcm = clip(name)
    assert [tuple(region) for region in find_speech(pcm, VadOptions())] == [
        (start, end, False) for start, end in speech_regions(pcm)
    ]


NOISES = {
    "hiss": lambda n: hiss(n) * amplitude(-30),
    "faint hiss": lambda n: hiss(n) * amplitude(-85),
    "dither": lambda n: np.random.default_rng(1).integers(-1, 2, n) / 32768,
    "rumble": lambda n: rumble(n) / rms(rumble(n)) * amplitude(-15),
    "hum of 50 Hz": lambda n: hum(n, 50) * amplitude(-30),
    "hum of 100 Hz": lambda n: hum(n, 100) * amplitude(-30),
    "beeps": lambda n: 0.1 * np.sin(np.arange(n) / 16000 * 2 * np.pi * 1000) * np.less(np.arange(n) % 32000, 5000),
    "clicks": lambda n: hiss(n) * 0.3 * np.exp(-(np.arange(n) % 12000) / 100),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NOISES)
def test_noise_is_no_speech_at_the_second_look_either(name):
    pcm = to_pcm(NOISES[name](20 * SAMPLE_RATE))
    assert list(find_speech(pcm, VadOptions())) == []


@pytest.mark.process
def test_the_second_look_depends_on_the_audio_around_a_block_only():
    pcm = to_pcm(voice() * amplitude(-45))
    start, end = 256 * FRAME, 768 * FRAME
    nothing = np.zeros(512)
    alone = pcm.copy()
    alone[: start - MARGIN] = 9999
    alone[end + MARGIN :] = -9999
    expected = probabilities_at_second_look(pcm, start, nothing, 6400)
    assert max(expected) > 0.9
    assert np.array_equal(probabilities_at_second_look(alone, start, nothing, 6400), expected)


@pytest.mark.process
def test_seconds_of_speech_count_quiet_speech():
    pcm = to_pcm(voice() * amplitude(-45))[: 4 * SAMPLE_RATE]
    assert seconds_of_speech(pcm, VadOptions()) == pytest.approx(2.6, abs=0.4)
    assert seconds_of_speech(to_pcm(hiss(4 * SAMPLE_RATE) * amplitude(-60)), VadOptions()) == 0


# Sure and doubtful regions


S, W = 20 * FRAME, FRAME


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        # Frames of 32 ms, # is speech. Expected: regions in frames without padding, and whether they are doubtful.
        ("..####..............", "..####..............", [(2, 6, False)]),
        ("....................", ".....##########.....", [(5, 15, True)]),
        ("....................", ".....####...........", []),  # shorter than 0.25 s
        ("..######........................................", "..######....................##########..........",
         [(2, 8, False), (28, 38, True)]),
        ("..######................................", "..########################..............", [(2, 26, False)]),
        ("..........................######........", "..############################..........", [(2, 32, False)]),
        ("..######............######", "..######.####.####.#######", [(2, 8, False), (20, 26, False)]),
        ("..######" + "." * 40 + "######", "..######" + "#" * 40 + "######", [(2, 54, False)]),
    ],
    ids=["sure", "doubtful", "too short", "one of each", "goes on", "begins earlier", "padding covers it", "bridged"],
)  # fmt: skip
def test_regions_are_sure_where_the_first_look_finds_any_of_them(monkeypatch, first, second, expected):
    def as_probabilities(drawn: str) -> NDArray[np.float64]:
        return np.array([0.9 if mark == "#" else 0.1 for mark in drawn])

    monkeypatch.setattr(vad, "speech_probabilities", lambda *_: iter([as_probabilities(first)]))
    monkeypatch.setattr(speech, "probabilities_at_second_look", lambda *given: as_probabilities(second))
    pcm = np.zeros(len(first) * FRAME, dtype=np.int16)
    found = list(find_speech(pcm, VadOptions(speech_pad_ms=0)))
    assert [(start // FRAME, end // FRAME, doubtful) for start, end, doubtful in found] == expected


@pytest.mark.parametrize(
    ("frames", "highest", "doubtful"),
    [(30, 0.87, True), (30, 0.91, False), (60, 0.87, True), (70, 0.87, False)],
    ids=["a cough", "a quick yes", "almost 2 s", "over 2 s"],
)
def test_a_short_sound_that_the_detector_is_never_certain_of_is_doubtful(monkeypatch, frames, highest, doubtful):
    probabilities = [0.1] * 40 + [0.7] * (frames // 2) + [highest] + [0.7] * (frames - frames // 2 - 1) + [0.1] * 40
    monkeypatch.setattr(vad, "speech_probabilities", lambda *_: iter([np.array(probabilities)]))
    pcm = np.zeros(len(probabilities) * FRAME, dtype=np.int16)
    found = list(find_speech(pcm, VadOptions(speech_pad_ms=0)))
    assert found == [SpeechRegion(40 * FRAME, (40 + frames) * FRAME, doubtful)]


def windows_of(*seconds: tuple[float, float, str]) -> list[tuple[float, float, bool]]:
    regions = [SpeechRegion(int(a * SAMPLE_RATE), int(b * SAMPLE_RATE), kind == "doubtful") for a, b, kind in seconds]
    pcm = np.zeros(1, dtype=np.int16)
    found = join_regions(regions, pcm)
    return [(window.start / SAMPLE_RATE, window.end / SAMPLE_RATE, window.doubtful) for window in found]


@pytest.mark.parametrize(
    ("regions", "expected"),
    [
        ([(0, 4, "sure"), (5, 6, "doubtful"), (7, 9, "sure")], [(0, 9, False)]),
        ([(0, 4, "sure"), (5, 6, "doubtful")], [(0, 4, False), (5, 6, True)]),
        ([(0, 1, "doubtful"), (2, 6, "sure")], [(0, 1, True), (2, 6, False)]),
        ([(0, 1, "doubtful"), (3, 4, "doubtful")], [(0, 4, True)]),
        ([(0, 1, "doubtful"), (7, 8, "doubtful")], [(0, 1, True), (7, 8, True)]),
        ([(0, 1, "sure"), (4, 5, "doubtful"), (8, 9, "sure")], [(0, 1, False), (4, 5, True), (8, 9, False)]),
        ([(0, 25, "sure"), (26, 27, "doubtful"), (28, 35, "sure")], [(0, 25, False), (26, 27, True), (28, 35, False)]),
        ([(0, 20, "doubtful"), (21, 35, "doubtful")], [(0, 20, True), (21, 35, True)]),
    ],
)
def test_doubtful_regions_outside_of_windows_get_their_own(regions, expected):
    assert windows_of(*regions) == expected


@pytest.mark.process
def test_windows_say_what_only_the_second_look_found():
    pcm = from_the_middle(voice() * amplitude(-40))
    windows = list(find_windows(pcm, [Region(0, len(pcm))], VadOptions()))
    looked_twice = [(w.start / SAMPLE_RATE + a, w.start / SAMPLE_RATE + b) for w in windows for a, b in w.doubtful]
    assert looked_twice
    assert all(start > 14 for start, _ in looked_twice)
    assert any(w.levelled for w in windows)
    assert not windows[0].window.doubtful


@pytest.mark.process
def test_windows_that_only_the_second_look_found_are_doubtful():
    pcm = with_noise(hum(LENGTH_OF_VOICE, 100), -10)
    windows = list(find_windows(pcm, [Region(0, len(pcm))], VadOptions()))
    assert windows
    assert all(w.window.doubtful and w.doubtful for w in windows)


# Levels


def test_loudness_is_that_of_the_loud_steps_nearby():
    audio = np.concatenate([hiss(3 * SAMPLE_RATE) * amplitude(-20), hiss(3 * SAMPLE_RATE) * amplitude(-60)])
    found = loudness(audio.astype(np.float32))
    assert found[:80] == pytest.approx(-20, abs=1)
    assert found[-80:] == pytest.approx(-60, abs=1)


@pytest.mark.parametrize(
    ("difference", "after"), [(0, 0), (10, 10), (MAX_DIFFERENCE_DB - 2, MAX_DIFFERENCE_DB - 2), (25, 6), (40, 6)]
)
def test_only_voices_far_apart_are_brought_together(difference, after):
    """Noise of two levels stands for two voices."""
    loud, quiet = hiss(5 * SAMPLE_RATE) * amplitude(-25), hiss(5 * SAMPLE_RATE) * amplitude(-25 - difference)
    pcm = to_pcm(np.concatenate((loud, quiet)))
    levelled = level_voices(pcm, [Region(0, len(pcm))])
    assert (levelled is pcm) == (difference < MAX_DIFFERENCE_DB)
    parts = [rms(to_float(levelled)[span].astype(np.float64)) for span in (slice(0, 64_000), slice(96_000, None))]
    assert 20 * np.log10(parts[0] / parts[1]) == pytest.approx(after, abs=1)
    assert parts[0] == pytest.approx(amplitude(-25), rel=0.1)


@pytest.mark.parametrize("spans", [[], [(0, 16_000)]], ids=["no speech", "one voice"])
def test_noise_outside_of_speech_is_never_a_voice(spans):
    pcm = to_pcm(np.concatenate((hiss(5 * SAMPLE_RATE) * amplitude(-25), hiss(5 * SAMPLE_RATE) * amplitude(-70))))
    assert level_voices(pcm, [Region(*span) for span in spans]) is pcm


@pytest.mark.parametrize("frequency", [30, 60, 100, 437, 1000])
def test_cleaning_removes_steady_tones_and_levels_the_rest(frequency):
    turn = 2j * np.pi * frequency * np.arange(10 * SAMPLE_RATE) / SAMPLE_RATE
    bursts = np.less(np.arange(len(turn)) % 16_000, 8000)
    audio = 0.01 * np.sin(turn.imag) + amplitude(-50) * hiss(len(turn)) * bursts
    cleaned = clean_and_level(audio.astype(np.float32)).astype(np.float64)

    def share_of_tone(audio: Audio) -> float:
        return float(2 * abs((audio * np.exp(turn))[bursts].mean()) / rms(audio[bursts]))

    assert 20 * np.log10(rms(cleaned[bursts])) == pytest.approx(-23, abs=4)
    assert share_of_tone(audio) > 1.2
    assert share_of_tone(cleaned) < 0.7


@pytest.mark.parametrize("samples", [1, 100, 511, 512, 513, 16_000])
def test_short_audio_can_be_looked_at_twice(samples):
    pcm = to_pcm(hiss(samples) * amplitude(-40))
    assert len(clean_and_level(to_float(pcm))) == samples
    assert list(find_speech(pcm, VadOptions())) == []


# pyannote's network


@pytest.mark.process
@pytest.mark.parametrize("seconds", [0.01, 3, 10, 18])
def test_the_other_detector_agrees_on_clear_speech(seconds):
    samples = torch.from_numpy(to_float(clip()[: int(seconds * SAMPLE_RATE)]))
    middles = torch.arange(0, len(samples), FRAME)
    found = speech_of_anyone(samples, middles).numpy() > 0.5
    expected = np.concatenate([*speech_probabilities(clip()[: int(seconds * SAMPLE_RATE)])]) > 0.5
    assert found.shape == expected.shape
    assert (found == expected).mean() > 0.8


def test_the_network_has_the_frames_that_it_should():
    frames = load_segmentation(CPU)(torch.zeros(2, LENGTH)).shape
    assert frames == (2, 589, CLASSES)  # pyannote's own number for 10 s
    assert FIRST_MIDDLE + 588 * HOP < LENGTH
