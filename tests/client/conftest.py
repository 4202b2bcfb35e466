"""Fixtures of the client's tests: the platform emulated in this process, real workers in the worker's environment."""

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

from client.settings import EndpointSettings
from client.transport.endpoint import Endpoint
from tests.platform.emulator import Platform
from tests.platform.routes import ENDPOINT
from tests.platform.worker import Worker

ROOT = Path(__file__).resolve().parents[2]
CLIPS = ROOT / "tests" / "data"
WORKER_PYTHON = ROOT / ".venv" / "bin" / "python"
MODEL = {"WHISPER_MODEL": "tiny.en"}


@pytest.fixture
def platform() -> Iterator[Platform]:
    with Platform(hold=0.2) as platform:
        yield platform


@pytest.fixture
def endpoint(platform: Platform) -> Endpoint:
    return Endpoint(settings_of(platform), retry_timeout_s=10.0)


@pytest.fixture(scope="session")
def streaming_platform() -> Iterator[Platform]:
    """A platform with a real worker that streams segments."""
    with Platform() as platform, Worker(platform, env={**MODEL, "STREAMING": "true"}, python=WORKER_PYTHON) as worker:
        worker.wait_ready()
        yield platform


@dataclass(frozen=True)
class LocalWorker:
    """A real worker behind the SDK's local API, as started by `make serve`."""

    url: str
    streams: bool
    log: Path

    @property
    def jobs_started(self) -> int:
        """Number of jobs that the worker has started."""
        return self.log.read_text().count("job.started")


@pytest.fixture(scope="session", params=[pytest.param(False, marks=pytest.mark.slow), True], ids=["plain", "streaming"])
def local_worker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalWorker]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    worker = LocalWorker(f"http://localhost:{port}", request.param, tmp_path_factory.mktemp("local") / "log")
    command = [str(WORKER_PYTHON), "handler.py", "--rp_serve_api", "--rp_api_port", str(port)]
    env = {**os.environ, **MODEL, "STREAMING": str(request.param).lower()}
    with worker.log.open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
    try:
        wait_until(lambda: is_up(f"{worker.url}/"), 60)
        yield worker
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(20)


@pytest.fixture
def long_recording() -> Path:
    """A recording of 78 s and 137 kB, too large for a small request."""
    return CLIPS / "long.ogg"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty working directory."""
    work = tmp_path / "work"
    work.mkdir()
    return work


@pytest.fixture
def recording(folder: Path) -> Path:
    """A short recording, copied to the working directory."""
    return Path(shutil.copy(CLIPS / "demo.ogg", folder / "talk.ogg"))


def settings_of(platform: Platform) -> EndpointSettings:
    return EndpointSettings(platform.url.rpartition("/")[0], ENDPOINT, platform.api_key)


def environment(where: Platform | str, folder: Path) -> dict[str, str]:
    """Environment variables that lead a command to its endpoint, with a separate cache and configuration."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RUNPOD_")}
    folders = {
        "XDG_CACHE_HOME": str(folder / "cache"),
        "XDG_CONFIG_HOME": str(folder / "config"),
        "XDG_DATA_HOME": str(folder / "data"),
        "PYTHONPATH": str(ROOT),
    }
    if isinstance(where, str):
        return {**inherited, **folders, "RUNPOD_BASE_URL": where}
    settings = settings_of(where)
    variables = {
        "RUNPOD_BASE_URL": settings.base_url,
        "RUNPOD_ENDPOINT_ID": ENDPOINT,
        "RUNPOD_API_KEY": where.api_key,
    }
    return {**inherited, **folders, **variables}


def start_command(module: str, *arguments: Any, where: Platform | str, folder: Path) -> subprocess.Popen[str]:
    """Start a command of the client in the working directory `folder`."""
    return subprocess.Popen(
        [sys.executable, "-m", f"client.{module}", *map(str, arguments)],
        cwd=folder,
        env=environment(where, folder.parent),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run_command(
    module: str, *arguments: Any, where: Platform | str, folder: Path, code: int = 0
) -> subprocess.CompletedProcess[str]:
    """Run a command of the client, and check its exit code and that it prints no traceback."""
    process = start_command(module, *arguments, where=where, folder=folder)
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, out + err
    assert "Traceback" not in out + err
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def wait_until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"still not true after {seconds:.0f} s"
        time.sleep(0.05)


def is_up(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).ok
    except requests.ConnectionError:
        return False
