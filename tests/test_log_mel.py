"""Spectrograms of a batch have the numbers that openai-whisper computes for each window alone."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor
from whisper.audio import HOP_LENGTH, N_FRAMES, N_SAMPLES, log_mel_spectrogram, pad_or_trim

from src.engine.log_mel import log_mel

Pcm = npt.NDArray[np.int16]
LENGTHS = (480_000, 479_999, 320_001, 160_000, 123_457, 16_000, 7_999, 4_000)
CPU = torch.device("cpu")


def noise(length: int, loudness: float = 3000.0) -> Pcm:
    """Noise whose second half is much quieter than its first."""
    samples = np.random.default_rng(length).standard_normal(length) * loudness
    samples[length // 2 :] /= 1000
    return samples.clip(-32768, 32767).astype(np.int16)


def of_whisper(window: Pcm, n_mels: int) -> Tensor:
    """As `whisper.transcribe`: 30 s of silence after the audio, of which only the first frames are looked at."""
    mel = log_mel_spectrogram(window.astype(np.float32) / 32768, n_mels, padding=N_SAMPLES)
    padded: Tensor = pad_or_trim(mel[:, : len(window) // HOP_LENGTH], N_FRAMES)
    return padded


@pytest.mark.parametrize("n_mels", [80, 128])
@pytest.mark.parametrize("length", LENGTHS)
def test_a_window_alone_has_whispers_numbers(length: int, n_mels: int) -> None:
    (mel,) = log_mel([noise(length)], n_mels, CPU)
    assert torch.equal(mel, of_whisper(noise(length), n_mels))


def test_fewer_frames_have_the_same_numbers() -> None:
    windows = [noise(64_000), noise(16_000)]
    assert torch.equal(log_mel(windows, 80, CPU, 600), log_mel(windows, 80, CPU)[:, :, :600])


@pytest.mark.slow
@pytest.mark.parametrize("n_mels", [80, 128])
def test_windows_of_a_batch_do_not_affect_each_other(n_mels: int) -> None:
    windows = [noise(length, loudness=10 ** (1 + number % 4)) for number, length in enumerate(LENGTHS)]
    mel = log_mel(windows, n_mels, CPU)
    assert mel.shape == (len(windows), n_mels, N_FRAMES)
    for row, window in zip(mel, windows, strict=True):
        assert torch.equal(row, of_whisper(window, n_mels))


@pytest.mark.parametrize("length", [1, 159, 161, 399])
def test_a_window_shorter_than_a_frame_has_nearly_whispers_numbers(length: int) -> None:
    mel = log_mel([noise(length), noise(480_000)], 80, CPU)
    assert torch.allclose(mel[0], of_whisper(noise(length), 80), atol=1e-6)
    assert mel[0, :, length // HOP_LENGTH :].eq(0).all()


def test_silence_has_whispers_numbers() -> None:
    silence = np.zeros(32_000, np.int16)
    mel = log_mel([silence, noise(480_000)], 80, CPU)
    assert torch.equal(mel[0], of_whisper(silence, 80))
