"""What every reader of weights gives: tensors under openai-whisper's names, dimensions, and heads that align."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from whisper.model import ModelDimensions

from src.models.files import read_json

State = dict[str, Tensor]

# Whisper's has 448 positions. The mask over them is quadratic: a damaged file is not to ask for terabytes.
_MAX_TEXT_CONTEXT = 4096


class BadWeights(Exception):
    """What is wrong with a file, as the end of a sentence that begins with the file's name."""


@dataclass(frozen=True)
class Checkpoint:
    """
    Attributes:
        state: the file's own tensors, mapped.
        alignment_heads: layer and head of each; None: the file does not say.
        unembedding: [V, D], what logits are made with, if that is not the embedding of tokens.
    """

    state: State
    dims: ModelDimensions
    alignment_heads: Tensor | None = None
    """[layers, heads], bool."""
    unembedding: Tensor | None = None


def alignment_heads(dims: ModelDimensions, config: Path) -> Tensor | None:
    """The mask [layers, heads] of `alignment_heads`, pairs of layer and head, in a JSON file; None if it gives none."""
    mask = torch.zeros(dims.n_text_layer, dims.n_text_head, dtype=torch.bool)
    try:
        content = read_json(config)
        pairs: Iterable[tuple[int, int]] = content["alignment_heads"]  # type: ignore[index]
        for layer, head in pairs:
            mask[layer, head] = True
    except (OSError, KeyError, ValueError, TypeError, IndexError):  # no file, no list, not JSON, or not this model's
        return None
    return mask if mask.any() else None


def dimensions(state: State, n_audio_head: int, n_text_head: int) -> ModelDimensions:
    """The model's dimensions as the shapes tell them; the heads are the one thing that leaves no trace in a shape."""
    n_audio_state, n_mels, _ = _shape(state, "encoder.conv1.weight", 3)
    n_audio_ctx, _ = _shape(state, "encoder.positional_embedding", 2)
    n_vocab, n_text_state = _shape(state, "decoder.token_embedding.weight", 2)
    n_text_ctx, _ = _shape(state, "decoder.positional_embedding", 2)
    for n_state, n_head in ((n_audio_state, n_audio_head), (n_text_state, n_text_head)):
        if n_state < 4 or n_state % 2 or n_head < 1 or n_state % n_head:
            raise BadWeights(f"has {n_head} attention heads over {n_state} channels: fetch the model again")
    if n_text_ctx > _MAX_TEXT_CONTEXT:
        raise BadWeights(f"has a text context of {n_text_ctx} tokens where Whisper's is 448: give a Whisper model")
    return ModelDimensions(
        n_mels=n_mels,
        n_audio_ctx=n_audio_ctx,
        n_audio_state=n_audio_state,
        n_audio_head=n_audio_head,
        n_audio_layer=_count_layers(state, "encoder"),
        n_vocab=n_vocab,
        n_text_ctx=n_text_ctx,
        n_text_state=n_text_state,
        n_text_head=n_text_head,
        n_text_layer=_count_layers(state, "decoder"),
    )


def _shape(state: State, name: str, rank: int) -> torch.Size:
    if name not in state:
        raise BadWeights(f"lacks {name}, which a Whisper model has: fetch the model again")
    if state[name].dim() != rank:
        raise BadWeights(f"holds {name} with {state[name].dim()} dimensions instead of {rank}: give a Whisper model")
    return state[name].shape


def _count_layers(state: State, side: str) -> int:
    count = 0
    while f"{side}.blocks.{count}.attn.query.weight" in state:
        count += 1
    return count
