"""What the commands show: a progress bar, segments as they come, and errors in a sentence."""

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

from client.errors import ClientError, Stopped
from client.fanout import Task
from client.merge import shifted


class Bar:
    """A progress bar, where there is a screen to show it."""

    def __init__(self, console: Console, name: str, *, quiet: bool) -> None:
        self._shown = Progress(
            TextColumn("{task.fields[name]}"),
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._task = self._shown.add_task("sending", total=1.0, name=escape(name))

    def __enter__(self) -> Bar:
        self._shown.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._shown.stop()

    def progress(self, fraction: float, stage: str) -> None:
        self._shown.update(self._task, completed=fraction, description=escape(stage))


class Printer:
    """Prints segments with their times in the recording: those of the first unfinished part as they come, and those of
    later parts when it is their turn."""

    def __init__(self) -> None:
        self.has_segments = False
        """Whether there were any."""
        self._lock = Lock()
        self._turns: deque[int] = deque()
        """Milliseconds where the parts begin that are not over; the first one is printed as it comes."""
        self._waiting: dict[int, str] = {}
        self._over: set[int] = set()

    def begun(self, tasks: Sequence[Task]) -> None:
        self._turns = deque(_start(task) for task in tasks)

    def segments(self, task: Task, segments: list[dict[str, Any]]) -> None:
        start = _start(task)
        self.has_segments = True
        with self._lock:
            self._waiting[start] = self._waiting.get(start, "") + "".join(map(_line, shifted(segments, task.start)))
            self._print()

    def done(self, task: Task) -> None:
        with self._lock:
            self._over.add(_start(task))
            self._print()

    def _print(self) -> None:
        while self._turns:
            sys.stdout.write(self._waiting.pop(self._turns[0], ""))
            if self._turns[0] not in self._over:
                break
            self._turns.popleft()
        sys.stdout.flush()


def told(command: Callable[..., None]) -> Callable[..., None]:
    """The command, whose errors end the process with a sentence and their own exit code."""

    @functools.wraps(command)
    def whole(**arguments: Any) -> None:
        console = Console(stderr=True)
        try:
            command(**arguments)
        except ClientError as error:
            console.print(f"Error: {error}", markup=False, highlight=False, soft_wrap=True)
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            console.print("Stopped; the same command goes on where it was.", markup=False)
            # Not sys.exit: a thread may be in a request that nobody waits for any more.
            sys.stdout.flush()
            os._exit(Stopped.exit_code)

    return whole


def _start(task: Task) -> int:
    return round(task.start * 1000)


def _line(segment: dict[str, Any]) -> str:
    return f"[{_clock(segment['start'])} --> {_clock(segment['end'])}] {segment['text'].strip()}\n"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds * 1000), 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest / 1000:06.3f}"
