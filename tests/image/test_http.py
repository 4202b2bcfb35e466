"""The image in HTTP mode, and the image for load balancing that is made from it."""

from __future__ import annotations

import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest
import requests
from openai import OpenAI

from builder.image import engine
from tests.image.container import CONFINED, FITTING, IMAGE, ON_LOOPBACK, UNPRIVILEGED, remove, run_command
from tests.support.clips import CLIPS, ROOT, assert_spoken
from tests.support.servers import free_port

KEY = "a-key"


@contextmanager
def served(
    port: int, options: Sequence[str], env: Mapping[str, str], image: str = IMAGE
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs the image until it has loaded its model, and removes it."""
    name = f"worker-whisper-test-{uuid.uuid4().hex[:8]}"
    process = subprocess.Popen(run_command(name, [*options, *ON_LOOPBACK], {**FITTING, **env}, image))
    try:
        while ping(port) != 200:
            assert process.poll() is None, "the container has ended"
            time.sleep(0.05)
        yield process
    finally:
        remove(name)
        process.wait(60)


def ping(port: int) -> int | None:
    """The status of the health path; None: nothing listens yet."""
    try:
        return requests.get(f"http://127.0.0.1:{port}/ping", timeout=10).status_code
    except requests.ConnectionError:
        return None


def transcribed(port: int, key: str) -> str:
    client = OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key=key, max_retries=0)
    return client.audio.transcriptions.create(model="whisper-1", file=CLIPS / "demo.ogg").text


def test_openais_client_gets_a_transcript_with_the_key_alone() -> None:
    port = free_port()
    with served(port, UNPRIVILEGED, {"WORKER_MODE": "http", "PORT": str(port), "API_KEYS": KEY}) as process:
        assert_spoken(transcribed(port, KEY), "demo.ogg")
        assert requests.get(f"http://127.0.0.1:{port}/v1/models", timeout=10).status_code == 401
        process.terminate()
        assert process.wait(60) == 0


@pytest.fixture
def load_balancing() -> Iterator[str]:
    """The image of deploy/load-balancing, whose base is this one under the name that it has there."""
    tag, base = "worker-whisper-load-balancing", "you/worker-whisper:1"
    subprocess.run([*engine(), "tag", IMAGE, base], check=True)
    subprocess.run([*engine(), "build", "--tag", tag, str(ROOT / "deploy" / "load-balancing")], check=True)
    yield tag
    subprocess.run([*engine(), "rmi", tag, base], check=True)


def test_the_load_balanced_image_answers_at_the_port_of_its_listing(load_balancing: str) -> None:
    # Port 80 takes a privilege, except where the host's limit is lower, as docker's own networks have it.
    with served(80, [*CONFINED, "--cap-add", "net_bind_service"], {"API_KEYS": KEY}, load_balancing):
        assert_spoken(transcribed(80, KEY), "demo.ogg")
