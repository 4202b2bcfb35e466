"""Keys and values of the windows that are being decoded, in slots that stay where they are."""

from __future__ import annotations

import torch
import whisper
from torch import Tensor

from src.engine.cross_memory import CrossMemory, FeaturesMemory, KeysValuesMemory
from src.engine.placement import HEAD_WIDTH, Placement

KeysValues = tuple[Tensor, Tensor]
"""Keys and values of one layer."""


class KVCache:
    """Keys and values of up to `num_slots` windows, with `num_candidates` (G) texts each.

    Masked positions are read too, with a weight of zero, which does not hide a NaN: all memory begins as zeros.

    Attributes:
        cross_attn: of the windows' positions, or what they are computed from.
        self_attn: per layer, those of the texts' tokens, [2, slots, H, context, G, 64]: each candidate writes to its
            own column, and the candidates of a window read all of them.
        mask: [slots, G, context, G], 0 where a text (first G) includes, at a position, the token in a column (second
            G), else -inf. To continue another beam's text, a beam takes over its row here: nothing else is copied.
    """

    def __init__(
        self, dims: whisper.ModelDimensions, placement: Placement, num_slots: int, num_candidates: int
    ) -> None:
        heads, context = dims.n_text_head, dims.n_text_ctx
        layers = decoder_placements(dims, placement)
        self.cross_attn: CrossMemory = (
            FeaturesMemory(placement, num_slots, dims.n_audio_ctx, dims.n_text_state)
            if placement.keeps_features
            else KeysValuesMemory(layers, num_slots, dims.n_audio_ctx, heads)
        )
        self.self_attn = [
            layer.zeros(placement.dtype, 2, num_slots, heads, context, num_candidates, HEAD_WIDTH) for layer in layers
        ]
        self.mask = placement.zeros(placement.dtype, num_slots, num_candidates, context, num_candidates)
        self.slots = torch.arange(num_slots, device=placement.device)[:, None]
        self.candidates = torch.arange(num_candidates, device=placement.device)
        self._included = torch.zeros((), dtype=placement.dtype, device=placement.device)

    def store_prompt(self, layer: int, slot: int, self_attn: KeysValues) -> None:
        """Store a prompt's keys and values [H, P, 64], which all candidates of a window share, in the first column."""
        for part, tensor in enumerate(self_attn):
            self.self_attn[layer][part, slot, :, : tensor.shape[1], 0] = tensor

    def start(self, slot: int, prompt_length: int) -> None:
        """Make a slot's texts empty but for a prompt in the first column."""
        self.mask[slot] = -torch.inf
        self.mask[slot, :, :prompt_length, 0] = 0

    def include_newest(self, position: Tensor) -> None:
        """Add, to each text of the first B slots, the token that it will have at `position` [B, 1]."""
        slots = self.slots[: len(position)]
        self.mask[slots, self.candidates, position, self.candidates] = self._included

    def move(self, source: int, target: int, reach: int) -> None:
        """Copy slot `source` to slot `target`; `reach` is at least the number of tokens in it."""
        self.cross_attn.move(source, target)
        for past in self.self_attn:
            past[:, target, :, :reach] = past[:, source, :, :reach]
        self.mask[target] = self.mask[source]

    def clear(self, slot: int) -> None:
        """Zero a slot whose numbers overflowed."""
        self.cross_attn.clear(slot)
        for past in self.self_attn:
            past[:, slot] = 0

    def continue_texts(self, sources: Tensor, reach: int) -> None:
        """Let each beam continue the text of another one: `sources` [B, G]."""
        mask = self.mask[: len(sources), :, :reach]
        mask.copy_(mask.gather(1, sources[:, :, None, None].expand_as(mask)))


def encoder_placements(dims: whisper.ModelDimensions, placement: Placement) -> list[Placement]:
    """Return the placement of each encoder layer."""
    return _layer_placements(dims, placement)[: dims.n_audio_layer]


def decoder_placements(dims: whisper.ModelDimensions, placement: Placement) -> list[Placement]:
    """Return the placement of each decoder layer."""
    return _layer_placements(dims, placement)[dims.n_audio_layer :]


def _layer_placements(dims: whisper.ModelDimensions, placement: Placement) -> list[Placement]:
    count = dims.n_audio_layer + dims.n_text_layer
    return [placement.for_layer(layer, count) for layer in range(count)]
