"""One job on the endpoint, from its submission to its output."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from client.errors import WORKER_ERROR_TYPES, JobFailed, OptionRefused, Stopped
from client.transport.answers import JsonObject, check_output, check_segments, clean_line
from client.transport.endpoint import FINAL_STATES, Endpoint

FIRST_POLL_INTERVAL_S, MAX_POLL_INTERVAL_S = 0.25, 10.0
"""The interval between status queries grows, but stays far below the 60 s for which RunPod keeps a result of /runsync
(30 minutes for /run), even if a query has to be retried."""

UNKNOWN_LENGTH_TIMEOUT_S = 3 * 3600.0
"""Time limit of a job with audio of unknown length; RunPod's default of 600 s ends those of long recordings."""

MAX_QUEUE_TIME_S = 24 * 3600.0


def _ignore(_: Any) -> None:
    return


@dataclass(frozen=True)
class JobListener:
    """Callbacks for a running job."""

    on_status: Callable[[JsonObject], None] = _ignore
    """Receives each response of /status."""
    on_segments: Callable[[list[JsonObject]], None] | None = None
    """Receives segments as they become final; None: they are not requested."""


def execution_policy(audio_s: float | None, timeout_s: float | None = None) -> dict[str, int]:
    """Return RunPod's `policy`: execution time limit, and time to live including the queue, in milliseconds.

    Args:
        audio_s: length of the recording, if known: a worker is expected to need at most twice that, plus its start.
        timeout_s: time limit set by the user, in place of that estimate.
    """
    allowed_s = timeout_s or (UNKNOWN_LENGTH_TIMEOUT_S if audio_s is None else 600.0 + 2 * audio_s)
    return {"executionTimeout": round(allowed_s * 1000), "ttl": round((allowed_s + MAX_QUEUE_TIME_S) * 1000)}


def wait_for_output(
    endpoint: Endpoint,
    job_id: str,
    stop: threading.Event,
    listener: JobListener,
    check: Callable[[JsonObject], JsonObject] = check_output,
) -> JsonObject:
    """Poll the job until it ends, and return its output.

    Args:
        endpoint: where the job runs.
        job_id: the job.
        stop: cancels the job when set.
        listener: receives the progress.
        check: see `extract_output`.

    Raises:
        JobFailed: the job ended without output.
        EndpointFailed: the endpoint does not answer, or does not know the job.
        Stopped: `stop` was set, and the job is cancelled.
    """
    interval_s = FIRST_POLL_INTERVAL_S
    while True:
        if stop.is_set():
            endpoint.cancel(job_id)
            raise Stopped("stopped; the job is cancelled on the endpoint")
        status = endpoint.status(job_id)
        on_segments = listener.on_segments
        has_news = on_segments is not None and _forward_segments(endpoint, status, job_id, on_segments)
        if str(status.get("status")) in FINAL_STATES:
            return extract_output(status, check)
        listener.on_status(status)
        interval_s = FIRST_POLL_INTERVAL_S if has_news else min(interval_s * 1.3, MAX_POLL_INTERVAL_S)
        stop.wait(interval_s)


def extract_output(status: JsonObject, check: Callable[[JsonObject], JsonObject] = check_output) -> JsonObject:
    """Return the output of a finished job, from its response of /status.

    Args:
        status: the response.
        check: returns the output in the shape that is expected, or raises BadAnswer.

    Raises:
        BadAnswer: the output is not a worker's.
        JobFailed: there is no output; with the worker's message, if it sent one.
    """
    state, output = str(status.get("status")), status.get("output")
    if isinstance(output, list):
        output = join_chunks(output)
    fields = output if isinstance(output, dict) else {}
    error = status.get("error") or fields.get("error")
    if error:
        error_type, message = _split_error_type(clean_line(_error_message(str(error))))
        error_type = str(fields.get("error_type") or error_type or state)
        # The local API of a worker that does not stream keeps no type: then it is the state.
        concerns_options = error_type in ("InvalidInput", state) and re.match(
            r"options[.:]|webhook[.:]|the model ", message
        )
        raise (OptionRefused if concerns_options else JobFailed)(message, error_type)
    if state == "COMPLETED" and fields:
        return check(fields)
    messages = {
        "COMPLETED": "the job completed without output: it may have been too large for the platform",
        "CANCELLED": "the job was cancelled",
        "TIMED_OUT": "the job exceeded its time limit: see --timeout",
    }
    raise JobFailed(messages.get(state, "the job failed without a reason"), state)


def _error_message(error: str) -> str:
    """Extract the message from the JSON that the SDK makes of an uncaught exception; other errors are unchanged."""
    try:
        return str(json.loads(error)["error_message"])
    except (ValueError, TypeError, KeyError):
        return error


def _split_error_type(message: str) -> tuple[str | None, str]:
    """Split off the `error_type` prefix; for streaming workers the SDK keeps the type nowhere else."""
    found = re.fullmatch(f"({'|'.join(WORKER_ERROR_TYPES)}): (.+)", message, re.DOTALL)
    return (found[1], found[2]) if found else (None, message)


def join_chunks(chunks: list[Any]) -> JsonObject:
    """Assemble a streaming worker's output: its last chunk, or a large output's fragments joined by key."""
    fragments = [chunk for chunk in chunks if isinstance(chunk, dict) and "segments" not in chunk]
    output: JsonObject = dict(fragments[-1]) if fragments else {}
    if "transcription" in output:
        return output
    texts: JsonObject = {}
    for fragment in fragments[:-1]:
        for name, fields in fragment.items():
            if isinstance(fields, dict):
                _append_fields(texts.setdefault(name, {}), fields)
    return {**texts, **output}


def _append_fields(target: JsonObject, fields: JsonObject) -> None:
    for key, value in fields.items():
        is_continued = isinstance(value, str | list) and type(target.get(key)) is type(value)
        target[key] = target[key] + value if is_continued else value


def _forward_segments(
    endpoint: Endpoint, status: JsonObject, job_id: str, on_segments: Callable[[list[JsonObject]], None]
) -> bool:
    """Pass new segments on; return True if there were any."""
    chunks = [chunk for chunk in _new_chunks(endpoint, status, job_id) if isinstance(chunk, dict)]
    segments = [segment for chunk in chunks for segment in check_segments(chunk.get("segments"))]
    if segments:
        on_segments(segments)
    return bool(segments)


def _new_chunks(endpoint: Endpoint, status: JsonObject, job_id: str) -> list[Any]:
    """Chunks that a streaming worker sent since the last call; the local API returns all of them in the output."""
    if endpoint.is_local_api:
        output = status.get("output")
        return output if isinstance(output, list) else []
    chunks = endpoint.stream(job_id).get("stream")
    return [chunk.get("output") for chunk in chunks if isinstance(chunk, dict)] if isinstance(chunks, list) else []
