"""Runs ffmpeg for a job: sandboxed (`media/sandbox.py`), until the job ends, and with the worker's errors."""

import errno
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from threading import Thread

import ffmpeg

from media import sandbox
from media.log import FfmpegLog
from media.sandbox import MAX_STREAMS, FfmpegMissing, ProcessLimits
from src.errors import UnsupportedMedia, WorkerError, explain_os_error
from src.job_control import JobControl

_turns = itertools.count()
"""Numbers the processes that stay on one core."""


def compile_command(output: ffmpeg.nodes.OutputStream, limits: ProcessLimits) -> list[str]:
    """Return the command line that writes `output` within the limits.

    Raises:
        WorkerError: there is no ffmpeg.
    """
    try:
        return sandbox.compile_command(output, limits)
    except FfmpegMissing as error:
        raise WorkerError(str(error)) from error


@contextmanager
def start_ffmpeg(
    command: list[str],
    log: FfmpegLog,
    control: JobControl,
    folder: Path | None = None,
    *,
    piped: bool = False,
    on_one_core: bool = False,
) -> Iterator["subprocess.Popen[str]"]:
    """Start ffmpeg; the end of the block, or of the job, kills it.

    Args:
        command: from `compile_command`.
        log: filled by a thread while ffmpeg runs; complete, with the exit status, after the block.
        control: stops ffmpeg with the job.
        folder: ffmpeg's working directory.
        piped: the process has its output as `stdout`; the block must read it, in bytes, from `stdout.buffer`.
        on_one_core: ffmpeg stays on one core, another one for each call. It passes each packet through five threads,
            which takes most of its time if they wake each other on different cores: 10 minutes of FLAC, Opus and MP3
            take 0.57, 1.7 and 0.75 s of CPU time on two cores, 0.28, 1.06 and 0.36 s on one.

    Raises:
        Cancelled: the job was stopped.
    """
    with _this_thread_on_one_core() if on_one_core and sys.platform == "linux" else nullcontext():
        started = sandbox.open_process(command, folder, piped=piped)
    with started as process:
        assert process.stderr is not None
        reader = Thread(target=log.read, args=(process.stderr,), daemon=True)
        reader.start()
        try:
            with control.on_cancel(process.kill):
                yield process
        finally:
            process.kill()
            reader.join()
    log.status = process.returncode


def refuse_exhausted(log: FfmpegLog) -> None:
    """Raise an error for a run that nobody stopped, if it failed at a limit or for want of something.

    A file over its limit of size is left to the caller, which knows what it means.

    Raises:
        UnsupportedMedia: the file has too many tracks, or takes more memory or CPU time than any that is intact.
        OutOfResources: the worker lacks disk space, memory or descriptors.
    """
    if log.status == 0:
        return
    if log.has_too_many_streams:
        raise UnsupportedMedia(f"the file has more than {MAX_STREAMS} tracks: leave some out")
    if log.lacks_cpu_time:
        raise UnsupportedMedia("the file takes more CPU time than an intact one would: it is damaged; re-encode it")
    if log.lacks_memory:
        raise UnsupportedMedia("the file takes more memory than an intact one would: it is damaged; re-encode it")
    lacks = errno.ENOMEM if log.status == -signal.SIGKILL else log.lacks  # the system kills what takes its last memory
    if error := explain_os_error(OSError(lacks, "")):
        raise error


@contextmanager
def _this_thread_on_one_core() -> Iterator[None]:
    """Keep this thread, and the processes that it starts in the block, on one core; the cores take turns."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[next(_turns) % len(cores)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)
