"""The mix of channels: what ffmpeg's sum would lose, and what the mixer does about it."""

from __future__ import annotations

import io
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from numpy.typing import NDArray

from src.audio.mixing import (
    MAX_WEIGHTED_CHANNELS,
    CancellationProbe,
    Mixer,
    channel_weights,
    read_and_mix,
    read_wav_header,
)
from tests.support.media import SAMPLE_RATE, sine, write_wav

Sound = NDArray[np.float64]
SECONDS = 6
STEREO = 0b11


def voice(seed: int) -> Sound:
    """Sound that is like a voice: harmonics of a gliding pitch, in syllables, with some noise."""
    random = np.random.default_rng(seed)
    time = np.arange(SECONDS * SAMPLE_RATE) / SAMPLE_RATE
    pitch = 2 * np.pi * np.cumsum(120 + 40 * seed % 60 + 20 * np.sin(2 * np.pi * 0.7 * time + seed)) / SAMPLE_RATE
    harmonics = sum(np.sin(number * pitch + seed) / number for number in range(1, 25))
    syllables = np.clip(np.sin(2 * np.pi * (3 + 0.3 * seed) * time + seed), 0.05, 1)
    return np.asarray(3000 * syllables * harmonics + 20 * random.standard_normal(len(time)))


VOICE, OTHER, NOTHING = voice(1), voice(2), np.zeros(SECONDS * SAMPLE_RATE)
HUM = sine(50, SECONDS, 8000).astype(np.float64)
STRETCH = np.zeros(SECONDS * SAMPLE_RATE, dtype=bool)
STRETCH[2 * SAMPLE_RATE : 4 * SAMPLE_RATE] = True

CASES = {
    "the same voice in both": (VOICE, VOICE),
    "a voice in one": (VOICE, NOTHING),
    "two voices": (VOICE, OTHER),
    "two microphones, 3 ms apart": (VOICE, np.roll(VOICE, 48)),
    "silence": (NOTHING, NOTHING),
    "a voice, and hum in opposite phase": (VOICE + HUM, VOICE - HUM),
    "opposite phase": (VOICE, -VOICE),
    "opposite phase, one softer": (VOICE, -0.8 * VOICE),
    "opposite phase for a stretch": (VOICE, np.where(STRETCH, -VOICE, VOICE)),
    "opposite phase under common hum": (VOICE + HUM, HUM - VOICE),
    "two voices, each in opposite phase": (VOICE + OTHER, -VOICE - OTHER),
}
LOST = [name for name in CASES if name.startswith("opposite") or name.endswith("each in opposite phase")]


def stereo(name: str) -> NDArray[np.int16]:
    return np.rint(np.stack(CASES[name], axis=1)).astype(np.int16)


def wav_stream(samples: NDArray[np.int16], folder: Path) -> io.BytesIO:
    return io.BytesIO(write_wav(folder / "channels.wav", samples).read_bytes())


def mixed(samples: NDArray[np.int16], mask: int = STEREO, block: int = 50_000) -> Sound:
    mixer = Mixer(channel_weights(samples.shape[1], mask))
    blocks = [mixer.mix(samples[start : start + block]) for start in range(0, len(samples), block)]
    return np.concatenate([*blocks, mixer.finish()]).astype(np.float64)


def power_above_hum(sound: Sound) -> float:
    spectrum = np.abs(np.fft.rfft(sound)) ** 2
    return float(spectrum[int(200 * len(sound) / SAMPLE_RATE) :].sum())


@pytest.mark.parametrize("name", CASES)
def test_the_probe_finds_sound_that_a_plain_mix_loses(name: str, tmp_path: Path) -> None:
    probe = CancellationProbe()
    probe.read(wav_stream(stereo(name), tmp_path))
    assert probe.loses_sound == (name in LOST)


@pytest.mark.parametrize("name", LOST)
def test_a_voice_that_a_plain_mix_loses_is_kept(name: str) -> None:
    samples = stereo(name)
    left = CASES[name][0]
    found = mixed(samples)
    assert len(found) == len(samples)
    for second in range(SECONDS):
        part = slice(second * SAMPLE_RATE, (second + 1) * SAMPLE_RATE)
        assert power_above_hum(found[part]) > 0.5 * power_above_hum(left[part])


@pytest.mark.parametrize("name", [name for name in CASES if name not in LOST and "hum" not in name])
def test_elsewhere_the_mix_is_the_plain_one(name: str) -> None:
    samples = stereo(name)
    assert np.abs(mixed(samples) - samples.mean(axis=1)).max() <= 1


def test_around_a_stretch_in_opposite_phase_the_mix_is_the_plain_one() -> None:
    samples = stereo("opposite phase for a stretch")
    difference = np.abs(mixed(samples) - samples.mean(axis=1))
    assert difference[:SAMPLE_RATE].max() <= 1
    assert difference[5 * SAMPLE_RATE :].max() <= 1


@pytest.mark.parametrize("block", [1, 777, 4096, 1 << 20])
def test_the_mix_does_not_depend_on_the_blocks(block: int) -> None:
    samples = stereo("opposite phase for a stretch")[: 2 * SAMPLE_RATE + 333] if block == 1 else stereo(LOST[0])
    assert (mixed(samples, block=block) == mixed(samples)).all()


@pytest.mark.parametrize("channels", [3, 9, 10, 32, 60])
def test_a_voice_in_the_last_of_many_channels_has_its_full_level(channels: int) -> None:
    samples = np.zeros((2 * SAMPLE_RATE, channels), dtype=np.int16)
    samples[:, -1] = VOICE[: len(samples)]
    assert (mixed(samples, mask=0) == samples[:, -1]).all()


def test_the_third_track_of_a_recorder_is_no_subwoofer() -> None:
    """Ffmpeg takes three channels for stereo with a subwoofer, whose weight is 0."""
    samples = np.zeros((2 * SAMPLE_RATE, 3), dtype=np.int16)
    samples[:, -1] = VOICE[: len(samples)]
    found = mixed(samples, mask=0b1011)
    assert power_above_hum(found) > 0.2 * power_above_hum(VOICE[: len(samples)])


def test_loud_channels_are_turned_down_and_do_not_wrap() -> None:
    loud = sine(300, 2, 30_000)
    found = mixed(np.stack([loud] * 9, axis=1), mask=0)
    assert np.abs(found).max() <= np.iinfo(np.int16).max
    assert np.corrcoef(found, loud)[0, 1] > 0.99


@pytest.mark.parametrize("most", [0, 1, 4095, 4096, 100_000])
def test_a_mix_ends_at_the_limit(most: int, tmp_path: Path) -> None:
    pcm = io.BytesIO()
    read_and_mix(wav_stream(stereo("opposite phase"), tmp_path), pcm, most)
    assert len(pcm.getvalue()) == 2 * min(most, SECONDS * SAMPLE_RATE)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"RIFF\0\0\0\0WAVE", b"RIFF\0\0\0\0WAVEdata\0\0\0\0"])
def test_a_stream_without_a_header_has_no_sound(content: bytes) -> None:
    assert read_wav_header(io.BytesIO(content)) is None
    pcm = io.BytesIO()
    assert read_and_mix(io.BytesIO(content), pcm, 100) == 0
    probe = CancellationProbe()
    probe.read(io.BytesIO(content))
    assert not probe.loses_sound


@pytest.mark.process
@pytest.mark.parametrize(
    ("layout", "channels"),
    [
        ("mono", 1),
        ("stereo", 2),
        ("2.1", 3),
        ("3.0", 3),
        ("3.0(back)", 3),
        ("4.0", 4),
        ("quad", 4),
        ("quad(side)", 4),
        ("5.0", 5),
        ("5.1", 6),
        ("5.1(side)", 6),
        ("6.1", 7),
        ("7.1", 8),
        ("7.1(wide)", 8),
    ],
)
def test_the_weights_are_those_of_ffmpegs_mix(layout: str, channels: int, tmp_path: Path) -> None:
    frequencies = 100 * (1 + np.arange(channels))  # whole periods in a second
    samples = np.stack([sine(float(frequency), 1.0, 3000) for frequency in frequencies], axis=1)
    (tmp_path / "raw").write_bytes(samples.tobytes())
    source = ["-f", "s16le", "-ar", str(SAMPLE_RATE), "-ch_layout", layout, "-i", str(tmp_path / "raw")]
    outputs = [str(tmp_path / "all.wav"), "-ac", "1", str(tmp_path / "mono.wav")]
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", *source, *outputs], check=True)
    with (tmp_path / "all.wav").open("rb") as file:
        header = read_wav_header(file)
    with (tmp_path / "mono.wav").open("rb") as file:
        read_wav_header(file)
        mono = np.frombuffer(file.read(), dtype="<i2")
    levels = np.abs(np.fft.rfft(mono))[frequencies] / (len(mono) / 2) / 3000
    assert header is not None
    assert header.channels == channels
    assert channel_weights(channels, header.mask).plain == pytest.approx(levels, abs=0.002)


@pytest.mark.parametrize("channels", range(1, 65))
def test_no_channel_is_left_out_of_the_full_weights(channels: int) -> None:
    for mask in (0, (1 << channels) - 1, 0b1011):
        assert (channel_weights(channels, mask).full > 0).all()
    if channels > MAX_WEIGHTED_CHANNELS:
        assert (channel_weights(channels, (1 << channels) - 1).plain == 1).all()
