"""One job of the page, as it happens: its progress, its segments as they arrive, its transcript."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from client.endpoint import Answer, Endpoint
from client.fanout import Observer, Task
from client.merge import shifted
from client.output import fetched, text_of
from client.recording import Terms, transcribed

Segments = list[dict[str, Any]]

SUBTITLES = ("srt", "vtt")


@dataclass(frozen=True)
class Progress:
    stage: str
    percent: float


@dataclass(frozen=True)
class Transcript:
    """A job's answer, in the parts that a page shows."""

    segments: Segments
    language: str
    metadata: Answer
    subtitles: dict[str, str]
    """The worker's own, by their format."""
    output: Answer
    """All of it, as `client/video.py` takes it."""


News = Progress | Segments | Transcript


def followed(endpoint: Endpoint, source: Path | str, options: Answer, stop: threading.Event) -> Iterator[News]:
    """What is new about a job, as it comes: all segments so far, whenever there are more; the transcript at last.

    `stop` ends the job; so does whoever leaves this iterator early.

    Raises:
        ClientError: there will be no transcript; in a sentence for the user.
    """
    work = _Work(endpoint, source, options, stop)
    threading.Thread(target=work.run, daemon=True).start()
    try:
        while True:
            news = work.news.get()
            if isinstance(news, BaseException):
                raise news
            yield news
            if isinstance(news, Transcript):
                return
    finally:
        stop.set()


class _Work:
    """A job on a thread of its own; what it hears goes into a queue."""

    def __init__(self, endpoint: Endpoint, source: Path | str, options: Answer, stop: threading.Event) -> None:
        self.news: SimpleQueue[News | BaseException] = SimpleQueue()
        self._endpoint, self._source, self._options, self._stop = endpoint, source, options, stop
        self._heard: dict[tuple[float, Any], dict[str, Any]] = {}

    def run(self) -> None:
        observer = Observer(self._progress, self._segments)
        try:
            answer = transcribed(
                self._endpoint, self._source, self._options, Terms(), stop=self._stop, observer=observer
            )
            self.news.put(_transcript(answer))
        except BaseException as error:
            self.news.put(error)

    def _progress(self, fraction: float, stage: str) -> None:
        self.news.put(Progress(stage, 100 * fraction))

    def _segments(self, task: Task, segments: Sequence[dict[str, Any]]) -> None:
        # By place: a job that a second worker begins anew sends them again.
        self._heard |= {(one["start"], one.get("channel")): one for one in shifted(segments, task.start)}
        self.news.put(sorted(self._heard.values(), key=lambda one: float(one["start"])))


def _transcript(answer: Answer) -> Transcript:
    said = answer.get("transcription", {})
    if "segments" not in said:  # they were too large for the answer, and are in the bucket
        said = json.loads(fetched(answer, "json"))
    metadata: Answer = answer.get("metadata") or {}
    there = {**said, **answer.get("files", {})}
    subtitles = {form: text_of(answer, form) for form in SUBTITLES if form in there}
    language = str(said.get("language") or "")
    return Transcript(said["segments"], language, metadata, subtitles, answer)
