"""A worker process's memory, threads, child processes and temporary files, from /proc."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from tests.support.files import entries_under

SAMPLES = 9
SAMPLE_INTERVAL_S = 0.25
"""Seconds between two samples of memory: one alone may fall into the SDK's own work for its polls and pings."""


@dataclass(frozen=True)
class Footprint:
    """Memory in MB: `resident` is what the process keeps in RAM (Rss of smaps_rollup), `anonymous` its heap and stacks.

    `children` does not count the ones that the SDK keeps for its pings.
    """

    resident: float
    anonymous: float
    threads: int
    children: int
    files: list[str]


def footprint(pid: int, scratch: Path, patience: float = 15.0) -> Footprint:
    """Of a process at a quiet moment: after its last job is over and the threads of stopped ones have gone."""
    # Seconds, not at once: a job that was stopped is over for the platform before its ffmpeg and its files are gone.
    _until(lambda: not _files(scratch) and not _ffmpegs(pid), patience)
    samples = []
    for _ in range(SAMPLES):
        time.sleep(SAMPLE_INTERVAL_S)
        samples.append(_memory(pid))
    return Footprint(
        resident=median(sample["Rss"] for sample in samples) / 1024,
        anonymous=median(sample["Anonymous"] for sample in samples) / 1024,
        threads=len(list(Path(f"/proc/{pid}/task").iterdir())),
        children=len(_ffmpegs(pid)),
        files=_files(scratch),
    )


def _memory(pid: int) -> dict[str, int]:
    """Kilobytes by kind."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    return {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}


def _ffmpegs(pid: int) -> list[int]:
    """Children that are not Python: the SDK's helper is."""
    children = [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in _text(task / "children").split()
    ]
    return [child for child in children if "python" not in _text(Path(f"/proc/{child}/cmdline"))]


def _files(scratch: Path) -> list[str]:
    return sorted(str(path.relative_to(scratch)) for path in entries_under(scratch))


def _text(path: Path) -> str:
    """Of a file that may go away with its process."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _until(condition: Callable[[], bool], patience: float) -> None:
    end = time.monotonic() + patience
    while not condition() and time.monotonic() < end:
        time.sleep(0.1)
