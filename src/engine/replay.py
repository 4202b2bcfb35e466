"""Steps over memory that stays where it is, recorded once as a CUDA graph and replayed from then on.

A decoding step is some hundred small kernels. Launched one by one they keep the host busier than the GPU; a graph
launches all of them at once. The same code runs eagerly wherever there are no graphs.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Any

import torch

log = logging.getLogger(__name__)

Record = Callable[[Callable[[], None]], Callable[[], None]]
"""Records a run without executing it, and returns its replay."""

_recording = Lock()
"""One recording at a time in the process: schedulers of several GPUs would disturb each other."""


class Replay:
    """Runs steps; those on a CUDA device are recorded at their second run with a key, and replayed later.

    The first run warms up: libraries create their handles and workspaces then, which a recording does not allow. If a
    recording fails, all steps run eagerly from then on.

    Args:
        enabled: False runs all steps eagerly.
    """

    def __init__(self, *, enabled: bool, record: Record) -> None:
        self._enabled = enabled
        self._record = record
        self._met: set[Hashable] = set()
        self._replays: dict[Hashable, Callable[[], None]] = {}

    def __call__(self, key: Hashable, run: Callable[[], None]) -> None:
        """Run a step, or its recording: all runs with the same key must launch the same kernels on the same memory."""
        if key in self._met and key not in self._replays and self._enabled:
            self._try_to_record(key, run)
        self._met.add(key)
        self._replays.get(key, run)()

    def _try_to_record(self, key: Hashable, run: Callable[[], None]) -> None:
        try:
            with _recording:
                self._replays[key] = self._record(run)
        except (torch.AcceleratorError, torch.OutOfMemoryError, RuntimeError) as error:
            self._enabled = False
            if torch.cuda.is_available():
                torch.cuda.synchronize()  # raises if the device is lost, rather than only the recording
            log.warning("decoding steps run without CUDA graphs (%s)", type(error).__name__)


class GraphRecorder:
    """Records runs on the current CUDA device; all graphs share a memory pool."""

    def __init__(self) -> None:
        self._pool: Any = None
        self._stream: torch.cuda.Stream | None = None

    def __call__(self, run: Callable[[], None]) -> Callable[[], None]:
        """Record a run and return its replay.

        Not by `torch.cuda.graph`, which synchronises and empties the allocator's caches first.
        """
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        self._stream = self._stream or torch.cuda.Stream()  # type: ignore[no-untyped-call]
        graph = torch.cuda.CUDAGraph()
        self._stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._stream):
            # Other threads may allocate memory meanwhile.
            graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
            try:
                run()
            finally:
                graph.capture_end()
        torch.cuda.current_stream().wait_stream(self._stream)
        return graph.replay
