"""Recordings in parts under faults: only failed parts are repeated, running jobs can be stopped and resumed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from client.errors import JobFailed
from client.job_request import RunSettings
from client.recording import transcribe_recording
from client.transport.endpoint import Endpoint
from client.transport.fanout import ProgressListener
from tests.client.conftest import run_command, start_command, wait_until
from tests.client.scripted_worker import ScriptedWorker, make_answer
from tests.platform.emulator import Fault, Platform
from tests.platform.records import Job

pytestmark = pytest.mark.process

LIMIT = 160_000
"""Bytes of a request."""
PARTS = 4
"""Number of parts of the long recording under that limit."""


@pytest.fixture
def worker(platform: Platform) -> Iterator[ScriptedWorker]:
    with ScriptedWorker(platform, lambda job: make_answer(f"{len(job['input']['audio']['base64'])}")) as worker:
        yield worker


def jobs_with_status(platform: Platform, status: str) -> list[Job]:
    return [job for job in platform.jobs.values() if job.status == status]


def transcribe(endpoint: Endpoint, recording: Path, cache: Path, **options: Any) -> dict[str, Any]:
    return transcribe_recording(
        endpoint,
        recording,
        options,
        RunSettings(request_limit=LIMIT),
        stop=threading.Event(),
        listener=ProgressListener(),
        cache=cache,
    )


def test_only_the_failed_part_is_repeated(
    platform: Platform, endpoint: Endpoint, long_recording: Path, tmp_path: Path
) -> None:
    answers = iter([make_answer("one"), {"error": "crashed", "output": {"error_type": "Internal"}}])
    with ScriptedWorker(platform, lambda _: next(answers, make_answer("more"))) as worker:
        output = transcribe(endpoint, long_recording, tmp_path)
    assert len(output["metadata"]["parts"]) == PARTS
    audio = [job["input"]["audio"]["base64"] for job in worker.jobs]
    assert (len(audio), len(set(audio))) == (PARTS + 1, PARTS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_progress_of_the_parts_is_reported_for_the_whole_recording(
    platform: Platform, endpoint: Endpoint, long_recording: Path, tmp_path: Path
) -> None:
    updates: list[tuple[float, str]] = []
    half = {"status": "IN_PROGRESS", "output": {"stage": "transcribing", "percent": 50}}

    def answer(job: dict[str, Any]) -> dict[str, Any]:
        address = f"{platform.url}/job-done/scripted/{job['id']}"
        requests.post(address, json=half, headers={"Authorization": platform.worker_key}, timeout=10)
        seen = len(updates)
        wait_until(lambda: len(updates) > seen)
        return make_answer("something")

    with ScriptedWorker(platform, answer):
        listener = ProgressListener(lambda fraction, stage: updates.append((fraction, stage)))
        settings = RunSettings(request_limit=LIMIT, parallel=1)
        transcribe_recording(
            endpoint, long_recording, {}, settings, stop=threading.Event(), listener=listener, cache=tmp_path
        )
    fractions = [fraction for fraction, _ in updates]
    assert fractions == sorted(fractions)
    running = [fraction for fraction, stage in updates if not stage.startswith("compressing")]
    assert 0 < running[len(running) // 2] < 1
    assert fractions[-1] == pytest.approx(1.0)
    assert updates[0] == (0.0, "compressing the recording")
    stages = [stage for _, stage in updates]
    assert "sending the recording, 0:00:00 of 0:01:18" in stages
    middle = [(fraction, stage) for fraction, stage in updates if stage.startswith("transcribing, ")]
    assert middle
    for fraction, stage in middle:
        minutes, seconds = map(int, stage.split()[1].split(":")[1:])
        assert 60 * minutes + seconds == pytest.approx(78.4 * fraction, abs=1.0)
    assert stages[-1] == "done"


@pytest.mark.slow
def test_invalid_input_is_not_retried_and_ends_the_run(
    platform: Platform, endpoint: Endpoint, long_recording: Path, tmp_path: Path
) -> None:
    refusal = {"error": "no such language", "output": {"error_type": "InvalidInput"}}
    with ScriptedWorker(platform, lambda _: refusal) as worker, pytest.raises(JobFailed, match="no such language"):
        transcribe(endpoint, long_recording, tmp_path)
    assert len(worker.jobs) <= PARTS


@pytest.mark.slow
def test_faults_of_the_platform_cause_no_second_job(
    platform: Platform, endpoint: Endpoint, long_recording: Path, tmp_path: Path, worker: ScriptedWorker
) -> None:
    platform.faults.next("run", Fault.ERROR_429)
    platform.faults.next("run", Fault.ERROR_500)
    for fault in (Fault.DROP, Fault.BROKEN_JSON, Fault.ERROR_502):
        platform.faults.next("status", fault)
    assert len(transcribe(endpoint, long_recording, tmp_path)["metadata"]["parts"]) == PARTS
    assert platform.faults.count("run") == 2
    assert len(platform.jobs) == len(worker.jobs) == PARTS


def test_a_part_in_another_language_is_repeated_in_the_majority_language(
    platform: Platform, endpoint: Endpoint, long_recording: Path, tmp_path: Path
) -> None:
    languages = iter(["de", "cy", "de", "de"])

    def answer(job: dict[str, Any]) -> dict[str, Any]:
        language = job["input"]["options"].get("language")
        return make_answer(f"in {language}" if language else "detected", language=language or next(languages))

    with ScriptedWorker(platform, answer) as worker:
        output = transcribe(endpoint, long_recording, tmp_path)
    assert output["metadata"]["language"] == "de"
    assert output["transcription"]["text"].split().count("in") == 1
    assert len(worker.jobs) == PARTS + 1


@pytest.mark.slow
def test_a_killed_client_resumes_its_jobs(
    platform: Platform, folder: Path, long_recording: Path, worker: ScriptedWorker
) -> None:
    arguments = [long_recording, "--payload-limit", LIMIT, "--parallel", 2, "--format", "srt", "--output", "out.srt"]
    worker.held_after = 1
    killed = start_command("transcribe", *arguments, where=platform, folder=folder)
    journals = folder.parent / "cache" / "worker-whisper"
    wait_until(lambda: len(list(journals.glob("*/part-*.job"))) == 2 and len(platform.jobs) == 3)
    killed.kill()
    killed.communicate()
    worker.release()
    run_command("transcribe", *arguments, where=platform, folder=folder)
    assert len(platform.jobs) == PARTS
    assert (folder / "out.srt").read_text().count("-->") == PARTS
    assert list(journals.iterdir()) == []


@pytest.mark.slow
def test_ctrl_c_cancels_running_jobs_and_keeps_finished_ones(
    platform: Platform, folder: Path, long_recording: Path, worker: ScriptedWorker
) -> None:
    arguments = [long_recording, "--payload-limit", LIMIT, "--parallel", 2, "--format", "text", "--output", "out.txt"]
    worker.held_after = 1
    stopped = start_command("transcribe", *arguments, where=platform, folder=folder)
    wait_until(lambda: len(platform.jobs) == 3)
    stopped.send_signal(signal.SIGINT)
    _, err = stopped.communicate(timeout=20)
    assert stopped.returncode == 130
    assert "to continue; finished parts are kept" in err
    assert [len(jobs_with_status(platform, status)) for status in ("COMPLETED", "CANCELLED")] == [1, 2]
    worker.release()
    run_command("transcribe", *arguments, where=platform, folder=folder)
    assert len(platform.jobs) == PARTS + 2
    assert len((folder / "out.txt").read_text().split()) == PARTS


@pytest.mark.slow
def test_ctrl_c_during_a_submission_leaves_no_job_behind(
    platform: Platform, folder: Path, recording: Path, worker: ScriptedWorker
) -> None:
    worker.held_after = 0
    platform.faults.next("run", Fault.SLOW, seconds=1.5)
    stopped = start_command("transcribe", recording, "--format", "srt", where=platform, folder=folder)
    wait_until(lambda: platform.faults.count("run") == 1)
    stopped.send_signal(signal.SIGINT)
    stopped.communicate(timeout=20)
    assert stopped.returncode == 130
    assert [job.status for job in platform.jobs.values()] == ["CANCELLED"]
    worker.release()
    run_command("transcribe", recording, "--format", "srt", where=platform, folder=folder)
    assert len(jobs_with_status(platform, "COMPLETED")) == 1
    assert len(platform.jobs) == 2
