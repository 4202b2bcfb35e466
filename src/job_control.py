"""Control of a running job: its progress and final segments go up, its cancellation comes down.

One `JobControl` is passed through all stages. The stages know nothing of jobs, RunPod or threads: they report progress
and register how to be cancelled.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from src.errors import Cancelled
from transcript.transcript import Segment

OnProgress = Callable[[str, float, float], None]
"""Called with the stage's name, the seconds of the recording that are done, and their total (0: unknown)."""

OnSegment = Callable[[Segment], None]
"""Called with each segment as soon as it is final, in order."""

MAX_DEADLINE_S = 30 * 24 * 3600.0
"""No job runs for 30 days, and timers overflow some centuries from now."""


class JobControl:
    """Progress reports and cancellation of one job.

    By default no listener is attached and the job is never cancelled.

    Args:
        on_segment: called on the worker thread; must be quick.
    """

    def __init__(self, on_segment: OnSegment | None = None) -> None:
        self._listeners: list[OnProgress] = []
        self._on_segment = on_segment
        self._lock = threading.Lock()
        self._channel = 0, 1
        """Index of the current channel, and the number of channels; they are processed one after the other."""
        self._reason: str | None = None
        self._cancellers: list[Callable[[], object]] = []

    @property
    def streams(self) -> bool:
        """True if segments are wanted as they become final."""
        return self._on_segment is not None

    def listen(self, on_progress: OnProgress) -> None:
        """Add a progress listener; it is called on the worker thread and must be quick."""
        self._listeners.append(on_progress)

    def progress(self, stage: str, done: float = 0.0, total: float = 0.0) -> None:
        """Report the stage, and the seconds of the current channel that are done, of `total` (0: unknown)."""
        before, channels = self._channel
        for listener in self._listeners:
            listener(stage, before * total + done, channels * total)

    @contextmanager
    def channel(self, number: int, of: int) -> Iterator[None]:
        """Attribute the reports of the block to channel `number` of a recording with `of` channels."""
        self._channel = number, of
        try:
            yield
        finally:
            self._channel = 0, 1

    @contextmanager
    def without_segments(self) -> Iterator[None]:
        """Report no segments from the block, and stream nothing: its segments are not those of the answer."""
        on_segment, self._on_segment = self._on_segment, None
        try:
            yield
        finally:
            self._on_segment = on_segment

    def segment(self, segment: Segment) -> None:
        """Report a final segment."""
        number, channels = self._channel
        if self._on_segment is not None:
            self._on_segment(segment if channels == 1 else replace(segment, channel=number))

    def cancel(self, reason: str) -> None:
        """Cancel the job, from any thread.

        Args:
            reason: a sentence for the caller; only the first call's counts.
        """
        with self._lock:
            if self._reason is not None:
                return
            self._reason = reason
            cancellers = list(self._cancellers)
        for cancel in cancellers:
            cancel()

    def check(self) -> None:
        """Raise if the job has been cancelled.

        Raises:
            Cancelled: with the reason.
        """
        if self._reason is not None:
            raise Cancelled(self._reason)

    @contextmanager
    def deadline(self, seconds: float | None, reason: str) -> Iterator[None]:
        """Cancel the job if the block takes longer than `seconds`; None: no limit."""
        if seconds is None:
            yield
            return
        timer = threading.Timer(min(seconds, MAX_DEADLINE_S), self.cancel, [reason])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    @contextmanager
    def on_cancel(self, cancel: Callable[[], object]) -> Iterator[None]:
        """Call `cancel` if the job is cancelled while the block runs.

        Args:
            cancel: must make the block return or raise soon.

        Raises:
            Cancelled: the job was cancelled before or in the block; it replaces the block's own exception.
        """
        with self._lock:
            self._cancellers.append(cancel)
        try:
            self.check()
            yield
        except Exception:
            self.check()
            raise
        finally:
            with self._lock:
                self._cancellers.remove(cancel)
        self.check()
