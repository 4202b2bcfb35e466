"""A worker in HTTP mode as a child process."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

from tests.support.clips import ROOT
from tests.support.servers import free_port

KEY = "a-key"


@dataclass
class HttpWorker:
    """A running `python handler.py`.

    Attributes:
        timeline: the statuses of its health path, each with the seconds from the process's start to its first answer.
    """

    port: int
    process: subprocess.Popen[str]
    timeline: dict[int, float] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(self, path: str) -> tuple[int, str]:
        """The status and body of an answer."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            connection.request("GET", path, headers={"Authorization": f"Bearer {KEY}"})
            response = connection.getresponse()
            return response.status, response.read().decode()

    def metric(self, name: str) -> float:
        """The value of a metric without labels."""
        lines = self.get("/metrics")[1].splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith(f"{name} ")))

    def wait_until_ready(self, began: float) -> None:
        while 200 not in self.timeline:
            assert self.process.poll() is None, "".join(self.log)
            assert time.monotonic() < began + 120, "not ready"
            try:
                status, _ = self.get("/ping")
                self.timeline.setdefault(status, time.monotonic() - began)
            except OSError:
                pass
            time.sleep(0.005)


@contextmanager
def http_worker(**env: str) -> Iterator[HttpWorker]:
    """Starts a worker, yields it once it is ready, and ends it."""
    port = free_port()
    began = time.monotonic()
    defaults = {"WHISPER_MODEL": "tiny.en", "PORT": str(port), "API_KEYS": f"another, {KEY}", "PAGE": "false"}
    process = subprocess.Popen(
        [sys.executable, "handler.py"],
        cwd=ROOT,
        env={**os.environ, **defaults, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    worker = HttpWorker(port, process)
    reading = threading.Thread(target=lambda: worker.log.extend(process.stdout), daemon=True)
    reading.start()
    try:
        worker.wait_until_ready(began)
        yield worker
    finally:
        process.kill()
        process.wait()
        reading.join(10)
        process.stdout.close()
