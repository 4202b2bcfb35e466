"""Asyncio handlers: each job runs on a thread, with progress, streamed segments and cancellation.

The event loop, the SDK's or HTTP mode's, handles jobs, stop signals and results; nothing here may block it.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import runpod

from src.delivery.chunks import batch_items, split_answer, split_text
from src.job_control import JobControl
from src.request.openai_jobs import asks_for_models, is_openai_input, models_answer, to_answer
from src.rp_handler import handler
from src.serving.progress import ProgressReporter
from src.settings import get_settings
from src.startup import get_processor
from transcript.transcript import Segment

CANCELLED = "the job was cancelled"

Output = dict[str, Any] | str
"""An answer; a bare text is one only to a job of OpenAI's API."""

AnyOutput = TypeVar("AnyOutput", bound=Output)


def configuration() -> dict[str, Any]:
    """The argument of `runpod.serverless.start`."""
    limit = get_settings().max_concurrency
    config: dict[str, Any] = {"handler": handle, "concurrency_modifier": lambda _: limit}
    if get_settings().streaming and not _is_local_test():
        config |= {"handler": stream, "return_aggregate_stream": True}
    return config


def _is_local_test() -> bool:
    """True if the SDK will run one job and end; that mode does not support generators."""
    if any(argument.startswith("--test_input") for argument in sys.argv):
        return True
    return "RUNPOD_WEBHOOK_GET_JOB" not in os.environ and "--rp_serve_api" not in sys.argv


async def handle(job: dict[str, Any]) -> Output:
    """Run a job and return its answer; cancelling the coroutine cancels the job."""
    return await run_on_thread(_run, job, JobControl())


async def run_on_thread(
    run: Callable[[dict[str, Any], JobControl], AnyOutput], job: dict[str, Any], control: JobControl
) -> AnyOutput:
    """Run a job on a thread of the pool; cancelling the coroutine cancels the job by its control."""
    with _cancelled_on_exit(control):
        return await asyncio.get_running_loop().run_in_executor(_threads(), run, job, control)


async def stream(job: dict[str, Any]) -> AsyncIterator[Output]:
    """Run a job and yield `{"segments": [...]}` as segments become final, then the whole answer, split if over 1 MB."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()

    def put(segment: Segment) -> None:
        loop.call_soon_threadsafe(ready.put_nowait, segment.to_dict())

    on_segment = None if is_openai_input(job.get("input")) else put  # its caller reads the answer alone
    with _cancelled_on_exit(JobControl(on_segment)) as control:
        answer = loop.run_in_executor(_threads(), _run, job, control)
        answer.add_done_callback(lambda _: ready.put_nowait(None))
        segments: list[dict[str, Any] | None] = []
        while None not in segments:
            segments = [await ready.get()]
            while not ready.empty():
                segments.append(ready.get_nowait())
            for batch in batch_items([segment for segment in segments if segment is not None]):
                if batch:
                    yield {"segments": batch}
        whole = await answer
        pieces = split_text(whole) if isinstance(whole, str) else split_answer(_prefix_error_type(whole))
        for piece in pieces:
            yield piece


def _prefix_error_type(answer: dict[str, Any]) -> dict[str, Any]:
    """Begin an error's sentence with its type: the SDK drops all other keys in a stream (`rp_job.handle_job`)."""
    if "error_type" not in answer:
        return answer
    return {**answer, "error": f"{answer['error_type']}: {answer['error']}"}


@contextmanager
def _cancelled_on_exit(control: JobControl) -> Iterator[JobControl]:
    """Cancel the job when the block ends: its result is no longer awaited."""
    try:
        yield control
    finally:
        control.cancel(CANCELLED)  # has no effect after the job's end


def _run(job: dict[str, Any], control: JobControl) -> Output:
    raw = job.get("input")
    if asks_for_models(raw):
        return models_answer(get_processor().model_names)
    with _counted(), _progress_reported(job, control):
        answer = handler(job, control)
    answer = _drop_refresh(answer) if _running else answer
    return to_answer(answer, raw, get_processor().model_names) if is_openai_input(raw) else answer


@contextmanager
def _progress_reported(job: dict[str, Any], control: JobControl) -> Iterator[None]:
    """Report the job's progress to `/status` while the block runs, if this is a worker on RunPod."""
    if "RUNPOD_WEBHOOK_POST_OUTPUT" not in os.environ:
        yield
        return
    reporter = ProgressReporter(job, runpod.serverless.progress_update)
    control.listen(reporter.report)
    try:
        yield
    finally:
        reporter.settle()


def _drop_refresh(answer: dict[str, Any]) -> dict[str, Any]:
    """Drop the request for a fresh worker: this one must first answer its other jobs, and the last of them asks."""
    return {key: value for key, value in answer.items() if key != "refresh_worker"}


_running: set[int] = set()
"""Identifiers of the threads that run a job."""


@contextmanager
def _counted() -> Iterator[None]:
    _running.add(threading.get_ident())
    try:
        yield
    finally:
        _running.discard(threading.get_ident())


_pool: ThreadPoolExecutor | None = None


def _threads() -> ThreadPoolExecutor:
    """The pool for job threads, twice as many as concurrent jobs: cancelled ones take a moment to end."""
    global _pool
    _pool = _pool or ThreadPoolExecutor(2 * get_settings().max_concurrency, "job")
    return _pool
