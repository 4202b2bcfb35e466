"""What the worker serves: jobs of RunPod's queue, or HTTP; and where it listens.

Read from the environment itself, since HTTP mode listens before the settings, which need pydantic, are imported.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

Mode = Literal["queue", "http"]

DEFAULT_HOST, DEFAULT_PORT, DEFAULT_HEALTH_PATH = "127.0.0.1", 8000, "/ping"

_SDKS_OWN = ("--test_input", "--rp_serve_api")
"""Arguments for the SDK: a job from the command line, and the SDK's local API."""


class ModeError(Exception):
    """A variable is wrong; the message names it."""


class Listening(NamedTuple):
    """Where HTTP mode listens: on `PORT`, and on `PORT_HEALTH` if that is another one."""

    host: str
    ports: tuple[int, ...]
    health_path: str


def find_mode(environment: Mapping[str, str], arguments: Sequence[str]) -> Mode:
    """What to serve; `queue` without RunPod's variables is one job, or the SDK's local API.

    Args:
        environment: the process's.
        arguments: of the command line.

    Raises:
        ModeError: `WORKER_MODE` is none of its choices.
    """
    mode = environment.get("WORKER_MODE") or "auto"
    if mode not in ("auto", "queue", "http"):
        raise ModeError("WORKER_MODE should be auto, queue or http")
    if any(argument.startswith(_SDKS_OWN) for argument in arguments):
        return "queue"
    if mode == "auto":
        # A worker of a queue has the first; RunPod sets the second for load balancing.
        is_http = not environment.get("RUNPOD_WEBHOOK_GET_JOB") and environment.get("PORT")
        return "http" if is_http else "queue"
    return "http" if mode == "http" else "queue"


def find_listening(environment: Mapping[str, str]) -> Listening:
    """Where to listen.

    Raises:
        ModeError: a variable is wrong.
    """
    port = _read_port(environment, "PORT", DEFAULT_PORT)
    health_path = environment.get("HEALTH_CHECK_PATH") or DEFAULT_HEALTH_PATH
    if not health_path.startswith("/"):
        raise ModeError(f"HEALTH_CHECK_PATH should be a path such as {DEFAULT_HEALTH_PATH}")
    ports = dict.fromkeys((port, _read_port(environment, "PORT_HEALTH", port)))
    return Listening(environment.get("HOST") or DEFAULT_HOST, tuple(ports), health_path)


def _read_port(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name)
    if not text:
        return default
    if not (re.fullmatch("[0-9]{1,5}", text) and 0 < int(text) < 65536):
        raise ModeError(f"{name} should be a whole number from 1 to 65535")
    return int(text)
