"""Measures the work that code does, for tests of how it grows: no test asserts a number of seconds.

Where the work is in Python its lines are counted, which gives the same number on every machine, busy or not. Where it
is in C, the CPU time of a small input is compared with that of a large one.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

MAX_LINES_UNCHECKED = 2_000_000
"""Lines that a stage may run between two looks at whether to go on: some 0.2 s."""


@dataclass
class Lines:
    """The number of lines of Python run so far; a line in a loop counts each time."""

    run: int = 0


@contextmanager
def counted_lines() -> Iterator[Lines]:
    """Count the lines that this thread runs in functions called in the block."""
    lines = Lines()

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        lines.run += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield lines
    finally:
        sys.settrace(before)


def cpu_seconds(work: Callable[[], object], rounds: int = 3) -> float:
    """Return the CPU time of `work` on this thread: the least of several rounds, as the machine does more."""
    times = []
    for _ in range(rounds):
        began = time.thread_time()
        work()
        times.append(time.thread_time() - began)
    return min(times)
