"""Where a model runs and in which number format; the one place where CPU and CUDA part ways."""

from __future__ import annotations

import ctypes
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

log = logging.getLogger(__name__)

# oneDNN keeps a kernel for each shape that it has met, 1024 of them, a fifth of a megabyte each. A recording meets some
# 150 shapes, and making one again takes 0.4 ms: with 256 a worker stops growing after its first jobs.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256")

Attention = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Full attention of many queries: q [batch, heads, queries, 64], k and v [batch, heads, keys, 64] -> as q.
The scale is folded into q already."""

Linear = Callable[[Tensor], Tensor]
"""[..., in] -> [..., out]"""

MakeLinear = Callable[[Tensor, Tensor | None, bool], Linear]
"""Weight [out, in], bias [out], and whether a GELU follows."""


@dataclass(frozen=True)
class Placement:
    """A device, a number format that it is good at, and the kernels that are fast there."""

    device: torch.device
    dtype: torch.dtype
    attention: Attention
    linear: MakeLinear
    """For the decoder: fast over the few rows of a step."""
    window_linear: MakeLinear
    """For the encoder: fast over the 1500 positions of a window."""
    slots: int
    """Windows that are decoded at once by default: on a CPU more of them are hardly faster, and take memory."""
    pass_size: int
    """Windows in one pass of the encoder: enough to keep the device busy, few enough to spare its memory."""

    @property
    def compute_type(self) -> str:
        return str(self.dtype).removeprefix("torch.")

    def in_float32(self) -> Placement:
        """The same device at full precision, for windows whose numbers overflow."""
        return _placed(self.device, torch.float32)


def choose_placement(compute_type: str = "auto") -> Placement:
    """CUDA where there is one, else the CPU; the format asked for, else the nearest that the device can.

    Args:
        compute_type: `float16`, `bfloat16`, `float32`, or `auto` for the device's fastest.
    """
    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    fast = _fast_dtypes(device)
    wanted = compute_type if compute_type != "auto" else _name(fast[0])
    dtype = next((one for one in (*fast, torch.float32) if _name(one) == wanted), fast[0])
    if _name(dtype) != wanted:
        log.warning("compute type %s is not for %s: using %s", wanted, device.type, _name(dtype))
    return _placed(device, dtype)


def takes_device_along(error: BaseException) -> bool:
    """Whether no further call on the device can succeed: after most CUDA errors the process has lost its context."""
    return isinstance(error, torch.AcceleratorError) and not isinstance(error, torch.OutOfMemoryError)


@contextmanager
def a_core_left() -> Iterator[None]:
    """This thread computes on one core less. While others work, all cores would wait for the slowest at every step:
    with the rest of a worker's imports beside it, `base` is packed on two cores in 5 s, on one of them in 0.5 s."""
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads - 1))
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def give_memory_back() -> None:
    """Returns to the system what has been freed: glibc keeps it, in pieces that the next sizes do not fit.

    A hundred short jobs of mixed options: 760 MB without, 430 MB with this; it takes some milliseconds.
    """
    with suppress(OSError, AttributeError):  # another C library than glibc
        ctypes.CDLL(None).malloc_trim(0)


def _placed(device: torch.device, dtype: torch.dtype) -> Placement:
    if device.type == "cuda":
        return Placement(device, dtype, _fused_attention, _plain_linear, _plain_linear, slots=16, pass_size=8)
    if dtype == torch.bfloat16:
        return Placement(device, dtype, _tiled_attention, _packed_linear, _packed_linear, slots=8, pass_size=1)
    return Placement(device, dtype, _fused_attention, _packed_linear, _plain_linear, slots=8, pass_size=1)


def _fast_dtypes(device: torch.device) -> list[torch.dtype]:
    """Formats in which the device multiplies matrices quickly, the preferred one first."""
    if device.type == "cuda":
        return [torch.float16, torch.bfloat16] if torch.cuda.is_bf16_supported() else [torch.float16]
    return [torch.bfloat16] if torch.ops.mkldnn._is_mkldnn_bf16_supported() else [torch.float32]


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _fused_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, scale=1.0)


HEADS_IN_TILE, QUERIES_IN_TILE = 2, 500
"""Scores that are computed together: 3 MB of them stay in a CPU's cache until they have been used."""


def _tiled_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """On the CPU in bfloat16, twice as fast as PyTorch's fused attention over the encoder's 1500 positions."""
    shape, width = q.shape, q.shape[-1]
    q, k, v = (one.reshape(-1, one.shape[-2], width) for one in (q, k, v))
    out = torch.empty_like(q)
    for head in range(0, len(q), HEADS_IN_TILE):
        heads = slice(head, head + HEADS_IN_TILE)
        for query in range(0, q.shape[1], QUERIES_IN_TILE):
            tile = heads, slice(query, query + QUERIES_IN_TILE)
            weights = torch.bmm(q[tile], k[heads].transpose(1, 2)).softmax(-1)
            out[tile] = torch.bmm(weights, v[heads])
    return out.view(shape)


def _plain_linear(weight: Tensor, bias: Tensor | None, gelu: bool) -> Linear:
    if gelu:
        return lambda x: F.gelu(F.linear(x, weight, bias))
    return lambda x: F.linear(x, weight, bias)


def _packed_linear(weight: Tensor, bias: Tensor | None, gelu: bool) -> Linear:
    """A linear whose weight is brought into oneDNN's own layout once, not at every call.

    On the CPU in bfloat16 that is 1.2 times as fast over a window, and twice as fast over the few rows of a decoding
    step. In float32 it is 1.8 times as fast over a few rows (3 times for the vocabulary), but MKL, behind the plain
    linear, is better over a window. `torch.compile` uses the same operators.
    """
    packed = torch.ops.mkldnn._reorder_linear_weight(weight)
    activation, algorithm = ("gelu", "none") if gelu else ("none", "")
    return lambda x: torch.ops.mkldnn._linear_pointwise(x, packed, bias, activation, [], algorithm)
