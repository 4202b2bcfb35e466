"""The jobs of `/run` and `/runsync`, in memory: run on after their caller has left, their results kept for a while.

States and times of keeping are those of RunPod's queue
(https://docs.runpod.io/serverless/endpoints/operation-reference). Inputs and results are bounded in number and bytes
together: old results make room for new jobs, and a job that finds no room is refused. They are kept as JSON, which is
many times smaller than the objects it describes.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.concurrency import run_in_threadpool

from api import json_text
from api.http.middleware import to_api_error
from api.transcriber import Answer, Listener, request_id

RESULT_S, SYNC_RESULT_S = 30 * 60.0, 60.0
"""For which the results of `/run` and of `/runsync` are kept."""

MAX_JOBS = 1000
MAX_BYTES = 512 * 1024 * 1024

Status = Literal["IN_QUEUE", "IN_PROGRESS", "COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"]
Run = Callable[[Listener], Awaitable[Answer]]


class NoSuchJob(Exception):
    """The job is unknown, or its result is no longer kept."""


class StoreFull(Exception):
    """There is no room for another job, even without any results."""


@dataclass(eq=False)
class StoredJob:
    """A job and what is known of it.

    Attributes:
        input_bytes: size of its input, which is held until its end.
        is_sync: true for `/runsync`.
        outlives_server: true if its result goes elsewhere too, to a webhook or a bucket.
        output: JSON; while the job runs, its latest progress.
        chunks: JSON of what `/stream` has not given out.
        over: set at the end.
    """

    id: str
    input_bytes: int
    is_sync: bool
    outlives_server: bool
    status: Status = "IN_QUEUE"
    created: float = field(default_factory=time.monotonic)
    started: float | None = None
    finished: float | None = None
    output: bytes | None = None
    error: str | None = None
    chunks: list[bytes] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None
    updates: int = 0

    @property
    def size(self) -> int:
        """Bytes that are held for the job."""
        held = 0 if self.over.is_set() else self.input_bytes
        chunks = sum(len(chunk) for chunk in self.chunks if chunk is not self.output)
        return held + len(self.output or b"") + chunks

    def begin(self) -> None:
        """Note that the job has left the queue."""
        if self.status == "IN_QUEUE":
            self.status, self.started = "IN_PROGRESS", time.monotonic()

    def report(self, stage: str, fraction: float) -> None:
        """Make progress the output, as the worker on RunPod does."""
        if self.over.is_set():
            return
        self.begin()
        self.updates += 1
        self.output = to_json({"stage": stage, "percent": round(100 * fraction), "update": self.updates})

    def add_segments(self, segments: list[dict[str, Any]]) -> None:
        """Keep new final segments for `/stream`."""
        if not self.over.is_set():
            self.begin()
            self.chunks.append(to_json({"segments": segments}))

    def to_status(self) -> bytes:
        """The answer of `/status`: the output is the latest progress until it is the result."""
        known: dict[str, Any] = {"id": self.id, "status": self.status}
        if self.started is not None:
            known["delayTime"] = _milliseconds(self.created, self.started)
            if self.finished is not None:
                known["executionTime"] = _milliseconds(self.started, self.finished)
        if self.error is not None:
            known["error"] = self.error
        return to_json(known) if self.output is None else to_json(known)[:-1] + b', "output": ' + self.output + b"}"

    def take_stream(self) -> bytes:
        """The answer of `/stream`: chunks since the last call; the last one is the result, as of a streaming worker."""
        chunks, self.chunks = self.chunks, []
        stream = b", ".join(b'{"output": ' + chunk + b"}" for chunk in chunks)
        return b'{"status": "' + self.status.encode() + b'", "stream": [' + stream + b"]}"


class JobStore:
    """Runs jobs and keeps their results; all methods belong to one event loop.

    Args:
        max_jobs: that are kept, finished or not.
        max_bytes: of their inputs and results.
        result_s: seconds for which results of `/run` are kept.
        sync_result_s: the same for `/runsync`.
    """

    def __init__(
        self,
        *,
        max_jobs: int = MAX_JOBS,
        max_bytes: int = MAX_BYTES,
        result_s: float = RESULT_S,
        sync_result_s: float = SYNC_RESULT_S,
    ) -> None:
        self._jobs: dict[str, StoredJob] = {}
        self._max_jobs = max_jobs
        self._max_bytes = max_bytes
        self._result_s = result_s
        self._sync_result_s = sync_result_s

    def submit(self, run: Run, *, input_bytes: int, is_sync: bool, ttl_s: float, outlives_server: bool) -> StoredJob:
        """Start a job.

        Args:
            run: runs it.
            input_bytes: size of its input.
            is_sync: true for `/runsync`.
            ttl_s: seconds after which it is ended.
            outlives_server: true if the server should finish it before it ends.

        Raises:
            StoreFull: there is no room for it.
        """
        if not self._make_room(jobs=1, size=input_bytes):
            raise StoreFull
        prefix = "sync-" if is_sync else ""
        job = StoredJob(f"{prefix}{uuid.uuid4()}-u1", input_bytes, is_sync, outlives_server)
        self._jobs[job.id] = job
        job.task = asyncio.create_task(self._run(job, run, ttl_s))
        return job

    def get(self, job_id: str) -> StoredJob:
        """Look a job up.

        Raises:
            NoSuchJob: there is none of this id.
        """
        try:
            return self._jobs[job_id]
        except KeyError:
            raise NoSuchJob from None

    def cancel(self, job: StoredJob) -> None:
        """End a job that is not over."""
        if job.task is not None and not job.over.is_set():
            job.task.cancel()
            job.output, job.chunks = None, []
            self._finish(job, "CANCELLED")

    def count(self, *statuses: Status) -> int:
        """The number of jobs in these states."""
        return sum(job.status in statuses for job in self._jobs.values())

    async def close(self) -> None:
        """Finish jobs whose results go elsewhere; cancel the others, for whose results nobody could ask any more."""
        running = [job for job in self._jobs.values() if not job.over.is_set()]
        for job in running:
            if not job.outlives_server:
                self.cancel(job)
        await asyncio.gather(*(job.task for job in running if job.task), return_exceptions=True)

    async def _run(self, job: StoredJob, run: Run, ttl_s: float) -> None:
        request_id.set(job.id)  # logs and webhooks name the job by the id that its caller knows
        try:
            answer = await asyncio.wait_for(run(Listener(job.add_segments, job.report)), ttl_s)
            await self._keep(job, answer)
        except asyncio.TimeoutError:
            job.output = None
            self._finish(job, "TIMED_OUT")
        except Exception as error:
            await self._keep(job, {"error": str(to_api_error(error)), "error_type": "Internal"})

    async def _keep(self, job: StoredJob, answer: Answer) -> None:
        """Keep an answer in the way of RunPod's SDK, which puts `error` beside the output."""
        content = {key: value for key, value in answer.items() if key != "error"}
        output = await run_in_threadpool(to_json, content) if content else None
        if job.over.is_set():
            return
        job.output = output
        job.started = job.started or job.created
        if "error" in answer:
            job.error = str(answer["error"])
            self._finish(job, "FAILED")
        else:
            job.chunks.append(job.output or b"{}")
            self._finish(job, "COMPLETED")

    def _finish(self, job: StoredJob, status: Status) -> None:
        job.status, job.finished = status, time.monotonic()
        job.over.set()
        self._make_room(spared=job)
        kept_s = self._sync_result_s if job.is_sync else self._result_s
        asyncio.get_running_loop().call_later(kept_s, self._jobs.pop, job.id, None)

    def _make_room(self, *, jobs: int = 0, size: int = 0, spared: StoredJob | None = None) -> bool:
        """Forget the oldest results until so many more jobs and bytes fit; False if they cannot fit."""
        bytes_over = sum(job.size for job in self._jobs.values()) + size - self._max_bytes
        jobs_over = len(self._jobs) + jobs - self._max_jobs
        finished = [job for job in self._jobs.values() if job.finished is not None and job is not spared]
        for job in sorted(finished, key=lambda job: job.finished or 0.0):
            if bytes_over <= 0 and jobs_over <= 0:
                break
            del self._jobs[job.id]
            bytes_over -= job.size
            jobs_over -= 1
        return bytes_over <= 0 and jobs_over <= 0


def to_json(value: Any) -> bytes:
    """A value as JSON by the standard; lone surrogates, which UTF-8 cannot spell, become question marks.

    Raises:
        ValueError: it has a number that JSON does not know.
    """
    return json_text.to_json(value).encode("utf-8", "replace")


def _milliseconds(start: float, end: float) -> int:
    return round(1000 * (end - start))
