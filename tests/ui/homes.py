"""The page's homes as people have them, as processes: a worker, and the client in front of an endpoint."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import imageio_ffmpeg

from tests.support.servers import free_port
from tests.ui.browser import CLIPS, ROOT
from tests.ui.scripted import wait_until

KEY = "the-key-that-no-browser-may-see"
WORKER_PYTHON, CLIENT_PYTHON = str(ROOT / ".venv/bin/python"), str(ROOT / ".venv-client/bin/python")
START_S = 120.0
"""Limit of a start on a busy machine."""

_SETTINGS = ("RUNPOD_", "API_KEYS", "WORKER_MODE", "PORT", "HOST", "PAGE", "WHISPER_")
"""Beginnings of variables that a developer's shell may have, and a home may not."""


@dataclass
class Home:
    """A process that serves the page.

    Attributes:
        command: of the process.
        env: what its environment has beside the tests'.
        port: at which it listens.
        announced: what it prints when it is ready.
        log: what it has printed.
    """

    command: list[str]
    env: Mapping[str, str]
    port: int = 0
    announced: str = ""
    log: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Start the process, and wait until it announces that it is ready."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
        self._process = subprocess.Popen(
            self.command,
            cwd=ROOT,
            env={**inherited, **self.env},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.log.clear()
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()
        wait_until(lambda: self._process.poll() is not None or re.search(self.announced, "".join(self.log)), START_S)
        assert self._process.poll() is None, "".join(self.log)

    def stop(self) -> None:
        """End the process as its machine would, with what runs in it."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._process.wait()
        self._reading.join(10)

    def restart(self) -> None:
        self.stop()
        self.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            self.log.extend(lines)


@contextmanager
def a_worker(folder: Path, **env: str) -> Iterator[Home]:
    """A worker in HTTP mode with tiny.en.

    Args:
        folder: of the page.
        env: further settings.
    """
    port = free_port()
    settings = {"WORKER_MODE": "http", "PORT": str(port), "WHISPER_MODEL": "tiny.en", "PAGE_FOLDER": str(folder), **env}
    command = [WORKER_PYTHON, "-u", "handler.py"]
    with _running(Home(command, settings, port, r"worker\.ready")) as home:
        yield home


@contextmanager
def a_bridge(folder: Path, *arguments: str) -> Iterator[Home]:
    """The client's page in front of an endpoint with one worker.

    Args:
        folder: of the page.
        arguments: of the command.
    """
    port = free_port()
    platform = [WORKER_PYTHON, "-u", "-m", "tests.platform", "--port", str(port), "--api-key", KEY]
    endpoint = {
        "RUNPOD_BASE_URL": f"http://localhost:{port}/v2",
        "RUNPOD_ENDPOINT_ID": "ep",
        "RUNPOD_API_KEY": KEY,
    }
    worker = Home(platform, {"WHISPER_MODEL": "tiny.en", "STREAMING": "true"}, port, r"Ready\.")
    with _running(worker), _client("page", folder, endpoint, "--no-open", *arguments) as home:
        yield home


@contextmanager
def a_bridge_to_one_worker(folder: Path) -> Iterator[Home]:
    """The client's server in front of a worker of `make serve`, which has neither endpoint nor key."""
    port = free_port()
    command = [WORKER_PYTHON, "-u", "handler.py", "--rp_serve_api", "--rp_api_port", str(port)]
    worker = Home(command, {"WHISPER_MODEL": "tiny.en"}, port, r"running on http")
    with _running(worker), _client("serve", folder, {"RUNPOD_BASE_URL": f"http://localhost:{port}"}) as home:
        yield home


@contextmanager
def _client(module: str, folder: Path, env: Mapping[str, str], *arguments: str) -> Iterator[Home]:
    port = free_port()
    flags = ["--port", str(port), "--page-folder", str(folder), *arguments]
    command = [CLIENT_PYTHON, "-u", "-m", f"client.{module}", *flags]
    with _running(Home(command, env, port, r"The page: http://")) as home:
        yield home


@contextmanager
def _running(home: Home) -> Iterator[Home]:
    home.start()
    try:
        yield home
    finally:
        home.stop()


def fake_microphone(folder: Path) -> Path:
    """What the browser's microphone hears, again and again."""
    path = folder / "microphone.wav"
    ffmpeg("-i", CLIPS / "numbers.mp3", "-ar", "48000", path)
    return path


def ffmpeg(*arguments: str | Path) -> None:
    """Run ffmpeg."""
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-loglevel", "error", *arguments], check=True)
