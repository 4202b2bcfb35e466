"""A worker without a model: takes jobs as the SDK does, and answers what and when a test wants."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import requests

from tests.platform.emulator import Platform

Answer = dict[str, Any]


class ScriptedWorker:
    """Answers jobs, one at a time, while its context is open.

    Args:
        platform: takes the jobs from here.
        answer: returns the body to post for a job: `{"output": ...}`, or with `error`.
    """

    def __init__(self, platform: Platform, answer: Callable[[Answer], Answer]) -> None:
        self.jobs: list[Answer] = []
        self.held_after: int | None = None
        """Number of jobs to answer; the next one is taken, but not answered before `release`."""
        self._platform = platform
        self._answer = answer
        self._released = threading.Event()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def __enter__(self) -> ScriptedWorker:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self.release()
        self._thread.join(10)

    def release(self) -> None:
        self._released.set()

    def _work(self) -> None:
        session = requests.Session()
        session.headers["Authorization"] = self._platform.worker_key
        while not self._closed.is_set():
            response = session.get(f"{self._platform.url}/job-take/scripted", timeout=10)
            if response.status_code != 200:
                continue
            job = response.json()
            self.jobs.append(job)
            if self.held_after is not None and len(self.jobs) > self.held_after:
                self._released.wait()
            session.post(f"{self._platform.url}/job-done/scripted/{job['id']}", json=self._answer(job), timeout=10)


def make_answer(text: str, seconds: float = 10.0, language: str = "en") -> Answer:
    """Return what a worker posts for a recording with a single segment."""
    segment = {"id": 0, "seek": 0, "start": 1.0, "end": 2.0, "text": f" {text}", "tokens": [1]}
    return {
        "output": {
            "transcription": {
                "text": text,
                "srt": f"1\n00:00:01,000 --> 00:00:02,000\n{text}\n",
                "language": language,
                "segments": [segment],
            },
            "metadata": {
                "model": "scripted",
                "processing_time": 1.0,
                "audio_duration": seconds,
                "real_time_factor": 0.1,
                "language": language,
                "language_probability": 0.5,
                "speech_duration": 1.0,
                "uncovered_speech": [[3.0, 4.0]],
                "doubtful_speech": [{"start": 5.0, "end": 6.0, "transcribed": True}],
                "repaired_speech": 0.0,
                "redacted": [{"kind": "card", "start": 1.0, "end": 2.0}],
                "timings": {"inference": 0.5},
                "warnings": [],
            },
        }
    }
