"""Runs the jobs of the HTTP API on an endpoint: what `client.serve` puts behind the routes of `api.http`.

A caller whose connection breaks sends the same recording again. So the work on it goes on for a moment without a
caller, and the next caller joins it. Nothing is kept once the answer is delivered. After a failure that another attempt
may mend, finished parts are kept for as long as the endpoint keeps its results. A job with a folder that outlives this
process (`Job.resume`) finds its finished parts and running jobs there when it is run again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from api.openai.models import means_default
from api.transcriber import Answer, Job, Listener, Schema, request_id
from client.bridge_jobs import MODELS_ROUTE, JobSender, out_of_resources
from client.files import PRIVATE_FOLDER
from client.job_request import RunSettings
from client.option_values import option_schemas
from client.shared_work import SharedWork
from client.transport.endpoint import Endpoint
from client.transport.fanout import NO_WORKER_HINT_S
from client.transport.journal import file_sha256, make_key

RETRY_WINDOW_S = 10.0
"""How long the work on a recording goes on without a caller: OpenAI's SDKs send it again after 0.5 to 8 s."""

FAILURE_KEPT_S = 1800.0
"""How long the finished parts of a failed recording are kept: RunPod keeps results for 30 minutes."""

_log = logging.getLogger(__name__)

_CLOSE_TIMEOUT_S = 2.0
"""Shorter than the time that `api.http.loading_server` leaves after a second signal."""

_RETRYABLE = frozenset(
    {
        *("Cancelled", "Internal", "OutOfMemory", "OutOfResources", "DownloadFailed"),
        *("EndpointUnreachable", "EndpointFailed"),
    }
)
"""`error_type` of a failure that another attempt may mend."""


class EndpointTranscriber:
    """Runs jobs on an endpoint; a `Transcriber` (see `api/transcriber.py`).

    Args:
        endpoint: where the jobs run.
        settings: how the jobs of a recording are run.
        folder: for recordings and finished parts while they are worked on; used by nothing else.
        recordings: maximum number of recordings that are worked on at once; others wait.
        retry_window_s: how long the work on a recording goes on without a caller.
        no_worker_s: time in the queue after which an endpoint without workers is given up.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        settings: RunSettings,
        folder: Path,
        *,
        recordings: int = 4,
        retry_window_s: float = RETRY_WINDOW_S,
        no_worker_s: float = NO_WORKER_HINT_S,
    ) -> None:
        self._sender = JobSender(endpoint, settings, no_worker_s)
        self._folder = folder
        self._slots = asyncio.Semaphore(recordings)
        self._retry_window_s = retry_window_s
        self._open: dict[str, SharedWork] = {}
        """The work that callers can join, by its key."""
        self._running: set[SharedWork] = set()
        self._models: list[str] | None = None

    async def run(self, job: Job, listener: Listener) -> Answer:
        """Run a job, or join the work on the same one, and return its answer."""
        try:
            key = await asyncio.to_thread(_work_key, job, listener)
            work = self._open.get(key) or self._begin(key, job, listener)
        except OSError as error:
            return out_of_resources(error)
        work.listeners.append(listener)
        work.stays_open()
        if listener.on_segments and work.segments:
            listener.on_segments(list(work.segments))
        try:
            answer = await asyncio.shield(work.task)
        finally:
            work.listeners.remove(listener)
            if not work.listeners:
                work.closes_in(self._retry_window_s, partial(self._give_up, work))
        self._forget(work)
        if "error" in answer:
            _log.warning("request %s failed: %s", request_id.get(), answer["error"])
        return answer

    async def models(self, wanted: str | None = None) -> list[str]:
        """The endpoint's models, the default first; empty until a request asks for a model other than the default.

        Args:
            wanted: the name in a request; if it does not mean the default, a worker is asked, once.
        """
        if wanted is None or means_default(wanted):
            return self._models or []
        if self._models is None:
            self._models = await self._ask_for_models()
        return self._models or [wanted]  # an older worker gets the name, and refuses it if need be

    def option_schemas(self) -> Mapping[str, Schema]:
        """The JSON Schema of each option of a job, by its name."""
        return option_schemas()

    def close(self) -> None:
        """Cancel the running jobs and wait a moment for them to end; to be called after the server has ended.

        Jobs that can be resumed go on at the endpoint, for the next start of the server.
        """
        running = [work for work in self._running if work.job.resume is None]
        for work in running:
            work.stop.set()
        end = time.monotonic() + _CLOSE_TIMEOUT_S
        for work in running:
            if work.thread is not None:
                work.thread.join(max(end - time.monotonic(), 0.0))

    async def _ask_for_models(self) -> list[str] | None:
        """The names that a worker reports; empty if it is too old to be asked; None if the job failed."""
        answer = await self.run(Job({"openai_route": MODELS_ROUTE}), Listener())
        if "error" in answer:
            return [] if answer["error_type"] == "InvalidInput" else None
        models = answer.get("data")
        names = [model.get("id") for model in models if isinstance(model, dict)] if isinstance(models, list) else []
        return [name for name in names if isinstance(name, str) and not means_default(name)]

    def _begin(self, key: str, job: Job, listener: Listener) -> SharedWork:
        work = SharedWork(key, job, (job.resume or self._folder) / key, streams=listener.on_segments is not None)
        work.folder.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
        if job.upload is not None:
            _link(job.upload, work.file)
        for track, file in zip(job.tracks, work.track_files, strict=True):
            if isinstance(track.recording, Path):
                file.parent.mkdir(PRIVATE_FOLDER, exist_ok=True)
                _link(track.recording, file)
        work.task = asyncio.create_task(self._perform(work))
        self._open[key] = work
        self._running.add(work)
        return work

    async def _perform(self, work: SharedWork) -> Answer:
        if self._slots.locked():
            work.report("waiting for other recordings", 0.0)
        answer: Answer = {"error_type": "Cancelled"} if work.job.resume else {}  # it may have parts of an earlier run
        try:
            async with self._slots:
                answer = await work.on_thread(lambda: self._sender.run(work))
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError) and work.thread:  # the server ends: `close` waits for it
                raise
            self._end(work, answer)
            raise
        self._end(work, answer)
        return answer

    def _end(self, work: SharedWork, answer: Answer) -> None:
        self._running.discard(work)
        self._clean_up(work, keep_parts=answer.get("error_type") in _RETRYABLE)
        if not work.listeners:
            work.closes_in(self._retry_window_s, partial(self._give_up, work))

    def _clean_up(self, work: SharedWork, *, keep_parts: bool) -> None:
        """Remove the recording, and its finished parts at once or after a while, unless it is being worked on again."""
        if any(other.key == work.key for other in self._running):
            return
        if keep_parts:
            for file in (work.file, *work.track_files):
                file.unlink(missing_ok=True)
            remove = partial(self._clean_up, work, keep_parts=False)
            asyncio.get_running_loop().call_later(FAILURE_KEPT_S, remove)
        else:
            shutil.rmtree(work.folder, ignore_errors=True)

    def _give_up(self, work: SharedWork) -> None:
        work.stop.set()
        if work.thread is None:  # it waits for other recordings
            work.task.cancel()
        self._forget(work)

    def _forget(self, work: SharedWork) -> None:
        work.stays_open()
        if self._open.get(work.key) is work:
            del self._open[work.key]


def _work_key(job: Job, listener: Listener) -> str:
    """Identify a job: equal for the same recordings and options, whatever the paths of uploads."""
    content = None if job.upload is None else file_sha256(job.upload)
    tracks = [[track.name, track.offset, _content_of(track.recording)] for track in job.tracks]
    return make_key(tracks or content, dict(job.input), dict(job.fields), listener.on_segments is not None)


def _content_of(recording: Path | str) -> str:
    return recording if isinstance(recording, str) else file_sha256(recording)


def _link(source: Path, target: Path) -> None:
    """Keep an upload, which is deleted when its caller hangs up, as a file of the work."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another disk, or a file system without links
        shutil.copyfile(source, target)
