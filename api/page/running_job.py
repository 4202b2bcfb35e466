"""A job of the page while it waits or runs, and the reports of it to its visitor."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from starlette.concurrency import run_in_threadpool

from api.page import job_lines, lines, records
from api.page.events import Events
from api.page.lines import Line
from api.page.records import Progress, Record, State
from api.page.store import MAX_LINES
from api.transcriber import Listener

_REPORT_S = 0.5
"""Between two reports of a job."""

_LINES_AT_ONCE = 200
"""In one event."""

_MIN_ELAPSED_S = 3.0
"""A rate over less time than this is too uncertain."""

_MAX_STAGE_CHARACTERS = 100


class RunningJob:
    """A job while it waits or runs, and the reports of it to its visitor.

    Attributes:
        record: of the transcript.
        lines: those so far.
        progress: as of its last report.
        task: runs it.
        has_ended: true: it is no longer reported, and only its result is still to be saved.
    """

    task: asyncio.Task[None]

    def __init__(self, record: Record, events: Events) -> None:
        self.record = record
        self.lines: list[Line] = []
        self.progress = Progress()
        self._events = events
        self._segments: list[list[dict[str, Any]]] = []
        """Those that are not among the lines yet."""
        self._rate = Rate()
        self._next_report: asyncio.Task[None] | None = None
        self.has_ended = False

    def listener(self) -> Listener:
        """The listener to the job."""
        return Listener(self._add_segments, self._report)

    def cancel(self) -> None:
        """Cancel the job; a result that is being saved stays."""
        self.end()
        self.task.cancel()

    def end(self) -> None:
        """Stop reporting."""
        self.has_ended = True
        if self._next_report is not None:
            self._next_report.cancel()

    def _add_segments(self, segments: list[dict[str, Any]]) -> None:
        if not self.has_ended:
            self._segments.append(segments)
            self._schedule_report()

    def _report(self, stage: str, fraction: float) -> None:
        if self.has_ended:
            return
        name = lines.clean_text(stage).partition(",")[0].partition(":")[0][:_MAX_STAGE_CHARACTERS]
        done = min(max(fraction, 0.0), 1.0)
        state: State = "waiting" if name.startswith("waiting") else "working"
        self.progress = Progress(state, name, round(done, 4), self._rate.seconds_left(name, done, time.monotonic()))
        self._schedule_report()

    def _schedule_report(self) -> None:
        if self._next_report is None:
            self._next_report = asyncio.create_task(self._send_report())

    async def _send_report(self) -> None:
        await asyncio.sleep(_REPORT_S)
        batches, self._segments = self._segments, []
        new = await run_in_threadpool(_read, batches, len(self.lines))
        self.lines += new
        for start in range(0, len(new), _LINES_AT_ONCE):
            some = [lines.to_json(line) for line in new[start : start + _LINES_AT_ONCE]]
            self._events.publish(self.record.owner, "lines", {"id": self.record.id, "lines": some})
            await asyncio.sleep(0)  # a bridge may have those of hours at once
        self._events.publish(self.record.owner, "record", records.to_json(self.record, self.progress))
        self._next_report = None
        if self._segments:
            self._schedule_report()


def _read(batches: Iterable[list[dict[str, Any]]], first: int) -> list[Line]:
    """The lines of segments, of which the first one is number `first`."""
    found: list[Line] = []
    for segments in batches:
        if first + len(found) + len(segments) > MAX_LINES:
            break
        with suppress(LookupError, TypeError, ValueError, AttributeError):  # an endpoint may send anything
            found += job_lines.lines_of_segments(segments, first + len(found))
    return found


class Rate:
    """The time left of a stage, by how quickly it went so far."""

    def __init__(self) -> None:
        self._stage = ""
        self._began, self._begun_at = 0.0, 0.0

    def seconds_left(self, stage: str, fraction: float, now: float) -> float | None:
        """Seconds until the end of the stage; None: unknown.

        Args:
            stage: its name.
            fraction: that is done.
            now: in seconds.
        """
        if stage != self._stage:
            self._stage, self._began, self._begun_at = stage, now, fraction
        elapsed, done = now - self._began, fraction - self._begun_at
        if elapsed < _MIN_ELAPSED_S or done <= 0:
            return None
        return round((1 - fraction) * elapsed / done)
