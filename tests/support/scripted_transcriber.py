"""The HTTP API on loopback, with a transcriber that plays a script."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from api.transcriber import Answer, Job, Listener, Schema

SEGMENTS = [
    {"id": 0, "seek": 0, "start": 0.0, "end": 1.5, "text": " Hello.", "tokens": [1], "avg_logprob": -0.2},
    {"id": 1, "seek": 0, "start": 1.5, "end": 2.0, "text": " Good-bye.", "tokens": [2], "avg_logprob": -0.3},
]
ANSWER: Answer = {
    "transcription": {"text": "Hello. Good-bye.", "language": "en", "segments": SEGMENTS},
    "metadata": {"model": "base", "audio_duration": 2.0, "processing_time": 0.1, "language": "en", "warnings": []},
}


@dataclass
class ScriptedTranscriber:
    """Notes its jobs, and answers each in the same way.

    Attributes:
        answer: to each job, or what it raises.
        progress: reported at a job's beginning.
        segments: then sent, one batch after the other.
        held: while true, jobs go on after that.
        jobs: in the order of their arrival.
        cancelled: number of jobs that were cancelled.
    """

    answer: Answer | Exception = field(default_factory=lambda: dict(ANSWER))
    progress: list[tuple[str, float]] = field(default_factory=list)
    segments: list[list[dict[str, Any]]] = field(default_factory=list)
    schemas: Mapping[str, Schema] = field(default_factory=dict)
    held: bool = False
    jobs: list[Job] = field(default_factory=list)
    cancelled: int = 0

    async def run(self, job: Job, listener: Listener) -> Answer:
        self.jobs.append(job)
        try:
            for stage, fraction in self.progress:
                listener.on_progress(stage, fraction)
            for batch in self.segments if listener.on_segments else ():
                listener.on_segments(batch)
            while self.held:
                await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def models(self) -> list[str]:
        return ["base"]

    def option_schemas(self) -> Mapping[str, Schema]:
        return self.schemas


@contextmanager
def serving(app: ASGIApp) -> Iterator[str]:
    """Serves an application in a thread; yields its URL."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)


def wait_until(condition: Any, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"still not true after {seconds:.0f} s"
        time.sleep(0.005)
