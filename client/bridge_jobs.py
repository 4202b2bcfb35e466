"""Sends a job of the HTTP API to an endpoint, and returns its output or its failure as an answer."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from api.transcriber import Answer, Job
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
from client.files import describe
from client.job_request import RunSettings
from client.output import fetch_transcription
from client.recording import transcribe_recording
from client.segment_order import SegmentOrder
from client.shared_work import FILE_NAME, SharedWork
from client.tracks import Track
from client.transport.answers import JsonObject, check_output
from client.transport.endpoint import Endpoint
from client.transport.fanout import JobSpec, ProgressListener, run_jobs
from client.transport.jobs import execution_policy
from client.transport.journal import Journal

MODELS_ROUTE = "/v1/models"
_NATIVE_FIELDS = frozenset({"audio", "options", "webhook", "upload", "reference"})
_PARTS_FIELDS = frozenset({"audio", "options"})
"""Fields of an input that are allowed when the recording is sent in several jobs."""

_MAX_MESSAGE = 2000

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
"""`error_type` by exception; the first match counts."""

_ERROR_TYPES_BY_STATE = {
    "FAILED": "Internal",
    "TIMED_OUT": "Cancelled",
    "CANCELLED": "Cancelled",
    "COMPLETED": "TooLarge",
}
"""`error_type` of a job that ended without the worker's own."""


class JobSender:
    """Sends jobs to an endpoint.

    Args:
        endpoint: where the jobs run.
        settings: how the jobs of a recording are run.
        no_worker_s: time in the queue after which an endpoint without workers is given up.
    """

    def __init__(self, endpoint: Endpoint, settings: RunSettings, no_worker_s: float) -> None:
        self._endpoint = endpoint
        self._settings = settings
        self._no_worker_s = no_worker_s

    def run(self, work: SharedWork) -> Answer:
        """Run the jobs for some work, and return its answer, or its failure as an answer."""
        try:
            return self._send(work)
        except Stopped:
            if work.has_no_worker:
                return {
                    "error": "the endpoint has no workers: set its maximum number of workers to 1 or more, in RunPod's "
                    "console, or wait until a GPU of its kind is free",
                    "error_type": "EndpointRefused",
                }
            return {"error": "the job was cancelled because its caller hung up", "error_type": "Cancelled"}
        except ClientError as error:
            return self._to_answer(error, work)
        except OSError as error:
            return out_of_resources(error)

    def _send(self, work: SharedWork) -> Answer:
        """Send the request as it is if it fits; otherwise the recording, in as many jobs as it needs."""
        job, listener = work.job, self._listener(work)
        if job.upload is None and not job.tracks:
            request = {**job.fields, "input": job.input}
            if len(json.dumps(request)) <= self._settings.request_limit:
                return self._send_request(work, request, listener)
            work.file.write_bytes(_decode_audio(job.input, self._settings.request_limit))
        _check_fields(job)
        options = job.input.get("options") or {}
        if not isinstance(options, dict):
            raise WrongUsage("options: give an object")
        cache = work.folder / "journal"
        if job.tracks:
            from client.conversation import transcribe_conversation  # numpy, for few recordings

            named = zip(job.tracks, work.track_files, strict=True)
            tracks = [
                Track(track.name, track.recording if isinstance(track.recording, str) else file, track.offset)
                for track, file in named
            ]
            output = transcribe_conversation(
                self._endpoint, tracks, options, self._settings, stop=work.stop, listener=listener, cache=cache
            )
        else:
            output = transcribe_recording(
                self._endpoint, work.file, options, self._settings, stop=work.stop, listener=listener, cache=cache
            )
        if "transcription" not in output:  # too large for the platform: in the endpoint's bucket
            output["transcription"] = fetch_transcription(output)
        return output

    def _send_request(self, work: SharedWork, request: JsonObject, listener: ProgressListener) -> Answer:
        if request["input"].get("openai_route", MODELS_ROUTE) != MODELS_ROUTE:
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

    def _listener(self, work: SharedWork) -> ProgressListener:
        order = SegmentOrder(work.add_segments)
        return ProgressListener(
            lambda fraction, stage: work.report(stage, fraction),
            order.on_segments if work.streams else None,
            order.on_job_done,
            order.on_start,
            lambda seconds: self._check_workers(work, seconds),
        )

    def _check_workers(self, work: SharedWork, waited_s: float) -> None:
        """Stop a job that waits in the queue of an endpoint that has no workers and starts none."""
        if waited_s < self._no_worker_s:
            return
        with suppress(ClientError):
            workers = self._endpoint.health().get("workers")
            if isinstance(workers, dict) and not any(workers.values()):
                work.has_no_worker = True
                work.stop.set()

    def _to_answer(self, error: ClientError, work: SharedWork) -> Answer:
        if isinstance(error, JobFailed) and not isinstance(error, OptionRefused):
            error_type = _ERROR_TYPES_BY_STATE.get(error.error_type, error.error_type)
        else:
            error_type = next(name for kind, name in _ERROR_TYPES.items() if isinstance(error, kind))
        message = str(error)
        for file in (work.file, *work.track_files):
            message = message.replace(str(file), FILE_NAME)
        message = message.replace(str(work.folder), "the temporary folder")
        message = message.replace(self._endpoint.host, "the endpoint")
        if isinstance(error, CacheFailed):  # the bridge's cache is in its temporary folder
            message = message.replace("XDG_CACHE_HOME", "TMPDIR")
        if key := self._endpoint.settings.api_key:  # a hostile endpoint has it, its callers do not
            message = message.replace(key, "RunPod's key")
        return {"error": message[:_MAX_MESSAGE], "error_type": error_type}


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
    """Refuse fields that have no meaning for a recording that may be sent in several jobs."""
    others = [*(name for name in job.input if name not in _PARTS_FIELDS), *job.fields]
    if others:
        raise WrongUsage(
            f"{', '.join(others)[:200]} cannot go with an uploaded recording, which may be sent in parts: leave it "
            "out, or give the recording's URL"
        )


def out_of_resources(error: OSError) -> Answer:
    """Return the answer for a failure of this machine, such as a full disk."""
    return {"error": f"the bridge's machine cannot do it: {describe(error)}", "error_type": "OutOfResources"}
