"""The request of a job: RunPod's fields around the worker's `audio` and `options`, and the size that it may have."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from client.errors import WrongUsage
from client.option_values import parse_formats
from client.transport.answers import JsonObject
from client.transport.jobs import execution_policy

RUN_LIMIT_BYTES = 10_000_000
"""Largest request that RunPod's /run accepts."""

_RESERVED_BYTES = 20_000  # for the fields of a request other than audio and options
_MIN_AUDIO_BYTES = 10_000  # 2 s
SIZE_MARGIN = 1.1  # Opus needs more bytes for complex passages than on average

Options = dict[str, Any]


@dataclass(frozen=True)
class RunSettings:
    """How jobs are run; does not affect the transcript."""

    parallel: int = 4
    """Maximum number of jobs at once, for a recording in parts."""
    timeout_s: float | None = None
    """Time limit of a job; None: derived from the length of its audio."""
    webhook: str | None = None
    """URL that the worker notifies when the job ends."""
    request_limit: int = RUN_LIMIT_BYTES
    """Maximum size of a request in bytes."""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Sent with the worker's request for a recording that is a URL; they may be secrets, and are kept nowhere."""


def build_request(
    audio: JsonObject | list[JsonObject], options: Options, settings: RunSettings, seconds: float | None = None
) -> JsonObject:
    """Return the body of /run."""
    job_input: JsonObject = {"audio": audio, "options": options}
    if settings.webhook:
        job_input["webhook"] = {"url": settings.webhook}
    return {"input": job_input, "policy": execution_policy(seconds, settings.timeout_s)}


def encode_base64(path: Path) -> JsonObject:
    """Return the `audio` of a job for a file."""
    return {"base64": base64.b64encode(path.read_bytes()).decode()}


def max_audio_bytes(options: Options, settings: RunSettings) -> int:
    """Return the size of the largest audio that fits into a request: base64 turns three bytes into four."""
    overhead = _RESERVED_BYTES + len(json.dumps(options)) + len(settings.webhook or "")
    room = (settings.request_limit - overhead) // 4 * 3
    if room < _MIN_AUDIO_BYTES:
        raise WrongUsage("the options fill the whole request: give fewer or shorter samples of speakers, or less text")
    return room


def requested_formats(options: Options) -> list[str]:
    """Return the formats as a list, with the worker's default."""
    formats = options.get("output_format") or ["all"]
    if not isinstance(formats, str | list):
        raise WrongUsage("output_format: give the name of a format, or a list of them")
    return parse_formats("output_format", [formats] if isinstance(formats, str) else formats)


def check_no_webhook(settings: RunSettings) -> None:
    """Refuse a webhook for a recording in parts."""
    if settings.webhook:
        raise WrongUsage(
            "a webhook would be called for each part separately, and the recording is too large for one request: "
            "give its URL instead, or leave the webhook out"
        )
