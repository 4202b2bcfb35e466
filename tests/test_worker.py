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
from typing import Any

import pytest
import requests

from tests.support.clips import CLIPS, ROOT, as_base64, assert_spoken, spoken, words
from tests.support.worker_process import run_python

pytestmark = [pytest.mark.process, pytest.mark.model]

DEMO = {"input": {"audio": {"base64": as_base64(CLIPS / "demo.ogg")}, "options": {"output_format": "json"}}}


def result(log: str) -> dict[str, Any]:
    """The job's result from the SDK's log line."""
    line = next(line for line in log.splitlines() if "Job result: " in line)
    return ast.literal_eval(line.split("Job result: ", 1)[1])


@pytest.fixture(scope="module")
def from_command_line() -> subprocess.CompletedProcess[str]:
    """`python handler.py --test_input` with a secret beside the job's input, in float32."""
    bucket = {"endpointUrl": "http://127.0.0.1:9", "bucketName": "b", "accessId": "a", "accessSecret": "VERY-SECRET"}
    job = json.dumps({**DEMO, "s3Config": bucket, "id": "job-7"})
    env = {"COMPUTE_TYPE": "float32", "LOG_FORMAT": "json", "RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS": "true"}
    completed = run_python("handler.py", "--test_input", job, **env)
    assert completed.returncode == 0, completed.stdout + completed.stderr
    return completed


def test_the_worker_runs_the_job_in_test_input_json() -> None:
    completed = run_python("-m", "handler")
    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert_spoken(result(completed.stdout)["output"]["transcription"]["text"], "demo.ogg")
    assert " WARNING " not in completed.stderr


@pytest.mark.parametrize("job", ["{'input': 1}", "", "[]", "demo.ogg"])
def test_a_test_input_that_is_no_json_object_is_refused_with_a_sentence(job: str) -> None:
    for arguments in (["--test_input", job], [f"--test_input={job}"]):
        completed = run_python("handler.py", *arguments)
        assert completed.returncode == 1
        assert completed.stderr.startswith("--test_input should be a JSON object")
        assert completed.stderr.count("\n") == 1


def test_the_worker_runs_a_job_from_its_command_line(from_command_line: subprocess.CompletedProcess[str]) -> None:
    """A smoke test: in float32 the words are exact on every CPU."""
    output = result(from_command_line.stdout)["output"]
    assert words(output["transcription"]["text"]) == spoken("demo.ogg")
    assert output["metadata"]["model"] == "tiny.en"


def test_the_log_holds_nothing_of_the_job(from_command_line: subprocess.CompletedProcess[str]) -> None:
    log = from_command_line.stdout + from_command_line.stderr
    assert "VERY-SECRET" not in log
    assert as_base64(CLIPS / "demo.ogg")[:100] not in log


def test_the_log_tells_when_imports_and_model_were_loaded(
    from_command_line: subprocess.CompletedProcess[str],
) -> None:
    lines = [json.loads(line) for line in from_command_line.stderr.splitlines() if line.startswith("{")]
    [loaded] = [line for line in lines if line["event"] == "worker.loaded"]
    assert loaded["model"] == "tiny.en"
    assert 0 < loaded["imported"] < loaded["loaded"]


def test_a_wrong_job_ends_the_test_mode_with_its_sentence_and_exit_code_1() -> None:
    completed = run_python("handler.py", "--test_input", '{"input": {"audio": {"uri": "https://example.com"}}}')
    assert completed.returncode == 1
    assert 'did you mean "url"?' in completed.stdout
    assert "Traceback" not in completed.stdout + completed.stderr


def test_wrong_variables_end_the_start_with_a_sentence_that_names_all() -> None:
    completed = run_python("handler.py", MAX_AUDIO_SECONDS="long", DOWNLOAD_TIMEOUT="-1")
    assert completed.returncode == 1
    assert "MAX_AUDIO_SECONDS='long'" in completed.stderr
    assert "DOWNLOAD_TIMEOUT='-1'" in completed.stderr
    assert "Traceback" not in completed.stderr


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
        wait_until_listening(port, worker)
        yield f"http://127.0.0.1:{port}"
    finally:
        worker.terminate()
        worker.wait(timeout=30)


def wait_until_listening(port: int, worker: subprocess.Popen[bytes]) -> None:
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
    assert_spoken(answer["output"]["transcription"]["text"], "demo.ogg")


def test_run_and_status_answer_with_the_words(api: str) -> None:
    submitted = requests.post(f"{api}/run", json=DEMO, timeout=60).json()
    answer = requests.post(f"{api}/status/{submitted['id']}", timeout=60).json()
    assert answer["status"] == "COMPLETED"
    assert_spoken(answer["output"]["transcription"]["text"], "demo.ogg")


def test_a_wrong_job_fails_with_its_sentence(api: str) -> None:
    wrong = {"input": {"audio": {"base64": "AAAA"}}}
    answer = requests.post(f"{api}/runsync", json=wrong, timeout=60).json()
    assert answer["status"] == "FAILED"
    assert isinstance(answer["error"], str)
    assert answer["error"]
