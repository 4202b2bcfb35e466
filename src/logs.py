"""The worker's log: one line for each event, with the job that it belongs to, and nothing of what the job holds.

    2026-11-23T12:00:00.123Z INFO job.finished job=abc audio_seconds=10.2
    {"time": "2026-11-23T12:00:00.123Z", "level": "INFO", "event": "job.finished", "job": "abc", "audio_seconds": 10.2}

Lines go to stderr: RunPod collects both streams, and the SDK prints to stdout in two writes, into whose midst a line of
ours could fall. Of what libraries log and warn of, only the place in their code is told: their texts quote what they
work on, such as urllib3's a signed address.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, TextIO

Fact = str | int | float | bool | None

MAX_CHARACTERS = 100
"""Of a fact or a job's id; what is longer is cut."""

_MAX_MESSAGE = 500
_PLAIN = re.compile(r"[\w.:/+@-]+", re.ASCII)  # needs no quotes in a line of text

# Addresses and their queries, base64 and long keys. Our own sentences hold none; an exception's that they quote might.
_PRIVATE = re.compile(r"[a-z][a-z0-9+.-]*://\S+|\?[^\s=]*=\S+|[a-z0-9+/=_-]{60,}", re.IGNORECASE)

current_job: ContextVar[str | None] = ContextVar("current_job", default=None)
"""The job that this thread or task works for."""

_events = logging.getLogger("src.events")


def set_up(log_format: str) -> None:
    """Sends all logging of this process, and Python's warnings, to stderr in one form: "text" or "json".

    May be called again, also to change the form.
    """
    handler = _Stderr()
    handler.setFormatter(_Line(as_json=log_format == "json"))
    handler.addFilter(lambda record: _is_ours(record) or record.levelno >= logging.WARNING)
    root = logging.getLogger()
    root.handlers = [handler]  # the SDK's basicConfig, which may have been before, does nothing from now on
    root.setLevel(logging.WARNING)
    logging.getLogger("src").setLevel(logging.INFO)
    warnings.showwarning = _log_warning
    _keep_sdk_discreet()


def event(name: str, job: str | None = None, **facts: Fact) -> None:
    """Logs one event under a name such as "job.finished".

    Args:
        job: the job's id; by default that of the `job_scope` around.
        facts: numbers, and short strings from our own vocabulary; None is left out.
    """
    _events.info(name, extra={"facts": {"job": job, **facts}})


@contextmanager
def job_scope(job_id: str | None) -> Iterator[None]:
    """Whatever is logged in the block, on this thread or in this task, carries the job's id.

    `asyncio.to_thread` and new tasks inherit it; a bare thread or an executor's opens its own.
    """
    before = current_job.get()
    current_job.set(job_id)
    try:
        yield
    finally:
        current_job.set(before)  # not a token: a generator may be closed in another context than it was started in


class _Stderr(logging.Handler):
    """Looks up `sys.stderr` for each line, as `logging.lastResort` does."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Nothing: the default prints the record's arguments, and a log that fails must not fail a job."""


class _Line(logging.Formatter):
    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._write = _as_json if as_json else _as_text

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        head = {"time": time.replace("+00:00", "Z"), "level": record.levelname}
        facts = {name: _clean(fact, _limit(name)) for name, fact in _facts(record).items() if fact is not None}
        return self._write({**head, **facts}).replace("\x7f", "\\u007f")  # the one control character that JSON leaves


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    """What there is to say of a record: an event's facts, our own code's sentence, a library's place in its code."""
    named: dict[str, Any] = {"event": "library.log", "job": current_job.get()}
    facts: dict[str, Any] | None = getattr(record, "facts", None)
    if facts is not None:
        job = facts.get("job")
        return named | facts | {"event": record.msg, "job": named["job"] if job is None else job}
    error = record.exc_info[1] if record.exc_info else None
    raised = {} if error is None else {"error_type": type(error).__name__, "raised_at": _raised_at(error)}
    if _is_ours(record):
        return named | {"event": record.name.removeprefix("src."), "message": record.getMessage(), **raised}
    return named | {"logger": record.name, "at": f"{record.filename}:{record.lineno}", **raised}


def _raised_at(error: BaseException) -> str | None:
    """The last line of a traceback that says nothing of its message or of the values at hand."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else None


def _is_ours(record: logging.LogRecord) -> bool:
    return record.name == "src" or record.name.startswith("src.")


def _limit(name: str) -> int:
    return _MAX_MESSAGE if name == "message" else MAX_CHARACTERS


def _clean(fact: Any, limit: int) -> Fact:
    """A number that JSON has, or a string of at most `limit` characters without what looks private."""
    if isinstance(fact, (bool, int)):
        return fact
    if isinstance(fact, float):
        return round(float(fact), 3) if math.isfinite(fact) else str(fact)
    if not isinstance(fact, str):
        return f"<{type(fact).__name__}>"
    text = _PRIVATE.sub("<...>", fact[: limit + 1])
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _as_json(facts: dict[str, Fact]) -> str:
    return json.dumps(facts)  # ASCII: no character of a stranger's begins a new line, or cannot be encoded


def _as_text(facts: dict[str, Fact]) -> str:
    heading = [_quoted(facts.pop(name)) for name in ("time", "level", "event")]
    return " ".join([*heading, *(f"{name}={_quoted(fact)}" for name, fact in facts.items())])


def _quoted(fact: Fact) -> str:
    return fact if isinstance(fact, str) and _PLAIN.fullmatch(fact) else json.dumps(fact)


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """In place of `warnings.showwarning`, which prints the message and the line of code."""
    facts = {"at": f"{Path(filename).name}:{lineno}", "error_type": category.__name__}
    _events.warning("library.warning", extra={"facts": facts})


def _keep_sdk_discreet() -> None:
    """Below INFO the SDK logs each job's answer, and the addresses that it calls."""
    from runpod.serverless.modules.rp_logger import RunPodLogger

    logger = RunPodLogger()
    if logger.level in ("TRACE", "DEBUG"):
        logger.level = "INFO"
        os.environ["RUNPOD_LOG_LEVEL"] = "INFO"  # for its helper process
