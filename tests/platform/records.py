"""The platform's records of jobs and workers; times are time.time()."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Literal

RUN_LIMIT = 10_000_000
RUNSYNC_LIMIT = 20_000_000

Status = Literal["IN_QUEUE", "IN_PROGRESS", "COMPLETED", "FAILED", "CANCELLED", "TIMED_OUT"]
HANDED_ON = ("webhook", "policy", "s3Config")


@dataclass
class Post:
    """A progress report or a chunk of a stream. `late`: the job had its result before."""

    at: float
    output: Any
    size: int
    late: bool


@dataclass
class Result:
    """A posted result. `late`: the job was over before; not `accepted`: refused with a 400 for its size."""

    at: float
    worker: str
    body: dict[str, Any]
    size: int
    attempt: int
    late: bool = False
    accepted: bool = True


@dataclass
class Job:
    """A job and its record."""

    id: str
    request: dict[str, Any]
    sync: bool
    created: float = field(default_factory=time.time)
    status: Status = "IN_QUEUE"
    taken: float | None = None
    finished: float | None = None
    worker: str | None = None
    attempt: int = 0
    output: Any = None
    error: str | None = None
    stop_pod: bool = False
    progress: list[Post] = field(default_factory=list)
    chunks: list[Post] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    webhooks: list[int | str] = field(default_factory=list)
    undelivered: deque[Any] = field(default_factory=deque)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    timers: list[asyncio.TimerHandle] = field(default_factory=list)

    @property
    def done(self) -> bool:
        return self.finished is not None

    @property
    def limit(self) -> int:
        """Bytes that a result may have."""
        return RUNSYNC_LIMIT if self.sync else RUN_LIMIT

    @property
    def answered_twice(self) -> bool:
        attempts = [result.attempt for result in self.results]
        return len(attempts) != len(set(attempts))

    def policy(self, name: str, default: float) -> float:
        """Seconds out of the caller's policy, which has milliseconds."""
        milliseconds = self.request.get("policy", {}).get(name)
        return default if milliseconds is None else milliseconds / 1000

    def for_worker(self) -> dict[str, Any]:
        known = {name: self.request[name] for name in HANDED_ON if name in self.request}
        return {"id": self.id, "input": self.request["input"], **known}

    def as_status(self) -> dict[str, Any]:
        """The answer of /status; while the job runs, `output` is its latest progress report."""
        answer: dict[str, Any] = {"id": self.id, "status": self.status}
        if self.taken is not None:
            answer |= {"delayTime": _milliseconds(self.created, self.taken), "workerId": self.worker}
            if self.finished is not None:
                answer["executionTime"] = _milliseconds(self.taken, self.finished)
        if self.output is not None:
            answer["output"] = self.output
        if self.error is not None:
            answer["error"] = self.error
        return answer

    def for_webhook(self) -> dict[str, Any]:
        return {**self.as_status(), "input": self.request["input"], "webhook": self.request["webhook"]}


@dataclass
class Ping:
    at: float
    query: dict[str, str]

    @property
    def jobs(self) -> list[str]:
        return self.query["job_id"].split(",") if self.query.get("job_id") else []


@dataclass
class WorkerRecord:
    """A worker as the platform knows it. `retired`: it is about to be stopped and gets no more jobs."""

    id: str
    seen: float = field(default_factory=time.time)
    takes: int = 0
    retired: bool = False
    pings: list[Ping] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    to_stop: list[str] = field(default_factory=list)
    stop: asyncio.Event = field(default_factory=asyncio.Event)


def _milliseconds(start: float, end: float) -> int:
    return round((end - start) * 1000)
