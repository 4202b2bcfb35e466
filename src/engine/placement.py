"""Where copies of a model run and in which number format; the one place where CPU and CUDA part ways."""

from __future__ import annotations

import ctypes
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache

import torch

from src.engine.kernels import Attention, MakeLinear, fused_attention, packed_linear, plain_linear, tiled_attention

log = logging.getLogger(__name__)

# oneDNN keeps a kernel for each shape that it has met, 1024 of them, a fifth of a megabyte each. A recording meets some
# 150 shapes, and making one again takes 0.4 ms: with 256 a worker stops growing after its first jobs.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256")

# glibc gives each of a worker's threads a heap of its own, and what one has freed no other can use: 500 jobs ended
# 200 MB higher, and still rising. Two are enough: nearly all that is large is the engine's thread's.
with suppress(OSError, AttributeError):  # another C library than glibc
    ctypes.CDLL(None).mallopt(-8, 2)  # M_ARENA_MAX


@dataclass(frozen=True)
class Placement:
    """Where a copy of a model runs, a number format that is good there, and the kernels that are fast.

    Attributes:
        devices: one, or several that share the layers, in the order in which sound and text go through them.
    """

    devices: tuple[torch.device, ...]
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
    def device(self) -> torch.device:
        """Where sound comes in, features lie, and text comes out."""
        return self.devices[0]

    def share(self, layer: int, layers: int) -> Placement:
        """That of one layer, all kinds of them counted through."""
        return replace(self, devices=(self.devices[layer * len(self.devices) // layers],))

    @property
    def compute_type(self) -> str:
        return str(self.dtype).removeprefix("torch.")

    def in_float32(self) -> Placement:
        """The same device at full precision, for windows whose numbers overflow."""
        return _placed(self.devices, torch.float32)


def choose_placements(compute_type: str = "auto", device_map: str = "auto", model_bytes: int = 0) -> list[Placement]:
    """One for each copy of a model: on all of CUDA's devices, else on the CPU.

    Args:
        compute_type: `float16`, `bfloat16`, `float32`, or `auto` for the devices' fastest; where they cannot do it,
            the nearest that they can.
        device_map: `replicate`: a copy on each device; `split`: one copy, its layers shared out; `auto`: copies, if
            each device has room for one.
        model_bytes: what a copy takes on a device.
    """
    devices = [torch.device("cuda", number) for number in range(torch.cuda.device_count())]
    free = [torch.cuda.mem_get_info(device)[0] for device in devices]
    devices = devices or [torch.device("cpu")]
    dtype = _nearest_dtype(compute_type, devices[0])
    return [_placed(together, dtype) for together in shared_out(devices, device_map, model_bytes, free)]


def shared_out(
    devices: Sequence[torch.device], device_map: str, model_bytes: int, free: Sequence[int]
) -> list[tuple[torch.device, ...]]:
    """The devices of each copy of a model; `free` is their memory, in bytes."""
    fits = min(free, default=model_bytes) >= model_bytes
    if device_map == "split" or (device_map == "auto" and not fits):
        return [tuple(devices)]
    return [(device,) for device in devices]


@cache  # so that it is said once, however many models are loaded
def _nearest_dtype(compute_type: str, device: torch.device) -> torch.dtype:
    fast = _fast_dtypes(device)
    wanted = compute_type if compute_type != "auto" else _name(fast[0])
    dtype = next((one for one in (*fast, torch.float32) if _name(one) == wanted), fast[0])
    if _name(dtype) != wanted:
        log.warning("compute type %s is not for %s: using %s", wanted, device.type, _name(dtype))
    return dtype


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


def _placed(devices: tuple[torch.device, ...], dtype: torch.dtype) -> Placement:
    if devices[0].type == "cuda":
        return Placement(devices, dtype, fused_attention, plain_linear, plain_linear, slots=16, pass_size=8)
    if dtype == torch.bfloat16:
        return Placement(devices, dtype, tiled_attention, packed_linear, packed_linear, slots=8, pass_size=1)
    return Placement(devices, dtype, fused_attention, packed_linear, plain_linear, slots=8, pass_size=1)


def _fast_dtypes(device: torch.device) -> list[torch.dtype]:
    """Formats in which the device multiplies matrices quickly, the preferred one first."""
    if device.type == "cuda":
        return [torch.float16, torch.bfloat16] if torch.cuda.is_bf16_supported() else [torch.float16]
    return [torch.bfloat16] if torch.ops.mkldnn._is_mkldnn_bf16_supported() else [torch.float32]


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
