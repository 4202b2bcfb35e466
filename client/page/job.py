"""Runs one job of the page and streams its updates: progress, segments, final result."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from client.errors import OutputFailed
from client.files import describe
from client.merge.outputs import shift_segments
from client.output import fetch_transcription, file_text
from client.recording import RunSettings, transcribe_recording
from client.transport.answers import JsonObject
from client.transport.endpoint import Endpoint
from client.transport.fanout import JobSpec, ProgressListener

Segments = list[dict[str, Any]]

SUBTITLE_FORMATS = ("srt", "vtt")


@dataclass(frozen=True)
class ProgressUpdate:
    """Current stage of a job, and how much of it is done."""

    stage: str
    percent: float


@dataclass(frozen=True)
class JobResult:
    """A job's output, in the parts that the page uses."""

    segments: Segments
    language: str
    metadata: JsonObject
    subtitles: dict[str, str]
    """The worker's subtitles, by format."""
    output: JsonObject
    """The complete output, as `client/media/video.py` expects it."""


Update = ProgressUpdate | Segments | JobResult


def stream_updates(
    endpoint: Endpoint, source: Path | str, options: JsonObject, stop: threading.Event
) -> Iterator[Update]:
    """Run a job and yield its updates.

    Args:
        endpoint: where the job runs.
        source: a file, or a URL.
        options: the worker's.
        stop: cancels the job when set. Closing this iterator early sets it as well.

    Yields:
        Progress; all segments so far, whenever there are new ones; finally the result.

    Raises:
        ClientError: the job has no result.
    """
    job = _BackgroundJob(endpoint, source, options, stop)
    threading.Thread(target=job.run, daemon=True).start()
    try:
        while True:
            update = job.updates.get()
            if isinstance(update, BaseException):
                raise update
            yield update
            if isinstance(update, JobResult):
                return
    finally:
        stop.set()


class _BackgroundJob:
    """A job on its own thread, which puts updates into a queue."""

    def __init__(self, endpoint: Endpoint, source: Path | str, options: JsonObject, stop: threading.Event) -> None:
        self.updates: SimpleQueue[Update | BaseException] = SimpleQueue()
        self._endpoint, self._source, self._options, self._stop = endpoint, source, options, stop
        self._segments: dict[tuple[float, Any], dict[str, Any]] = {}
        """By start and channel: a job that a second worker restarts sends its segments again."""

    def run(self) -> None:
        try:
            transcribe_recording(
                self._endpoint,
                self._source,
                self._options,
                RunSettings(),
                stop=self._stop,
                listener=ProgressListener(self._on_progress, self._on_segments),
                deliver=lambda output: self.updates.put(_to_result(output)),
            )
        except OSError as error:
            self.updates.put(OutputFailed(f"this machine reports: {describe(error)}"))
        except BaseException as error:
            self.updates.put(error)

    def _on_progress(self, fraction: float, stage: str) -> None:
        self.updates.put(ProgressUpdate(stage, 100 * fraction))

    def _on_segments(self, job: JobSpec, segments: Sequence[dict[str, Any]]) -> None:
        shifted = shift_segments(segments, job.start)
        self._segments |= {(segment["start"], segment.get("channel")): segment for segment in shifted}
        self.updates.put(sorted(self._segments.values(), key=lambda segment: float(segment["start"])))


def _to_result(output: JsonObject) -> JobResult:
    transcription = output.get("transcription", {})
    if "segments" not in transcription:  # too large for the response: stored in the bucket
        transcription = fetch_transcription(output)
    metadata: JsonObject = output.get("metadata") or {}
    available = {**transcription, **output.get("files", {})}
    subtitles = {name: file_text(output, name) for name in SUBTITLE_FORMATS if name in available}
    language = str(transcription.get("language") or "")
    return JobResult(transcription["segments"], language, metadata, subtitles, output)
