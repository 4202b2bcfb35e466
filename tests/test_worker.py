"""The worker as a process under the real SDK: its test mode, and its local HTTP API."""

from __future__ import annotations

import ast
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import CLIPS, ROOT, as_base64, spoken, words

DEMO = {"input": {"audio": {"base64": as_base64(CLIPS / "demo.ogg")}, "options": {"output_format": "json"}}}


def run(*arguments: str, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "WHISPER_MODEL": "tiny.en", **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def result(log: str) -> dict[str, Any]:
    """The job's result out of the SDK's log line."""
    line = next(line for line in log.splitlines() if "Job result: " in line)
    return ast.literal_eval(line.split("Job result: ", 1)[1])


@pytest.mark.parametrize("arguments", [["handler.py"], ["-m", "handler"]])
def test_the_worker_runs_the_job_in_test_input_json(arguments: list[str]) -> None:
    ran = run(*arguments)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert all(word in words(ran.stdout) for word in spoken("demo.ogg"))


def test_the_worker_runs_a_job_from_its_command_line() -> None:
    ran = run("handler.py", "--test_input", json.dumps(DEMO))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    output = result(ran.stdout)["output"]
    assert words(output["transcription"]["text"]) == spoken("demo.ogg")
    assert output["metadata"]["model"] == "tiny.en"


def test_a_wrong_job_ends_the_test_mode_with_its_sentence_and_exit_code_1() -> None:
    ran = run("handler.py", "--test_input", '{"input": {"audio": {"uri": "https://example.com"}}}')
    assert ran.returncode == 1
    assert 'did you mean "url"?' in ran.stdout
    assert "Traceback" not in ran.stdout + ran.stderr


def test_the_log_holds_nothing_of_the_job() -> None:
    bucket = {"endpointUrl": "http://127.0.0.1:9", "bucketName": "b", "accessId": "a", "accessSecret": "VERY-SECRET"}
    secret = {**DEMO, "s3Config": bucket, "id": "job-7"}
    ran = run("handler.py", "--test_input", json.dumps(secret), RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS="true")
    assert ran.returncode == 0
    assert "VERY-SECRET" not in ran.stdout + ran.stderr
    assert as_base64(CLIPS / "demo.ogg")[:100] not in ran.stdout + ran.stderr


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"WHISPER_MODEL": "tiny.eng"}, "tiny.en"),
        ({"MAX_AUDIO_SECONDS": "long", "DOWNLOAD_TIMEOUT": "-1"}, "MAX_AUDIO_SECONDS='long'"),
        ({"MAX_AUDIO_SECONDS": "long", "DOWNLOAD_TIMEOUT": "-1"}, "DOWNLOAD_TIMEOUT='-1'"),
    ],
)
def test_a_wrong_environment_ends_the_start_with_a_sentence(env: dict[str, str], told: str) -> None:
    ran = run("handler.py", **env)
    assert ran.returncode == 1
    assert told in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.fixture(scope="module")
def api() -> Iterator[str]:
    """The SDK's local API with the worker behind it; yields its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    worker = subprocess.Popen(
        [sys.executable, "handler.py", "--rp_serve_api", "--rp_api_host", "127.0.0.1", "--rp_api_port", str(port)],
        cwd=ROOT,
        env={**os.environ, "WHISPER_MODEL": "tiny.en"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(port, worker)
        yield f"http://127.0.0.1:{port}"
    finally:
        worker.terminate()
        worker.wait(timeout=30)


def wait_for(port: int, worker: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert worker.poll() is None, "the worker ended before it served"
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the worker did not serve within a minute")


def test_runsync_answers_with_the_words(api: str) -> None:
    answer = requests.post(f"{api}/runsync", json=DEMO, timeout=60).json()
    assert answer["status"] == "COMPLETED"
    assert words(answer["output"]["transcription"]["text"]) == spoken("demo.ogg")


def test_run_and_status_answer_with_the_words(api: str) -> None:
    submitted = requests.post(f"{api}/run", json=DEMO, timeout=60).json()
    answer = requests.post(f"{api}/status/{submitted['id']}", timeout=60).json()
    assert answer["status"] == "COMPLETED"
    assert words(answer["output"]["transcription"]["text"]) == spoken("demo.ogg")


def test_a_wrong_job_fails_with_its_sentence(api: str) -> None:
    wrong = {"input": {"audio": {"base64": "AAAA"}}}
    answer = requests.post(f"{api}/runsync", json=wrong, timeout=60).json()
    assert answer["status"] == "FAILED"
    assert isinstance(answer["error"], str)
    assert answer["error"]
