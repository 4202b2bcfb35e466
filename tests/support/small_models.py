"""Whisper models with random weights, small enough that a decoding step takes a millisecond, and requests for them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any

import torch
import whisper

from src.engine.decoding import Batch, BeamBatch
from src.engine.model import Model
from src.engine.placement import Placement
from src.engine.token_rules import TokenRules
from src.engine.work import DecodeRequest

TEXT_TOKENS, START, CONTEXT = 40, 41, 96
"""Tokens of text, `<|startoftranscript|>`, and text positions: a text has up to 48 sampled tokens."""

TOKENS: Any = SimpleNamespace(eot=TEXT_TOKENS, sot=START, no_speech=42, timestamp_begin=44)
DIMS = whisper.ModelDimensions(
    n_mels=80,
    n_audio_ctx=16,
    n_audio_state=128,
    n_audio_head=2,
    n_audio_layer=1,
    n_vocab=44 + 61,  # with timestamps from 0 s to 1.2 s
    n_text_ctx=CONTEXT,
    n_text_state=128,
    n_text_head=2,
    n_text_layer=2,
)


@cache
def _weights(layers: int) -> whisper.Whisper:
    """Weights whose texts follow from the audio and from all earlier tokens, and end after some 1 to 48 tokens."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(layers)
        source = whisper.Whisper(whisper.ModelDimensions(**{**vars(DIMS), "n_text_layer": layers}))
        for weight in source.decoder.parameters():
            if weight.dim() > 1:
                torch.nn.init.normal_(weight, std=2 * weight.shape[-1] ** -0.5)
    return source.requires_grad_(False)


@cache
def small_model(placement: Placement, layers: int = 2) -> Model:
    source = _weights(layers)
    return Model(source, placement, source.decoder.token_embedding.weight)


def small_batch(placement: Placement, request: DecodeRequest, slots: int, layers: int = 2) -> Batch:
    """An empty batch for requests like this one."""
    rules = TokenRules(TOKENS, DIMS.n_vocab, placement.device)
    shared = small_model(placement, layers), rules, slots, request.num_candidates
    return Batch(*shared) if request.beam_size is None else BeamBatch(*shared, request.max_hypotheses)


def small_request(placement: Placement, window: int = 0, prompt: Sequence[int] = (), **given: Any) -> DecodeRequest:
    """A request for a random window, after a text of tokens below `TEXT_TOKENS`."""
    generator = torch.Generator().manual_seed(window)
    shape = DIMS.n_audio_ctx, DIMS.n_audio_state
    features = torch.randn(shape, generator=generator, dtype=torch.float64) * 3
    suppressed = torch.zeros(DIMS.n_vocab)
    suppressed[TEXT_TOKENS + 1 : TOKENS.timestamp_begin] = -torch.inf
    return DecodeRequest(
        features.to(placement.device, placement.dtype),
        [*prompt, START],
        suppressed.to(placement.device),
        **given,
    )
