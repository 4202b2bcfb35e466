"""Decoding steps, the encoder and memory of all model sizes, with random weights of the right size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import torch

from benchmarks.gpu.report import Row
from benchmarks.gpu.setup import Setup, eager, within
from src.engine.decoding import Batch
from src.engine.decoding_options import TokenSets
from src.engine.model import Model
from src.engine.token_rules import TokenRules
from src.engine.work import DecodeRequest

STEPS = 56
"""With the prompt, within the first bucket of text positions: all steps of a batch are the same kernels."""


def measure_steps(setup: Setup, limit_s: float) -> Iterator[Row]:
    """Yield the time of a step by model and number of windows, eager and, where the device can, replayed."""
    cases = [(size, count) for size in setup.sizes for count in setup.batch_sizes]
    models: dict[str, Model] = {}
    for size, count in within(limit_s, cases):
        if size not in models:
            models.clear()  # first, so that only one is in memory
            models[size] = setup.random_model(size, with_encoder=False)
        variants = [eager(models[size]), models[size]] if setup.placement.replays else [models[size]]
        for model in variants:
            name = "replayed" if model.placement.replays else "eager"
            row: Row = {"model": size, "windows": count, "steps": name}
            try:
                yield row | _step_figures(setup, model, count)
            except torch.OutOfMemoryError:
                yield row | {"ms a step": "out of memory"}


def _step_figures(setup: Setup, model: Model, count: int) -> Row:
    empty_mb = setup.used_mb()
    batch = make_batch(setup, model, count)
    slots_mb = setup.used_mb() - empty_mb
    requests = setup.endless_requests(model, count)
    before_mb = setup.used_mb()
    steps, repeats = (4, 1) if setup.is_small else (STEPS, 2)
    first = time_steps(setup, batch, requests, steps)
    steady = min(time_steps(setup, batch, requests, steps) for _ in range(repeats))
    ms = 1000 * steady / steps
    figures: Row = {
        "ms a step": ms,
        "us a token": 1000 * ms / count,
        "GB/s of weights and cross-attention": _bytes_read(model, count) / ms / 1e6,
        "warm-up and recording, ms": 1000 * (first - steady),
    }
    if setup.device.type == "cuda":
        figures |= {"MB a slot": slots_mb / count, "MB added by steps": setup.used_mb() - before_mb}
    return figures


def make_batch(setup: Setup, model: Model, num_slots: int) -> Batch:
    """Return an empty greedy batch."""
    rules = TokenRules(TokenSets(model.dims, setup.device).tokenizer(), model.dims.n_vocab, setup.device)
    return Batch(model, rules, num_slots, 1)


def time_steps(setup: Setup, batch: Batch, requests: Sequence[DecodeRequest], steps: int) -> float:
    """Return the seconds of the first steps of requests, which enter before and leave afterwards."""
    batch.admit(requests)

    def run() -> None:
        for _ in range(steps):
            batch.step()

    seconds = setup.seconds(run)
    batch.remove(requests)
    return seconds


def _bytes_read(model: Model, count: int) -> int:
    """Bytes that a step reads at least: the decoder's weights, and the windows' cross-attention keys and values."""
    dims, width = model.dims, int(model.dims.n_text_state)
    # A layer has four square matrices of self-attention, two of cross-attention (its keys and values are cached), and
    # eight of the feed-forward; and the embedding is read whole for the logits.
    layers, positions, vocabulary = int(dims.n_text_layer), int(dims.n_audio_ctx), int(dims.n_vocab)
    weights = layers * 14 * width**2 + vocabulary * width
    cross_attention = count * layers * 2 * positions * width
    return (weights + cross_attention) * model.placement.dtype.itemsize


def measure_encoder(setup: Setup, limit_s: float) -> Iterator[Row]:
    """Yield the encoder's time and memory by model, for one window and for a full pass."""
    for size in within(limit_s, setup.sizes):
        yield {"model": size, **_encoder_figures(setup, size)}


@torch.inference_mode()
def _encoder_figures(setup: Setup, size: str) -> Row:
    figures: Row = {}
    empty_mb = setup.used_mb()
    model = setup.random_model(size)
    if setup.device.type == "cuda":
        figures["weights, MB"] = setup.used_mb() - empty_mb
        torch.cuda.reset_peak_memory_stats(setup.device)
    allocated = torch.cuda.memory_allocated(setup.device) if setup.device.type == "cuda" else 0
    for count in (1, 2 if setup.is_small else 8):
        encode = partial(model.encoder, setup.random_mel(model, count))
        figures[f"ms a window, {count} at once"] = setup.median_ms(encode, 5) / count
    if setup.device.type == "cuda":
        figures["peak of a pass, MB"] = (torch.cuda.max_memory_allocated(setup.device) - allocated) / 1e6
    return figures
