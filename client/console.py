"""Terminal output of the commands: a progress bar, streamed segments, and errors as one sentence."""

from __future__ import annotations

import functools
import os
import sys
from collections import deque
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from client.errors import ClientError, OutputFailed, Stopped
from client.files import describe
from client.merge.outputs import shift_segments
from client.transport.fanout import JobSpec


class ProgressBar:
    """A progress bar, shown only on a terminal.

    Args:
        console: where it is shown.
        name: what is being processed.
        quiet: never show it.
    """

    def __init__(self, console: Console, name: str, *, quiet: bool) -> None:
        self._progress = Progress(
            TextColumn("{task.fields[name]}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._task = self._progress.add_task("sending", total=1.0, name=escape(name))

    def __enter__(self) -> ProgressBar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def update(self, fraction: float, stage: str) -> None:
        """Show the fraction done and the current stage."""
        self._progress.update(self._task, completed=fraction, description=escape(stage))


class SegmentPrinter:
    """Prints segments in the order of the recording.

    Segments of the first unfinished part are printed as they arrive; those of later parts are held back until then.
    """

    def __init__(self) -> None:
        self.has_segments = False
        """True once a segment has arrived."""
        self._lock = Lock()
        self._unfinished: deque[int] = deque()
        """Starts of the parts, in milliseconds; the first one is printed as it arrives."""
        self._buffered: dict[int, str] = {}
        self._done: set[int] = set()

    def on_start(self, jobs: Sequence[JobSpec]) -> None:
        """Set the order of the parts."""
        self._unfinished = deque(_start_ms(job) for job in jobs)

    def on_segments(self, job: JobSpec, segments: list[dict[str, Any]]) -> None:
        """Print or buffer new segments of a part."""
        start = _start_ms(job)
        self.has_segments = True
        lines = "".join(map(_format_line, shift_segments(segments, job.start)))
        with self._lock:
            self._buffered[start] = self._buffered.get(start, "") + lines
            self._print()

    def on_job_done(self, job: JobSpec) -> None:
        """Mark a part as complete."""
        with self._lock:
            self._done.add(_start_ms(job))
            self._print()

    def _print(self) -> None:
        while self._unfinished:
            sys.stdout.write(self._buffered.pop(self._unfinished[0], ""))
            if self._unfinished[0] not in self._done:
                break
            self._unfinished.popleft()
        sys.stdout.flush()


def exit_on_client_error(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command so that a client error or Ctrl-C prints a sentence and exits with its own code."""

    @functools.wraps(command)
    def wrapper(**arguments: Any) -> None:
        console = Console(stderr=True)
        try:
            command(**arguments)
        except ClientError as error:
            console.print(f"Error: {error}", markup=False, highlight=False, soft_wrap=True)
            sys.exit(error.exit_code)
        except OSError as error:
            console.print(f"Error: {describe(error)}", markup=False, highlight=False, soft_wrap=True)
            sys.exit(OutputFailed.exit_code)
        except KeyboardInterrupt:
            console.print("Stopped; run the same command again to resume.", markup=False)
            # Not sys.exit, which would wait for threads that are still in a request.
            sys.stdout.flush()
            os._exit(Stopped.exit_code)

    return wrapper


def _start_ms(job: JobSpec) -> int:
    return round(job.start * 1000)


def _format_line(segment: dict[str, Any]) -> str:
    return f"[{_format_clock(segment['start'])} --> {_format_clock(segment['end'])}] {segment['text'].strip()}\n"


def _format_clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds * 1000), 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest / 1000:06.3f}"
