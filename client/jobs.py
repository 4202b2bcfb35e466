"""One job on the endpoint, from its submission to its answer."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from client.endpoint import DONE, Answer, Endpoint
from client.errors import WORKERS_TYPES, JobFailed, Stopped

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 10.0
"""Seconds between two questions about a job: ever longer, but far below the 60 s for which RunPod keeps a result of
/runsync (and 30 minutes one of /run), even if a question has to be tried again."""

UNKNOWN_LENGTH = 3 * 3600.0
"""Seconds that a job of unknown length may run; RunPod's default of 600 ends those of long recordings."""

DAY = 24 * 3600.0


def _unheard(_: Any) -> None:
    return


@dataclass(frozen=True)
class Listener:
    """Who is told about a job while it runs."""

    progress: Callable[[Answer], None] = _unheard
    """Each status, as /status has it."""
    segments: Callable[[list[dict[str, Any]]], None] | None = None
    """Segments as they become final; None: they are not asked for."""


def policy(seconds: float | None, timeout: float | None = None) -> dict[str, int]:
    """How long a job may run, and may take with its wait for a worker, in RunPod's milliseconds.

    Args:
        seconds: of the recording, if known: a worker is expected to need no more than twice that, and its start.
        timeout: seconds that the user allows instead.
    """
    allowed = timeout or (UNKNOWN_LENGTH if seconds is None else 600.0 + 2 * seconds)
    return {"executionTimeout": round(allowed * 1000), "ttl": round((allowed + DAY) * 1000)}


def answer_of(endpoint: Endpoint, job_id: str, stop: threading.Event, listener: Listener) -> Answer:
    """Waits for the job's end, and gives its output.

    Raises:
        JobFailed: it ended without one.
        EndpointFailed: the endpoint is gone, or does not know the job.
        Stopped: `stop` was set, and the job is cancelled.
    """
    pause = FIRST_PAUSE
    while True:
        if stop.is_set():
            endpoint.cancel(job_id)
            raise Stopped("stopped; the job is cancelled on the endpoint")
        status = endpoint.status(job_id)
        news = listener.segments is not None and _listened(endpoint, status, job_id, listener.segments)
        if status.get("status") in DONE:
            return output_of(status)
        listener.progress(status)
        pause = FIRST_PAUSE if news else min(pause * 1.3, LONGEST_PAUSE)
        stop.wait(pause)


def output_of(status: Answer) -> Answer:
    """The output of a job that is over.

    Raises:
        JobFailed: with the worker's own sentence, if there is one.
    """
    state, output = str(status.get("status")), status.get("output")
    if isinstance(output, list):
        output = joined(output)
    told = output if isinstance(output, dict) else {}
    error = status.get("error") or told.get("error")
    if error:
        error_type, sentence = _parted(_sentence(str(error)))
        raise JobFailed(sentence, str(told.get("error_type") or error_type or state))
    if state == "COMPLETED" and told:
        return told
    words = {
        "COMPLETED": "the job is done but brought no output: it may have been too large for the platform",
        "CANCELLED": "the job was cancelled",
        "TIMED_OUT": "the job took longer than it was allowed to: see --timeout",
    }
    raise JobFailed(words.get(state, "the job failed without a reason"), state)


def _sentence(error: str) -> str:
    """What the worker says; of an exception that reached the SDK, which makes JSON of it, the message."""
    try:
        return str(json.loads(error)["error_message"])
    except (ValueError, TypeError, KeyError):
        return error


def _parted(sentence: str) -> tuple[str | None, str]:
    """The type with which an error begins where a worker streams: the SDK keeps it nowhere else."""
    found = re.fullmatch(f"({'|'.join(WORKERS_TYPES)}): (.+)", sentence, re.DOTALL)
    return (found[1], found[2]) if found else (None, sentence)


def joined(chunks: list[Any]) -> Answer:
    """The whole answer out of what a streaming worker sent: its last chunk, or pieces of it joined by key."""
    pieces = [chunk for chunk in chunks if isinstance(chunk, dict) and "segments" not in chunk]
    whole: Answer = dict(pieces[-1]) if pieces else {}
    if "transcription" in whole:
        return whole
    texts: Answer = {}
    for name, said in (one for piece in pieces[:-1] for one in piece.items() if isinstance(one[1], dict)):
        parts = texts.setdefault(name, {})
        for key, value in said.items():
            parts[key] = parts[key] + value if key in parts and isinstance(value, str | list) else value
    return {**texts, **whole}


def _listened(endpoint: Endpoint, status: Answer, job_id: str, tell: Callable[[list[dict[str, Any]]], None]) -> bool:
    """Whether there were new segments."""
    segments = [
        one for chunk in _news(endpoint, status, job_id) if isinstance(chunk, dict) for one in chunk.get("segments", [])
    ]
    if segments:
        tell(segments)
    return bool(segments)


def _news(endpoint: Endpoint, status: Answer, job_id: str) -> list[Any]:
    """What a streaming worker sent since the last call; the local API has all of it in the output."""
    if endpoint.is_local_api:
        output = status.get("output")
        return output if isinstance(output, list) else []
    return [chunk.get("output") for chunk in endpoint.stream(job_id).get("stream", [])]
