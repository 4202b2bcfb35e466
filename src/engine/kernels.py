"""Attention and linear layers, in the forms that are fast on each device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

Attention = Callable[[Tensor, Tensor, Tensor, "Tensor | None"], Tensor]
"""Attention with the scale already folded into q.

q [batch, heads, queries, 64], k and v [batch, heads, keys, 64], and an additive mask [batch, 1, queries, keys] or None
-> shape of q.
"""


class Linear(Protocol):
    """A linear layer, with or without a GELU behind it."""

    def __call__(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        ...

    def write(self, x: Tensor, out: Tensor) -> None:
        """Write the result for x [N, in] to `out`, which has room for [N, out] in any layout and shape."""
        ...


MakeLinear = Callable[[Tensor, "Tensor | None", bool], Linear]
"""Makes a linear layer from its weight [out, in], its bias [out], and a flag: True appends a GELU."""


def fused_attention(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
    """PyTorch's fused attention."""
    return F.scaled_dot_product_attention(q, k, v, mask, scale=1.0)


class PlainLinear:
    """PyTorch's own linear layer."""

    def __init__(self, weight: Tensor, bias: Tensor | None, gelu: bool = False) -> None:
        self._weight, self._bias, self._gelu = weight, bias, gelu

    def __call__(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        out = F.linear(x, self._weight, self._bias)
        return F.gelu(out) if self._gelu else out

    def write(self, x: Tensor, out: Tensor) -> None:
        """Write the result for x [N, in] to `out`, without a copy where its memory is contiguous."""
        if out.is_contiguous() and self._bias is not None and not self._gelu:
            torch.addmm(self._bias, x, self._weight.T, out=out.view(len(x), -1))
        else:
            out.copy_(self(x).view(out.shape))


class PackedLinear:
    """A linear layer whose weight is converted to oneDNN's layout once instead of at every call.

    On the CPU in bfloat16 that is 1.2 times as fast over a window, and twice as fast over the few rows of a decoding
    step. In float32 it is 1.8 times as fast over a few rows (3 times for the vocabulary), but MKL, behind the plain
    linear, is faster over a window. `torch.compile` uses the same operators.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, gelu: bool = False) -> None:
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight)
        self._bias = bias
        self._activation: tuple[str, list[float], str] = ("gelu", [], "none") if gelu else ("none", [], "")

    def __call__(self, x: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self._bias, *self._activation)
        return out

    def write(self, x: Tensor, out: Tensor) -> None:
        """Write the result for x [N, in] to `out`."""
        out.copy_(self(x).view(out.shape))
