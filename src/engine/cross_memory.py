"""What cross-attention reads of the windows that are being decoded, in slots that stay where they are.

Letters in shapes: B windows, G candidates of each, H heads, D = 64 H.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from src.engine.kernels import Linear
from src.engine.placement import HEAD_WIDTH, Placement


@dataclass(frozen=True)
class CrossAttentionWeights:
    """A layer's projections of the features.

    Attributes:
        kv: computes keys and values at once.
        key: [H, 64, D], the weights of the keys.
        value: [H, D, 64], the weights of the values, transposed.
        value_bias: [H, 64]; Whisper's keys have none.
    """

    kv: Linear
    key: Tensor
    value: Tensor
    value_bias: Tensor


class CrossMemory(Protocol):
    """The windows' features in the form that a device reads fastest."""

    def store(self, slot: int, features: Tensor, layers: Sequence[CrossAttentionWeights]) -> None:
        """Store the features [positions, D] of a window."""
        ...

    def attend(self, layer: int, q: Tensor, weights: CrossAttentionWeights) -> Tensor:
        """Attend with the queries [B, G, H, 64] of the first B slots to their windows: -> [B, G, H, 64]."""
        ...

    def move(self, source: int, target: int) -> None:
        """Copy slot `source` to slot `target`."""
        ...

    def clear(self, slot: int) -> None:
        """Zero a slot."""
        ...


class KeysValuesMemory:
    """Keys and values of each layer, [slots, positions, 2, H, 64], which the layer's projection writes in place.

    That is the layout that a GPU's fused attention takes.
    """

    def __init__(self, layers: Sequence[Placement], num_slots: int, positions: int, heads: int) -> None:
        self._attention = layers[0].attention
        self._layers = [layer.zeros(layer.dtype, num_slots, positions, 2, heads, HEAD_WIDTH) for layer in layers]

    def store(self, slot: int, features: Tensor, layers: Sequence[CrossAttentionWeights]) -> None:
        """Store the features [positions, D] of a window."""
        for memory, weights in zip(self._layers, layers, strict=True):
            weights.kv.write(features.to(memory.device), memory[slot])

    def attend(self, layer: int, q: Tensor, weights: CrossAttentionWeights) -> Tensor:
        """Attend with the queries [B, G, H, 64] of the first B slots to their windows: -> [B, G, H, 64]."""
        keys, values = self._layers[layer][: len(q)].transpose(1, 3).unbind(2)
        return self._attention(q.transpose(1, 2), keys, values, None).transpose(1, 2)

    def move(self, source: int, target: int) -> None:
        """Copy slot `source` to slot `target`."""
        for memory in self._layers:
            memory[target] = memory[source]

    def clear(self, slot: int) -> None:
        """Zero a slot."""
        for memory in self._layers:
            memory[slot] = 0


class FeaturesMemory:
    """The features themselves, [slots, positions, D], which all layers share.

    A key is a product of weights and features, and so is a value. The keys' weights can as well be multiplied with the
    query, and the values' weights with the weighted mean of the features ("absorbed", as in DeepSeek-V2's attention,
    arXiv 2405.04434). That is H times the arithmetic of attention, on a fraction of the memory: 1.5 instead of 18 MB a
    window for `base`. On a CPU memory decides: eight windows take 1.1 ms a layer instead of 1.4, and 16 windows take
    less memory than two did.
    """

    def __init__(self, placement: Placement, num_slots: int, positions: int, width: int) -> None:
        self._attention = placement.attention
        self._features = placement.zeros(placement.dtype, num_slots, 1, positions, width)

    def store(self, slot: int, features: Tensor, layers: Sequence[CrossAttentionWeights]) -> None:
        """Store the features [positions, D] of a window."""
        self._features[slot, 0] = features

    def attend(self, layer: int, q: Tensor, weights: CrossAttentionWeights) -> Tensor:
        """Attend with the queries [B, G, H, 64] of the first B slots to their windows: -> [B, G, H, 64]."""
        features = self._features[: len(q)]
        queries = torch.einsum("bghw,hwd->bghd", q, weights.key)
        mean = self._attention(queries.flatten(1, 2)[:, None], features, features, None).view(queries.shape)
        return torch.einsum("bghd,hdw->bghw", mean, weights.value) + weights.value_bias

    def move(self, source: int, target: int) -> None:
        """Copy slot `source` to slot `target`."""
        self._features[target] = self._features[source]

    def clear(self, slot: int) -> None:
        """Zero a slot."""
        self._features[slot] = 0
