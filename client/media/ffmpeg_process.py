"""Runs ffmpeg over a recording from anybody, with the worker's bounds (`src/audio/ffmpeg_process.py`).

A recording may be a playlist in disguise, or declare what takes gigabytes. ffmpeg opens no other file, gets no
environment, and is bounded by the kernel where the system is Linux or another Unix; everywhere, it must go on.
"""

from __future__ import annotations

import functools
import math
import os
import shutil
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import ffmpeg

from client.errors import Stopped, WrongUsage

# The worker's; a test compares them.
DEMUXERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dsf,dss,dts,dtshd,eac3,flac,flv,gsm,iff,loas,matroska,mlp,mov,"
    "mp3,mpc,mpc8,mpeg,mpegts,mxf,nistsphere,ogg,qcp,rm,tak,truehd,tta,voc,w64,wav,wv"
)
MAX_ALLOC = 512 << 20
MAX_MEMORY = 1 << 30
MAX_STREAMS = 100
LIMIT_SCRIPT = """
{ ulimit -c 0; ulimit -d "$1"; ulimit -f "$2"; ulimit -S -t "$3"; ulimit -H -t "$4"; } 2>/dev/null
{ echo 1000 >/proc/self/oom_score_adj; } 2>/dev/null
unset PWD
shift 4
exec "$@"
"""

MAX_SECONDS = 100 * 3600.0
"""The longest recording that is compressed; slower than it would play, ffmpeg has stalled."""

STALL_SECONDS = 60.0

_STOP_INTERVAL_S = 0.2
_LAST_CPU_SECONDS = 30
_MAX_LINE = 4096
_MAX_LOG_LINES = 2000  # kept of the beginning and of the end
_ENVIRONMENT = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}  # Windows starts none without


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


@functools.cache
def ffmpeg_executable() -> str:
    """Return the path of the system's ffmpeg, else of the one from imageio-ffmpeg.

    Raises:
        WrongUsage: neither is installed.
    """
    if found := shutil.which("ffmpeg"):
        return found
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        raise WrongUsage("ffmpeg is not installed: install it, or the Python package imageio-ffmpeg") from None


def sandboxed_input(source: Path) -> ffmpeg.nodes.FilterableStream:
    """Return `source` as an input that cannot open anything else."""
    limits = {"protocol_whitelist": "file", "format_whitelist": DEMUXERS, "max_streams": MAX_STREAMS}
    return ffmpeg.input(f"file:{source}", **limits)


def run_ffmpeg(
    output: ffmpeg.nodes.OutputStream,
    *,
    file_bytes: int,
    stall_seconds: float = STALL_SECONDS,
    min_lines: int = 1,
    stop: threading.Event | None = None,
) -> FfmpegRun:
    """Run ffmpeg while it goes on, and at most for the CPU time of the longest recording.

    Args:
        output: what it writes.
        file_bytes: most bytes of a file that it writes.
        stall_seconds: how often it is looked after.
        min_lines: the lines that it must have printed since the last look; a run that prints none must have ended.
        stop: ends ffmpeg when set.

    Raises:
        Stopped: `stop` was set.
    """
    lines: list[str] = []
    head: list[str] = []
    tail: deque[str] = deque(maxlen=_MAX_LOG_LINES)

    def keep(line: str) -> None:
        (head if len(head) < _MAX_LOG_LINES else tail).append(line)

    command = _bounded(output, file_bytes)
    with (
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=_ENVIRONMENT,
        ) as process,
        ThreadPoolExecutor(2) as threads,
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        reading = [threads.submit(_read, process.stdout, lines.append), threads.submit(_read, process.stderr, keep)]
        try:
            stalled = not _ends(process, lines, stall_seconds, min_lines, stop or threading.Event())
        finally:
            process.kill()
        for read in reading:
            read.result()
    return FfmpegRun(process.returncode, lines, "".join([*head, *tail]), stalled)


def _bounded(output: ffmpeg.nodes.OutputStream, file_bytes: int) -> list[str]:
    arguments = ("-nostdin", "-hide_banner", "-nostats", "-max_alloc", str(MAX_ALLOC))
    command: list[str] = output.global_args(*arguments).compile(cmd=ffmpeg_executable(), overwrite_output=True)
    if os.name != "posix":
        return command
    cpu_seconds = math.ceil(MAX_SECONDS)
    numbers = (MAX_MEMORY // 1024, -(-file_bytes // 512), cpu_seconds, cpu_seconds + _LAST_CPU_SECONDS)
    return ["/bin/sh", "-c", LIMIT_SCRIPT, "sh", *(str(number) for number in numbers), *command]


def _read(stream: IO[str], keep: Callable[[str], object]) -> None:
    with stream:
        while line := stream.readline(_MAX_LINE):
            keep(line)


def _ends(
    process: subprocess.Popen[Any], lines: list[str], stall_seconds: float, min_lines: int, stop: threading.Event
) -> bool:
    """Wait for the end of `process`; False if it does not go on."""
    seen, next_look = 0, time.monotonic() + stall_seconds
    while not stop.is_set():
        try:
            process.wait(min(_STOP_INTERVAL_S, stall_seconds))
            return True
        except subprocess.TimeoutExpired:
            if time.monotonic() < next_look:
                continue
            if len(lines) - seen < min_lines:
                return False
            seen, next_look = len(lines), time.monotonic() + stall_seconds
    raise Stopped("stopped")
