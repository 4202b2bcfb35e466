"""The common result of all readers of weights: tensors under openai-whisper's names, dimensions, alignment heads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from whisper.model import ModelDimensions

from src.models.files import read_json

State = dict[str, Tensor]

# Whisper's text context is 448. The mask over it is quadratic: a damaged file must not request terabytes.
_MAX_TEXT_CONTEXT = 4096


class BadWeights(Exception):
    """The fault of a file, worded as the end of a sentence that begins with the file's name."""


@dataclass(frozen=True)
class Checkpoint:
    """A model's weights.

    Attributes:
        state: the file's tensors, memory-mapped, by openai-whisper's names.
        alignment_heads: [layers, heads], bool; None: the file does not specify them.
        unembedding: [V, D], the weight that computes logits, if it differs from the token embedding.
    """

    state: State
    dims: ModelDimensions
    alignment_heads: Tensor | None = None
    unembedding: Tensor | None = None


def alignment_heads(dims: ModelDimensions, config: Path) -> Tensor | None:
    """Return the mask [layers, heads] of the pairs in a JSON file's `alignment_heads`; None if it has none."""
    mask = torch.zeros(dims.n_text_layer, dims.n_text_head, dtype=torch.bool)
    try:
        content = read_json(config)
        pairs: Iterable[tuple[int, int]] = content["alignment_heads"]  # type: ignore[index]
        for layer, head in pairs:
            mask[layer, head] = True
    except (OSError, KeyError, ValueError, TypeError, IndexError):  # no file, no list, not JSON, or of another model
        return None
    return mask if mask.any() else None


def dimensions(state: State, n_audio_head: int, n_text_head: int) -> ModelDimensions:
    """Infer the model's dimensions from its tensors' shapes; only the numbers of heads leave no trace in them.

    Raises:
        BadWeights: a tensor is missing, or the dimensions are not those of a Whisper model.
    """
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
