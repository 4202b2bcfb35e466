"""Placement of model copies: devices, number format and kernels. The only module with device-specific code."""

from __future__ import annotations

import ctypes
import logging
import math
import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor

from src.engine.kernels import Attention, MakeLinear, PackedLinear, PlainLinear, fused_attention
from src.engine.replay import GraphRecorder, Record

log = logging.getLogger(__name__)

NUM_THREADS = torch.get_num_threads()
"""Cores that PyTorch uses, at first. Later a thread may see the number that another thread has just set for itself."""

HEAD_WIDTH = 64
"""Width of all of Whisper's attention heads."""

# oneDNN caches a kernel for each shape it has met: 1024 of them, a fifth of a megabyte each. A recording meets some 150
# shapes, and making a kernel again takes 0.4 ms: with 256, a worker's memory stops growing after its first jobs.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256")

# glibc gives each thread of a worker its own heap, and no other thread can use what is freed there: after 500 jobs
# memory was 200 MB higher, and still rising. Two heaps are enough: the engine's thread holds nearly all that is large.
with suppress(OSError, AttributeError):  # a C library other than glibc
    ctypes.CDLL(None).mallopt(-8, 2)  # M_ARENA_MAX


# cuDNN would cut float32 to the 10 bits of TF32, as few as float16 has, while windows that overflowed are repaired at
# full precision. Nothing else of the engine runs in float32 on CUDA.
torch.backends.cudnn.allow_tf32 = False

WORKSPACE_BYTES = 2 << 30
"""Memory of a CUDA device beside weights and batches: for the passes of an encoder, features, and CUDA's libraries."""


@dataclass(frozen=True)
class Placement:
    """Devices of one copy of a model, with the number format and the kernels that are fast there.

    Attributes:
        devices: one device, or several that share the layers, in the order of the layers.
        linear: makes the decoder's layers: fast over the few rows of a step.
        window_linear: makes the encoder's layers: fast over the 1500 positions of a window.
        max_batch_size: default number of windows decoded at once, if memory allows. On a CPU more are hardly faster.
        encoder_batch_size: windows per encoder pass: enough to keep the device busy, few enough to save memory.
        keeps_features: cross-attention reads the features themselves instead of each layer's keys and values.
        slot_buckets: numbers of slots that a step may compute, if not all: on CUDA few, as each is a graph of its own.
        reach_buckets: numbers of text positions that a step may read.
        replays: steps are recorded as CUDA graphs.
        make_recorder: makes what records the steps of a batch.
        lag: steps by which the host learns late that a window is done, so that the device never waits for the host.
    """

    devices: tuple[torch.device, ...]
    dtype: torch.dtype
    attention: Attention
    linear: MakeLinear
    window_linear: MakeLinear
    max_batch_size: int
    encoder_batch_size: int
    keeps_features: bool = False
    slot_buckets: tuple[int, ...] = tuple(range(1, 65))
    reach_buckets: tuple[int, ...] = (64, 128, 192, 256, 320, 384, 448)
    replays: bool = False
    make_recorder: Callable[[], Record] = GraphRecorder
    lag: int = 0

    @property
    def device(self) -> torch.device:
        """The device of inputs, features and results."""
        return self.devices[0]

    def for_layer(self, layer: int, num_layers: int) -> Placement:
        """Return the placement of one layer, counted over encoder and decoder together."""
        return replace(self, devices=(self.devices[layer * len(self.devices) // num_layers],))

    @property
    def on_cuda(self) -> bool:
        """True for CUDA devices, which compute on their own while the CPU goes on."""
        return self.device.type == "cuda"

    def free_memory(self) -> int:
        """Return the bytes that this process can still allocate on the CUDA device that has the least of them."""

        def free(device: torch.device) -> int:
            cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
            return torch.cuda.mem_get_info(device)[0] + cached

        return min(map(free, self.devices))

    @property
    def compute_type(self) -> str:
        """The number format's name, such as `float16`."""
        return str(self.dtype).removeprefix("torch.")

    def in_float32(self) -> Placement:
        """Return the same devices at full precision, for windows whose numbers overflow."""
        return replace(make_placement(self.devices, torch.float32), lag=self.lag, replays=False)

    def zeros(self, dtype: torch.dtype, *shape: int) -> Tensor:
        """Return memory on the device; on a CPU, what is never used takes no memory."""
        if self.device.type != "cpu":
            return torch.zeros(shape, dtype=dtype, device=self.device)
        # `torch.zeros` would write to all pages; NumPy's are pages of 2 MB, of which a token may use a kilobyte.
        pages = mmap.mmap(-1, math.prod(shape) * dtype.itemsize, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if hasattr(mmap, "MADV_NOHUGEPAGE"):
            with suppress(OSError):  # a kernel without large pages
                pages.madvise(mmap.MADV_NOHUGEPAGE)
        return torch.frombuffer(pages, dtype=dtype).view(shape)

    def host_zeros(self, dtype: torch.dtype, *shape: int) -> Tensor:
        """Return memory of the host from and to which the device copies while the host goes on."""
        return torch.zeros(shape, dtype=dtype, pin_memory=self.device.type == "cuda")

    def record_event(self) -> Callable[[], None]:
        """Return a function that waits until the device has done all that it has been given until now."""
        if self.device.type != "cuda":
            return lambda: None
        event = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]  # without spinning on a core that others need
        event.record()
        return event.synchronize


def choose_placements(compute_type: str = "auto", device_map: str = "auto", model_bytes: int = 0) -> list[Placement]:
    """Return the placement of each copy of a model: on all CUDA devices, else on the CPU.

    Args:
        compute_type: `float16`, `bfloat16`, `float32`, or `auto` for the devices' fastest format. A format that the
            devices do not support falls back to the nearest one that they do.
        device_map: `replicate`: a copy on each device; `split`: one copy with its layers distributed; `auto`: copies,
            if each device has memory for one.
        model_bytes: device memory that a copy takes.
    """
    devices = [torch.device("cuda", number) for number in range(torch.cuda.device_count())]
    free = [torch.cuda.mem_get_info(device)[0] for device in devices]
    devices = devices or [torch.device("cpu")]
    dtype = _nearest_dtype(compute_type, devices[0])
    return [make_placement(group, dtype) for group in group_devices(devices, device_map, model_bytes, free)]


def group_devices(
    devices: Sequence[torch.device], device_map: str, model_bytes: int, free: Sequence[int]
) -> list[tuple[torch.device, ...]]:
    """Return the devices of each copy of a model.

    Args:
        free: free memory of each device, in bytes.
    """
    fits = min(free, default=model_bytes) >= model_bytes
    if device_map == "split" or (device_map == "auto" and not fits):
        return [tuple(devices)]
    return [(device,) for device in devices]


def make_placement(devices: tuple[torch.device, ...], dtype: torch.dtype) -> Placement:
    """Return a placement with the kernels and batch sizes that are fast on the devices in this format."""
    if devices[0].type == "cuda":
        torch.backends.cuda.enable_cudnn_sdp(False)  # its plans cost hundreds of milliseconds for each new shape
        return Placement(
            devices,
            dtype,
            fused_attention,
            PlainLinear,
            PlainLinear,
            max_batch_size=64,
            encoder_batch_size=8,
            slot_buckets=(1, 4, 16, 32, 64),
            reach_buckets=(64, 128, 256, 448),
            replays=len(devices) == 1,
            lag=1,
        )
    window_linear = PackedLinear if dtype == torch.bfloat16 else PlainLinear
    return Placement(
        devices,
        dtype,
        fused_attention,
        PackedLinear,
        window_linear,
        max_batch_size=16,
        encoder_batch_size=1,
        keeps_features=True,
    )


@cache  # so that the warning is logged once, however many models are loaded
def _nearest_dtype(compute_type: str, device: torch.device) -> torch.dtype:
    fast = _fast_dtypes(device)
    wanted = compute_type if compute_type != "auto" else _name(fast[0])
    dtype = next((candidate for candidate in (*fast, torch.float32) if _name(candidate) == wanted), fast[0])
    if _name(dtype) != wanted:
        log.warning("compute type %s is not supported on %s: using %s", wanted, device.type, _name(dtype))
    return dtype


def _fast_dtypes(device: torch.device) -> list[torch.dtype]:
    """Return the formats in which the device multiplies matrices quickly, the preferred one first."""
    if device.type == "cuda":
        return [torch.float16, torch.bfloat16] if torch.cuda.is_bf16_supported() else [torch.float16]
    return [torch.bfloat16] if torch.ops.mkldnn._is_mkldnn_bf16_supported() else [torch.float32]


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def loses_cuda_context(error: BaseException) -> bool:
    """True if the CUDA context is lost: after most CUDA errors, every further call in the process fails too."""
    return isinstance(error, torch.AcceleratorError) and not isinstance(error, torch.OutOfMemoryError)


@contextmanager
def leave_one_core_free() -> Iterator[None]:
    """Compute on one core less within the block, on the current thread.

    While other threads work, all cores would wait for the slowest one at every step: beside the rest of a worker's
    imports, packing `base` takes 5 s on two cores and 0.5 s on one of them.
    """
    torch.get_num_threads()  # before its first look, a thread has no number of its own
    torch.set_num_threads(max(1, NUM_THREADS - 1))
    try:
        yield
    finally:
        torch.set_num_threads(NUM_THREADS)


def release_freed_memory() -> None:
    """Return freed memory to the system, which glibc keeps in fragments that do not fit the next sizes.

    A hundred short jobs of mixed options: 760 MB without, 430 MB with this call, which takes some milliseconds.
    """
    with suppress(OSError, AttributeError):  # a C library other than glibc
        ctypes.CDLL(None).malloc_trim(0)
