"""What a GPU asks of a decoding step, checked on a CPU: reading nothing back, on one device, it can be recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from src.engine.placement import Placement, make_placement

CPU, META = torch.device("cpu"), torch.device("meta")


def like_cuda(device: torch.device = CPU, dtype: torch.dtype = torch.float32, **changes: Any) -> Placement:
    """The placement of a CUDA device (kernels, layout, buckets, lag) on another device, without recordings."""
    placement = make_placement((torch.device("cuda"),), dtype)
    return replace(placement, **{"devices": (device,), "replays": False, **changes})


def late(placement: Placement) -> Placement:
    """The placement with CUDA's lag and buckets, and its own kernels."""
    cuda = make_placement((torch.device("cuda"),), placement.dtype)
    return replace(placement, lag=cuda.lag, slot_buckets=cuda.slot_buckets, reach_buckets=cuda.reach_buckets)


def _tensors(*trees: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(trees) if isinstance(leaf, Tensor)]


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def tensors_of(*roots: Any) -> list[Tensor]:
    """All tensors that can be reached from objects through attributes and containers."""
    found, seen, waiting = list[Tensor](), set[int](), list(roots)
    while waiting:
        item = waiting.pop()
        if id(item) in seen or isinstance(item, type):
            continue
        seen.add(id(item))
        if isinstance(item, Tensor):
            found.append(item)
        elif isinstance(item, dict):
            waiting += item.values()
        elif isinstance(item, (list, tuple)):
            waiting += item
        elif hasattr(item, "__dict__"):
            waiting += vars(item).values()
    return found


# --- Modes -----------------------------------------------------------------------------------------------------------


class NoReads(TorchFunctionMode):
    """Fails where the host reads a tensor's numbers, for which it would wait for a GPU."""

    READS = frozenset(
        {"item", "tolist", "cpu", "numpy", "__array__", "__bool__", "__int__", "__float__", "__index__", "__contains__"}
        | {"nonzero", "argwhere", "is_nonzero", "equal", "allclose", "unique", "masked_select", "bincount"}
        | {"multinomial", "repeat_interleave"}
    )

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", "")
        assert name not in self.READS, f"the host reads a tensor: {name}"
        return func(*args, **(kwargs or {}))


class OneDevice(TorchDispatchMode):
    """Fails where an operation has a tensor of another device, scalars included: their copy would be awaited."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self._device = device

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        devices = {tensor.device for tensor in _tensors(args, kwargs, out)}
        assert devices <= {self._device}, f"{func} has tensors on {devices}"
        return out


class NoNumbers(TorchDispatchMode):
    """Lets a host "read" the device `meta`, which has no numbers: what is copied down to it stays as it was."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.ops.aten.copy_.default and args[1].is_meta and not args[0].is_meta:
            return args[0]
        return func(*args, **(kwargs or {}))


class KernelCount(TorchDispatchMode):
    """Counts the kernels that CUDA would launch, by operation."""

    WHOLE = frozenset({torch.ops.aten.scaled_dot_product_attention.default, torch.ops.aten.linear.default})
    """Composite operations with one kernel."""

    NO_KERNEL = frozenset({"empty", "empty_like", "empty_strided", "new_empty", "_unsafe_view"})
    SEVERAL = {"logsumexp": 9, "topk": 2, "masked_fill": 2}  # noqa: RUF012
    """Kernels behind one operation, as ATen's sources have them."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels = Counter[str]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func not in self.WHOLE:
            with self:
                out = func.decompose(*args, **kwargs)
            if out is not NotImplemented:
                return out
        out = func(*args, **kwargs)
        if func is torch.ops.aten.scaled_dot_product_attention.default:
            out = out.transpose(1, 2).contiguous().transpose(1, 2)  # the layout in which CUDA's kernels leave it
        name = func.overloadpacket.__name__
        if not func.is_view and name not in self.NO_KERNEL:
            self.kernels[name] += self.SEVERAL.get(name, 1)
        return out


# --- Recording -------------------------------------------------------------------------------------------------------


class _Recording(TorchDispatchMode):
    """Notes the operations of a run with their tensors, all of which stay in memory."""

    def __init__(self, buffers: Iterable[Tensor]) -> None:
        super().__init__()
        self.operations: list[tuple[Any, Any, Any, Any]] = []
        self._known = {_storage(tensor) for tensor in buffers}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        for tensor in _tensors(args, kwargs):
            assert _storage(tensor) in self._known, f"{func} reads memory that is not the batch's: {tensor.shape}"
        out = func(*args, **kwargs)
        self._known |= {_storage(tensor) for tensor in _tensors(out)}
        self.operations.append((func, args, kwargs, out))
        return out


class CpuRecorder:
    """Records runs with the semantics of a CUDA graph: a replay repeats the operations on the same memory.

    A recorded run leaves no results behind, not even in the memory that it allocated.

    Attributes:
        buffers: the memory that runs may use besides their own; set before the first recording.
        recordings: the number of recorded runs.
        replays: the number of replays.
    """

    def __init__(self) -> None:
        self.buffers: list[Tensor] = []
        self.recordings = self.replays = 0

    def __call__(self, run: Callable[[], object]) -> Callable[[], None]:
        self.recordings += 1
        saved, random_state = [tensor.clone() for tensor in self.buffers], torch.get_rng_state()
        with NoReads(), _Recording(self.buffers) as recording:
            run()
        kept = {_storage(tensor) for tensor in self.buffers}
        for *_, out in recording.operations:
            for tensor in _tensors(out):
                if _storage(tensor) not in kept:
                    tensor.untyped_storage().fill_(0xA5)  # type: ignore[attr-defined]
        for tensor, content in zip(self.buffers, saved, strict=True):
            tensor.copy_(content)
        torch.set_rng_state(random_state)

        def replay() -> None:
            self.replays += 1
            for func, args, kwargs, out in recording.operations:
                _repeat(func, args, kwargs, out)

        return replay


def _repeat(func: Any, args: Any, kwargs: Any, out: Any) -> None:
    """Run an operation again, with its results in the memory of the first time."""
    inputs = {_storage(tensor) for tensor in _tensors(args, kwargs)}
    results = _tensors(func(*args, **kwargs))
    for old, new in zip(_tensors(out), results, strict=True):
        if _storage(old) not in inputs:  # else a view, or written in place
            old.copy_(new)
