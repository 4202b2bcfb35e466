"""Live transcription by the client of the openai package, with a real model, and a server that is told to stop."""

from __future__ import annotations

import asyncio
import base64
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import openai
import pytest
import requests

from media.sandbox import ffmpeg_executable
from tests.support.clips import CLIPS, ROOT, assert_spoken
from tests.support.http_api import wait_until
from tests.support.http_worker import KEY, HttpWorker, http_worker
from tests.support.live import SENTENCES, Caller
from tests.support.servers import free_port

pytestmark = pytest.mark.process

COMPLETED = "conversation.item.input_audio_transcription.completed"
DELTA = "conversation.item.input_audio_transcription.delta"


@pytest.fixture(scope="module")
def worker() -> Iterator[HttpWorker]:
    with http_worker() as running:
        yield running


@pytest.fixture(scope="module")
def speech() -> list[str]:
    """A clip and a second of silence as OpenAI's clients send it: 24 kHz, in base64, a tenth of a second each."""
    command = [ffmpeg_executable(), "-v", "error", "-i", str(CLIPS / "demo.ogg"), "-ac", "1", "-ar", "24000"]
    samples = subprocess.run([*command, "-f", "s16le", "-"], capture_output=True, check=True).stdout
    samples += np.zeros(24_000, "<i2").tobytes()
    return [base64.b64encode(samples[start : start + 4800]).decode() for start in range(0, len(samples), 4800)]


FINISH: Any = {"type": "session.finish"}
SESSION: Any = {
    "type": "transcription",
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24000},
            "transcription": {"model": "whisper-1", "language": "en"},
            "turn_detection": {"type": "server_vad", "silence_duration_ms": 300},
        }
    },
}


def assert_told(events: list[Any]) -> None:
    kinds = [event.type for event in events]
    assert kinds[:2] == ["session.created", "session.updated"]
    assert "error" not in kinds
    texts = {event.item_id: event.transcript for event in events if event.type == COMPLETED}
    deltas = {item: "".join(e.delta for e in events if e.type == DELTA and e.item_id == item) for item in texts}
    assert_spoken(" ".join(texts.values()), "demo.ogg")
    assert all(deltas.values())


@pytest.mark.filterwarnings("ignore:connect.. must be used as a context manager:DeprecationWarning")  # the SDK's own
@pytest.mark.model
def test_openais_client_hears_the_text(worker: HttpWorker, speech: list[str]) -> None:
    events = []
    with (
        openai.OpenAI(base_url=f"{worker.url}/v1", api_key=KEY) as client,
        client.realtime.connect(extra_query={"intent": "transcription"}) as connection,
    ):
        connection.session.update(session=SESSION)
        for piece in speech:
            connection.input_audio_buffer.append(audio=piece)
        connection.send(FINISH)
        for event in connection:
            events.append(event)
            if event.type == "session.finished":
                break
    assert_told(events)


@pytest.mark.slow
@pytest.mark.model
def test_openais_asynchronous_client_hears_the_text(worker: HttpWorker, speech: list[str]) -> None:
    async def hear() -> list[Any]:
        events = []
        async with (
            openai.AsyncOpenAI(base_url=f"{worker.url}/v1", api_key=KEY) as client,
            client.realtime.connect(model="gpt-4o-transcribe") as connection,
        ):
            await connection.session.update(session=SESSION)
            for piece in speech:
                await connection.input_audio_buffer.append(audio=piece)
            await connection.send(FINISH)
            async for event in connection:
                events.append(event)
                if event.type == "session.finished":
                    return events
        return events

    assert_told(asyncio.run(hear()))


@pytest.mark.slow
def test_a_server_that_stops_tells_the_rest_of_the_text_and_that_it_restarts() -> None:
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "tests.support.live_app", str(port)], cwd=ROOT)
    try:
        wait_until(lambda: _is_ready(port), 60)
        with Caller(port) as caller:
            caller.append(bytes(24_000))
            caller.next("input_audio_buffer.speech_started")
            process.send_signal(signal.SIGTERM)
            assert caller.next(COMPLETED)["transcript"] == SENTENCES[0]
            assert caller.next()["type"] == "session.finished"
            assert caller.close_code() == 1012
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def _is_ready(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/ping", timeout=5).status_code == 200
    except requests.ConnectionError:
        return False
