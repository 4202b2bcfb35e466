"""The worker as RunPod runs it: `handler.py` under the SDK's own loop, against the emulated platform."""

from __future__ import annotations

import itertools
import json
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from moto.server import ThreadedMotoServer
from standardwebhooks import Webhook

from src.audio.ffmpeg_process import ffmpeg_executable
from tests.conftest import CLIPS, as_base64, spoken, words
from tests.platform.emulator import Platform
from tests.platform.faults import Fault
from tests.platform.worker import Worker

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
    """The long clip four times over: 5 minutes."""
    path = tmp_path_factory.mktemp("long") / "long.ogg"
    command = [ffmpeg_executable(), "-v", "error", "-stream_loop", "3", "-i", str(CLIPS / "long.ogg"), "-c", "copy"]
    subprocess.run([*command, str(path)], check=True)
    return path


def long_job(recording: Path, **options: Any) -> dict[str, Any]:
    return {"audio": {"base64": as_base64(recording)}, "options": {"output_format": "text", **options}}


def events(worker: Worker, job_id: str) -> list[dict[str, Any]]:
    return [line for line in json_objects(worker.log()) if line.get("job") == job_id]


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


def text(status: dict[str, Any]) -> list[str]:
    assert status["status"] == "COMPLETED", status
    return words(status["output"]["transcription"]["text"])


def test_jobs_at_once_get_each_its_own_words_despite_faults(platform: Platform, worker: Worker) -> None:
    platform.faults.rate = 0.2
    names = ["demo.ogg", "video.mp4", "numbers.mp3", "silence.flac"] * 4
    jobs = {platform.submit(clip(name, beam_size=2)): name for name in names}
    statuses = {job: platform.wait(job) for job in jobs}
    platform.faults.rate = 0.0
    for job, name in jobs.items():
        heard = text(statuses[job])
        assert heard == spoken(name) or name == "numbers.mp3"
        assert len([one for one in platform.job(job).results if one.accepted]) == 1


def test_a_wrong_job_fails_with_its_sentence_and_no_traceback(platform: Platform, worker: Worker) -> None:
    status = platform.wait(platform.submit({"audio": {"uri": "https://example.com"}}))
    assert status["status"] == "FAILED"
    assert 'did you mean "url"?' in status["error"]
    assert status["output"] == {"error_type": "InvalidInput"}


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


def test_a_cancelled_job_ends_within_a_second_and_leaves_nothing(
    platform: Platform, worker: Worker, long_recording: Path, scratch: Path
) -> None:
    job = platform.submit(long_job(long_recording, beam_size=5))
    platform.until(lambda: any(post.output["stage"] == "transcribing" for post in platform.job(job).progress))
    assert list(scratch.iterdir())
    platform.cancel(job)
    cancelled = time.monotonic()
    while len(events(worker, job)) < 2 and time.monotonic() - cancelled < 10:
        time.sleep(0.02)
    assert time.monotonic() - cancelled < 2.0  # one second, and the emulator's and this loop's own waits
    assert events(worker, job)[-1]["error_type"] == "Cancelled"
    assert text(platform.wait(platform.submit(clip("demo.ogg")))) == spoken("demo.ogg")
    assert list(scratch.iterdir()) == []
    assert platform.job(job).results == []


def test_the_execution_timeout_of_a_job_holds(platform: Platform, worker: Worker, long_recording: Path) -> None:
    job = platform.submit(long_job(long_recording), policy={"executionTimeout": 2500})
    assert platform.wait(job)["status"] in ("TIMED_OUT", "FAILED")
    time.sleep(1)
    assert events(worker, job)[-1]["error_type"] == "Cancelled"


class Receiver(BaseHTTPRequestHandler):
    """Takes webhooks; refuses the first."""

    taken: list[tuple[dict[str, str], bytes]]
    refuse = 1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        refused = type(self).refuse > 0
        type(self).refuse -= 1
        if not refused:
            self.taken.append(({key.lower(): value for key, value in self.headers.items()}, body))
        self.send_response(500 if refused else 204)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def receiver() -> Iterator[str]:
    Receiver.taken = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook?token=HOOK-TOKEN"
        server.shutdown()


def test_outcomes_are_told_to_the_webhook_signed(platform: Platform, worker: Worker, receiver: str) -> None:
    good = platform.submit({**clip("demo.ogg"), "webhook": {"url": receiver}})
    bad = platform.submit({"audio": {"base64": "AAAA"}, "webhook": {"url": receiver}})
    assert platform.wait(good)["output"]["metadata"]["warnings"] == []
    platform.wait(bad)
    told = [Webhook(SECRET).verify(body, headers) for headers, body in Receiver.taken]
    by_type = {one["type"]: one["data"] for one in told}
    assert set(by_type) == {"transcription.completed", "transcription.failed"}
    assert words(by_type["transcription.completed"]["transcription"]["text"]) == spoken("demo.ogg")
    assert by_type["transcription.failed"]["error_type"] == "UnsupportedMedia"


def test_a_webhook_that_fails_is_a_warning(platform: Platform, worker: Worker) -> None:
    status = platform.wait(
        platform.submit({**clip("demo.ogg"), "webhook": {"url": "http://127.0.0.1:9/?t=HOOK-TOKEN"}})
    )
    assert text(status) == spoken("demo.ogg")
    (warning,) = status["output"]["metadata"]["warnings"]
    assert "HOOK-TOKEN" not in warning


def test_results_go_to_the_bucket_where_asked(platform: Platform, worker: Worker) -> None:
    status = platform.wait(platform.submit({**clip("demo.ogg"), "upload": {"prefix": "mine"}}))
    files = status["output"]["files"]
    assert {"json", "srt", "vtt", "txt"} <= set(files)
    assert words(requests.get(files["txt"], timeout=10).text) == spoken("demo.ogg")


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


def test_sigterm_lets_running_jobs_finish(platform: Platform, worker: Worker, long_recording: Path) -> None:
    job = platform.submit(long_job(long_recording))
    platform.until(lambda: platform.job(job).status == "IN_PROGRESS")
    assert worker.terminate() == 0
    assert len(text(platform.wait(job, 180))) == pytest.approx(4 * len(spoken("long.ogg")), rel=0.05)


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
    # The first window is shorter than without streaming, and a small model hears a word of it otherwise.
    heard = words(whole["transcription"]["text"])
    assert sum(a != b for a, b in zip(heard, spoken("long.ogg"), strict=True)) <= 6
    assert chunks[0].at < chunks[-1].at - 0.2
    assert wrong["status"] == "FAILED"
    assert "audio" in wrong["error"]
