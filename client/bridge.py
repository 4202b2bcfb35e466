"""Runs the jobs of the HTTP API on an endpoint: what `client.serve` puts behind the routes of `api.http`.

A caller whose connection breaks sends the same recording again. So the work on it goes on for a moment without a
caller, and the next one joins it. Nothing of it is kept once its answer is delivered; only of a failure that another
attempt may mend, finished parts stay for as long as the endpoint keeps them.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from api.openai.models import means_default
from api.transcriber import Answer, Job, Listener, Schema, request_id
from client.errors import (
    BadRecording,
    CacheFailed,
    ClientError,
    EndpointFailed,
    EndpointUnreachable,
    EndpointUnusable,
    JobFailed,
    OptionRefused,
    OutputFailed,
    Stopped,
    WrongUsage,
)
from client.files import PRIVATE_FOLDER, describe
from client.option_values import option_schemas
from client.output import fetch_transcription
from client.recording import RunSettings, transcribe_recording
from client.segment_order import SegmentOrder, Segments
from client.transport.answers import JsonObject, check_output
from client.transport.endpoint import Endpoint
from client.transport.fanout import NO_WORKER_HINT_S, JobSpec, ProgressListener, run_jobs
from client.transport.jobs import execution_policy
from client.transport.journal import Journal, file_sha256, make_key

RETRY_WINDOW_S = 10.0
"""How long the work on a recording goes on without a caller: OpenAI's SDKs send it again after 0.5 to 8 s."""

FAILURE_KEPT_S = 1800.0
"""How long the finished parts of a failed recording are kept: RunPod keeps results for 30 minutes."""

_log = logging.getLogger(__name__)

_CLOSE_TIMEOUT_S = 2.0
"""Shorter than the time that `api.http.loading_server` leaves after a second signal."""

_MODELS_ROUTE = "/v1/models"
_NATIVE_FIELDS = frozenset({"audio", "options", "webhook", "upload", "reference"})
_PARTS_FIELDS = frozenset({"audio", "options"})
"""Fields of an input that also a recording in several jobs can have."""

_MAX_MESSAGE = 2000

_FILE_NAME = "the file"  # as messages call it

_ERROR_TYPES: dict[type[ClientError], str] = {
    Stopped: "Cancelled",
    CacheFailed: "OutOfResources",
    WrongUsage: "InvalidInput",
    BadRecording: "UnsupportedMedia",
    OptionRefused: "InvalidInput",
    OutputFailed: "OutOfResources",
    EndpointUnreachable: "EndpointUnreachable",
    EndpointUnusable: "EndpointRefused",
    EndpointFailed: "EndpointFailed",
}
"""`error_type` by exception; the first that fits."""

_ERROR_TYPES_BY_STATE = {
    "FAILED": "Internal",
    "TIMED_OUT": "Cancelled",
    "CANCELLED": "Cancelled",
    "COMPLETED": "TooLarge",
}
"""`error_type` of a job that ended without the worker's own."""

_RETRYABLE = frozenset({"Cancelled", "Internal", "OutOfMemory", "OutOfResources", "DownloadFailed"}) | {
    "EndpointUnreachable",
    "EndpointFailed",
}


class EndpointTranscriber:
    """Runs jobs on an endpoint; a `Transcriber` (see `api/transcriber.py`).

    Args:
        endpoint: where the jobs run.
        settings: how the jobs of a recording are run.
        folder: for recordings and finished parts while they are worked on; nobody else's.
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
        self._endpoint = endpoint
        self._settings = settings
        self._folder = folder
        self._slots = asyncio.Semaphore(recordings)
        self._retry_window_s = retry_window_s
        self._no_worker_s = no_worker_s
        self._open: dict[str, _Work] = {}
        """The work that callers can join, by its key."""
        self._running: set[_Work] = set()
        self._models: list[str] | None = None

    async def run(self, job: Job, listener: Listener) -> Answer:
        """Run a job, or join the work on the same one, and return its answer."""
        try:
            key = await asyncio.to_thread(_work_key, job, listener)
            work = self._open.get(key) or self._begin(key, job, listener)
        except OSError as error:
            return _out_of_resources(error)
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
        """The endpoint's models, the default first; none before a request has wanted another one than the default.

        Args:
            wanted: the name in a request; a worker is asked once if it is not one for the default.
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
        """Cancel what runs, and wait a moment for its end; call it after the server's end."""
        running = list(self._running)
        for work in running:
            work.stop.set()
        end = time.monotonic() + _CLOSE_TIMEOUT_S
        for work in running:
            if work.thread is not None:
                work.thread.join(max(end - time.monotonic(), 0.0))

    async def _ask_for_models(self) -> list[str] | None:
        """The names that a worker gives; none if it is an older one, which cannot be asked; None if the job failed."""
        answer = await self.run(Job({"openai_route": _MODELS_ROUTE}), Listener())
        if "error" in answer:
            return [] if answer["error_type"] == "InvalidInput" else None
        models = answer.get("data")
        names = [model.get("id") for model in models if isinstance(model, dict)] if isinstance(models, list) else []
        return [name for name in names if isinstance(name, str) and not means_default(name)]

    def _begin(self, key: str, job: Job, listener: Listener) -> _Work:
        work = _Work(key, job, self._folder / key, streams=listener.on_segments is not None)
        work.folder.mkdir(PRIVATE_FOLDER, exist_ok=True)
        if job.upload is not None:
            _link(job.upload, work.file)
        work.task = asyncio.create_task(self._perform(work))
        self._open[key] = work
        self._running.add(work)
        return work

    async def _perform(self, work: _Work) -> Answer:
        if self._slots.locked():
            work.report("waiting for other recordings", 0.0)
        answer: Answer = {}
        try:
            async with self._slots:
                answer = await work.on_thread(lambda: self._transcribe(work))
        except asyncio.CancelledError:  # the server ends: `close` waits for the thread
            raise
        except BaseException:
            self._end(work, answer)
            raise
        self._end(work, answer)
        return answer

    def _end(self, work: _Work, answer: Answer) -> None:
        self._running.discard(work)
        self._clean_up(work, keep_parts=answer.get("error_type") in _RETRYABLE)
        if not work.listeners:
            work.closes_in(self._retry_window_s, partial(self._give_up, work))

    def _clean_up(self, work: _Work, *, keep_parts: bool) -> None:
        """Remove the recording, and what else there is of it at once or after a while, unless it is worked on again."""
        if any(other.key == work.key for other in self._running):
            return
        if keep_parts:
            work.file.unlink(missing_ok=True)
            remove = partial(self._clean_up, work, keep_parts=False)
            asyncio.get_running_loop().call_later(FAILURE_KEPT_S, remove)
        else:
            shutil.rmtree(work.folder, ignore_errors=True)

    def _give_up(self, work: _Work) -> None:
        work.stop.set()
        self._forget(work)

    def _forget(self, work: _Work) -> None:
        work.stays_open()
        if self._open.get(work.key) is work:
            del self._open[work.key]

    def _transcribe(self, work: _Work) -> Answer:
        """Run the jobs; called on a thread."""
        try:
            return self._send(work)
        except Stopped:
            if work.has_no_worker:
                return {
                    "error": "the endpoint has no workers: set its maximum number of workers to 1 or more, in RunPod's "
                    "console, or wait until a GPU of its kind is free",
                    "error_type": "EndpointRefused",
                }
            return {"error": "the job was cancelled, since its caller hung up", "error_type": "Cancelled"}
        except ClientError as error:
            return self._to_answer(error, work)
        except OSError as error:
            return _out_of_resources(error)

    def _send(self, work: _Work) -> Answer:
        """Send the request as it is if it fits; otherwise the recording, in as many jobs as it needs."""
        job, listener = work.job, self._listener(work)
        if job.upload is None:
            request = {**job.fields, "input": job.input}
            if len(json.dumps(request)) <= self._settings.request_limit:
                return self._send_request(work, request, listener)
            work.file.write_bytes(_decode_audio(job.input, self._settings.request_limit))
        _check_fields(job)
        options = job.input.get("options") or {}
        if not isinstance(options, dict):
            raise WrongUsage("options: give an object")
        output = transcribe_recording(
            self._endpoint,
            work.file,
            options,
            self._settings,
            stop=work.stop,
            listener=listener,
            cache=work.folder / "journal",
        )
        if "transcription" not in output:  # too large for the platform: in the endpoint's bucket
            output["transcription"] = fetch_transcription(output)
        return output

    def _send_request(self, work: _Work, request: JsonObject, listener: ProgressListener) -> Answer:
        if request["input"].get("openai_route", _MODELS_ROUTE) != _MODELS_ROUTE:
            raise WrongUsage("openai_route: its answer may be a bare text: send the request to that route here")
        is_native = set(request["input"]) <= _NATIVE_FIELDS and "audio" in request["input"]
        policy = {"policy": execution_policy(None, self._settings.timeout_s)}
        spec = JobSpec(
            "request", lambda: {**policy, **request}, check=check_output if is_native else lambda output: output
        )
        journal = Journal("request", work.folder / "journal")
        with journal.claimed(work.stop):
            output = run_jobs(self._endpoint, [spec], journal, parallel=1, stop=work.stop, listener=listener)[0]
            journal.delete()
        return output

    def _listener(self, work: _Work) -> ProgressListener:
        order = SegmentOrder(work.add_segments)
        return ProgressListener(
            lambda fraction, stage: work.report(stage, fraction),
            order.on_segments if work.streams else None,
            order.on_job_done,
            order.on_start,
            lambda seconds: self._check_workers(work, seconds),
        )

    def _check_workers(self, work: _Work, waited_s: float) -> None:
        """Stop a job that waits in the queue of an endpoint that has no workers and starts none."""
        if waited_s < self._no_worker_s:
            return
        with suppress(ClientError):
            workers = self._endpoint.health().get("workers")
            if isinstance(workers, dict) and not any(workers.values()):
                work.has_no_worker = True
                work.stop.set()

    def _to_answer(self, error: ClientError, work: _Work) -> Answer:
        if isinstance(error, JobFailed) and not isinstance(error, OptionRefused):
            error_type = _ERROR_TYPES_BY_STATE.get(error.error_type, error.error_type)
        else:
            error_type = next(name for kind, name in _ERROR_TYPES.items() if isinstance(error, kind))
        message = str(error).replace(str(work.file), _FILE_NAME).replace(str(work.folder), "the temporary folder")
        message = message.replace(self._endpoint.host, "the endpoint")
        if key := self._endpoint.settings.api_key:  # a hostile endpoint has it, its callers do not
            message = message.replace(key, "RunPod's key")
        return {"error": message[:_MAX_MESSAGE], "error_type": error_type}


class _Work:
    """The work on a job, and the callers that wait for it.

    Attributes:
        key: the same for the same job.
        folder: holds the recording and finished parts.
        streams: true if segments are requested.
        listeners: of the callers; belongs to the event loop.
        segments: those so far; belongs to the event loop.
        stop: cancels the work when set.
        thread: on which it runs.
        has_no_worker: true if it was stopped since the endpoint has no workers.
        task: its answer.
    """

    task: asyncio.Task[Answer]

    def __init__(self, key: str, job: Job, folder: Path, *, streams: bool) -> None:
        self.key = key
        self.job = job
        self.folder = folder
        self.streams = streams
        self.listeners: list[Listener] = []
        self.segments: Segments = []
        self.stop = threading.Event()
        self.thread: threading.Thread | None = None
        self.has_no_worker = False
        self._closing: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def file(self) -> Path:
        """The recording, under the same path whenever it is sent again."""
        return self.folder / _FILE_NAME

    def closes_in(self, seconds: float, close: Callable[[], object]) -> None:
        """Call a function after a while without a caller."""
        self.stays_open()
        self._closing = self._loop.call_later(seconds, close)

    def stays_open(self) -> None:
        """Do not call it: there is a caller, or nothing more to close."""
        if self._closing is not None:
            self._closing.cancel()

    async def on_thread(self, function: Callable[[], Answer]) -> Answer:
        """Call a function on a thread of its own, which does not keep the process from ending."""
        future: Future[Answer] = Future()

        def call() -> None:
            future.set_running_or_notify_cancel()  # so that it is not cancelled with the task that waits for it
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

        self.thread = threading.Thread(target=call, daemon=True)
        self.thread.start()
        return await asyncio.wrap_future(future)

    def report(self, stage: str, fraction: float) -> None:
        """Tell the callers of the progress; called on any thread."""

        def tell() -> None:
            for listener in self.listeners:
                listener.on_progress(stage, fraction)

        self._on_loop(tell)

    def add_segments(self, segments: Segments) -> None:
        """Give the callers new segments; called on any thread."""

        def add() -> None:
            self.segments.extend(segments)
            for listener in self.listeners:
                if listener.on_segments:
                    listener.on_segments(segments)

        self._on_loop(add)

    def _on_loop(self, action: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the server has ended
            self._loop.call_soon_threadsafe(action)


def _work_key(job: Job, listener: Listener) -> str:
    """Identify a job: equal for the same recording and options, wherever the upload lies."""
    content = None if job.upload is None else file_sha256(job.upload)
    return make_key(content, dict(job.input), dict(job.fields), listener.on_segments is not None)


def _link(source: Path, target: Path) -> None:
    """Make a file of its own out of an upload, which is deleted when its caller hangs up."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another disk, or one that knows no links
        shutil.copyfile(source, target)


def _decode_audio(job_input: Mapping[str, Any], limit: int) -> bytes:
    """Return the recording of a request that is too large to be sent as it is.

    Raises:
        WrongUsage: it has none.
    """
    audio = job_input.get("audio")
    content = audio.get("base64") if isinstance(audio, dict) else audio
    if not isinstance(content, str):
        raise WrongUsage(f"the request is larger than {limit / 1e6:g} MB without its recording: shorten its fields")
    try:
        return base64.b64decode(content.partition(";base64,")[2] or content, validate=True)
    except (binascii.Error, ValueError):
        raise WrongUsage("audio.base64 is not base64") from None


def _check_fields(job: Job) -> None:
    """Refuse what has no meaning for a recording that may be sent in several jobs."""
    others = [*(name for name in job.input if name not in _PARTS_FIELDS), *job.fields]
    if others:
        raise WrongUsage(
            f"{', '.join(others)[:200]} cannot go with an uploaded recording, which may be sent in parts: leave it "
            "out, or give the recording's URL"
        )


def _out_of_resources(error: OSError) -> Answer:
    return {"error": f"the bridge's machine cannot do it: {describe(error)}", "error_type": "OutOfResources"}
