"""What the client's tests share: the platform in this process, real workers in the worker's own environment."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from client.endpoint import Endpoint
from client.settings import Settings
from tests.platform.emulator import Platform
from tests.platform.routes import ENDPOINT
from tests.platform.worker import Worker

ROOT = Path(__file__).resolve().parents[2]
CLIPS = ROOT / "tests" / "data"
WORKERS_PYTHON = ROOT / ".venv" / "bin" / "python"
MODEL = {"WHISPER_MODEL": "tiny.en"}


@pytest.fixture
def platform() -> Iterator[Platform]:
    with Platform(hold=0.2) as platform:
        yield platform


@pytest.fixture
def endpoint(platform: Platform) -> Endpoint:
    return Endpoint(settings_of(platform), patience=10.0)


@pytest.fixture(scope="session")
def served() -> Iterator[Platform]:
    """A platform with a real worker that streams."""
    with Platform() as platform, Worker(platform, env={**MODEL, "STREAMING": "true"}, python=WORKERS_PYTHON) as worker:
        worker.wait_ready()
        yield platform


@dataclass(frozen=True)
class LocalWorker:
    """A real worker behind the SDK's own API, as `make serve` has it."""

    url: str
    streams: bool
    log: Path

    @property
    def begun(self) -> int:
        """How many jobs it has begun."""
        return self.log.read_text().count("job.started")


@pytest.fixture(scope="session", params=[False, True], ids=["plain", "streaming"])
def local_worker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalWorker]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    worker = LocalWorker(f"http://localhost:{port}", request.param, tmp_path_factory.mktemp("local") / "log")
    command = [str(WORKERS_PYTHON), "handler.py", "--rp_serve_api", "--rp_api_port", str(port)]
    env = {**os.environ, **MODEL, "STREAMING": str(request.param).lower()}
    with worker.log.open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
    try:
        until(lambda: answers(f"{worker.url}/"), 60)
        yield worker
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)


@pytest.fixture
def long() -> Path:
    """A recording of 78 s and 137 kB, which a small request cannot hold."""
    return CLIPS / "long.ogg"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty working directory."""
    work = tmp_path / "work"
    work.mkdir()
    return work


@pytest.fixture
def recording(folder: Path) -> Path:
    """A short recording to be transcribed."""
    return Path(shutil.copy(CLIPS / "demo.ogg", folder / "talk.ogg"))


def settings_of(platform: Platform) -> Settings:
    return Settings(platform.url.rpartition("/")[0], ENDPOINT, platform.api_key)


def environment(where: Platform | str, folder: Path) -> dict[str, str]:
    """What a command needs to find its endpoint, with a cache of its own."""
    known = {name: value for name, value in os.environ.items() if not name.startswith("RUNPOD_")}
    own = {"XDG_CACHE_HOME": str(folder / "cache"), "XDG_CONFIG_HOME": str(folder / "config"), "PYTHONPATH": str(ROOT)}
    if isinstance(where, str):
        return {**known, **own, "RUNPOD_BASE_URL": where}
    settings = settings_of(where)
    names = {
        "RUNPOD_BASE_URL": settings.base_url,
        "RUNPOD_ENDPOINT_ID": ENDPOINT,
        "RUNPOD_API_KEY": where.api_key,
    }
    return {**known, **own, **names}


def start(module: str, *arguments: Any, where: Platform | str, folder: Path) -> subprocess.Popen[str]:
    """A command of the client, in the working directory `folder`."""
    return subprocess.Popen(
        [sys.executable, "-m", f"client.{module}", *map(str, arguments)],
        cwd=folder,
        env=environment(where, folder.parent),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def command(
    module: str, *arguments: Any, where: Platform | str, folder: Path, code: int = 0
) -> subprocess.CompletedProcess[str]:
    """The same, run to its end, which must be with this exit code, and without a traceback."""
    process = start(module, *arguments, where=where, folder=folder)
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, out + err
    assert "Traceback" not in out + err
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "not so in time"
        time.sleep(0.05)


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.ConnectionError:
        return False
