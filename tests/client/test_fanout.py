"""Parts under faults: what failed is done again and nothing else, what is running can be stopped, and gone on with."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from client.endpoint import Endpoint
from client.errors import JobFailed
from client.fanout import Observer
from client.recording import Terms, transcribed
from tests.client.conftest import command, start, until
from tests.client.played import PlayedWorker, said
from tests.platform.emulator import Fault, Platform
from tests.platform.records import Job

pytestmark = pytest.mark.process

LIMIT = 160_000
PARTS = 4


@pytest.fixture
def worker(platform: Platform) -> Iterator[PlayedWorker]:
    with PlayedWorker(platform, lambda job: said(f"{len(job['input']['audio']['base64'])}")) as worker:
        yield worker


def by_status(platform: Platform, status: str) -> list[Job]:
    return [job for job in platform.jobs.values() if job.status == status]


def work(endpoint: Endpoint, recording: Path, cache: Path, **options: Any) -> dict[str, Any]:
    return transcribed(
        endpoint, recording, options, Terms(limit=LIMIT), stop=threading.Event(), observer=Observer(), cache=cache
    )


def test_only_the_part_that_failed_is_done_again(
    platform: Platform, endpoint: Endpoint, long: Path, tmp_path: Path
) -> None:
    answers = iter([said("one"), {"error": "out of luck", "output": {"error_type": "Internal"}}])
    with PlayedWorker(platform, lambda _: next(answers, said("more"))) as worker:
        output = work(endpoint, long, tmp_path)
    assert len(output["metadata"]["parts"]) == PARTS
    audio = [job["input"]["audio"]["base64"] for job in worker.jobs]
    assert (len(audio), len(set(audio))) == (PARTS + 1, PARTS)
    assert list(tmp_path.iterdir()) == []


def test_progress_of_the_parts_is_told_as_that_of_the_whole(
    platform: Platform, endpoint: Endpoint, long: Path, tmp_path: Path
) -> None:
    told: list[tuple[float, str]] = []
    half = {"status": "IN_PROGRESS", "output": {"stage": "transcribing", "percent": 50}}

    def answer(job: dict[str, Any]) -> dict[str, Any]:
        address = f"{platform.url}/job-done/played/{job['id']}"
        requests.post(address, json=half, headers={"Authorization": platform.worker_key}, timeout=10)
        seen = len(told)
        until(lambda: len(told) > seen)
        return said("something")

    with PlayedWorker(platform, answer):
        observer = Observer(lambda fraction, stage: told.append((fraction, stage)))
        terms = Terms(limit=LIMIT, parallel=1)
        transcribed(endpoint, long, {}, terms, stop=threading.Event(), observer=observer, cache=tmp_path)
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    assert 0 < fractions[len(fractions) // 2] < 1
    assert told[-1] == (pytest.approx(1.0), f"{PARTS} of {PARTS} parts done")


def test_a_wrong_input_is_not_tried_again_and_ends_the_work(
    platform: Platform, endpoint: Endpoint, long: Path, tmp_path: Path
) -> None:
    refusal = {"error": "no such language", "output": {"error_type": "InvalidInput"}}
    with PlayedWorker(platform, lambda _: refusal) as worker, pytest.raises(JobFailed, match="no such language"):
        work(endpoint, long, tmp_path)
    assert len(worker.jobs) <= PARTS


def test_faults_of_the_platform_cost_no_second_job(
    platform: Platform, endpoint: Endpoint, long: Path, tmp_path: Path, worker: PlayedWorker
) -> None:
    platform.faults.next("run", Fault.ERROR_429)
    platform.faults.next("run", Fault.ERROR_500)
    for fault in (Fault.DROP, Fault.BROKEN_JSON, Fault.ERROR_502):
        platform.faults.next("status", fault)
    assert len(work(endpoint, long, tmp_path)["metadata"]["parts"]) == PARTS
    assert platform.faults.count("run") == 2
    assert len(platform.jobs) == len(worker.jobs) == PARTS


def test_a_part_in_another_language_is_done_again_in_that_of_most(
    platform: Platform, endpoint: Endpoint, long: Path, tmp_path: Path
) -> None:
    languages = iter(["de", "cy", "de", "de"])

    def answer(job: dict[str, Any]) -> dict[str, Any]:
        named = job["input"]["options"].get("language")
        return said(f"in {named}" if named else "heard", language=named or next(languages))

    with PlayedWorker(platform, answer) as worker:
        output = work(endpoint, long, tmp_path)
    assert output["metadata"]["language"] == "de"
    assert output["transcription"]["text"].split().count("in") == 1
    assert len(worker.jobs) == PARTS + 1


def test_a_client_that_is_killed_goes_on_with_its_jobs(
    platform: Platform, folder: Path, long: Path, worker: PlayedWorker
) -> None:
    arguments = [long, "--payload-limit", LIMIT, "--parallel", 2, "--format", "srt", "--output", "out.srt"]
    worker.held_after = 1
    killed = start("transcribe", *arguments, where=platform, folder=folder)
    notes = folder.parent / "cache" / "worker-whisper"
    until(lambda: len(list(notes.glob("*/part-*.job"))) == 2 and len(platform.jobs) == 3)
    killed.kill()
    killed.communicate()
    worker.release()
    command("transcribe", *arguments, where=platform, folder=folder)
    assert len(platform.jobs) == PARTS
    assert (folder / "out.srt").read_text().count("-->") == PARTS
    assert list(notes.iterdir()) == []


def test_ctrl_c_cancels_what_runs_and_keeps_what_is_done(
    platform: Platform, folder: Path, long: Path, worker: PlayedWorker
) -> None:
    arguments = [long, "--payload-limit", LIMIT, "--parallel", 2, "--format", "text", "--output", "out.txt"]
    worker.held_after = 1
    stopped = start("transcribe", *arguments, where=platform, folder=folder)
    until(lambda: len(platform.jobs) == 3)
    stopped.send_signal(signal.SIGINT)
    _, err = stopped.communicate(timeout=20)
    assert stopped.returncode == 130
    assert "goes on where it was" in err
    assert [len(by_status(platform, status)) for status in ("COMPLETED", "CANCELLED")] == [1, 2]
    worker.release()
    command("transcribe", *arguments, where=platform, folder=folder)
    assert len(platform.jobs) == PARTS + 2
    assert len((folder / "out.txt").read_text().split()) == PARTS
