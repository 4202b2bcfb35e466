"""How far a job is, as `/status` shows it.

The SDK sends each update from a thread of its own (`runpod.serverless.progress_update`): fast ones overtake each other,
and one that lands after the result leaves the job IN_PROGRESS for good (runpod-python issue #250). So a job has one
update on its way at most, they are some time apart and numbered, none starts when the end is near, and the result waits
for the last one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

APART = 1.5
"""Seconds at least between two updates."""

NEAR_THE_END = 2.0
"""Seconds before the expected end from which on no update is sent."""

PATIENCE = 8.0
"""Seconds at most that a result waits for an update on its way: the SDK tries three times, 5 s in all."""

Send = Callable[[dict[str, Any], dict[str, Any]], None]

_starting = threading.Lock()


class ProgressReporter:
    """Sends a job's progress; `report` is a listener of its `JobControl`.

    Args:
        send: `runpod.serverless.progress_update`, or what behaves like it.
    """

    def __init__(self, job: dict[str, Any], send: Send) -> None:
        self._job = {"id": job["id"]}
        self._send = send
        self._number = 0
        self._latest = -APART
        self._started = time.monotonic()
        self._on_its_way: threading.Thread | None = None

    def report(self, stage: str, done: float, total: float) -> None:
        """Sends the stage, the percent and the audio seconds done, if it is time for it."""
        now = time.monotonic()
        busy = self._on_its_way is not None and self._on_its_way.is_alive()
        if busy or now - self._latest < APART or self._ends_soon(done, total, now):
            return
        self._latest = now
        self._number += 1
        percent = round(100 * done / total) if total else 0
        update = {"stage": stage, "percent": percent, "audio_seconds": round(done, 1), "update": self._number}
        self._on_its_way = self._start(update)

    def settle(self) -> None:
        """Waits for the update on its way, so that the result is the last word."""
        if self._on_its_way is not None:
            self._on_its_way.join(PATIENCE)

    def _ends_soon(self, done: float, total: float, now: float) -> bool:
        return total > 0 and done > 0 and (now - self._started) * (total - done) / done < NEAR_THE_END

    def _start(self, update: dict[str, Any]) -> threading.Thread | None:
        # The SDK keeps its thread to itself: it is the one that is there afterwards, and was not before.
        with _starting:
            before = set(threading.enumerate())
            self._send(self._job, update)
            fresh = [one for one in threading.enumerate() if one not in before and "_thread_target" in one.name]
        return fresh[0] if fresh else None
