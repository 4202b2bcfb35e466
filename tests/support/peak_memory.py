"""Memory of the programs that a call starts."""

from __future__ import annotations

import resource
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any


def peak_of_programs(call: Callable[..., Any], *arguments: Any) -> tuple[int, str | None]:
    """The bytes of the largest program that a call starts, and the name of the exception that it raises.

    In a new process: the system counts all programs since a process began, and with each what its parent held.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(_measure, call, arguments).result()


def _measure(call: Callable[..., Any], arguments: tuple[Any, ...]) -> tuple[int, str | None]:
    error: str | None = None
    try:
        call(*arguments)
    except Exception as raised:
        error = type(raised).__name__
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024, error
