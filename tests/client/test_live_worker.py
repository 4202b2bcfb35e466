"""The commands of docs/client.md's section on live transcription, as they stand, with a real worker in HTTP mode."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from media.sandbox import ffmpeg_executable
from tests.client.conftest import CLIPS, MODEL, ROOT, WORKER_PYTHON, environment, wait_until

pytestmark = [pytest.mark.process, pytest.mark.model, pytest.mark.slow]

SECTION = (ROOT / "docs" / "client.md").read_text().partition("\n## Live\n")[2].partition("\n## ")[0]
COMMANDS = [line.partition("#")[0].strip() for line in re.findall(r"^.*worker-whisper live.*$", SECTION, re.MULTILINE)]


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a worker in HTTP mode."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    mode = {"WORKER_MODE": "http", "PORT": str(port), "PAGE": "false", "REQUIRE_API_KEY": "false"}
    with (tmp_path_factory.mktemp("worker") / "log").open("w") as log:
        process = subprocess.Popen(
            [str(WORKER_PYTHON), "handler.py"], cwd=ROOT, env={**os.environ, **MODEL, **mode}, stdout=log, stderr=log
        )
    try:
        wait_until(lambda: is_ready(f"http://localhost:{port}/ping"), 240)
        yield f"http://localhost:{port}"
    finally:
        process.terminate()
        process.wait(30)


def is_ready(address: str) -> bool:
    """True once the worker's health path answers 200; while it loads, that is 204."""
    try:
        return requests.get(address, timeout=10).status_code == 200
    except requests.RequestException:
        return False


def run_documented(command: str, worker: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of the documents, with this environment's Python, and a file in place of the microphone."""
    shutil.copy(CLIPS / "demo.ogg", folder / "talk.mp3")
    shown = command.replace("worker-whisper", f"{shlex.quote(sys.executable)} -m client")
    decode = f"{ffmpeg_executable()} -v error -i talk.mp3 -ar 16000 -f wav -"
    shown = shown.replace("arecord -f S16_LE -r 16000", decode)
    env = environment(worker, folder.parent)
    return subprocess.run(["sh", "-c", shown], cwd=folder, env=env, capture_output=True, text=True, timeout=240)


@pytest.mark.parametrize("command", [command for command in COMMANDS if not command.endswith("whisper live")])
def test_the_documented_commands_hear_what_is_said(command: str, worker: str, folder: Path) -> None:
    done = run_documented(command, worker, folder)
    assert done.returncode == 0, done.stderr
    assert "brown fox" in done.stdout
    if "--srt" in command:
        assert (folder / "talk.srt").read_text().startswith("1\n00:00:0")


def test_without_a_recording_the_microphone_is_heard_or_it_is_said_why_not(worker: str, folder: Path) -> None:
    (command,) = [command for command in COMMANDS if command.endswith("whisper live")]
    done = run_documented(command, worker, folder)
    assert done.returncode == 2
    assert "microphone" in done.stderr
