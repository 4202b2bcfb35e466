"""Simulates a queue-based serverless endpoint of RunPod, event by event: waiting times, workers and their cost.

What RunPod's documentation says (https://docs.runpod.io/serverless/endpoints/endpoint-configurations and
https://docs.runpod.io/serverless/pricing, both in a copy read in November 2026):

- a worker is paid for from its start to its stop, its cold start and idle timeout included, rounded up to the second;
- active workers run and are paid for all the time; flex workers start on demand, up to a maximum of both together;
- queue delay scaling adds workers when requests have waited for longer than a threshold (default 4 s), and a flex
  worker stops after the idle timeout (default 5 s);
- request count scaling wants ceil((queued + running requests) / value) workers (default 4); the idle timeout has no
  effect.

What it does not say, and is assumed here: each request whose wait passes the threshold starts a worker, unless the
workers that are starting already have room for all such requests; a request goes to the worker with the fewest running
ones; with request count scaling an idle worker stops once fewer workers are wanted. GPUs are always available, each
cold start takes the same time, and no request fails.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal

Scaling = Literal["delay", "requests"]


@dataclass(frozen=True)
class Endpoint:
    """An endpoint's settings, and the speed of its workers.

    Attributes:
        speeds: a worker's speed as times real time, all its jobs together, with 1, 2, ... jobs; the last one holds for
            more. The jobs share it equally.
        concurrency: jobs that a worker takes at a time (`MAX_CONCURRENCY`).
        overhead_s: time of a job that does not depend on its length, such as the download; it slows no other job.
        cold_start_s: from the start of a worker until it takes jobs.
        scaling_value: threshold in seconds for `delay`, requests per worker for `requests`.
        flex_price: price of a flex worker in dollars per second.
        active_price: the same of an active worker.
    """

    speeds: Sequence[float]
    concurrency: int = 4
    overhead_s: float = 1.0
    cold_start_s: float = 20.0
    min_workers: int = 0
    max_workers: int = 3
    scaling: Scaling = "delay"
    scaling_value: float = 4.0
    idle_timeout_s: float = 5.0
    flex_price: float = 0.00019
    active_price: float = 0.00019


@dataclass(eq=False)
class Job:
    """A request with a recording; times in seconds from the beginning of the simulation."""

    arrived: float
    audio_s: float
    taken: float = math.nan
    finished: float = math.nan

    @property
    def wait(self) -> float:
        """Seconds in the queue."""
        return self.taken - self.arrived

    @property
    def turnaround(self) -> float:
        """Seconds from the request to the result."""
        return self.finished - self.arrived


@dataclass(eq=False)
class Worker:
    """A worker, from its start to its stop; its jobs share its speed equally.

    Attributes:
        busy_s: time with at least one job.
        num_jobs: jobs that it has taken and not finished.
        served: audio in seconds that each job would have been served, had it been there from the start.
        sharing: jobs past their overhead, with the value of `served` at which each is finished.
        changes: number of changes to `sharing`: the time of the next finished job is void after another one.
    """

    started: float
    is_active: bool
    ready: float = math.inf
    stopped: float = math.inf
    busy_s: float = 0.0
    num_jobs: int = 0
    idle_since: float = 0.0
    served: float = 0.0
    served_at: float = 0.0
    sharing: list[tuple[float, int, Job]] = field(default_factory=list)
    changes: int = 0

    @property
    def is_ready(self) -> bool:
        """True once its cold start is over."""
        return self.ready < math.inf

    @property
    def paid_s(self) -> int:
        """Seconds that are paid for."""
        return math.ceil(round(self.stopped - self.started, 6))


@dataclass(frozen=True)
class Simulated:
    """All jobs and workers of a simulation that ended, with the last job or flex worker, after `seconds`."""

    jobs: Sequence[Job]
    workers: Sequence[Worker]
    seconds: float
    cost: float

    @property
    def audio_hours(self) -> float:
        """Hours of audio of all jobs."""
        return sum(job.audio_s for job in self.jobs) / 3600

    @property
    def cost_per_10_000_hours(self) -> float:
        """Cost in dollars of 10,000 hours of audio."""
        return self.cost / self.audio_hours * 10_000

    @property
    def paid_s(self) -> int:
        """Seconds of workers that are paid for."""
        return sum(worker.paid_s for worker in self.workers)

    @property
    def busy_share(self) -> float:
        """Share of the paid time in which a worker has at least one job; the rest it starts, or is idle."""
        return sum(worker.busy_s for worker in self.workers) / self.paid_s

    @property
    def starting_share(self) -> float:
        """Share of the paid time that is cold starts."""
        return sum(worker.ready - worker.started for worker in self.workers) / self.paid_s


def simulate(endpoint: Endpoint, jobs: Iterable[Job], seconds: float = 0.0) -> Simulated:
    """Simulate until all jobs are finished, all flex workers stopped, and `seconds` over; sets the jobs' times.

    Args:
        jobs: in order of arrival.

    Raises:
        ValueError: the endpoint may have no worker, or fewer than are always active.
    """
    if endpoint.max_workers < max(1, endpoint.min_workers):
        raise ValueError(f"max_workers is {endpoint.max_workers}")
    return _Simulation(endpoint, list(jobs)).run(seconds)


class _Simulation:
    def __init__(self, endpoint: Endpoint, jobs: Sequence[Job]) -> None:
        self._endpoint = endpoint
        self._jobs = jobs
        self._now = 0.0
        self._order = itertools.count()
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._queue: deque[Job] = deque()
        self._workers = [Worker(0.0, is_active=True, ready=0.0) for _ in range(endpoint.min_workers)]
        self._live = list(self._workers)
        for job in jobs:
            self._at(job.arrived, partial(self._arrive, job))

    def run(self, seconds: float) -> Simulated:
        while self._events:
            self._now, _, event = heapq.heappop(self._events)
            event()
        end = max([seconds, *(job.finished for job in self._jobs)])
        end = max([end, *(worker.stopped for worker in self._workers if not worker.is_active)])
        for worker in self._live:
            worker.stopped = end
        prices = (self._endpoint.active_price, self._endpoint.flex_price)
        cost = sum(worker.paid_s * (prices[0] if worker.is_active else prices[1]) for worker in self._workers)
        return Simulated(self._jobs, self._workers, end, cost)

    def _at(self, time: float, event: Callable[[], None]) -> None:
        heapq.heappush(self._events, (time, next(self._order), event))

    # --- Jobs ----------------------------------------------------------------------------------------------------

    def _arrive(self, job: Job) -> None:
        self._queue.append(job)
        self._dispatch()
        if self._endpoint.scaling == "delay":
            self._at(self._now + self._endpoint.scaling_value, self._start_for_delayed)
        else:
            self._scale_by_requests()

    def _dispatch(self) -> None:
        """Give queued jobs to workers that are ready for more."""
        while self._queue:
            free = [worker for worker in self._live if worker.is_ready and worker.num_jobs < self._endpoint.concurrency]
            if not free:
                return
            worker, job = min(free, key=lambda worker: worker.num_jobs), self._queue.popleft()
            job.taken = self._now
            self._count(worker, 1)
            self._at(self._now + self._endpoint.overhead_s, partial(self._begin, worker, job))

    def _begin(self, worker: Worker, job: Job) -> None:
        """Let a job share in its worker's speed."""
        self._serve(worker)
        heapq.heappush(worker.sharing, (worker.served + job.audio_s, next(self._order), job))
        self._await_next_finished(worker)

    def _finish(self, worker: Worker, change: int) -> None:
        if change != worker.changes:
            return
        self._serve(worker)
        _, _, job = heapq.heappop(worker.sharing)
        job.finished = self._now
        self._count(worker, -1)
        self._await_next_finished(worker)
        self._dispatch()
        self._scale_down(worker)

    def _serve(self, worker: Worker) -> None:
        """Bring `served` up to now."""
        worker.served += (self._now - worker.served_at) * self._speed(worker)
        worker.served_at = self._now

    def _await_next_finished(self, worker: Worker) -> None:
        worker.changes += 1
        if worker.sharing:
            seconds = (worker.sharing[0][0] - worker.served) / self._speed(worker)
            self._at(self._now + max(0.0, seconds), partial(self._finish, worker, worker.changes))

    def _speed(self, worker: Worker) -> float:
        """Times real time of each job that shares in a worker's speed."""
        count, speeds = len(worker.sharing), self._endpoint.speeds
        return speeds[min(count, len(speeds)) - 1] / count if count else 0.0

    def _count(self, worker: Worker, change: int) -> None:
        """Count jobs of a worker and its busy time."""
        if worker.num_jobs == 0:
            worker.busy_s -= self._now
        worker.num_jobs += change
        if worker.num_jobs == 0:
            worker.busy_s += self._now
            worker.idle_since = self._now

    # --- Workers -------------------------------------------------------------------------------------------------

    def _start_for_delayed(self) -> None:
        """Start workers for the requests that have waited too long."""
        if len(self._live) >= self._endpoint.max_workers:
            return
        latest = self._now - self._endpoint.scaling_value + 1e-9
        num_delayed = sum(1 for _ in itertools.takewhile(lambda job: job.arrived <= latest, self._queue))
        num_starting = sum(not worker.is_ready for worker in self._live)
        needed = math.ceil(num_delayed / self._endpoint.concurrency) - num_starting
        for _ in range(min(needed, self._endpoint.max_workers - len(self._live))):
            self._start()

    def _scale_by_requests(self) -> None:
        """Start or stop workers to have as many as the number of requests asks for."""
        requests = len(self._queue) + sum(worker.num_jobs for worker in self._live)
        endpoint = self._endpoint
        wanted = min(max(math.ceil(requests / endpoint.scaling_value), endpoint.min_workers), endpoint.max_workers)
        for _ in range(wanted - len(self._live)):
            self._start()
        idle = [worker for worker in self._live if worker.is_ready and not worker.num_jobs and not worker.is_active]
        for worker in idle[: max(0, len(self._live) - wanted)]:
            self._stop(worker)

    def _start(self) -> None:
        worker = Worker(self._now, is_active=False)
        self._workers.append(worker)
        self._live.append(worker)
        self._at(self._now + self._endpoint.cold_start_s, partial(self._become_ready, worker))

    def _become_ready(self, worker: Worker) -> None:
        worker.ready = worker.idle_since = self._now
        self._dispatch()
        self._scale_down(worker)

    def _scale_down(self, worker: Worker) -> None:
        if self._endpoint.scaling == "requests":
            self._scale_by_requests()
        elif not worker.num_jobs and not worker.is_active:
            timeout = partial(self._stop_if_idle_since, worker, self._now)
            self._at(self._now + self._endpoint.idle_timeout_s, timeout)

    def _stop_if_idle_since(self, worker: Worker, idle_since: float) -> None:
        if not worker.num_jobs and worker.idle_since == idle_since:
            self._stop(worker)

    def _stop(self, worker: Worker) -> None:
        worker.stopped = self._now
        self._live.remove(worker)
