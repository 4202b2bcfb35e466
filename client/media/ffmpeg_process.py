"""Runs ffmpeg over a recording from anybody: sandboxed (`media/sandbox.py`), and stopped when it stalls."""

from __future__ import annotations

import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, Any

import ffmpeg

from client.errors import Stopped, WrongUsage
from media.sandbox import FfmpegMissing, ProcessLimits, compile_command, open_process

MAX_SECONDS = 100 * 3600.0
"""The longest recording that is compressed; slower than it would play, ffmpeg has stalled."""

STALL_SECONDS = 60.0

_STOP_INTERVAL_S = 0.2
_MAX_LINE = 4096
_MAX_LOG_LINES = 2000  # kept of the beginning and of the end


@dataclass(frozen=True)
class FfmpegRun:
    """What came of a run."""

    status: int
    lines: list[str]
    """What ffmpeg printed."""
    log: str
    """The beginning and the end of its log."""
    stalled: bool
    """True if it had to be stopped."""


def run_ffmpeg(
    output: ffmpeg.nodes.OutputStream,
    *,
    file_bytes: int,
    stall_seconds: float = STALL_SECONDS,
    min_lines: int = 1,
    stop: threading.Event | None = None,
    on_lines: Callable[[int], object] = lambda _count: None,
) -> FfmpegRun:
    """Run ffmpeg while it makes progress, and at most for the CPU time of the longest recording.

    Args:
        output: what it writes.
        file_bytes: most bytes of a file that it writes.
        stall_seconds: time between two checks of its progress.
        min_lines: lines that it must have printed since the last check, or it has stalled.
        stop: ends ffmpeg when set.
        on_lines: called now and then with the number of lines that it has printed.

    Raises:
        Stopped: `stop` was set.
        WrongUsage: there is no ffmpeg.
    """
    lines: list[str] = []
    head: list[str] = []
    tail: deque[str] = deque(maxlen=_MAX_LOG_LINES)

    def keep(line: str) -> None:
        (head if len(head) < _MAX_LOG_LINES else tail).append(line)

    command = _bounded(output, file_bytes)
    with open_process(command, piped=True) as process, ThreadPoolExecutor(2) as threads:
        assert process.stdout is not None
        assert process.stderr is not None
        reading = [threads.submit(_read, process.stdout, lines.append), threads.submit(_read, process.stderr, keep)]
        try:
            stalled = not _ends(process, lines, stall_seconds, min_lines, stop or threading.Event(), on_lines)
        finally:
            process.kill()
        for read in reading:
            read.result()
    return FfmpegRun(process.returncode, lines, "".join([*head, *tail]), stalled)


def _bounded(output: ffmpeg.nodes.OutputStream, file_bytes: int) -> list[str]:
    try:
        return compile_command(output.global_args("-nostats"), ProcessLimits(MAX_SECONDS, file_bytes))
    except FfmpegMissing as error:
        raise WrongUsage(str(error)) from None


def _read(stream: IO[str], keep: Callable[[str], object]) -> None:
    with stream:
        while line := stream.readline(_MAX_LINE):
            keep(line)


def _ends(
    process: subprocess.Popen[Any],
    lines: list[str],
    stall_seconds: float,
    min_lines: int,
    stop: threading.Event,
    on_lines: Callable[[int], object],
) -> bool:
    """Wait for the end of `process`; False if it stalls."""
    seen, next_look = 0, time.monotonic() + stall_seconds
    while not stop.is_set():
        try:
            process.wait(min(_STOP_INTERVAL_S, stall_seconds))
            return True
        except subprocess.TimeoutExpired:
            on_lines(len(lines))
            if time.monotonic() < next_look:
                continue
            if len(lines) - seen < min_lines:
                return False
            seen, next_look = len(lines), time.monotonic() + stall_seconds
    raise Stopped("stopped")
