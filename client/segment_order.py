"""Puts the segments of a recording's parts into the order of the recording, as they arrive."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

from client.merge.outputs import shift_segments
from client.transport.fanout import JobSpec

Segments = list[dict[str, Any]]


class SegmentOrder:
    """Passes on the segments of the first unfinished part as they arrive, and holds back those of later parts.

    Its methods are callbacks of a `ProgressListener`. A job that another worker begins anew sends its segments again:
    those that begin before the last one that was passed on are left out.

    Args:
        emit: receives new segments with the times and numbers of the whole recording, on the threads of the jobs.
    """

    def __init__(self, emit: Callable[[Segments], object]) -> None:
        self._emit = emit
        self._lock = Lock()
        self._unfinished: deque[int] = deque()
        """Starts of the parts, in milliseconds; the segments of the first one are passed on as they arrive."""
        self._held: dict[int, Segments] = {}
        self._done: set[int] = set()
        self._last: dict[Any, dict[str, Any]] = {}
        """The last segment of each channel that was passed on."""
        self._count = 0

    def on_start(self, jobs: Sequence[JobSpec]) -> None:
        """Set the order of the parts."""
        self._unfinished = deque(_start_ms(job) for job in jobs)

    def on_segments(self, job: JobSpec, segments: Segments) -> None:
        """Take in new segments of a part, with times relative to its start."""
        with self._lock:
            self._held.setdefault(_start_ms(job), []).extend(shift_segments(segments, job.start))
            self._pass_on()

    def on_job_done(self, job: JobSpec) -> None:
        """Mark a part as complete."""
        with self._lock:
            self._done.add(_start_ms(job))
            self._pass_on()

    def _pass_on(self) -> None:
        while self._unfinished:
            segments = [segment for segment in self._held.pop(self._unfinished[0], []) if self._is_new(segment)]
            if segments:
                self._emit([{**segment, "id": self._count + index} for index, segment in enumerate(segments)])
                self._count += len(segments)
            if self._unfinished[0] not in self._done:
                break
            self._unfinished.popleft()

    def _is_new(self, segment: dict[str, Any]) -> bool:
        last = self._last.get(segment.get("channel"), {"start": -1.0})
        if segment["start"] < last["start"] or (segment["start"] == last["start"] and segment["text"] == last["text"]):
            return False
        self._last[segment.get("channel")] = segment
        return True


def _start_ms(job: JobSpec) -> int:
    return round(job.start * 1000)
