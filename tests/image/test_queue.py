"""The image as a worker of a queue endpoint: no user of its own, nothing to write to but 512 MB of /tmp."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from media.sandbox import ffmpeg_executable
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


@pytest.fixture(scope="module")
def long_recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The long clip four times over: 5 minutes."""
    path = tmp_path_factory.mktemp("long") / "long.ogg"
    command = [ffmpeg_executable(), "-v", "error", "-stream_loop", "3", "-i", str(CLIPS / "long.ogg"), "-c", "copy"]
    subprocess.run([*command, str(path)], check=True)
    return path


def completed(platform: Platform, worker: Worker, job: str, timeout: float = 120.0) -> Any:
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


def test_sigterm_lets_a_running_job_finish(platform: Platform, worker: Worker, long_recording: Path) -> None:
    """The last test of this worker."""
    job = platform.submit(
        {"audio": {"base64": as_base64(long_recording)}, "options": {"output_format": "text", "beam_size": 5}}
    )
    wait_for_start(worker, job)
    assert worker.terminate(timeout=120) == 0
    assert platform.job(job).worker == worker.id
    assert_spoken(completed(platform, worker, job)["transcription"]["text"], "long.ogg", max_errors=6, repeats=4)


def test_a_stream_brings_segments_before_the_whole(platform: Platform) -> None:
    with ContainerWorker(platform, env={"STREAMING": "true"}) as worker:
        worker.wait_ready(timeout=240)
        job = platform.submit(clip("long.ogg"))
        whole = completed(platform, worker, job)[-1]
    chunks = platform.job(job).chunks
    assert [part for chunk in chunks[:-1] for part in chunk.output["segments"]] == whole["transcription"]["segments"]
    assert chunks[0].at < chunks[-1].at


def wait_for_start(worker: Worker, job: str, seconds: float = 30.0) -> None:
    """Wait until the log says that a job has started: the SDK drops a job that it has taken and not begun."""
    deadline = time.monotonic() + seconds
    while not any(job in line and "job.started" in line for line in worker.log().splitlines()):
        assert time.monotonic() < deadline, worker.log()
        time.sleep(0.02)
