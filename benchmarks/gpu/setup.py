"""What all sections of `benchmarks.gpu_check` share: the device, models of random weights, clocks and memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from copy import copy
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import TypeVar

import torch
from torch import Tensor, nn
from whisper.model import ModelDimensions, Whisper

from src.engine.decoding_options import DecodingOptions, TokenSets
from src.engine.model import Model
from src.engine.placement import Placement
from src.engine.work import DecodeRequest

ENGLISH = DecodingOptions(language="en")
SIZES = {
    "tiny": (80, 384, 4, 4, 51865),
    "base": (80, 512, 6, 6, 51865),
    "small": (80, 768, 12, 12, 51865),
    "medium": (80, 1024, 24, 24, 51865),
    "turbo": (128, 1280, 32, 4, 51866),
    "large-v3": (128, 1280, 32, 32, 51866),
}
"""Mel bands, width, layers of encoder and decoder, and vocabulary of each model."""

Item = TypeVar("Item")


@dataclass(frozen=True)
class Setup:
    """What is measured, and where.

    Attributes:
        placement: the device, as the worker uses it.
        is_small: sizes for a CPU: the same code in seconds, with figures that mean nothing.
        model: name of the real weights, in the file or folder `weights`.
    """

    placement: Placement
    is_small: bool
    model: str
    weights: Path

    @property
    def device(self) -> torch.device:
        """The device."""
        return self.placement.device

    @property
    def sizes(self) -> list[str]:
        """The models that are measured with random weights."""
        return ["tiny", "large-v3"] if self.is_small else list(SIZES)

    @property
    def batch_sizes(self) -> list[int]:
        """Numbers of windows that are decoded together."""
        return [1, 2] if self.is_small else [1, 4, 16, 32, 64]

    def dims(self, size: str) -> ModelDimensions:
        """Return the dimensions of a model."""
        mels, width, encoder_layers, decoder_layers, vocabulary = SIZES[size]
        if self.is_small:
            width, encoder_layers, decoder_layers = 128, 1, 1
        heads = width // 64
        audio, text = (1500, width, heads, encoder_layers), (448, width, heads, decoder_layers)
        return ModelDimensions(mels, *audio, vocabulary, *text)

    def random_source(self, size: str, *, with_encoder: bool = True) -> Whisper:
        """Return openai-whisper's model of that size with random weights, made on the device.

        Args:
            with_encoder: False saves memory: one layer of the encoder.
        """
        dims = self.dims(size)
        if not with_encoder:
            dims = replace(dims, n_audio_layer=1)
        torch.manual_seed(0)
        with self.device:
            source = Whisper(dims)
        source.requires_grad_(False)
        nn.init.normal_(source.decoder.positional_embedding, 0, 0.05)  # openai-whisper leaves it uninitialised
        nn.init.normal_(source.decoder.token_embedding.weight, 0, 0.05)
        return source

    def random_model(self, size: str, *, with_encoder: bool = True) -> Model:
        """Return the engine's model of that size with random weights."""
        source = self.random_source(size, with_encoder=with_encoder)
        return Model(source, self.placement, source.decoder.token_embedding.weight)

    def endless_requests(self, model: Model, count: int) -> list[DecodeRequest]:
        """Return requests over random features in which the end of the text is suppressed: each step is the same."""
        token_sets = TokenSets(model.dims, self.device)
        suppressed = token_sets.suppressed((-1,)).clone()
        suppressed[token_sets.tokenizer().eot] = -torch.inf
        shape = (model.dims.n_audio_ctx, model.dims.n_audio_state)
        return [
            DecodeRequest(
                torch.randn(shape, device=self.device, dtype=self.placement.dtype),
                token_sets.prompt(ENGLISH),
                suppressed,
            )
            for _ in range(count)
        ]

    def random_mel(self, model: Model, count: int) -> Tensor:
        """Return random log-mel spectrograms [count, n_mels, 3000]."""
        return torch.randn(count, model.dims.n_mels, 3000, device=self.device)

    def synchronize(self) -> None:
        """Wait until the device has done all its work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def seconds(self, run: Callable[[], object]) -> float:
        """Return the seconds that the device takes for all that `run` gives it."""
        self.synchronize()
        started = time.perf_counter()
        run()
        self.synchronize()
        return time.perf_counter() - started

    def median_ms(self, run: Callable[[], object], repeats: int = 10) -> float:
        """Return the median of several runs, after two that warm up."""
        if self.is_small:
            repeats = 1
        for _ in range(2):
            run()
        return 1000 * median(self.seconds(run) for _ in range(repeats))

    def used_mb(self) -> float:
        """Return the GPU's memory that is in use, by whomever; 0 on a CPU. Freed memory is released first."""
        if self.device.type != "cuda":
            return 0.0
        self.synchronize()
        torch.cuda.empty_cache()
        free, total = torch.cuda.mem_get_info(self.device)
        return (total - free) / 1e6


def eager(model: Model) -> Model:
    """Return the same model with steps that are never recorded."""
    twin = copy(model)
    twin.placement = replace(model.placement, replays=False)
    return twin


def within(seconds: float, items: Iterable[Item]) -> Iterator[Item]:
    """Yield items until the time is over, so that a slow device leaves some out rather than taking hours."""
    started = time.perf_counter()
    for item in items:
        if time.perf_counter() - started > seconds:
            return
        yield item
