"""The work on one job, which several callers can wait for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path

from api.transcriber import Answer, Job, Listener
from client.segment_order import Segments

FILE_NAME = "the file"  # as messages call it, and tracks whose names they say first


class SharedWork:
    """The work on a job, and the callers that wait for it.

    Attributes:
        key: the same for the same job.
        folder: holds the recording and finished parts.
        streams: true if segments are requested.
        listeners: of the callers; used on the event loop alone.
        segments: received so far; used on the event loop alone.
        stop: cancels the work when set.
        thread: runs the work; None before it begins.
        has_no_worker: true if the work was stopped because the endpoint has no workers.
        task: returns the answer.
    """

    task: asyncio.Task[Answer]

    def __init__(self, key: str, job: Job, folder: Path, *, streams: bool) -> None:
        self.key = key
        self.job = job
        self.folder = folder
        self.streams = streams
        self.listeners: list[Listener] = []
        self.segments: Segments = []
        self.stop = threading.Event()
        self.thread: threading.Thread | None = None
        self.has_no_worker = False
        self._closing: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def file(self) -> Path:
        """The recording, under the same path whenever it is sent again."""
        return self.folder / FILE_NAME

    @property
    def track_files(self) -> list[Path]:
        """The recordings of a job with tracks, likewise."""
        return [self.folder / f"track {number}" / FILE_NAME for number in range(len(self.job.tracks))]

    def closes_in(self, seconds: float, close: Callable[[], object]) -> None:
        """Call a function after some seconds, unless `stays_open` is called before."""
        self.stays_open()
        self._closing = self._loop.call_later(seconds, close)

    def stays_open(self) -> None:
        """Cancel the call that `closes_in` has planned."""
        if self._closing is not None:
            self._closing.cancel()

    async def on_thread(self, function: Callable[[], Answer]) -> Answer:
        """Call a function on a thread of its own, which does not keep the process from ending."""
        future: Future[Answer] = Future()

        def call() -> None:
            future.set_running_or_notify_cancel()  # so that it is not cancelled with the task that waits for it
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

        self.thread = threading.Thread(target=call, daemon=True)
        self.thread.start()
        return await asyncio.wrap_future(future)

    def report(self, stage: str, fraction: float) -> None:
        """Report the progress to all callers; may be called on any thread."""

        def tell() -> None:
            for listener in self.listeners:
                listener.on_progress(stage, fraction)

        self._on_loop(tell)

    def add_segments(self, segments: Segments) -> None:
        """Pass new segments to all callers; may be called on any thread."""

        def add() -> None:
            self.segments.extend(segments)
            for listener in self.listeners:
                if listener.on_segments:
                    listener.on_segments(segments)

        self._on_loop(add)

    def _on_loop(self, action: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the server has ended
            self._loop.call_soon_threadsafe(action)
