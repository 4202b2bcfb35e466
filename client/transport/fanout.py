"""Runs several jobs at once on the endpoint's workers; each is retried separately, and none is submitted twice."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from client.errors import BadAnswer, JobFailed, Stopped
from client.transport.answers import JsonObject, check_output, clean_line, is_number
from client.transport.endpoint import Endpoint, NoSuchJob
from client.transport.jobs import JobListener, wait_for_output
from client.transport.journal import Journal

MAX_ATTEMPTS = 3
"""Jobs per part, if workers fail and another may succeed."""

NO_WORKER_HINT_S = 90.0
"""Time in the queue after which the endpoint seems to have no workers: a cold start takes less."""

CANCEL_TIMEOUT_S = 30.0
"""Time limit for cancelling jobs after Ctrl-C; a job has an id only once its submission is complete."""


@dataclass(frozen=True)
class JobSpec:
    """A job to run."""

    name: str
    """Its name in the journal."""
    build_request: Callable[[], JsonObject]
    """Builds the request: `input` and the fields next to it. Called late, since the base64 of all parts at once would
    fill the memory."""
    seconds: float = 1.0
    """Length of its audio, the weight of its progress."""
    start: float = 0.0
    """Start of its audio in the recording, in seconds."""
    check: Callable[[JsonObject], JsonObject] = check_output
    """Returns its output in the shape that is expected, or raises BadAnswer."""


@dataclass(frozen=True)
class ProgressListener:
    """Callbacks for the progress of all jobs together; called on the threads that run the jobs."""

    on_progress: Callable[[float, str], object] = lambda _fraction, _stage: None
    """Receives the fraction done, and a description of the current stage."""
    on_segments: Callable[[JobSpec, list[dict[str, Any]]], None] | None = None
    """Receives a job and its new segments, with times relative to the job's start; None: they are not requested."""
    on_job_done: Callable[[JobSpec], None] = lambda _job: None
    on_start: Callable[[Sequence[JobSpec]], None] = lambda _jobs: None
    """Receives all jobs in order, before the first one is submitted."""
    on_wait: Callable[[float], None] = lambda _seconds: None
    """Receives for how long a job has been waiting for a worker so far, in seconds."""


def run_jobs(
    endpoint: Endpoint,
    jobs: Sequence[JobSpec],
    journal: Journal,
    *,
    parallel: int,
    stop: threading.Event,
    listener: ProgressListener,
) -> list[JsonObject]:
    """Return the jobs' outputs, in order.

    After a failure no more jobs are submitted, but running ones are completed and saved in the journal.

    Args:
        endpoint: where the jobs run.
        jobs: in order.
        journal: earlier outputs and running jobs are taken from it.
        parallel: maximum number of jobs at once.
        stop: cancels the running jobs when set.
        listener: receives the progress.

    Raises:
        ClientError: the first failure.
        Stopped: `stop` was set, and running jobs are cancelled.
        KeyboardInterrupt: as for Stopped.
    """
    listener.on_start(jobs)
    pool = WorkerPool(endpoint, jobs, journal, stop, listener)
    ends: list[threading.Event] = []
    try:
        ends.extend(pool.start_thread() for _ in range(min(parallel, len(jobs))))
        for end in ends:
            while not end.wait(0.2):
                pass
    except KeyboardInterrupt:
        stop.set()
        if not endpoint.is_local_api:  # it cannot cancel a job
            give_up = time.monotonic() + CANCEL_TIMEOUT_S
            for end in ends:
                end.wait(max(give_up - time.monotonic(), 0.0))
        raise
    if pool.failure is not None:
        raise pool.failure
    return [pool.outputs[job.name] for job in jobs]


class WorkerPool:
    """The threads that run the jobs, and their shared state.

    Attributes:
        outputs: finished jobs by name.
        failure: the first error; any other error replaces `Stopped`.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        jobs: Sequence[JobSpec],
        journal: Journal,
        stop: threading.Event,
        listener: ProgressListener,
    ) -> None:
        self.outputs: dict[str, JsonObject] = {}
        self.failure: BaseException | None = None
        self._endpoint = endpoint
        self._journal = journal
        self._stop = stop
        self._listener = listener
        self._pending = deque(jobs)
        self._fraction_done = dict.fromkeys((job.name for job in jobs), 0.0)
        self._stages = dict.fromkeys(self._fraction_done, "sending the recording")
        self._seconds = {job.name: job.seconds for job in jobs}

    def start_thread(self) -> threading.Event:
        """Start a thread that runs pending jobs until there are none, or one fails; return an event for its end."""
        # An event, since after a `join` that Ctrl-C interrupts Python 3.11 takes the thread for finished.
        end = threading.Event()

        def work() -> None:
            try:
                self._work()
            finally:
                end.set()

        # A daemon, since the request to a local API, which runs the whole job, cannot be interrupted.
        threading.Thread(target=work, daemon=True).start()
        return end

    def _work(self) -> None:
        while self.failure is None:
            try:
                job = self._pending.popleft()
            except IndexError:
                return
            try:
                self.outputs[job.name] = self._run_with_retries(job)
            except BaseException as error:
                if self.failure is None or isinstance(self.failure, Stopped):
                    self.failure = error
                return
            self._report_progress(job, 1.0, "done")
            self._listener.on_job_done(job)

    def _run_with_retries(self, job: JobSpec) -> JsonObject:
        saved = self._journal.output(job.name)
        if saved is not None:
            self._report_all_segments(job, saved)
            return saved
        for retries_left in reversed(range(MAX_ATTEMPTS)):
            try:
                output = self._run_once(job)
            except BadAnswer:
                self._journal.delete_job_id(job.name)
                raise
            except JobFailed as failure:
                self._journal.delete_job_id(job.name)
                # A local API has no other worker.
                if not retries_left or not failure.is_retryable or self._endpoint.is_local_api:
                    raise
            else:
                self._journal.save_output(job.name, output)
                return output
        raise AssertionError("unreachable")

    def _run_once(self, job: JobSpec) -> JsonObject:
        """Submit the job, or find the one that an interrupted run submitted, and wait for its output."""
        earlier_id = self._journal.job_id(job.name)
        if earlier_id is not None:
            try:
                return self._wait(job, earlier_id)
            except (NoSuchJob, BadAnswer, JobFailed):  # a new run is a request to try again
                self._journal.delete_job_id(job.name)
        if self._stop.is_set():
            raise Stopped("stopped")
        self._report_progress(job, 0.0, "sending the recording")
        request = job.build_request()
        job_id = self._endpoint.submit(request.pop("input"), **request)
        self._journal.save_job_id(job.name, job_id)
        self._report_progress(job, 0.0, "waiting for the worker")
        return self._wait(job, job_id)

    def _wait(self, job: JobSpec, job_id: str) -> JsonObject:
        streamed = False
        started = time.monotonic()

        def on_segments(segments: list[dict[str, Any]]) -> None:
            nonlocal streamed
            streamed = True
            if self._listener.on_segments is not None:
                self._listener.on_segments(job, segments)

        def on_status(status: JsonObject) -> None:
            waited_s = time.monotonic() - started
            self._report_progress(job, *_describe_progress(status, waited_s))
            if status.get("status") == "IN_QUEUE":
                self._listener.on_wait(waited_s)

        try:
            listener = JobListener(on_status, None if self._listener.on_segments is None else on_segments)
            output = wait_for_output(self._endpoint, job_id, self._stop, listener, job.check)
        except Stopped:
            self._journal.delete_job_id(job.name)
            raise
        if not streamed:
            self._report_all_segments(job, output)
        return output

    def _report_all_segments(self, job: JobSpec, output: JsonObject) -> None:
        """Report the segments of a job that did not stream, or was finished before."""
        segments = output.get("transcription", {}).get("segments")
        if self._listener.on_segments is not None and segments:
            self._listener.on_segments(job, segments)

    def _report_progress(self, job: JobSpec, fraction: float, stage: str) -> None:
        # A job that another worker restarts does not set the progress back.
        self._fraction_done[job.name] = max(fraction, self._fraction_done[job.name])
        self._stages[job.name] = stage
        total_s = sum(self._seconds.values())
        done_s = sum(self._seconds[name] * done for name, done in self._fraction_done.items())
        self._listener.on_progress(done_s / total_s, self._describe_stage(done_s, total_s))

    def _describe_stage(self, done_s: float, total_s: float) -> str:
        """Return the stage of the unfinished job that is furthest; of several jobs, also the audio that is done."""
        unfinished = {name: done for name, done in self._fraction_done.items() if done < 1.0}
        if not unfinished:
            return "done"
        stage = self._stages[max(unfinished, key=lambda name: unfinished[name])]
        return f"{stage}, {format_clock(done_s)} of {format_clock(total_s)}" if len(self._seconds) > 1 else stage


def format_clock(seconds: float) -> str:
    """Return a time as `h:mm:ss`."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _describe_progress(status: JsonObject, waited_s: float) -> tuple[float, str]:
    """Return the fraction of a running job that is done, and its stage."""
    output = status.get("output")
    if status.get("status") == "IN_QUEUE":
        hint = (
            ": does the endpoint have any? See its workers in RunPod's console" if waited_s > NO_WORKER_HINT_S else ""
        )
        return 0.0, f"waiting for a worker{hint}"
    if not isinstance(output, dict) or not isinstance(output.get("stage"), str):
        return 0.0, "working"
    percent = output.get("percent")
    return min(max(percent, 0) / 100, 0.99) if is_number(percent) else 0.0, clean_line(output["stage"], 60)
