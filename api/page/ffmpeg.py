"""Runs ffmpeg over a visitor's recording: sandboxed, as long as it goes on, and until it is stopped."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import IO

import ffmpeg

from media.log import FfmpegLog
from media.sandbox import MAX_MEMORY, MAX_STREAMS, FfmpegMissing, ProcessLimits, compile_command, open_process

STALL_SECONDS = 60.0
"""ffmpeg has stalled if it makes no progress for so long."""

_POLL_SECONDS = 0.2
_MAX_LINE = 4096
_CORES = os.cpu_count() or 1
_FILE_TOO_LARGE, _KILLED = -getattr(signal, "SIGXFSZ", 25), -getattr(signal, "SIGKILL", 9)
"""Statuses of a process that the kernel has ended, which only Unix does."""


class MediaFailed(Exception):
    """ffmpeg cannot make what was asked of a recording; with a sentence."""


class Stopped(Exception):
    """The result is not wanted any more."""


@dataclass(frozen=True)
class Bounds:
    """What one run may take.

    Attributes:
        seconds: of time.
        file_bytes: of each file that it writes.
        memory_bytes: of memory.
    """

    seconds: float
    file_bytes: int
    memory_bytes: int = MAX_MEMORY


def ignore_position(seconds: float) -> None:
    """Take no notice of how far the output is."""


def run_ffmpeg(
    output: ffmpeg.nodes.OutputStream,
    bounds: Bounds,
    stop: Event,
    *,
    folder: Path | None = None,
    on_position: Callable[[float], None] = ignore_position,
    on_line: Callable[[str], None] | None = None,
) -> FfmpegLog:
    """Run ffmpeg to its end.

    Args:
        output: what it writes.
        bounds: of the run.
        stop: ends it when set.
        folder: its working directory.
        on_position: called every 0.2 s with the seconds of the recording up to which the output is written.
        on_line: called on another thread with each line that it prints; None: it prints none.

    Returns:
        What it logged; its status may be other than 0.

    Raises:
        MediaFailed: it stalled or exceeded a bound, or there is no ffmpeg.
        Stopped: `stop` was set.
    """
    try:
        limits = ProcessLimits(bounds.seconds * _CORES, bounds.file_bytes, bounds.memory_bytes)
        command = compile_command(output, limits)
    except FfmpegMissing as error:
        raise MediaFailed(str(error)) from None
    log = FfmpegLog()
    with open_process(command, folder, piped=on_line is not None) as process:
        readers = [Thread(target=log.read, args=(process.stderr,), daemon=True)]
        if on_line:
            readers.append(Thread(target=_read_lines, args=(process.stdout, on_line), daemon=True))
        for reader in readers:
            reader.start()
        try:
            _wait(process, log, bounds.seconds, stop, on_position)
        finally:
            process.kill()
            for reader in readers:
                reader.join()
    log.status = process.returncode
    _refuse_exhausted(log)
    return log


def _read_lines(stream: IO[str], on_line: Callable[[str], None]) -> None:
    while line := stream.readline(_MAX_LINE):
        on_line(line)


def _wait(
    process: subprocess.Popen[str],
    log: FfmpegLog,
    seconds: float,
    stop: Event,
    on_position: Callable[[float], None],
) -> None:
    started = last_advance = time.monotonic()
    position = -1.0
    while not stop.is_set():
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_POLL_SECONDS)
            return
        now = time.monotonic()
        if log.position > position:
            position, last_advance = log.position, now
            on_position(position)
        if now - last_advance > STALL_SECONDS or now - started > seconds:
            raise MediaFailed("the recording takes longer than an intact one would: it is damaged; convert it")
    raise Stopped


def _refuse_exhausted(log: FfmpegLog) -> None:
    if log.status == 0:
        return
    if log.has_too_many_streams:
        raise MediaFailed(f"the recording has more than {MAX_STREAMS} tracks: leave some out")
    if log.lacks_cpu_time or log.lacks_memory:
        raise MediaFailed("the recording takes more of the machine than an intact one would: it is damaged; convert it")
    if log.status == _FILE_TOO_LARGE:
        raise MediaFailed("the result would be larger than this server keeps: use a shorter recording")
    if log.status == _KILLED or log.lacks:
        raise MediaFailed("the server has no disk space or memory left for this: try it later")
