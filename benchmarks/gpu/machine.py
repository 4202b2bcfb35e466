"""The machine and its ceilings: what copies, linear layers and single operations take at best."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F

from benchmarks.gpu.report import Row
from benchmarks.gpu.setup import Setup
from src.version import __version__

OPERATIONS = 200


@torch.inference_mode()
def measure_machine(setup: Setup) -> Iterator[Row]:
    """Yield the facts of the machine, and its ceilings."""
    yield {"what": "worker-whisper", "value": __version__}
    yield {"what": "torch", "value": torch.__version__}
    if setup.device.type == "cuda":
        yield from _describe_gpus()
    else:
        yield {"what": "device", "value": "CPU: NO FIGURE BELOW IS A GPU'S"}
    yield {"what": "compute type", "value": setup.placement.compute_type}
    yield {"what": "copy, GB/s read and written", "value": _copy_rate(setup)}
    width, rows = (128, 100) if setup.is_small else (1280, 12_000)  # the encoder's over 8 windows
    for out in (3 * width, width, 4 * width):
        yield {"what": f"linear {rows} x {width} -> {out}, TFLOP/s", "value": _linear_rate(setup, rows, width, out)}
    yield from _operation_times(setup)


def _describe_gpus() -> Iterator[Row]:
    cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    yield {"what": "CUDA, cuDNN", "value": f"{torch.version.cuda}, {cudnn}"}
    for number in range(torch.cuda.device_count()):
        gpu = torch.cuda.get_device_properties(number)
        facts = f"{gpu.name}, {gpu.total_memory / 1e9:.1f} GB, capability {gpu.major}.{gpu.minor}"
        yield {"what": f"GPU {number}", "value": f"{facts}, {gpu.multi_processor_count} multiprocessors"}


def _copy_rate(setup: Setup) -> float:
    source = torch.empty(2**20 if setup.is_small else 2**28, device=setup.device, dtype=setup.placement.dtype)
    target = torch.empty_like(source)
    return 2 * source.nbytes / setup.median_ms(lambda: target.copy_(source)) / 1e6


def _linear_rate(setup: Setup, rows: int, width: int, out: int) -> float:
    x, weight = (torch.randn(count, width, device=setup.device, dtype=setup.placement.dtype) for count in (rows, out))
    return 2 * rows * width * out / setup.median_ms(lambda: F.linear(x, weight)) / 1e9


def _operation_times(setup: Setup) -> Iterator[Row]:
    """Small operations in a row: launched one by one, and as a graph."""
    x = torch.zeros(16, device=setup.device)

    def run() -> None:
        for _ in range(OPERATIONS):
            x.add_(1)

    yield {"what": "small operation, eager, us", "value": setup.median_ms(run) / OPERATIONS * 1000}
    if setup.device.type == "cuda":
        yield {"what": "small operation, in a graph, us", "value": setup.median_ms(_graph(run)) / OPERATIONS * 1000}


def _graph(run: Callable[[], None]) -> Callable[[], None]:
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay
