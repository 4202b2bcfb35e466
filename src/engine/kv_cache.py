"""Keys and values of the windows that are being decoded."""

from __future__ import annotations

import torch
import whisper
from torch import Tensor

from src.engine.placement import Placement

HEAD_WIDTH = 64

KeysValues = tuple[Tensor, Tensor]
"""Keys and values of one layer."""


class KVCache:
    """Keys and values of up to `num_slots` windows, `num_candidates` each; the slots in use are the first ones.

    Attributes:
        cross_attn: per layer, keys [slots, H, 1500, 64] and values [slots, H, 64, 1500] over the window's positions.
            With values transposed, attention of a single query takes two thirds of the time on a CPU.
        self_attn: per layer, keys and values of the tokens so far, [slots, G, H, context, 64] each.
        length: [slots], number of tokens in `self_attn`.
    """

    def __init__(
        self, dims: whisper.ModelDimensions, placement: Placement, num_slots: int, num_candidates: int
    ) -> None:
        def allocate(device: torch.device, *shape: int) -> Tensor:
            # Not `zeros`: on a CPU, slots that are never used then take no memory.
            return torch.empty(num_slots, *shape, device=device, dtype=placement.dtype)

        heads, devices = dims.n_text_head, [layer.device for layer in decoder_placements(dims, placement)]
        cross_keys, cross_values = (heads, dims.n_audio_ctx, HEAD_WIDTH), (heads, HEAD_WIDTH, dims.n_audio_ctx)
        tokens = (num_candidates, heads, dims.n_text_ctx, HEAD_WIDTH)
        self.cross_attn = [(allocate(device, *cross_keys), allocate(device, *cross_values)) for device in devices]
        self.self_attn = [(allocate(device, *tokens), allocate(device, *tokens)) for device in devices]
        self.length = torch.zeros(num_slots, dtype=torch.long, device=placement.device)
        self._zero_filled = 0

    def reset_slot(self, slot: int, length: int) -> None:
        """Prepare a slot for a new window of which `length` tokens will be written; the slots before it are in use."""
        self.zero_fill_to(slot, length)
        for layer in self.self_attn:
            for tensor in layer:
                tensor[slot, :, :, : self._zero_filled].zero_()

    def zero_fill_to(self, used: int, length: int) -> None:
        """Zero-fills the first `used` slots up to `length` tokens, so that masked positions hold no NaN.

        The longest slot decides how far all are read, and an attention weight of zero does not hide a NaN that
        uninitialised memory, or an earlier window, may hold behind the end of a slot.
        """
        if length <= self._zero_filled:
            return
        for layer in self.self_attn:
            for tensor in layer:
                tensor[:used, :, :, self._zero_filled : length].zero_()
        self._zero_filled = length

    def move(self, source: int, target: int, length: int) -> None:
        """Copy slot `source` to slot `target`; `length` is at least the number of tokens in it."""
        for cross_attn, self_attn in zip(self.cross_attn, self.self_attn, strict=True):
            for tensor in cross_attn:
                tensor[target] = tensor[source]
            for tensor in self_attn:
                tensor[target, :, :, :length] = tensor[source, :, :, :length]
        self.length[target] = self.length[source]

    def reorder(self, sources: Tensor, length: int) -> None:
        """Replace each candidate's tokens with those of another candidate of the same window.

        Args:
            sources: [B, G], the candidate that each one continues.
            length: tokens of the longest slot.
        """
        used, num_candidates = sources.shape
        rows = (sources + num_candidates * torch.arange(used, device=sources.device)[:, None]).flatten()
        for layer in self.self_attn:
            for tensor in layer:
                flat = tensor[:used].flatten(0, 1)
                flat[:, :, :length] = flat[rows.to(flat.device), :, :length]


def encoder_placements(dims: whisper.ModelDimensions, placement: Placement) -> list[Placement]:
    """Return the placement of each encoder layer."""
    return _layer_placements(dims, placement)[: dims.n_audio_layer]


def decoder_placements(dims: whisper.ModelDimensions, placement: Placement) -> list[Placement]:
    """Return the placement of each decoder layer."""
    return _layer_placements(dims, placement)[dims.n_audio_layer :]


def _layer_placements(dims: whisper.ModelDimensions, placement: Placement) -> list[Placement]:
    count = dims.n_audio_layer + dims.n_text_layer
    return [placement.for_layer(layer, count) for layer in range(count)]
