"""The handler's face to the SDK's loop: each job on a thread of its own, its progress, its segments, its early end.

The loop is asyncio's, and takes jobs, stop signals and results in turn: nothing here may block it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import runpod

from src.delivery.chunks import batches, in_chunks
from src.job_control import JobControl
from src.rp_handler import handler
from src.serving.progress import ProgressReporter
from src.settings import get_settings
from src.transcript.transcript import Segment

CANCELLED = "the job was cancelled"


def configuration() -> dict[str, Any]:
    """What `runpod.serverless.start` is to be given."""
    limit = get_settings().max_concurrency
    config: dict[str, Any] = {"handler": handle, "concurrency_modifier": lambda _: limit}
    if get_settings().streaming and not _is_local_test():
        config |= {"handler": stream, "return_aggregate_stream": True}
    return config


def _is_local_test() -> bool:
    """Whether the SDK will run one job and end; that mode takes no generators."""
    if any(argument.startswith("--test_input") for argument in sys.argv):
        return True
    return "RUNPOD_WEBHOOK_GET_JOB" not in os.environ and "--rp_serve_api" not in sys.argv


async def handle(job: dict[str, Any]) -> dict[str, Any]:
    """The answer to a job. Cancelling this ends the job's work within a moment."""
    with _attended(JobControl()) as control:
        return await asyncio.get_running_loop().run_in_executor(_threads(), _run, job, control)


async def stream(job: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    """`{"segments": [...]}` as segments become final, then the whole answer (in pieces where it is over 1 MB)."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()

    def put(segment: Segment) -> None:
        loop.call_soon_threadsafe(ready.put_nowait, segment.to_dict())

    with _attended(JobControl(on_segment=put)) as control:
        answer = loop.run_in_executor(_threads(), _run, job, control)
        answer.add_done_callback(lambda _: ready.put_nowait(None))
        segments: list[dict[str, Any] | None] = []
        while None not in segments:
            segments = [await ready.get()]
            while not ready.empty():
                segments.append(ready.get_nowait())
            for batch in batches([one for one in segments if one is not None]):
                if batch:
                    yield {"segments": batch}
        for chunk in in_chunks(_typed(await answer)):
            yield chunk


def _typed(answer: dict[str, Any]) -> dict[str, Any]:
    """Of a stream's error the SDK keeps the sentence alone (`rp_job.handle_job`): it begins with its type."""
    if "error_type" not in answer:
        return answer
    return {**answer, "error": f"{answer['error_type']}: {answer['error']}"}


@contextmanager
def _attended(control: JobControl) -> Iterator[JobControl]:
    """Stops the job when nobody waits for it any more."""
    try:
        yield control
    finally:
        control.stop(CANCELLED)  # after a job's end this does nothing


def _run(job: dict[str, Any], control: JobControl) -> dict[str, Any]:
    with _counted(), _reported(job, control):
        answer = handler(job, control)
    return _without_refresh(answer) if _running else answer


@contextmanager
def _reported(job: dict[str, Any], control: JobControl) -> Iterator[None]:
    """Shows the job's progress in `/status`, where there is a platform that has one."""
    if "RUNPOD_WEBHOOK_POST_OUTPUT" not in os.environ:
        yield
        return
    reporter = ProgressReporter(job, runpod.serverless.progress_update)
    control.listen(reporter.report)
    try:
        yield
    finally:
        reporter.settle()


def _without_refresh(answer: dict[str, Any]) -> dict[str, Any]:
    """While other jobs are to be answered, the worker must live: the last of them asks for the fresh one."""
    return {key: value for key, value in answer.items() if key != "refresh_worker"}


_running: set[int] = set()
"""Threads with a job."""


@contextmanager
def _counted() -> Iterator[None]:
    _running.add(threading.get_ident())
    try:
        yield
    finally:
        _running.discard(threading.get_ident())


_pool: ThreadPoolExecutor | None = None


def _threads() -> ThreadPoolExecutor:
    """Threads for as many jobs as run at once, and for those that were stopped and take a moment to end."""
    global _pool
    _pool = _pool or ThreadPoolExecutor(2 * get_settings().max_concurrency, "job")
    return _pool
