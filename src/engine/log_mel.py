"""Log-mel spectrograms of a batch of windows, with openai-whisper's numbers (`whisper/audio.py`) for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor
from whisper.audio import HOP_LENGTH, N_FFT, N_FRAMES, mel_filters

DYNAMIC_RANGE = 8.0
"""Range below a window's loudest bin, as a power of ten of its energy; quieter bins are raised to the limit."""


def log_mel(
    windows: Sequence[NDArray[np.int16]], n_mels: int, device: torch.device, num_frames: int = N_FRAMES
) -> Tensor:
    """Return spectrograms [B, n_mels, num_frames], zero after the end of each window.

    `whisper.transcribe` appends 30 s of silence to the audio; one frame's worth yields the same numbers in less time.

    Args:
        windows: [samples] at 16 kHz each, at most 30 s.
        n_mels: bins of a frame.
        device: where they are computed.
        num_frames: frames of 10 ms, at least those of the longest window.
    """
    lengths = torch.tensor([len(window) for window in windows])
    # Page-locked for CUDA, so that the copy does not wait; PyTorch reuses the memory once the copy is done.
    pcm = torch.zeros(len(windows), int(lengths.max()) + N_FFT, dtype=torch.int16, pin_memory=device.type == "cuda")
    for row, window in zip(pcm.numpy(), windows, strict=True):
        row[: len(window)] = window
    waveforms = pcm.to(device, non_blocking=True).float().div_(32768)

    stft = torch.stft(waveforms, N_FFT, HOP_LENGTH, window=_hann_window(device), return_complex=True)
    magnitudes = stft[..., :-1].abs().square_()
    log_spec = (mel_filters(device, n_mels) @ magnitudes).clamp_(min=1e-10).log10_()
    frames = torch.arange(log_spec.shape[-1], device=device)
    lengths = lengths.to(device, non_blocking=True)[:, None, None]
    heard = frames < (lengths + N_FFT) // HOP_LENGTH
    loudest = log_spec.masked_fill(~heard, -torch.inf).amax((1, 2), keepdim=True)
    log_spec.clamp_(min=loudest - DYNAMIC_RANGE).add_(4.0).div_(4.0)
    log_spec.masked_fill_(frames >= lengths // HOP_LENGTH, 0.0)
    return F.pad(log_spec, (0, num_frames - log_spec.shape[-1]))


@cache
def _hann_window(device: torch.device) -> Tensor:
    return torch.hann_window(N_FFT).to(device)
