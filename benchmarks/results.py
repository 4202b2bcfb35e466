"""What the runs of a side-by-side benchmark come to: one row a system."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.recordings import Recording
from benchmarks.scoring import Errors, errors, in_sum, units
from benchmarks.systems import System

GROUPS = ("English", "other languages")


@dataclass(frozen=True)
class Run:
    """One recording, transcribed once by one system."""

    system: str
    recording: str
    round: int
    seconds: float
    text: str


@dataclass(frozen=True)
class Row:
    """One system over all recordings.

    Attributes:
        seconds: median over the rounds, all recordings in sum.
        speed: seconds of audio in one second.
        ratios: its time by that of ours with as many beams, in each round; empty if ours was not measured.
        groups: errors by group of languages, all rounds in sum.
        files: errors by recording, all rounds in sum.
        invented: words heard in one round where nothing is said.
    """

    system: str
    seconds: float
    speed: float
    ratios: Sequence[float]
    groups: dict[str, Errors]
    files: dict[str, Errors]
    invented: float
    peak_mb: float


def summarise(
    systems: Iterable[System], recordings: Sequence[Recording], runs: Sequence[Run], peaks_mb: dict[str, float]
) -> list[Row]:
    """Rows of the systems that have runs, in the order of `systems`."""
    by_system: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        by_system[run.system].append(run)
    return [_row(system, recordings, by_system, peaks_mb[system.name]) for system in systems if by_system[system.name]]


def _row(system: System, recordings: Sequence[Recording], by_system: dict[str, list[Run]], peak_mb: float) -> Row:
    runs = by_system[system.name]
    seconds = _seconds_by_round(runs)
    ours = _seconds_by_round(by_system[System("ours", system.beams).name])
    files = {recording.name: _errors(recording, runs) for recording in recordings if recording.text}
    return Row(
        system=system.name,
        seconds=statistics.median(seconds),
        speed=sum(recording.seconds for recording in recordings) / statistics.median(seconds),
        ratios=[theirs / own for theirs, own in zip(seconds, ours, strict=False)],
        groups={
            group: in_sum(files[one.name] for one in recordings if one.text and one.group == group) for group in GROUPS
        },
        files=files,
        invented=_invented(recordings, runs) / len(seconds),
        peak_mb=peak_mb,
    )


def _seconds_by_round(runs: Iterable[Run]) -> list[float]:
    sums: dict[int, float] = defaultdict(float)
    for run in runs:
        sums[run.round] += run.seconds
    return [sums[round_] for round_ in sorted(sums)]


def _errors(recording: Recording, runs: Iterable[Run]) -> Errors:
    assert recording.text is not None
    texts = (run.text for run in runs if run.recording == recording.name)
    return in_sum(errors(recording.text, text, recording.language) for text in texts)


def _invented(recordings: Iterable[Recording], runs: Iterable[Run]) -> int:
    silent = {recording.name for recording in recordings if recording.text == ""}
    return sum(len(units(run.text, None)) for run in runs if run.recording in silent)
