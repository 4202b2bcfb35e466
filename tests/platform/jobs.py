"""The endpoint's queue: the jobs' way through their states, and who works on them."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Callable
from typing import Any

from tests.platform.records import Job, Ping, Post, Result, Status, WorkerRecord

CHUNK_LIMIT = 1_000_000
DAY = 24 * 3600.0
MAX_ATTEMPTS = 3
"""Workers that a job may cost. RunPod documents no limit; without one, a job that kills workers would never end."""


class WrongRequest(ValueError):
    """A request that the platform refuses; the text is for the caller."""


class Queue:
    """The jobs and their way through the states. All methods belong to the server's event loop."""

    def __init__(
        self,
        execution_timeout: float,
        retention: tuple[float, float],
        changed: Callable[[], None],
        finished: Callable[[Job], None],
    ) -> None:
        self.jobs: dict[str, Job] = {}
        self.workers: dict[str, WorkerRecord] = {}
        self.waiting: deque[Job] = deque()
        self.retried = 0
        self.strays: list[tuple[str, str]] = []
        self.closing = False
        self._execution_timeout = execution_timeout
        self._retention = retention
        self._changed = changed
        self._finished = finished
        self._arrived = asyncio.Event()

    def submit(self, request: Any, sync: bool) -> Job:
        check(request)
        prefix = "sync-" if sync else ""
        job = Job(f"{prefix}{uuid.uuid4()}-u1", request, sync)
        self.jobs[job.id] = job
        job.timers.append(self._later(job.policy("ttl", DAY), self._expire, job))
        self._enqueue(job)
        return job

    def worker(self, worker_id: str) -> WorkerRecord:
        record = self.workers.setdefault(worker_id, WorkerRecord(worker_id))
        record.seen = time.time()
        return record

    async def take(self, worker_id: str, most: int, hold: float) -> list[Job]:
        """Up to `most` jobs as soon as there is one; none after `hold` seconds."""
        worker = self.worker(worker_id)
        worker.takes += 1
        self._changed()
        until = time.monotonic() + hold
        while not (jobs := self._start(worker, most)):
            if self._leaving(worker):
                # Not at once: the SDK asks again without a pause.
                await asyncio.sleep(min(hold, 0.05))
                return []
            if not await within(self._arrived, until - time.monotonic()):
                return []
        return jobs

    async def stops(self, worker_id: str, hold: float) -> list[str]:
        """The jobs that this worker has to stop, as soon as there is one; none after `hold` seconds."""
        worker = self.worker(worker_id)
        await within(worker.stop, 0.05 if self._leaving(worker) else hold)
        worker.stop.clear()
        jobs, worker.to_stop = worker.to_stop, []
        worker.stopped += jobs
        return jobs

    def ping(self, worker_id: str, query: dict[str, str]) -> None:
        self.worker(worker_id).pings.append(Ping(time.time(), query))
        self._changed()

    def report(self, job: Job, output: Any, size: int) -> None:
        """A progress report; one that comes after the result changes nothing."""
        job.progress.append(Post(time.time(), output, size, late=job.done))
        if not job.done:
            job.output = output
        self._changed()

    def chunk(self, job: Job, output: Any, size: int) -> None:
        job.chunks.append(Post(time.time(), output, size, late=job.done))
        if not job.done:
            job.undelivered.extend(_pieces(output))
        self._changed()

    def result(self, job: Job, worker_id: str, body: dict[str, Any], size: int) -> bool:
        """A result; the first one closes the job. False when it is too large: then the job ends without output."""
        accepted = size <= job.limit
        job.results.append(Result(time.time(), worker_id, body, size, job.attempt, job.done, accepted))
        if not job.done:
            job.stop_pod = bool(body.get("stopPod"))
            self._close(job, body if accepted else {})
        self._changed()
        return accepted

    def refuse(self, job: Job, reason: str) -> None:
        job.refused.append(reason)
        self._changed()

    def cancel(self, job: Job) -> None:
        self._abandon(job, "CANCELLED")

    def retry(self, job: Job) -> None:
        if job.status not in ("FAILED", "TIMED_OUT"):
            raise WrongRequest(f"only FAILED and TIMED_OUT jobs can be retried, this one is {job.status}")
        self._requeue(job, job.policy("ttl", DAY))

    def lose(self, worker_id: str) -> None:
        """A worker is gone: its jobs go back to the head of the queue, or fail if they have cost too many workers."""
        lost = [job for job in self.jobs.values() if job.worker == worker_id and job.status == "IN_PROGRESS"]
        for job in reversed(lost):
            if job.attempt >= MAX_ATTEMPTS:
                job.output, job.error = None, f"the worker ended while it ran the job, {job.attempt} times"
                self._finish(job, "FAILED")
            else:
                self._requeue(job, job.created + job.policy("ttl", DAY) - time.time())
                self.waiting.rotate(1)

    def purge(self) -> int:
        jobs = list(self.waiting)
        for job in jobs:
            self._abandon(job, "CANCELLED")
        return len(jobs)

    def admit(self, worker_id: str) -> None:
        self.worker(worker_id).retired = False

    def retire(self, worker_id: str) -> None:
        """No more jobs for this worker; its open polls end."""
        self.worker(worker_id).retired = True
        self._wake()

    def close(self) -> None:
        """All polls end at once, from now on."""
        self.closing = True
        self._wake()

    def health(self) -> dict[str, Any]:
        statuses = [job.status for job in self.jobs.values()]
        busy = {job.worker for job in self.jobs.values() if job.status == "IN_PROGRESS"}
        alive = [worker.id for worker in self.workers.values() if not worker.retired]
        running = sum(worker in busy for worker in alive)
        return {
            "jobs": {
                "completed": statuses.count("COMPLETED"),
                "failed": statuses.count("FAILED") + statuses.count("TIMED_OUT"),
                "inProgress": statuses.count("IN_PROGRESS"),
                "inQueue": statuses.count("IN_QUEUE"),
                "retried": self.retried,
            },
            "workers": {
                "idle": len(alive) - running,
                "initializing": 0,
                "ready": len(alive) - running,
                "running": running,
                "throttled": 0,
                "unhealthy": 0,
            },
        }

    def _leaving(self, worker: WorkerRecord) -> bool:
        return self.closing or worker.retired

    def _enqueue(self, job: Job) -> None:
        job.status = "IN_QUEUE"
        self.waiting.append(job)
        self._arrived.set()
        self._changed()

    def _requeue(self, job: Job, seconds_to_live: float) -> None:
        self.retried += 1
        self._drop_timers(job)
        job.finished = job.taken = job.worker = job.output = job.error = None
        job.over.clear()
        job.undelivered.clear()
        job.timers.append(self._later(seconds_to_live, self._expire, job))
        self._enqueue(job)

    def _start(self, worker: WorkerRecord, most: int) -> list[Job]:
        if self._leaving(worker):
            return []
        jobs = [self.waiting.popleft() for _ in range(min(most, len(self.waiting)))]
        for job in jobs:
            job.status, job.taken, job.worker = "IN_PROGRESS", time.time(), worker.id
            job.attempt += 1
            limit = job.policy("executionTimeout", self._execution_timeout)
            job.timers.append(self._later(limit, self._abandon, job, "TIMED_OUT"))
        if not self.waiting:
            self._arrived.clear()
        if jobs:
            self._changed()
        return jobs

    def _close(self, job: Job, body: dict[str, Any]) -> None:
        error = body.get("error")
        job.output = body.get("output") if not error or isinstance(error, str) else None
        if error and isinstance(error, str):
            job.error = error
        self._finish(job, "FAILED" if job.error else "COMPLETED")

    def _abandon(self, job: Job, status: Status) -> None:
        """Ends a job from outside; a worker that has it is told to stop it."""
        if job.done:
            return
        if job.status == "IN_QUEUE":
            self.waiting.remove(job)
        elif job.worker:
            worker = self.workers[job.worker]
            worker.to_stop.append(job.id)
            worker.stop.set()
        job.output = None
        self._finish(job, status)

    def _finish(self, job: Job, status: Status) -> None:
        job.status, job.finished = status, time.time()
        self._drop_timers(job)
        job.timers.append(self._later(self._retention[job.sync], self._expire, job))
        job.over.set()
        self._changed()
        self._finished(job)

    def _expire(self, job: Job) -> None:
        """The platform forgets the job; one that still runs is stopped first."""
        self._abandon(job, "TIMED_OUT")
        self._drop_timers(job)
        self.jobs.pop(job.id, None)
        self._changed()

    def _wake(self) -> None:
        self._arrived.set()
        for worker in self.workers.values():
            if self._leaving(worker):
                worker.stop.set()
        self._changed()

    @staticmethod
    def _later(seconds: float, action: Callable[..., None], *arguments: Any) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, action, *arguments)

    @staticmethod
    def _drop_timers(job: Job) -> None:
        for timer in job.timers:
            timer.cancel()
        job.timers.clear()


def check(request: Any) -> None:
    """Refuses what the platform refuses, a little more loosely: tests want timeouts below its 5 s."""
    if not isinstance(request, dict) or request.get("input") is None:
        raise WrongRequest('the body has to be a JSON object with "input"')
    webhook = request.get("webhook")
    if webhook is not None and not str(webhook).startswith(("http://", "https://")):
        raise WrongRequest('"webhook" has to be an http or https URL')
    for name in ("policy", "s3Config"):
        if not isinstance(request.get(name, {}), dict):
            raise WrongRequest(f'"{name}" has to be an object')
    for name in ("executionTimeout", "ttl"):
        value = request.get("policy", {}).get(name, 1)
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise WrongRequest(f'"policy.{name}" has to be a number of milliseconds')


async def within(event: asyncio.Event, seconds: float) -> bool:
    """True if the event is set within so many seconds."""
    try:
        await asyncio.wait_for(event.wait(), max(seconds, 0))
    except asyncio.TimeoutError:
        return False
    return True


def _pieces(output: Any) -> list[Any]:
    """The platform splits chunks above its limit; only texts can be split and still be JSON."""
    if not isinstance(output, str) or len(output) <= CHUNK_LIMIT:
        return [output]
    return [output[start : start + CHUNK_LIMIT] for start in range(0, len(output), CHUNK_LIMIT)]
