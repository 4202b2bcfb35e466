"""The client against RunPod's routes of a server of one's own, with a transcriber that plays a script."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.http.app import create_app
from api.http.door import DoorSettings
from client.errors import EndpointFailed, EndpointUnusable
from client.settings import EndpointSettings
from client.transport.endpoint import Endpoint
from tests.client.conftest import run_command, start_command, wait_until
from tests.support.http_api import ScriptedTranscriber, served

KEY = "secret"
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


@pytest.mark.process
def test_segments_are_printed_as_they_arrive(
    connection: list[str], transcriber: ScriptedTranscriber, folder: Path, recording: Path
) -> None:
    transcriber.segments = [{"id": 0, "start": 0.0, "end": 1.0, "text": " As it arrives."}]
    printed = run_command("transcribe", recording, *connection, "--stream", where="http://unused", folder=folder)
    assert printed.stdout.count("As it arrives.") == 1


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
