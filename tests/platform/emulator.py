"""RunPod's serverless platform on this machine: one endpoint's queue with its HTTP API for workers and callers.

with Platform() as platform, Worker(platform) as worker:
    job = platform.submit({"audio": {"url": "https://…"}})
    answer = platform.wait(job)
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar

import aiohttp
from aiohttp import web

from tests.platform.faults import Fault, Faults
from tests.platform.jobs import Queue
from tests.platform.records import Job, WorkerRecord
from tests.platform.routes import ENDPOINT, PREFIX, Routes

__all__ = ["Fault", "Platform"]

HOST = "127.0.0.1"
T = TypeVar("T")


class Platform:
    """The emulator; runs in a thread of its own from `start` to `close`, or as a context manager.

    Times are seconds: `hold` of an empty poll, `retention` of results after /run and /runsync,
    `webhook_delays` before the second and third try, `ping_interval` of workers (whole seconds).
    """

    def __init__(
        self,
        *,
        port: int = 0,
        api_key: str = "caller-key",
        worker_key: str = "worker-key",
        seed: int = 0,
        hold: float = 1.0,
        execution_timeout: float = 600.0,
        retention: tuple[float, float] = (1800.0, 60.0),
        webhook_delays: Sequence[float] = (5.0, 15.0),
        ping_interval: int = 2,
    ) -> None:
        self.port = port
        self.api_key = api_key
        self.worker_key = worker_key
        self.faults = Faults(seed=seed)
        self._hold = hold
        self._execution_timeout = execution_timeout
        self._retention = retention
        self._webhook_delays = tuple(webhook_delays)
        self._ping_interval = ping_interval
        self._changed = threading.Condition()
        self._webhooks: set[asyncio.Task[None]] = set()
        self._runner: web.AppRunner | None = None
        self._queue: Queue
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread

    def start(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="platform", daemon=True)
        self._thread.start()
        try:
            self._on_loop(self._serve())
        except BaseException:
            self._end_thread()
            raise

    def close(self) -> None:
        self._on_loop(self._shut())
        self._end_thread()

    def __enter__(self) -> Platform:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The endpoint's address, to which callers add /run, /status/… and so on."""
        return f"http://{HOST}:{self.port}{PREFIX}"

    @property
    def headers(self) -> dict[str, str]:
        """The headers of a caller's requests."""
        return {"Authorization": f"Bearer {self.api_key}"}

    def environment(self, worker_id: str) -> dict[str, str]:
        """The variables that RunPod sets for a worker; the SDK reads them at import and replaces the dollar names."""
        done = f"{self.url}/{{}}/$RUNPOD_POD_ID/$ID?gpu=SIM"
        return {
            "RUNPOD_WEBHOOK_GET_JOB": f"{self.url}/job-take/$ID?gpu=SIM",
            "RUNPOD_WEBHOOK_POST_OUTPUT": done.format("job-done"),
            "RUNPOD_WEBHOOK_POST_STREAM": done.format("job-stream"),
            "RUNPOD_WEBHOOK_PING": f"{self.url}/ping/$RUNPOD_POD_ID?gpu=SIM",
            "RUNPOD_PING_INTERVAL": str(self._ping_interval * 1000),
            "RUNPOD_AI_API_KEY": self.worker_key,
            "RUNPOD_POD_ID": worker_id,
            "RUNPOD_POD_HOSTNAME": f"{worker_id}.local",
            "RUNPOD_ENDPOINT_ID": ENDPOINT,
            # Checks of the GPU, the disk and the way to the internet, which a test machine need not have.
            "RUNPOD_SKIP_GPU_CHECK": "true",
            "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
            "NO_PROXY": HOST,
            "no_proxy": HOST,
        }

    def submit(self, input: Any, *, sync: bool = False, **fields: Any) -> str:
        """Puts a job into the queue as /run or /runsync does, with fields such as webhook= or policy=."""
        request = json.loads(json.dumps({"input": input, **fields}))

        async def enqueue() -> Job:
            return self._queue.submit(request, sync)

        return self._on_loop(enqueue()).id

    def wait(self, job_id: str, timeout: float = 60.0) -> dict[str, Any]:
        """The job's final status as /status has it."""
        job = self.job(job_id)
        if not self._wait_for(lambda: job.done, timeout):
            raise TimeoutError(
                f"{job.id} is {job.status} after {timeout} s; worker {job.worker}, refused posts {job.refused}, "
                f"faults {self.faults.injected[-5:]}"
            )
        return job.as_status()

    def until(self, condition: Callable[[], object], timeout: float | None = 120.0) -> None:
        """Waits for a condition on records (`job`, `workers`); it must not call methods that submit or cancel."""
        if not self._wait_for(condition, timeout):
            raise TimeoutError(f"not so within {timeout} s; jobs: {[job.as_status() for job in self.jobs.values()]}")

    def cancel(self, job_id: str) -> None:
        job = self.job(job_id)
        self._call(lambda: self._queue.cancel(job))

    def retire(self, worker_id: str) -> None:
        """No more jobs for a worker, as before a scale-down."""
        self._call(lambda: self._queue.retire(worker_id))

    def admit(self, worker_id: str) -> None:
        """A worker that starts (again) gets jobs."""
        self._call(lambda: self._queue.admit(worker_id))

    def lose(self, worker_id: str) -> None:
        """A worker's process has ended; does nothing once the platform is closed."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._queue.lose, worker_id)

    def job(self, job_id: str) -> Job:
        """The record of a job, which goes on changing: states, times, progress, chunks, results."""
        return self._queue.jobs[job_id]

    @property
    def jobs(self) -> dict[str, Job]:
        return dict(self._queue.jobs)

    @property
    def workers(self) -> dict[str, WorkerRecord]:
        """All workers that ever called, with their pings and the jobs that the platform told them to stop."""
        return dict(self._queue.workers)

    @property
    def strays(self) -> list[tuple[str, str]]:
        """Posts about jobs that the platform does not know (any more): path and beginning of the body."""
        return self._queue.strays

    def changed(self) -> None:
        """Wakes all threads that wait for a condition."""
        with self._changed:
            self._changed.notify_all()

    def _wait_for(self, condition: Callable[[], object], timeout: float | None) -> bool:
        with self._changed:
            return bool(self._changed.wait_for(lambda: bool(condition()), timeout))

    async def _serve(self) -> None:
        self._queue = Queue(self._execution_timeout, self._retention, self.changed, self._announce)
        routes = Routes(self._queue, self.faults, self.api_key, self.worker_key, self._hold)
        # Cancelled polls: a worker that went away must not be handed a job.
        self._runner = web.AppRunner(
            routes.application(), access_log=None, handler_cancellation=True, shutdown_timeout=0.5
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self.port).start()
        self.port = self._runner.addresses[0][1]

    async def _shut(self) -> None:
        self._queue.close()
        for task in self._webhooks:
            task.cancel()
        await asyncio.gather(*self._webhooks, return_exceptions=True)
        if self._runner:
            await self._runner.cleanup()

    def _announce(self, job: Job) -> None:
        if job.request.get("webhook"):
            task = self._loop.create_task(self._post_webhook(job))
            self._webhooks.add(task)
            task.add_done_callback(self._webhooks.discard)

    async def _post_webhook(self, job: Job) -> None:
        """One try and as many more as there are delays, until the receiver says 200."""
        body, url = job.for_webhook(), job.request["webhook"]
        async with aiohttp.ClientSession(headers={"User-Agent": "Go-http-client/1.1"}) as session:
            for delay in (0.0, *self._webhook_delays):
                await asyncio.sleep(delay)
                job.webhooks.append(await _try_webhook(session, url, body))
                self.changed()
                if job.webhooks[-1] == 200:
                    return

    def _call(self, action: Callable[[], T]) -> T:
        async def act() -> T:
            return action()

        return self._on_loop(act())

    def _on_loop(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    def _end_thread(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        with contextlib.suppress(RuntimeError):
            self._loop.close()


async def _try_webhook(session: aiohttp.ClientSession, url: str, body: dict[str, Any]) -> int | str:
    """The receiver's status, or what went wrong on the way to it."""
    try:
        async with session.post(url, json=body, timeout=aiohttp.ClientTimeout(10)) as response:
            return response.status
    except (aiohttp.ClientError, asyncio.TimeoutError) as error:
        return type(error).__name__
