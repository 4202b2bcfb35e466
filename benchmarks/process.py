"""A system in a process of its own: it loads once, then answers requests over a pipe, and is idle in between.

So its memory is its own, no system slows another's imports, and all can take turns.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from pathlib import Path
from types import TracebackType

from benchmarks.systems import System


@dataclass(frozen=True)
class Request:
    """Recordings of one language, `at_once` of them from threads of their own."""

    paths: Sequence[Path]
    language: str | None
    at_once: int = 1


@dataclass(frozen=True)
class Answer:
    texts: Sequence[str]
    seconds: float
    peak_mb: float
    """Most memory that was resident since the process began, file pages that can be dropped included."""


class SystemFailed(Exception):
    """Why a system has no answer, in a few words."""


class SystemProcess:
    """Raises SystemFailed, on entering if the system cannot be loaded, on `ask` if it cannot answer."""

    def __init__(self, system: System, weights: str) -> None:
        self.system = system
        self._weights = weights

    def __enter__(self) -> SystemProcess:
        self._pipe, theirs = Pipe()
        self._log = tempfile.TemporaryFile("w+")
        command = [sys.executable, "-m", "benchmarks.worker", str(theirs.fileno())]
        self._process = subprocess.Popen(
            command,
            pass_fds=[theirs.fileno()],
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )
        theirs.close()
        try:
            self._exchange((self.system, self._weights))
        except SystemFailed:
            self.close()
            raise
        return self

    def ask(self, request: Request) -> Answer:
        answer = self._exchange(request)
        assert isinstance(answer, Answer)
        return answer

    def _exchange(self, message: object) -> object:
        try:
            self._pipe.send(message)
            answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            self._log.seek(0)
            lines = self._log.read().strip().splitlines() or ["it said nothing"]
            raise SystemFailed(f"its process ended: {lines[-1]}") from error
        if isinstance(answer, SystemFailed):
            raise answer
        return answer

    def close(self) -> None:
        self._pipe.close()
        self._process.kill()
        self._process.wait()
        self._log.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
