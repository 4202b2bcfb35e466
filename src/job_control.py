"""What a running job and whoever waits for it tell each other: how far it is, what is final, and to stop.

It goes down with the job through every stage, each of which knows nothing of jobs, RunPod or threads: a stage reports,
and gives what would end it early.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from src.errors import Cancelled
from src.transcript.transcript import Segment

OnProgress = Callable[[str, float, float], None]
"""Called with the stage's name, and the seconds of the recording that are done, out of how many (0: not known)."""

LONGEST_DEADLINE = 30 * 24 * 3600.0
"""Seconds; no job lasts as long, and a system's clocks end some centuries on."""

OnSegment = Callable[[Segment], None]
"""Called with each segment as soon as it is final, in order."""


class JobControl:
    """The default one is heard by nobody and never stopped.

    Args:
        on_segment: called on the thread that does the work; must be quick.
    """

    def __init__(self, on_segment: OnSegment | None = None) -> None:
        self._listeners: list[OnProgress] = []
        self._on_segment = on_segment
        self._lock = threading.Lock()
        self._channel = 0, 1
        """Which channel is worked on, of how many that come one after the other."""
        self._reason: str | None = None
        self._endings: list[Callable[[], None]] = []

    @property
    def streams(self) -> bool:
        """Whether someone wants the segments one by one."""
        return self._on_segment is not None

    def listen(self, on_progress: OnProgress) -> None:
        """Tells one more listener of the progress, on the thread that does the work; it must be quick."""
        self._listeners.append(on_progress)

    def progress(self, stage: str, done: float = 0.0, total: float = 0.0) -> None:
        before, channels = self._channel
        for listener in self._listeners:
            listener(stage, before * total + done, channels * total)

    @contextmanager
    def channel(self, number: int, of: int) -> Iterator[None]:
        """What the block reports is of one of a recording's channels."""
        self._channel = number, of
        try:
            yield
        finally:
            self._channel = 0, 1

    def segment(self, segment: Segment) -> None:
        number, channels = self._channel
        if self._on_segment is not None:
            self._on_segment(segment if channels == 1 else replace(segment, channel=number))

    def stop(self, reason: str) -> None:
        """Ends the job from any thread; `reason` is the sentence that its caller reads. Only the first one counts."""
        with self._lock:
            if self._reason is not None:
                return
            self._reason = reason
            endings = list(self._endings)
        for end in endings:
            end()

    def check(self) -> None:
        """
        Raises:
            Cancelled: the job has been stopped.
        """
        if self._reason is not None:
            raise Cancelled(self._reason)

    @contextmanager
    def deadline(self, seconds: float | None, reason: str) -> Iterator[None]:
        """Stops the job when the block takes longer than this; None: never."""
        if seconds is None:
            yield
            return
        timer = threading.Timer(min(seconds, LONGEST_DEADLINE), self.stop, [reason])
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    @contextmanager
    def ending(self, end: Callable[[], None]) -> Iterator[None]:
        """While the block runs, `stop` calls `end`, which must make the block return or raise soon.

        Raises:
            Cancelled: the job was stopped before or in the block; what the block raised because of it is hidden.
        """
        with self._lock:
            self._endings.append(end)
        try:
            self.check()
            yield
        except Exception:
            self.check()
            raise
        finally:
            with self._lock:
                self._endings.remove(end)
        self.check()
