"""One system in its own process: it loads once, then answers requests over a pipe.

So that its memory can be measured alone, no system's imports affect another's, and all systems can take turns.
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

from benchmarks.systems import System, Transcription

WHISPERX_PYTHON = Path(__file__).resolve().parents[1] / ".venv-whisperx" / "bin" / "python"


@dataclass(frozen=True)
class Request:
    """Recordings of one language to transcribe, `concurrency` of them at a time, each in its own thread."""

    paths: Sequence[Path]
    language: str | None
    concurrency: int = 1


@dataclass(frozen=True)
class Answer:
    """The transcriptions of a request, and what they took."""

    transcriptions: Sequence[Transcription]
    seconds: float
    peak_mb: float
    """The highest resident memory since the process began, file pages that the kernel may drop included."""


class SystemFailed(Exception):
    """A system could not load or answer; the message is the reason in a few words."""


class SystemProcess:
    """Runs one system in a child process while the block lasts."""

    def __init__(self, system: System, weights: str) -> None:
        self.system = system
        self._weights = weights

    def __enter__(self) -> SystemProcess:
        """Start the process and load the model.

        Raises:
            SystemFailed: The system cannot be loaded.
        """
        python = _interpreter(self.system.engine)
        self._pipe, child_pipe = Pipe()
        self._log = tempfile.TemporaryFile("w+")
        command = [python, "-m", "benchmarks.system_worker", str(child_pipe.fileno())]
        self._process = subprocess.Popen(
            command,
            pass_fds=[child_pipe.fileno()],
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )
        child_pipe.close()
        try:
            self._exchange((self.system, self._weights))
        except SystemFailed:
            self.close()
            raise
        return self

    def transcribe(self, request: Request) -> Answer:
        """Send a request and wait for its answer.

        Raises:
            SystemFailed: The system raised an error, or its process ended.
        """
        answer = self._exchange(request)
        assert isinstance(answer, Answer)
        return answer

    def _exchange(self, message: object) -> object:
        try:
            self._pipe.send(message)
            answer = self._pipe.recv()
        except (EOFError, OSError) as error:
            self._log.seek(0)
            lines = self._log.read().strip().splitlines() or ["no output"]
            raise SystemFailed(f"its process ended: {lines[-1]}") from error
        if isinstance(answer, SystemFailed):
            raise answer
        return answer

    def close(self) -> None:
        """Kill the process."""
        self._pipe.close()
        self._process.kill()
        self._process.wait()
        self._log.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _interpreter(engine: str) -> str:
    """Return the Python that has the engine's packages.

    WhisperX has its own, because its versions of torch and others exclude ours.

    Raises:
        SystemFailed: WhisperX is not installed.
    """
    if engine != "whisperx":
        return sys.executable
    python = os.environ.get("WHISPERX_PYTHON", str(WHISPERX_PYTHON))
    if not os.access(python, os.X_OK):
        raise SystemFailed(f"there is no {python}; docs/benchmarks.md says how to install WhisperX")
    return python
