"""Logs one line for each event, with its job's id and nothing of the job's content.

    2026-11-23T12:00:00.123Z INFO job.finished job=abc audio_seconds=10.2
    {"time": "2026-11-23T12:00:00.123Z", "level": "INFO", "event": "job.finished", "job": "abc", "audio_seconds": 10.2}

Lines go to stderr: RunPod collects both streams, and the SDK prints each line to stdout in two writes, between which a
line of ours could appear. For log records and warnings of libraries, only the source location is logged: their messages
quote data, such as urllib3's a signed URL.
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
"""Of a fact or a job's id; longer ones are cut."""

_MAX_MESSAGE_CHARACTERS = 500
_UNQUOTED = re.compile(r"[\w.:/+@-]+", re.ASCII)  # needs no quotes in a line of text

# URLs and their queries, base64 and long keys. Our own sentences have none, but may quote an exception that has.
_PRIVATE = re.compile(r"[a-z][a-z0-9+.-]*://\S+|\?[^\s=]*=\S+|[a-z0-9+/=_-]{60,}", re.IGNORECASE)

current_job: ContextVar[str | None] = ContextVar("current_job", default=None)
"""Id of the job that this thread or task works for."""

_events = logging.getLogger("src.events")


def set_up(log_format: str) -> None:
    """Send all log records and Python warnings of this process to stderr in one format: "text" or "json".

    May be called again, also to change the format.
    """
    handler = _StderrHandler()
    handler.setFormatter(_LineFormatter(as_json=log_format == "json"))
    handler.addFilter(lambda record: _is_ours(record) or record.levelno >= logging.WARNING)
    root = logging.getLogger()
    root.handlers = [handler]  # from now on the SDK's basicConfig has no effect
    root.setLevel(logging.WARNING)
    logging.getLogger("src").setLevel(logging.INFO)
    warnings.showwarning = _log_warning
    _raise_sdk_log_level()


def event(name: str, job: str | None = None, **facts: Fact) -> None:
    """Log one event.

    Args:
        name: such as "job.finished".
        job: the job's id; by default that of the enclosing `job_scope`.
        facts: numbers, and short strings from our own vocabulary; None is left out.
    """
    _events.info(name, extra={"facts": {"job": job, **facts}})


@contextmanager
def job_scope(job_id: str | None) -> Iterator[None]:
    """Attach the job's id to everything that is logged in the block, on this thread or in this task.

    `asyncio.to_thread` and new tasks inherit it; a bare thread or an executor's must open a scope itself.
    """
    before = current_job.get()
    current_job.set(job_id)
    try:
        yield
    finally:
        current_job.set(
            before
        )  # not a token: a generator may be closed in a different context from the one it started in


class _StderrHandler(logging.Handler):
    """Writes to the current `sys.stderr`, like `logging.lastResort`."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()
        except Exception:
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        """Ignore the error: the default prints the record's arguments, and logging must not fail a job."""


class _LineFormatter(logging.Formatter):
    def __init__(self, *, as_json: bool) -> None:
        super().__init__()
        self._write = _as_json if as_json else _as_text

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        head = {"time": time.replace("+00:00", "Z"), "level": record.levelname}
        facts = {name: _clean(fact, _limit(name)) for name, fact in _facts(record).items() if fact is not None}
        return self._write({**head, **facts}).replace(
            "\x7f", "\\u007f"
        )  # the only control character that JSON does not escape


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    """The fields of a record: an event's facts, a message of our own code, a library's source location."""
    common: dict[str, Any] = {"event": "library.log", "job": current_job.get()}
    facts: dict[str, Any] | None = getattr(record, "facts", None)
    if facts is not None:
        job = facts.get("job")
        return common | facts | {"event": record.msg, "job": common["job"] if job is None else job}
    error = record.exc_info[1] if record.exc_info else None
    raised = {} if error is None else {"error_type": type(error).__name__, "raised_at": _raised_at(error)}
    if _is_ours(record):
        return common | {"event": record.name.removeprefix("src."), "message": record.getMessage(), **raised}
    return common | {"logger": record.name, "at": f"{record.filename}:{record.lineno}", **raised}


def _raised_at(error: BaseException) -> str | None:
    """File and line of the innermost frame: without the message and the values of a traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else None


def _is_ours(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] in ("src", "api")


def _limit(name: str) -> int:
    return _MAX_MESSAGE_CHARACTERS if name == "message" else MAX_CHARACTERS


def _clean(fact: Any, limit: int) -> Fact:
    """A number that JSON can represent, or a string of at most `limit` characters without private parts."""
    if isinstance(fact, (bool, int)):
        return fact
    if isinstance(fact, float):
        return round(float(fact), 3) if math.isfinite(fact) else str(fact)
    if not isinstance(fact, str):
        return f"<{type(fact).__name__}>"
    text = _PRIVATE.sub("<...>", fact[: limit + 1])
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _as_json(facts: dict[str, Fact]) -> str:
    return json.dumps(facts)  # ASCII: no foreign character starts a new line, or cannot be encoded


def _as_text(facts: dict[str, Fact]) -> str:
    heading = [_quoted(facts.pop(name)) for name in ("time", "level", "event")]
    return " ".join([*heading, *(f"{name}={_quoted(fact)}" for name, fact in facts.items())])


def _quoted(fact: Fact) -> str:
    return fact if isinstance(fact, str) and _UNQUOTED.fullmatch(fact) else json.dumps(fact)


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Replacement for `warnings.showwarning`, which prints the message and the line of code."""
    facts = {"at": f"{Path(filename).name}:{lineno}", "error_type": category.__name__}
    _events.warning("library.warning", extra={"facts": facts})


def _raise_sdk_log_level() -> None:
    """Raise the SDK's log level to INFO: below it, the SDK logs each job's answer, and the URLs that it calls."""
    from runpod.serverless.modules.rp_logger import RunPodLogger

    logger = RunPodLogger()
    if logger.level in ("TRACE", "DEBUG"):
        logger.level = "INFO"
        os.environ["RUNPOD_LOG_LEVEL"] = "INFO"  # for its helper process
