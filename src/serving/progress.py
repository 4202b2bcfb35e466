"""Reports a job's progress to `/status`.

The SDK sends each update from its own thread (`runpod.serverless.progress_update`): updates in quick succession
overtake each other, and one that arrives after the result leaves the job IN_PROGRESS forever (runpod-python issue
#250). So a job has at most one update in flight, updates are numbered and some time apart, none is sent shortly before
the expected end, and the result waits for the last one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

MIN_UPDATE_INTERVAL_S = 1.5

END_MARGIN_S = 2.0
"""No update is sent this long before the expected end."""

JOIN_TIMEOUT_S = 8.0
"""Maximum wait of a result for an update in flight: the SDK tries three times, 5 s in total."""

Send = Callable[[dict[str, Any], dict[str, Any]], None]

_sending = threading.Lock()


class ProgressReporter:
    """Sends a job's latest progress at intervals, until `settle`; `report` is a listener of its `JobControl`.

    Args:
        job: as received from the SDK; of it only the id is sent.
        send: `runpod.serverless.progress_update`, or a replacement.
        interval: seconds between two updates; None: updates are sent by calls of `send_latest` only.
        clock: in seconds.
    """

    def __init__(
        self,
        job: dict[str, Any],
        send: Send,
        *,
        interval: float | None = MIN_UPDATE_INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._job = {"id": job["id"]}
        self._send = send
        self._clock = clock
        self._number = 0
        self._latest = ("", 0.0, 0.0)
        self._sent = self._latest
        self._started = clock()
        self._settled = threading.Event()
        self._in_flight: threading.Thread | None = None
        self._timer = threading.Thread(target=self._run, args=(interval,), name="progress", daemon=True)
        self._timer.start()

    def report(self, stage: str, done: float, total: float) -> None:
        """Note the stage, and the seconds of the recording that are done, of `total` (0: unknown)."""
        self._latest = (stage, done, total)

    def send_latest(self) -> None:
        """Send the latest progress, if it is new, no update is in flight, and the job does not end soon."""
        is_busy = self._in_flight is not None and self._in_flight.is_alive()
        if self._latest != self._sent and not is_busy and not self._ends_soon():
            self._sent = self._latest
            self._in_flight = self._start_sending(*self._sent)

    def settle(self) -> None:
        """Send no more updates, and wait for the one in flight, so that the result arrives last."""
        self._settled.set()
        self._timer.join(JOIN_TIMEOUT_S)
        if self._in_flight is not None:
            self._in_flight.join(JOIN_TIMEOUT_S)

    def _run(self, interval: float | None) -> None:
        while not self._settled.wait(interval):
            self.send_latest()

    def _ends_soon(self) -> bool:
        _, done, total = self._latest
        elapsed = self._clock() - self._started
        return total > 0 and done > 0 and elapsed * (total - done) / done < END_MARGIN_S

    def _start_sending(self, stage: str, done: float, total: float) -> threading.Thread | None:
        self._number += 1
        percent = round(100 * done / total) if total else 0
        update = {"stage": stage, "percent": percent, "audio_seconds": round(done, 1), "update": self._number}
        # The SDK does not return its thread: it is the new one among those that are alive.
        with _sending:
            before = set(threading.enumerate())
            self._send(self._job, update)
            started = [
                thread for thread in threading.enumerate() if thread not in before and "_thread_target" in thread.name
            ]
        return started[0] if started else None
