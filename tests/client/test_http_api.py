"""The client against RunPod's routes of a server of one's own, with a transcriber that plays a script."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from api.http.app import create_app
from api.http.door import DoorSettings
from client.errors import EndpointFailed, EndpointUnusable
from client.settings import EndpointSettings
from client.transport.endpoint import Endpoint
from tests.client.conftest import run_command, settings_of, start_command, wait_until
from tests.client.scripted_worker import ScriptedWorker, make_answer
from tests.platform.emulator import Platform
from tests.support.http_api import ScriptedTranscriber, served

KEY = "secret"
WRONG_BODIES: list[Any] = [{}, [], {"input": {}, "policy": 1}, {"input": {}, "s3Config": 1}]
PARTS = ["--payload-limit", 200_000, "--parallel", 2, "--format", "json,srt"]


@pytest.fixture
def transcriber() -> ScriptedTranscriber:
    return ScriptedTranscriber()


@pytest.fixture
def port(transcriber: ScriptedTranscriber) -> Iterator[int]:
    with served(create_app(transcriber, DoorSettings(api_keys=frozenset({KEY})))) as port:
        yield port


@pytest.fixture(params=["", "/v2"], ids=["bare", "v2"])
def connection(request: pytest.FixtureRequest, port: int) -> list[str]:
    """The arguments that lead to the server."""
    endpoint = ["--endpoint", "local"] if request.param else []
    return ["--base-url", f"http://127.0.0.1:{port}{request.param}", *endpoint, "--api-key", KEY]


@pytest.mark.process
def test_a_recording_in_parts_is_transcribed(
    connection: list[str], transcriber: ScriptedTranscriber, folder: Path, long_recording: Path
) -> None:
    arguments = [*connection, *PARTS, "--output", "out"]
    run_command("transcribe", long_recording, *arguments, where="http://unused", folder=folder)
    saved = json.loads((folder / "out.json").read_text())
    assert len(saved["metadata"]["parts"]) == len(transcriber.jobs) == 3
    assert saved["transcription"]["text"].count("Good morning.") == 3


@pytest.mark.slow
@pytest.mark.process
def test_segments_are_printed_as_they_arrive(
    connection: list[str], transcriber: ScriptedTranscriber, folder: Path, recording: Path
) -> None:
    transcriber.segments = [{"id": 0, "start": 0.0, "end": 1.0, "text": " As it arrives."}]
    printed = run_command("transcribe", recording, *connection, "--stream", where="http://unused", folder=folder)
    assert printed.stdout.count("As it arrives.") == 1


@pytest.mark.slow
@pytest.mark.process
def test_ctrl_c_cancels_the_jobs(
    connection: list[str], transcriber: ScriptedTranscriber, folder: Path, long_recording: Path
) -> None:
    transcriber.held = True
    waiting = start_command("transcribe", long_recording, *connection, *PARTS, where="http://unused", folder=folder)
    wait_until(lambda: len(transcriber.jobs) == 2)
    waiting.send_signal(signal.SIGINT)
    waiting.communicate(timeout=20)
    assert waiting.returncode == 130
    wait_until(lambda: transcriber.cancelled == 2)


@pytest.mark.slow
@pytest.mark.process
def test_the_workers_sentence_reaches_the_user(
    connection: list[str], transcriber: ScriptedTranscriber, folder: Path, recording: Path
) -> None:
    transcriber.answer = {"error": "the file has no audio", "error_type": "UnsupportedMedia"}
    failed = run_command("transcribe", recording, *connection, where="http://unused", folder=folder, code=4)
    assert "the file has no audio" in failed.stderr


def test_a_wrong_key_is_said_to_be_wrong(port: int) -> None:
    endpoint = Endpoint(EndpointSettings(f"http://127.0.0.1:{port}/v2", "local", "wrong"))
    with pytest.raises(EndpointUnusable, match="the API key is wrong"):
        endpoint.submit({"audio": {"url": "https://example.org/a.mp3"}})


@pytest.mark.parametrize("path", ["/v2", ""])
def test_a_refusal_has_the_servers_sentence(port: int, path: str) -> None:
    endpoint = Endpoint(EndpointSettings(f"http://127.0.0.1:{port}{path}", "local" if path else None, KEY))
    with pytest.raises(EndpointFailed, match=r'answers 400: "policy" should be an object$'):
        endpoint.submit({}, policy=1)


def test_a_refusal_in_openais_form_has_its_sentence_too() -> None:
    with served(create_app(ScriptedTranscriber(), DoorSettings(max_requests=0))) as port:
        endpoint = Endpoint(EndpointSettings(f"http://127.0.0.1:{port}"), retry_timeout_s=0.1)
        with pytest.raises(EndpointUnusable, match=r"answers 429: the server has 0 requests at once: try again later$"):
            endpoint.submit({})


def answers_of(settings: EndpointSettings) -> dict[str, Any]:
    """How an endpoint answers each route: the status, and the keys of its JSON."""
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {settings.api_key}"
    job_id = session.post(f"{settings.url}/run", json={"input": {}}, timeout=10).json()["id"]
    wait_until(lambda: session.get(f"{settings.url}/status/{job_id}", timeout=10).json()["status"] == "COMPLETED")
    calls: list[tuple[str, str, Any]] = [
        *[("POST", path, {"input": {}}) for path in ("run", "runsync")],
        *[(method, f"{route}/{job_id}", None) for method in ("GET", "POST") for route in ("status", "stream")],
        *[("POST", f"{route}/{name}", None) for route in ("status", "stream", "cancel") for name in (job_id, "none")],
        *[("POST", "run", body) for body in WRONG_BODIES],
        *[("GET", "health", None), ("POST", "health", None), ("GET", "run", None), ("GET", f"cancel/{job_id}", None)],
    ]
    answers = {}
    for method, path, body in calls:
        response = session.request(method, f"{settings.url}/{path}", json=body, timeout=10)
        answers[f"{method} {path.replace(job_id, 'ID')} {body}"] = response.status_code, keys_of(response.json())
    return answers


def keys_of(value: Any) -> Any:
    """The keys of an object and of the objects in it, without those of a job's output."""
    if not isinstance(value, dict):
        return type(value).__name__
    return {key: None if key == "output" else keys_of(item) for key, item in value.items() if key != "workerId"}


def test_each_route_answers_as_on_the_platform(platform: Platform, port: int) -> None:
    with ScriptedWorker(platform, lambda _: make_answer("hello")):
        expected = answers_of(settings_of(platform))
    ours = answers_of(EndpointSettings(f"http://127.0.0.1:{port}/v2", "local", KEY))
    wrong_methods = {call for call, (status, _) in expected.items() if status == 405}
    assert {call: ours[call][0] for call in wrong_methods} == dict.fromkeys(wrong_methods, 405)
    assert {call: ours[call] for call in expected.keys() - wrong_methods} == {
        call: answer for call, answer in expected.items() if call not in wrong_methods
    }
