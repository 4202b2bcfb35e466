"""The worker as RunPod runs it: `handler.py` under the SDK's own loop, against the emulated platform."""

from __future__ import annotations

import itertools
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from moto.server import ThreadedMotoServer
from standardwebhooks import Webhook

from media.sandbox import ffmpeg_executable
from tests.platform.emulator import Platform
from tests.platform.faults import Fault
from tests.platform.worker import Worker
from tests.support.clips import CLIPS, as_base64, assert_spoken, spoken, words
from tests.support.servers import ScriptedServer, running

pytestmark = [pytest.mark.process, pytest.mark.model]

SECRET = "whsec_" + "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"


def clip(name: str, **options: Any) -> dict[str, Any]:
    return {"audio": {"base64": as_base64(CLIPS / name)}, "options": options}


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    with Platform(hold=0.3) as platform:
        yield platform


@pytest.fixture(scope="module")
def bucket() -> Iterator[dict[str, str]]:
    """An S3 server with a bucket, as the variables that name it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    keys = {"aws_access_key_id": "key", "aws_secret_access_key": "BUCKET-SECRET", "region_name": "us-east-1"}
    boto3.client("s3", endpoint_url=url, **keys).create_bucket(Bucket="transcripts")
    yield {
        "BUCKET_ENDPOINT_URL": url,
        "BUCKET_ACCESS_KEY_ID": "key",
        "BUCKET_SECRET_ACCESS_KEY": "BUCKET-SECRET",
        "BUCKET_NAME": "transcripts",
    }
    server.stop()


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def worker(platform: Platform, bucket: dict[str, str], scratch: Path) -> Iterator[Worker]:
    env = {
        "WHISPER_MODEL": "tiny.en",
        "MAX_CONCURRENCY": "4",
        "LOG_FORMAT": "json",
        "WEBHOOK_SECRET": SECRET,
        "RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS": "true",
        "TMPDIR": str(scratch),
        **bucket,
    }
    with Worker(platform, env=env) as worker:
        worker.wait_ready()
        yield worker


@pytest.fixture(scope="module")
def long_recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The long clip twice: 2.6 minutes."""
    path = tmp_path_factory.mktemp("long") / "long.ogg"
    command = [ffmpeg_executable(), "-v", "error", "-stream_loop", "1", "-i", str(CLIPS / "long.ogg"), "-c", "copy"]
    subprocess.run([*command, str(path)], check=True)
    return path


def long_job(recording: Path, **options: Any) -> dict[str, Any]:
    return {"audio": {"base64": as_base64(recording)}, "options": {"output_format": "text", **options}}


def events(worker: Worker, job_id: str) -> list[dict[str, Any]]:
    return [line for line in json_objects(worker.log()) if line.get("job") == job_id]


def wait_for_event(worker: Worker, job_id: str, name: str, seconds: float = 120.0) -> dict[str, Any]:
    """An event in the log about a job, once it is there: long before the job would have ended by itself."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for event in events(worker, job_id):
            if event["event"] == name:
                return event
        time.sleep(0.02)
    raise AssertionError(f"no {name} within {seconds} s: {events(worker, job_id)}")


def json_objects(log: str) -> Iterator[dict[str, Any]]:
    """The SDK prints a line and its end apart: ours, on the other stream, may come between."""
    decoder, at = json.JSONDecoder(), 0
    while (at := log.find("{", at)) >= 0:
        try:
            found, at = decoder.raw_decode(log, at)
        except json.JSONDecodeError:
            at += 1
        else:
            yield found


def text(status: dict[str, Any]) -> str:
    assert status["status"] == "COMPLETED", status
    return status["output"]["transcription"]["text"]


def test_jobs_at_once_get_each_its_own_words_despite_faults(platform: Platform, worker: Worker) -> None:
    platform.faults.rate = 0.2
    names = ["demo.ogg", "video.mp4", "numbers.mp3", "silence.flac"] * 4
    jobs = {platform.submit(clip(name, beam_size=2)): name for name in names}
    statuses = {job: platform.wait(job) for job in jobs}
    platform.faults.rate = 0.0
    for job, name in jobs.items():
        assert_spoken(text(statuses[job]), name, max_errors=3 if name == "numbers.mp3" else 1)
        assert len([result for result in platform.job(job).results if result.accepted]) == 1


def test_a_wrong_job_fails_with_its_sentence_and_no_traceback(platform: Platform, worker: Worker) -> None:
    status = platform.wait(platform.submit({"audio": {"uri": "https://example.com"}}))
    assert status["status"] == "FAILED"
    assert 'did you mean "url"?' in status["error"]
    assert status["output"] == {"error_type": "InvalidInput"}


@pytest.mark.slow
def test_progress_rises_apart_and_never_comes_after_the_result(
    platform: Platform, worker: Worker, long_recording: Path
) -> None:
    job = platform.submit(long_job(long_recording))
    platform.faults.next("progress", Fault.SLOW, seconds=0.5)
    platform.until(lambda: any(post.output["stage"] == "transcribing" for post in platform.job(job).progress))
    shown = requests.get(f"{platform.url}/status/{job}", headers=platform.headers, timeout=10).json()
    assert shown["status"] == "IN_PROGRESS"
    assert shown["output"]["stage"] in ("downloading", "decoding the audio", "transcribing")
    platform.wait(job, 180)
    posts = platform.job(job).progress
    assert not any(post.late for post in posts)
    assert all(later.at - post.at > 0.9 for post, later in itertools.pairwise(posts))
    assert [post.output["update"] for post in posts] == list(range(1, len(posts) + 1))
    percents = [post.output["percent"] for post in posts]
    assert percents == sorted(percents)


@pytest.mark.slow
def test_a_cancelled_job_ends_at_once_and_leaves_nothing(
    platform: Platform, worker: Worker, long_recording: Path, scratch: Path
) -> None:
    job = platform.submit(long_job(long_recording, beam_size=5))
    platform.until(lambda: any(post.output["stage"] == "transcribing" for post in platform.job(job).progress))
    assert list(scratch.iterdir())
    platform.cancel(job)
    assert wait_for_event(worker, job, "job.failed")["error_type"] == "Cancelled"
    assert_spoken(text(platform.wait(platform.submit(clip("demo.ogg")))), "demo.ogg")
    assert list(scratch.iterdir()) == []
    assert platform.job(job).results == []


@pytest.mark.slow
def test_the_execution_timeout_of_a_job_holds(platform: Platform, worker: Worker, long_recording: Path) -> None:
    job = platform.submit(long_job(long_recording, beam_size=5), policy={"executionTimeout": 2500})
    assert platform.wait(job)["status"] in ("TIMED_OUT", "FAILED")
    assert wait_for_event(worker, job, "job.failed")["error_type"] == "Cancelled"


class Receiver(ScriptedServer):
    """Takes webhooks; refuses the first."""

    def __init__(self) -> None:
        super().__init__(lambda handler: handler.answer(500), lambda handler: handler.answer(204))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/hook?token=HOOK-TOKEN"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running(Receiver()) as server:
        yield server


@pytest.mark.slow
def test_outcomes_are_told_to_the_webhook_signed(platform: Platform, worker: Worker, receiver: Receiver) -> None:
    good = platform.submit({**clip("demo.ogg"), "webhook": {"url": receiver.url}})
    bad = platform.submit({"audio": {"base64": "AAAA"}, "webhook": {"url": receiver.url}})
    wrong = platform.submit({"audio": 7, "webhook": receiver.url, "reference": "order 7"})
    assert platform.wait(good)["output"]["metadata"]["warnings"] == []
    platform.wait(bad)
    platform.wait(wrong)
    accepted = [(dict(headers), body) for headers, body in receiver.received[1:]]
    payloads = [Webhook(SECRET).verify(body, headers) for headers, body in accepted]
    by_job = {payload["data"]["id"]: payload["data"] for payload in payloads}
    assert set(by_job) == {good, bad, wrong}
    assert_spoken(by_job[good]["transcription"]["text"], "demo.ogg")
    assert by_job[bad]["error_type"] == "UnsupportedMedia"
    assert (by_job[wrong]["error_type"], by_job[wrong]["reference"]) == ("InvalidInput", "order 7")


@pytest.mark.slow
def test_a_webhook_that_fails_is_a_warning(platform: Platform, worker: Worker) -> None:
    status = platform.wait(
        platform.submit({**clip("demo.ogg"), "webhook": {"url": "http://127.0.0.1:9/?t=HOOK-TOKEN"}})
    )
    assert_spoken(text(status), "demo.ogg")
    (warning,) = status["output"]["metadata"]["warnings"]
    assert "HOOK-TOKEN" not in warning


def test_results_go_to_the_bucket_where_asked(platform: Platform, worker: Worker) -> None:
    status = platform.wait(platform.submit({**clip("demo.ogg"), "upload": {"prefix": "mine"}}))
    files = status["output"]["files"]
    assert {"json", "srt", "vtt", "txt"} <= set(files)
    assert_spoken(requests.get(files["txt"], timeout=10).text, "demo.ogg")


def test_the_log_tells_each_event_with_its_job_and_no_secret(
    platform: Platform, worker: Worker, bucket: dict[str, str]
) -> None:
    job = platform.submit(clip("demo.ogg"), s3Config={"accessId": "a"} | {"accessSecret": "S3-SECRET"})
    platform.wait(job)
    assert [event["event"] for event in events(worker, job)] == ["job.started", "job.failed"]
    log = worker.log()
    said = " ".join(json.loads((CLIPS / "clips.json").read_text())["demo.ogg"]["text"].split()[:4])
    for secret in (
        "BUCKET-SECRET",
        "S3-SECRET",
        "HOOK-TOKEN",
        SECRET,
        "Signature=",
        as_base64(CLIPS / "demo.ogg")[:40],
    ):
        assert secret not in log
    assert said.lower() not in log.lower()
    assert "Traceback" not in log


@pytest.mark.slow
def test_sigterm_lets_running_jobs_finish(platform: Platform, worker: Worker, long_recording: Path) -> None:
    job = platform.submit(long_job(long_recording))
    wait_for_event(worker, job, "job.started")  # the SDK drops a job that it has taken and not begun
    assert worker.terminate() == 0
    assert len(words(text(platform.wait(job, 180)))) == pytest.approx(2 * len(spoken("long.ogg")), rel=0.05)


@pytest.mark.slow
def test_a_stream_brings_segments_as_they_are_final_and_the_whole_in_the_end(platform: Platform) -> None:
    env = {"WHISPER_MODEL": "tiny.en", "STREAMING": "true"}
    with Worker(platform, env=env) as worker:
        worker.wait_ready()
        job = platform.submit(clip("long.ogg", output_format="json"))
        whole = platform.wait(job)["output"][-1]
        wrong = platform.wait(platform.submit({"audio": {"base64": "AAAA"}}))
    chunks = platform.job(job).chunks
    streamed = [segment for chunk in chunks[:-1] for segment in chunk.output["segments"]]
    assert streamed == whole["transcription"]["segments"]
    # The first window is shorter than without streaming, which changes a word of it for a small model.
    assert_spoken(whole["transcription"]["text"], "long.ogg", max_errors=6)
    assert chunks[0].at < chunks[-1].at
    assert wrong["status"] == "FAILED"
    assert "audio" in wrong["error"]
