"""A worker as a process of its own under the emulated platform."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

from tests.platform.emulator import Platform

ROOT = Path(__file__).resolve().parents[2]


class Worker:
    """Runs a worker's script from `start` to `close`, or as a context manager; its output goes to a file.

    It may be started again after `close`; a `log` then goes on where it was.
    """

    def __init__(
        self,
        platform: Platform,
        script: Path = ROOT / "handler.py",
        *,
        worker_id: str | None = None,
        env: Mapping[str, str] | None = None,
        arguments: Sequence[str] = (),
        cwd: Path = ROOT,
        log: Path | None = None,
        python: Path = Path(sys.executable),
    ) -> None:
        self.platform = platform
        self.id = worker_id or f"worker-{uuid.uuid4().hex[:8]}"
        self._command = [str(python), "-u", str(script), *arguments]
        self._env = {**os.environ, **platform.environment(self.id), **(env or {})}
        self._cwd = cwd
        self._log_path = log
        self._log: IO[bytes] | None = None
        self._last_words = ""
        self._takes_before = 0
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        mode = "ab+" if self._process else "wb+"
        self._log = self._log_path.open(mode) if self._log_path else tempfile.TemporaryFile()  # noqa: SIM115 (close)
        self.platform.admit(self.id)
        before = self.platform.workers.get(self.id)
        self._takes_before = before.takes if before else 0
        # A session of its own: Ctrl-C is the platform's to pass on, and the SDK's ping process goes with its worker.
        self._process = subprocess.Popen(
            self._command,
            cwd=self._cwd,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        threading.Thread(target=self._watch, args=(self._process,), daemon=True).start()

    def __enter__(self) -> Worker:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self._running.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._running.poll()

    def wait_ready(self, timeout: float = 120.0) -> None:
        """Until the worker asks for its first job."""
        self.platform.until(lambda: self.ready or self.exit_code is not None, timeout)
        if not self.ready:
            raise RuntimeError(f"the worker ended with {self.exit_code} before it was ready:\n{self.log()[-4000:]}")

    @property
    def ready(self) -> bool:
        record = self.platform.workers.get(self.id)
        return record is not None and record.takes > self._takes_before

    def log(self) -> str:
        """The worker's stdout and stderr so far."""
        if self._log is None:
            return self._last_words
        size = os.fstat(self._log.fileno()).st_size
        # At an offset: the process writes at the position that a seek would move.
        return os.pread(self._log.fileno(), size, 0).decode(errors="replace")

    def stop(self) -> None:
        """SIGTERM as at a scale-down, without waiting for the end.

        The platform gives the worker no more jobs from here on: the SDK drops one that it takes after the signal.
        """
        if self.exit_code is None:
            self.platform.retire(self.id)
            self._running.terminate()

    def terminate(self, timeout: float = 60.0) -> int:
        """SIGTERM, then the exit code."""
        self.stop()
        return self.wait(timeout)

    def wait(self, timeout: float = 60.0) -> int:
        """The exit code, once the worker has ended by itself."""
        return self._running.wait(timeout)

    def kill(self) -> None:
        """SIGKILL for the worker and its helper processes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._running.pid, signal.SIGKILL)
        self._running.wait()

    def close(self) -> None:
        """Ends the worker if it still runs; nothing of it is left afterwards but its log."""
        if self._process is None:
            return
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.terminate(timeout=10)
        finally:
            self.kill()
        self.platform.retire(self.id)
        if self._log:
            self._last_words = self.log()
            self._log.close()
            self._log = None

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process, "not started"
        return self._process

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self.platform.lose(self.id)
        self.platform.changed()
