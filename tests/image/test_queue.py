"""The image as a worker of a queue endpoint: no user of its own, nothing to write to but 512 MB of /tmp."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.image.container import ContainerWorker
from tests.platform.emulator import Platform
from tests.platform.worker import Worker
from tests.support.clips import CLIPS, ROOT, as_base64, assert_spoken


def clip(name: str, **options: Any) -> dict[str, Any]:
    return {"audio": {"base64": as_base64(CLIPS / name)}, "options": options}


@pytest.fixture(scope="module")
def worker(platform: Platform) -> Iterator[Worker]:
    with ContainerWorker(platform) as worker:
        worker.wait_ready(timeout=240)
        yield worker


def completed(platform: Platform, worker: Worker, job: str, timeout: float = 240.0) -> Any:
    status = platform.wait(job, timeout)
    assert status["status"] == "COMPLETED", (status, worker.log())
    return status["output"]


def test_a_job_is_transcribed(platform: Platform, worker: Worker) -> None:
    job = platform.submit(json.loads((ROOT / "test_input.json").read_text())["input"])
    assert_spoken(completed(platform, worker, job)["transcription"]["text"], "demo.ogg")
    assert "fitness check" in worker.log().lower()


def test_captions_are_drawn_with_the_images_fonts_and_ffmpeg(platform: Platform, worker: Worker) -> None:
    video = completed(platform, worker, platform.submit(clip("video.mp4", captions="burn")))["captioned_video"]
    assert len(base64.b64decode(video["base64"])) > 10_000, video


def test_speakers_are_told_apart(platform: Platform, worker: Worker) -> None:
    answer = completed(platform, worker, platform.submit(clip("demo.ogg", diarize=True)))
    assert [speaker["speaker"] for speaker in answer["transcription"]["speakers"]] == ["SPEAKER_00"]


def test_sigterm_lets_a_running_job_finish(platform: Platform, worker: Worker) -> None:
    """The last test of this worker."""
    job = platform.submit(clip("long.ogg"))
    wait_for_start(worker, job)
    assert not platform.job(job).done
    assert worker.terminate(timeout=240) == 0
    assert platform.job(job).worker == worker.id
    assert_spoken(completed(platform, worker, job)["transcription"]["text"], "long.ogg", max_errors=6)


def test_a_stream_brings_segments_before_the_whole(platform: Platform) -> None:
    with ContainerWorker(platform, env={"STREAMING": "true"}) as worker:
        worker.wait_ready(timeout=240)
        job = platform.submit(clip("long.ogg"))
        whole = completed(platform, worker, job)[-1]
    chunks = platform.job(job).chunks
    assert [part for chunk in chunks[:-1] for part in chunk.output["segments"]] == whole["transcription"]["segments"]
    assert chunks[0].at < chunks[-1].at


def wait_for_start(worker: Worker, job: str, seconds: float = 120.0) -> None:
    """Wait until the log says that a job has started: the SDK drops a job that it has taken and not begun."""
    deadline = time.monotonic() + seconds
    while not any(job in line and "job.started" in line for line in worker.log().splitlines()):
        assert time.monotonic() < deadline, worker.log()
        time.sleep(0.02)
