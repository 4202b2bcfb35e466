"""Keys and values of the windows that are being decoded."""

from __future__ import annotations

import torch
import whisper
from torch import Tensor

from src.engine.placement import Placement

HEAD_WIDTH = 64


class Cache:
    """Keys and values of up to `slots` windows with `group` candidates each; those in use are the first ones.

    Attributes:
        cross: per layer, keys [slots, H, 1500, 64] and values [slots, H, 64, 1500] over the window's positions: on a
            CPU, one query over values that lie so takes two thirds of the time.
        past: per layer, keys and values of the tokens so far, [slots, G, H, context, 64] each.
        length: [slots], how many tokens of each slot are in `past`.
    """

    def __init__(self, dims: whisper.ModelDimensions, placement: Placement, slots: int, group: int) -> None:
        def room(device: torch.device, *shape: int) -> Tensor:
            # Not `zeros`: on a CPU, slots that are never used then take no memory.
            return torch.empty(slots, *shape, device=device, dtype=placement.dtype)

        heads, layers = dims.n_text_head, [one.device for one in decoder_placements(dims, placement)]
        heard, said = (heads, dims.n_audio_ctx, HEAD_WIDTH), (group, heads, dims.n_text_ctx, HEAD_WIDTH)
        self.cross = [(room(one, *heard), room(one, heads, HEAD_WIDTH, dims.n_audio_ctx)) for one in layers]
        self.past = [(room(one, *said), room(one, *said)) for one in layers]
        self.length = torch.zeros(slots, dtype=torch.long, device=placement.device)
        self.group = group
        self._clean = 0

    def clear(self, slot: int, width: int) -> None:
        """Makes a slot ready for a new window: the slots before it are in use, `width` tokens are to be written."""
        self.look(slot, width)
        for past in self.past:
            for held in past:
                held[slot, :, :, : self._clean].zero_()

    def look(self, used: int, reach: int) -> None:
        """Makes it safe to look at the first `reach` tokens of the slots in use, which the longest decides for all.

        A weight of zero does not hide the NaN that memory, or a window before, may have left behind a slot's own end.
        """
        if reach <= self._clean:
            return
        for past in self.past:
            for held in past:
                held[:used, :, :, self._clean : reach].zero_()
        self._clean = reach

    def move(self, source: int, target: int, longest: int) -> None:
        """Gives the slot `target` what `source` holds; `longest` is at least the tokens in it."""
        for cross, past in zip(self.cross, self.past, strict=True):
            for held in cross:
                held[target] = held[source]
            for held in past:
                held[target, :, :, :longest] = held[source, :, :, :longest]
        self.length[target] = self.length[source]

    def reorder(self, sources: Tensor, longest: int) -> None:
        """Gives each candidate the past of another of its window.

        Args:
            sources: [B, G], the candidate of the same window that each one goes on from.
        """
        used, group = sources.shape
        rows = (sources + group * torch.arange(used, device=sources.device)[:, None]).flatten()
        for past in self.past:
            for held in past:
                flat = held[:used].flatten(0, 1)
                flat[:, :, :longest] = flat[rows.to(flat.device), :, :longest]


def encoder_placements(dims: whisper.ModelDimensions, placement: Placement) -> list[Placement]:
    """Where each layer of the encoder is."""
    return _layers(dims, placement)[: dims.n_audio_layer]


def decoder_placements(dims: whisper.ModelDimensions, placement: Placement) -> list[Placement]:
    """Where each layer of the decoder is."""
    return _layers(dims, placement)[dims.n_audio_layer :]


def _layers(dims: whisper.ModelDimensions, placement: Placement) -> list[Placement]:
    count = dims.n_audio_layer + dims.n_text_layer
    return [placement.share(layer, count) for layer in range(count)]


Pair = tuple[Tensor, Tensor]
"""Keys and values."""
