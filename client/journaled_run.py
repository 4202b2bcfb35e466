"""Runs the work on a recording in its journal, from which an interrupted run goes on, and delivers the output."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Callable, Sequence

from client.errors import BadAnswer, Incomplete, OutputFailed
from client.files import describe
from client.transport.answers import JsonObject
from client.transport.fanout import ProgressListener
from client.transport.journal import Journal

_WARNINGS_FILE = "warnings.json"


def run_in_journal(
    journal: Journal,
    transcribe: Callable[[], JsonObject],
    *,
    stop: threading.Event,
    listener: ProgressListener,
    deliver: Callable[[JsonObject], object],
) -> JsonObject:
    """Return the output of `transcribe`, which keeps its state in a journal that only this call works on.

    Args:
        journal: deleted once the output is delivered.
        transcribe: returns the output.
        stop: ends the wait for another call that works on the journal.
        listener: receives the progress.
        deliver: receives the output: see `transcribe_recording`.

    Raises:
        OutputFailed: the output could not be delivered; it stays in the journal.
        ClientError: of `transcribe`.
    """
    with journal.claimed(stop, lambda: listener.on_progress(0.0, "waiting for another run of the same recording")):
        output = transcribe()
        try:
            deliver(output)
        except OSError as error:
            raise OutputFailed(f"{describe(error)}: {_keep(output, journal)}") from None
        except (BadAnswer, Incomplete):  # another job may give what is missing
            journal.delete()
            raise
        journal.delete()
    return output


def save_warnings(journal: Journal, warnings: Sequence[str]) -> None:
    """Keep what was found missing when the recording was compressed."""
    (journal.folder / _WARNINGS_FILE).write_text(json.dumps(warnings), encoding="utf-8")


def saved_warnings(journal: Journal) -> list[str]:
    """Return what `save_warnings` has kept, in this run or an interrupted one."""
    file = journal.folder / _WARNINGS_FILE
    warnings: list[str] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    return warnings


def with_warnings(output: JsonObject, warnings: Sequence[str]) -> JsonObject:
    """Return the output with warnings before the worker's own."""
    metadata = output["metadata"]
    return {**output, "metadata": {**metadata, "warnings": [*warnings, *metadata.get("warnings", [])]}}


def _keep(output: JsonObject, journal: Journal) -> str:
    """Say where an output is kept that could not be delivered; if not in the journal, save it as a temporary file."""
    if journal.is_complete:
        return "the transcript is kept for a week, and the same command writes it without another job"
    try:
        handle, name = tempfile.mkstemp(prefix="transcript-", suffix=".json")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(output, file)
    except OSError:
        return "the transcript could not be kept anywhere; run the same command within 30 minutes to ask for it again"
    return f"the transcript is in {name}, as JSON"
