"""Terminal output of the commands: a progress bar, streamed segments, and errors as one sentence."""

from __future__ import annotations

import functools
import io
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Column

from client.errors import ClientError, OutputFailed, Stopped
from client.files import describe

REPORT_INTERVAL_S = 10.0
"""Time between two lines of progress where there is no terminal for a bar, such as in a log."""


class TimeLeft:
    """Estimates the remaining time from the progress so far, which starts after the wait for a worker.

    Args:
        clock: returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._origin: tuple[float, float] | None = None
        self._end: float | None = None

    def update(self, fraction: float) -> None:
        """Take in the fraction done."""
        now = self._clock()
        if self._origin is None or fraction == 0:
            self._origin = (now, fraction)
        started, first = self._origin
        if fraction - first > 0.02:
            self._end = now + (now - started) * (1 - fraction) / (fraction - first)

    def __str__(self) -> str:
        """Return `about 2 min left`; nothing before there is an estimate, and after it has proved too short."""
        seconds = 0.0 if self._end is None else self._end - self._clock()
        if seconds <= 0.5:
            return ""
        if seconds >= 5400:
            return f"about {seconds / 3600:.1f} h left"
        return f"about {seconds / 60:.0f} min left" if seconds >= 90 else f"about {seconds:.0f} s left"


class ProgressBar:
    """Progress on a terminal as a bar, elsewhere as a line now and then.

    Args:
        console: where it is shown.
        name: what is being processed.
        quiet: never show it.
    """

    def __init__(self, console: Console, name: str, *, quiet: bool) -> None:
        self._console, self._name = console, name
        self._time_left = TimeLeft()
        self._fraction, self._stage = 0.0, "sending"
        self._closed = threading.Event()
        self._prints_lines = not quiet and not console.is_terminal
        self._progress = Progress(
            TextColumn("{task.fields[name]}", table_column=Column(no_wrap=True, max_width=40)),
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[time_left]}", table_column=Column(no_wrap=True)),
            TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
            console=console,
            transient=True,
            expand=True,
            disable=quiet or not console.is_terminal,
        )
        self._task = self._add_task(name, self._stage, self._time_left)
        self._files: dict[str, tuple[TaskID, float]] = {}

    def __enter__(self) -> ProgressBar:
        self._progress.start()
        if self._prints_lines:
            threading.Thread(target=self._print_lines, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._progress.stop()

    def update(self, fraction: float, stage: str) -> None:
        """Show the fraction done and the current stage."""
        self._fraction, self._stage = fraction, stage
        self._time_left.update(fraction)
        self._progress.update(self._task, completed=fraction, description=escape(stage))

    def update_file(self, name: str, fraction: float, stage: str) -> None:
        """Show the progress of one of several files, on a line of its own."""
        task = self._files[name][0] if name in self._files else self._add_task(name, stage, "")
        self._files[name] = (task, fraction)
        self._progress.update(task, completed=fraction, description=escape(stage))

    def remove_file(self, name: str) -> None:
        """Remove the line of a file, if it has one."""
        if name in self._files:
            self._progress.remove_task(self._files.pop(name)[0])

    def _add_task(self, name: str, stage: str, time_left: TimeLeft | str) -> TaskID:
        return self._progress.add_task(escape(stage), total=1.0, name=escape(printable(name)), time_left=time_left)

    def print(self, message: str) -> None:
        """Print a line without disturbing the bar."""
        self._console.print(printable(message), markup=False, highlight=False, soft_wrap=True)

    def line(self) -> str:
        """Return the progress as `talk.mp3: transcribing, 24%, about 40 s left`, with the files of a batch."""
        facts = filter(None, [self._stage, f"{self._fraction:.0%}", str(self._time_left)])
        files = ", ".join(f"{name} {fraction:.0%}" for name, (_, fraction) in self._files.copy().items())
        return f"{self._name}: {', '.join(facts)}" + (f"; now {files}" if files else "")

    def _print_lines(self) -> None:
        while not self._closed.wait(REPORT_INTERVAL_S):
            self.print(self.line())


class BatchProgress:
    """Progress of several files at once, of which the larger ones count for more. Thread-safe.

    Args:
        bar: shows it.
        sizes: bytes of each file, by name.
    """

    def __init__(self, bar: ProgressBar, sizes: Mapping[str, int]) -> None:
        self._bar = bar
        self._sizes = dict(sizes)
        self._count = len(sizes)
        self._finished = 0
        self._done_bytes = 0
        self._running: dict[str, float] = {}
        self._lock = Lock()

    def update(self, name: str, fraction: float, stage: str) -> None:
        """Show the progress of a file."""
        with self._lock:
            self._running[name] = fraction
            self._bar.update_file(name, fraction, stage)
            self._show()

    def finish(self, name: str, *, skipped: bool = False) -> None:
        """Count a file as finished; one that was done before says nothing about the time left."""
        with self._lock:
            self._running.pop(name, None)
            self._bar.remove_file(name)
            self._finished += 1
            if skipped:
                del self._sizes[name]
            else:
                self._done_bytes += self._sizes[name]
            self._show()

    def _show(self) -> None:
        running_bytes = sum(self._sizes[name] * fraction for name, fraction in self._running.items())
        fraction = (self._done_bytes + running_bytes) / max(sum(self._sizes.values()), 1)
        self._bar.update(fraction, f"{self._finished} of {self._count} files")


class SegmentPrinter:
    """Prints segments."""

    def __init__(self) -> None:
        self.has_segments = False
        """True once a segment has arrived."""

    def print(self, segments: Sequence[dict[str, Any]]) -> None:
        """Print new segments."""
        self.has_segments = True
        sys.stdout.write("".join(f"{format_segment(segment)}\n" for segment in segments))
        sys.stdout.flush()


def printable(text: str) -> str:
    """Replace what is no text: names of files may contain commands for the terminal, or any bytes."""
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def exit_on_client_error(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command so that a client error or Ctrl-C prints a sentence and exits with its own code."""

    @functools.wraps(command)
    def wrapper(**arguments: Any) -> None:
        _replace_closed_streams()
        if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal's own encoding may lack characters
            sys.stdout.reconfigure(errors="replace")
        console = Console(stderr=True)
        try:
            command(**arguments)
        except ClientError as error:
            console.print(f"Error: {printable(str(error))}", markup=False, highlight=False, soft_wrap=True)
            _drop_unwritable_output()
            sys.exit(error.exit_code)
        except OSError as error:
            console.print(f"Error: {printable(describe(error))}", markup=False, highlight=False, soft_wrap=True)
            _drop_unwritable_output()
            sys.exit(OutputFailed.exit_code)
        except KeyboardInterrupt:
            console.print("Stopped; run the same command again to continue; finished parts are kept.", markup=False)
            # Not sys.exit, which would wait for threads that are still in a request.
            sys.stdout.flush()
            os._exit(Stopped.exit_code)

    return wrapper


def _replace_closed_streams() -> None:
    """Replace the streams that the caller has closed, as by `>&-`, by empty ones: Python sets them to None."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - stays open


def _drop_unwritable_output() -> None:
    """Drop what stdout cannot write: Python would try once more at its end, fail, and exit with 120."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def format_segment(segment: dict[str, Any]) -> str:
    """Return a segment as a line, with its times and its speaker."""
    speaker = f"{segment['speaker']}: " if segment.get("speaker") is not None else ""
    clock = f"[{_format_clock(segment['start'])} --> {_format_clock(segment['end'])}]"
    return f"{clock} {speaker}{segment['text'].strip()}"


def _format_clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds * 1000), 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest / 1000:06.3f}"
