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
    """Sends a job's latest progress now and then, until `settle`; `report` is a listener of its `JobControl`.

    Args:
        send: `runpod.serverless.progress_update`, or what behaves like it.
    """

    def __init__(self, job: dict[str, Any], send: Send) -> None:
        self._job = {"id": job["id"]}
        self._send = send
        self._number = 0
        self._latest = ("", 0.0, 0.0)
        self._told = self._latest
        self._started = time.monotonic()
        self._settled = threading.Event()
        self._on_its_way: threading.Thread | None = None
        self._ticker = threading.Thread(target=self._tick, name="progress", daemon=True)
        self._ticker.start()

    def report(self, stage: str, done: float, total: float) -> None:
        """Notes the stage, and the seconds of the recording that are done, out of how many (0: not known)."""
        self._latest = (stage, done, total)

    def settle(self) -> None:
        """Sends no more, and waits for the update on its way, so that the result is the last word."""
        self._settled.set()
        self._ticker.join(PATIENCE)
        if self._on_its_way is not None:
            self._on_its_way.join(PATIENCE)

    def _tick(self) -> None:
        while not self._settled.wait(APART):
            busy = self._on_its_way is not None and self._on_its_way.is_alive()
            if self._latest != self._told and not busy and not self._ends_soon():
                self._told = self._latest
                self._on_its_way = self._start(*self._told)

    def _ends_soon(self) -> bool:
        _, done, total = self._latest
        gone = time.monotonic() - self._started
        return total > 0 and done > 0 and gone * (total - done) / done < NEAR_THE_END

    def _start(self, stage: str, done: float, total: float) -> threading.Thread | None:
        self._number += 1
        percent = round(100 * done / total) if total else 0
        update = {"stage": stage, "percent": percent, "audio_seconds": round(done, 1), "update": self._number}
        # The SDK keeps its thread to itself: it is the one that is there afterwards, and was not before.
        with _starting:
            before = set(threading.enumerate())
            self._send(self._job, update)
            fresh = [one for one in threading.enumerate() if one not in before and "_thread_target" in one.name]
        return fresh[0] if fresh else None
