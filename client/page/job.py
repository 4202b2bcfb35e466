"""One job of the page, as it happens: its state and progress, its segments as they arrive, its answer."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from client.endpoint import DONE, Endpoint
from client.errors import JobFailed

APART = 1.0
"""Seconds between two questions to the endpoint."""

_STAGES = {
    "downloading": "Fetching the recording",
    "decoding": "Reading the recording",
    "transcribing": "Transcribing",
}


@dataclass
class Step:
    """Where a job is."""

    job_id: str
    text: str
    percent: float | None = None
    segments: list[dict[str, Any]] = field(default_factory=list)
    """All that arrived so far, in the order of the recording."""
    answer: dict[str, Any] | None = None
    """The whole output, with the last step."""


def follow(endpoint: Endpoint, job_input: dict[str, Any]) -> Iterator[Step]:
    """Sends a job and tells of it until it has an answer.

    Raises:
        ClientError: there will be none; in a sentence for the user.
    """
    step = Step(endpoint.submit(job_input), "Sent: waiting for a worker")
    while step.answer is None:
        yield step
        time.sleep(0 if endpoint.settings.is_single_worker else APART)
        step = _next(endpoint, step)
    yield step


def _next(endpoint: Endpoint, step: Step) -> Step:
    """What the endpoint has to say by now."""
    chunks = [] if endpoint.settings.is_single_worker else _chunks(endpoint.stream(step.job_id))
    fresh = [segment for chunk in chunks for segment in chunk.get("segments", [])]
    segments = sorted([*step.segments, *fresh], key=lambda segment: segment["start"])
    told = endpoint.status(step.job_id)
    if told.get("status") in DONE:
        return Step(step.job_id, "Done", 100, segments, _answer(told))
    text, percent = _progress(told)
    return Step(step.job_id, text, percent, segments)


def _chunks(told: dict[str, Any]) -> list[dict[str, Any]]:
    outputs = [chunk.get("output") for chunk in told.get("stream") or [] if isinstance(chunk, dict)]
    return [output for output in outputs if isinstance(output, dict)]


def _progress(told: dict[str, Any]) -> tuple[str, float | None]:
    if told.get("status") == "IN_QUEUE":
        return "Waiting for a worker", None
    output = told.get("output")
    if not isinstance(output, dict) or "stage" not in output:
        return "A worker has the job", None
    stage = str(output["stage"])
    percent = float(output.get("percent") or 0)
    return f"{_STAGES.get(stage, stage.capitalize())}{f': {percent:.0f} %' if percent else ''}", percent or None


def _answer(told):  # TEMP until client.transcribe
    output = told.get("output")
    if isinstance(output, list):
        output = output[-1] if output else {}
    if told["status"] != "COMPLETED" or not output or "error" in output:
        raise JobFailed(str((output or {}).get("error") or told.get("error") or told["status"]), "x")
    return output


def job_input(source, options):
    import base64
    from pathlib import Path
    if Path(source).is_absolute():
        return {"audio": {"base64": base64.b64encode(Path(source).read_bytes()).decode()}, "options": options}
    return {"audio": {"url": source}, "options": options}
