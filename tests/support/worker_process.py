"""The worker's programs as child processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from http.client import HTTPConnection
from socket import create_server

from tests.support.clips import ROOT


def run_python(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs Python in the repository's root to its end, with `tiny.en` as the worker's model."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "WHISPER_MODEL": "tiny.en", **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@contextmanager
def http_worker(model: str, key: str) -> Iterator[str]:
    """Runs the worker in HTTP mode on loopback; yields its address, such as `127.0.0.1:8000`.

    Args:
        model: The worker's.
        key: That callers have to send; empty: none.
    """
    with create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    environment = {"WORKER_MODE": "http", "PORT": str(port), "API_KEYS": key, "WHISPER_MODEL": model}
    worker = subprocess.Popen([sys.executable, "handler.py"], cwd=ROOT, env=os.environ | environment)
    try:
        _wait_until_ready(port, worker)
        yield f"127.0.0.1:{port}"
    finally:
        worker.terminate()
        worker.wait(timeout=30)


def _wait_until_ready(port: int, worker: subprocess.Popen[bytes], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if worker.poll() is not None:
            raise AssertionError(f"the worker has ended with {worker.returncode}")
        with suppress(OSError), closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
            connection.request("GET", "/ping")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.1)
    raise AssertionError(f"the worker was not ready within {seconds} s")
