"""What all routes share: the transcriber, the settings, the metrics, and jobs that end with the caller's connection."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from api.http.metrics import Metrics, route_template
from api.transcriber import Answer, Job, Listener, Transcriber

if TYPE_CHECKING:
    from api.live.sessions import LiveSessions

CANCELLED: Answer = {"error": "the job was cancelled", "error_type": "Cancelled"}
_SILENT = Listener()
Result = TypeVar("Result")
_FAILED: Answer = {"error": "the transcriber failed", "error_type": "Internal"}


@dataclass(frozen=True)
class DoorSettings:
    """Settings of the HTTP API.

    Attributes:
        api_keys: one of them is needed for a request; empty: nobody is asked for one.
        cors_origins: whose pages in a browser may read answers, such as `https://example.org`; `*`: all.
        max_upload_bytes: limit of a request's body.
        upload_seconds: time limit of a whole body.
        max_requests: limit of requests that send a body or wait for an answer; further ones are refused (429).
    """

    api_keys: frozenset[str] = frozenset()
    cors_origins: tuple[str, ...] = ()
    max_upload_bytes: int = 1024**3
    upload_seconds: float = 600.0
    max_requests: int = 512


@dataclass
class Door:
    """What the routes share, at `request.app.state.door`.

    Attributes:
        transcriber: runs the jobs.
        settings: of the API.
        health: what `/health` answers besides its own counts.
        metrics: of this server.
        folder: for uploads while their jobs run.
        requests: number of requests that count against `max_requests`.
        held_bytes: of their bodies in memory.
        logins: number of passwords that are being checked.
        live: the sessions of live transcription; None: there is none.
    """

    transcriber: Transcriber
    settings: DoorSettings
    health: Callable[[], dict[str, Any]] | None = None
    metrics: Metrics = field(default_factory=Metrics)
    folder: Path = field(default_factory=lambda: Path(tempfile.gettempdir()))
    requests: int = 0
    held_bytes: int = 0
    logins: int = 0
    live: LiveSessions | None = None

    async def run(self, request: Request, job: Job, listener: Listener = _SILENT) -> Answer:
        """Run a job that is cancelled if its caller hangs up.

        Args:
            request: whose body has been read.
            job: to run.
            listener: to the job.

        Raises:
            ClientDisconnect: the caller has hung up; the job has ended.
        """
        ended = await unless_disconnected(request, self.run_job(route_template(request.scope), job, listener))
        return CANCELLED if ended.cancelled() else ended.result()

    async def run_job(self, route: str, job: Job, listener: Listener = _SILENT) -> Answer:
        """Run a job, and count it in the metrics.

        Args:
            route: the template of the route that received it.
            job: to run.
            listener: to the job.
        """
        started = time.perf_counter()
        answer = _FAILED
        waiting = _Waiting(self.metrics)
        try:
            with self.metrics.jobs_in_flight.track_inprogress():
                answer = await self.transcriber.run(job, waiting.ended_by(listener))
            return answer
        except asyncio.CancelledError:
            answer = CANCELLED
            raise
        finally:
            waiting.end()
            self.metrics.observe(route, answer, time.perf_counter() - started)


class _Waiting:
    """Counts a job as waiting until its first progress."""

    def __init__(self, metrics: Metrics) -> None:
        self._gauge = metrics.jobs_waiting
        self._gauge.inc()
        self._ended = False

    def end(self) -> None:
        if not self._ended:
            self._ended = True
            self._gauge.dec()

    def ended_by(self, listener: Listener) -> Listener:
        """The listener, whose first call ends the waiting."""

        def on_progress(stage: str, fraction: float) -> None:
            self.end()
            listener.on_progress(stage, fraction)

        return replace(listener, on_progress=on_progress)


async def unless_disconnected(request: Request, waited_for: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
    """The ended task of a coroutine, which is cancelled if the caller hangs up.

    Args:
        request: whose body has been read.
        waited_for: the coroutine.

    Raises:
        ClientDisconnect: the caller has hung up; the coroutine has ended.
    """
    running = asyncio.create_task(waited_for)
    hanging_up = asyncio.create_task(_wait_for_disconnect(request))
    try:
        await asyncio.wait((running, hanging_up), return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            raise ClientDisconnect
        return running
    finally:
        running.cancel()
        hanging_up.cancel()
        await asyncio.gather(running, hanging_up, return_exceptions=True)


async def _wait_for_disconnect(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
