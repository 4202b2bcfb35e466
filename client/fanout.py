"""Several jobs at once over the endpoint's workers, each tried again by itself, none sent twice."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from client.endpoint import Answer, Endpoint, NoSuchJob
from client.errors import JobFailed, Stopped
from client.jobs import Listener, answer_of
from client.journal import Journal

TRIES = 3
"""Jobs for one part at most, where a worker failed and another may do better."""

LONG_WAIT = 90.0
"""Seconds after which it seems that no worker comes: a cold start takes less."""

GRACE = 30.0
"""Seconds at most to cancel what runs after Ctrl-C; a job that is being sent has an id only when it has been."""


@dataclass(frozen=True)
class Task:
    """One job to be done."""

    name: str
    """Under which the journal knows it."""
    request: Callable[[], Answer]
    """Makes what is submitted, `input` and what stands beside it: base64 of all parts at once would fill the memory."""
    seconds: float = 1.0
    """Length of its audio, by which its progress counts."""
    start: float = 0.0
    """Where its audio begins in the recording."""


@dataclass(frozen=True)
class Observer:
    """Who is told about the work as a whole, on the threads that do it."""

    progress: Callable[[float, str], None] = lambda _fraction, _stage: None
    segments: Callable[[Task, list[dict[str, Any]]], None] | None = None
    """The task, and its segments with times from its own start."""
    done: Callable[[Task], None] = lambda _task: None
    begun: Callable[[Sequence[Task]], None] = lambda _tasks: None
    """All tasks in order, before the first one begins."""


def run(
    endpoint: Endpoint,
    tasks: Sequence[Task],
    journal: Journal,
    *,
    parallel: int,
    stop: threading.Event,
    observer: Observer,
) -> list[Answer]:
    """The tasks' outputs, in order. After a failure those that run are finished, and noted, but no more are begun.

    Raises:
        ClientError: the first failure.
        Stopped: `stop` was set; what ran is cancelled.
        KeyboardInterrupt: after the same.
    """
    observer.begun(tasks)
    crew = _Crew(endpoint, tasks, journal, stop, observer)
    # Daemons: a local API that does the job within one request cannot be interrupted.
    threads = [threading.Thread(target=crew.work, daemon=True) for _ in range(min(parallel, len(tasks)))]
    for thread in threads:
        thread.start()
    try:
        for thread in threads:
            while thread.is_alive():
                thread.join(0.2)
    except KeyboardInterrupt:
        stop.set()
        for thread in threads:
            thread.join(GRACE / len(threads))
        raise
    if crew.failure is not None:
        raise crew.failure
    return [crew.outputs[task.name] for task in tasks]


class _Crew:
    """What the threads of one run share."""

    def __init__(
        self, endpoint: Endpoint, tasks: Sequence[Task], journal: Journal, stop: threading.Event, observer: Observer
    ) -> None:
        self.outputs: dict[str, Answer] = {}
        self.failure: BaseException | None = None
        self._endpoint = endpoint
        self._journal = journal
        self._stop = stop
        self._observer = observer
        self._left = deque(tasks)
        self._done = dict.fromkeys((task.name for task in tasks), 0.0)
        self._seconds = {task.name: task.seconds for task in tasks}

    def work(self) -> None:
        while self.failure is None:
            try:
                task = self._left.popleft()
            except IndexError:
                return
            try:
                self.outputs[task.name] = self._output(task)
            except BaseException as error:
                if self.failure is None or isinstance(self.failure, Stopped):
                    self.failure = error
                return
            self._tell(task, 1.0, "done")
            self._observer.done(task)

    def _output(self, task: Task) -> Answer:
        known = self._journal.output(task.name)
        if known is not None:
            self._told_at_once(task, known)
            return known
        for left in reversed(range(TRIES)):
            try:
                output = self._attempt(task)
            except JobFailed as failure:
                self._journal.forget_job(task.name)
                # Behind a local API there is no other worker.
                if not left or not failure.worth_a_retry or self._endpoint.is_local_api:
                    raise
            else:
                self._journal.note_output(task.name, output)
                return output
        raise AssertionError("unreachable")

    def _attempt(self, task: Task) -> Answer:
        """One job, or the one that an earlier run sent before it ended."""
        earlier = self._journal.job(task.name)
        if earlier is not None:
            try:
                return self._awaited(task, earlier)
            except (NoSuchJob, JobFailed):  # whoever starts again wants it done again
                self._journal.forget_job(task.name)
        if self._stop.is_set():
            raise Stopped("stopped")
        request = task.request()
        job_id = self._endpoint.submit(request.pop("input"), **request)
        self._journal.note_job(task.name, job_id)
        return self._awaited(task, job_id)

    def _awaited(self, task: Task, job_id: str) -> Answer:
        told: list[Any] = []
        sent = time.monotonic()

        def tell(segments: list[dict[str, Any]]) -> None:
            told.append(None)
            if self._observer.segments is not None:
                self._observer.segments(task, segments)

        def progress(status: Answer) -> None:
            self._tell(task, *_progress(status, time.monotonic() - sent))

        try:
            listener = Listener(progress, None if self._observer.segments is None else tell)
            output = answer_of(self._endpoint, job_id, self._stop, listener)
        except Stopped:
            self._journal.forget_job(task.name)
            raise
        if not told:
            self._told_at_once(task, output)
        return output

    def _told_at_once(self, task: Task, output: Answer) -> None:
        """Segments of a job that did not stream, or is done already."""
        segments = output.get("transcription", {}).get("segments")
        if self._observer.segments is not None and segments:
            self._observer.segments(task, segments)

    def _tell(self, task: Task, fraction: float, stage: str) -> None:
        self._done[task.name] = max(fraction, self._done[task.name])
        parts = len(self._done)
        if parts > 1:
            stage = f"{sum(done == 1.0 for done in self._done.values())} of {parts} parts done"
        done = sum(self._seconds[name] * part for name, part in self._done.items())
        self._observer.progress(done / sum(self._seconds.values()), stage)


def _progress(status: Answer, waited: float) -> tuple[float, str]:
    """How much of a running job is done, and what it is at."""
    output = status.get("output")
    if status.get("status") == "IN_QUEUE":
        doubt = ": may the endpoint have any? See its workers in RunPod's console" if waited > LONG_WAIT else ""
        return 0.0, f"waiting for a worker{doubt}"
    if not isinstance(output, dict) or "stage" not in output:
        return 0.0, "working"
    return min(output.get("percent", 0) / 100, 0.99), str(output["stage"])
