"""Work on threads: layouts end when nobody waits for them any more, writes end only when they are done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from threading import Event
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool

from api.openai.errors import ApiError
from transcript.checks import Check

LAYOUTS_AT_ONCE = 2
"""They hold the interpreter, of which uploads and all else need their share."""

MAX_LAYOUT_SECONDS = 180.0
"""Ten hours of speech take some 20 s."""

Result = TypeVar("Result")


class _NotWanted(Exception):
    """Nobody waits for the result."""


async def to_end(work: Coroutine[Any, Any, Result]) -> Result:
    """Wait for work to end, also when cancelled: a thread that goes on would write after what follows."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    finally:
        await _wait_for(task)


async def _wait_for(task: asyncio.Future[Any]) -> None:
    """Wait for the end of a task, however often this one is cancelled."""
    while not task.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait([task])
    if not task.cancelled():
        task.exception()  # retrieved, so that asyncio does not log it


async def until_stopped(work: Coroutine[Any, Any, Result], stop: Event) -> Result:
    """Wait for work that ends when `stop` is set, which happens when this is cancelled."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    finally:
        stop.set()
        await _wait_for(task)


class Layouts:
    """Lays out texts, a few at once; belongs to one event loop."""

    def __init__(self) -> None:
        self._turns = asyncio.Semaphore(LAYOUTS_AT_ONCE)

    async def run(self, work: Callable[[Check], Result]) -> Result:
        """Lay out a text, once it has its turn; when cancelled, the work ends at its next check.

        Args:
            work: gets the check that ends it.

        Raises:
            ApiError: it takes too long.
        """
        is_wanted = Event()
        is_wanted.set()
        async with self._turns:
            end = time.monotonic() + MAX_LAYOUT_SECONDS

            def check() -> None:
                if not is_wanted.is_set():
                    raise _NotWanted
                if time.monotonic() > end:
                    raise ApiError(422, "the text takes too long to lay out: ask for a simpler layout", code="too_long")

            running = asyncio.ensure_future(run_in_threadpool(work, check))
            try:
                return await asyncio.shield(running)
            finally:
                is_wanted.clear()
                await _wait_for(running)
