"""A job that runs until it is cancelled, in place of the handler."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable
from typing import Any

import pytest

from src.errors import Cancelled
from src.job_control import JobControl


class EndlessJob:
    """A handler, and whether its job was cancelled."""

    def __init__(self) -> None:
        self._begun, self.cancelled = threading.Event(), threading.Event()

    def __call__(self, job: dict[str, Any], control: JobControl) -> dict[str, Any]:
        """Run until the job's control is cancelled, at most 10 s."""
        stopped = threading.Event()
        try:
            with control.on_cancel(stopped.set):
                self._begun.set()
                stopped.wait(10)
        except Cancelled:
            self.cancelled.set()
        return {}

    async def cancel_task_of(self, running: Awaitable[Any]) -> None:
        """Cancel the task that runs the job once it has begun."""
        task = asyncio.ensure_future(running)
        assert await asyncio.to_thread(self._begun.wait, 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
