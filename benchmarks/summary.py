"""Summary of a side-by-side benchmark: its runs, reduced to one row per system."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from benchmarks.recordings import Recording
from benchmarks.scoring import Errors, count_errors, count_words, sum_errors
from benchmarks.systems import System

GROUPS = ("English", "other languages")


@dataclass(frozen=True)
class Run:
    """One transcription of one recording by one system."""

    system: str
    recording: str
    round: int
    seconds: float
    text: str


@dataclass(frozen=True)
class Row:
    """The figures of one system over all recordings.

    Attributes:
        system: The system's name.
        seconds: Time for all recordings, median over the rounds.
        speed: Seconds of audio per second.
        ratios: The system's time divided by that of ours with the same beam size, for each round; empty if ours was
            not measured.
        groups: Errors by group of languages, added over all rounds.
        files: Errors by recording, added over all rounds.
        hallucinated: Words per round in recordings without speech.
        peak_mb: The highest resident memory of the system's process.
    """

    system: str
    seconds: float
    speed: float
    ratios: Sequence[float]
    groups: dict[str, Errors]
    files: dict[str, Errors]
    hallucinated: float
    peak_mb: float


def summarise(
    systems: Iterable[System], recordings: Sequence[Recording], runs: Sequence[Run], peaks_mb: dict[str, float]
) -> list[Row]:
    """Return the rows of the systems that have runs, in the order of `systems`."""
    runs_by_system: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        runs_by_system[run.system].append(run)
    return [
        _make_row(system, recordings, runs_by_system, peaks_mb[system.name])
        for system in systems
        if runs_by_system[system.name]
    ]


def _make_row(
    system: System, recordings: Sequence[Recording], runs_by_system: dict[str, list[Run]], peak_mb: float
) -> Row:
    runs = runs_by_system[system.name]
    seconds = _seconds_by_round(runs)
    our_seconds = _seconds_by_round(runs_by_system[System("ours", system.beams).name])
    files = {recording.name: _recording_errors(recording, runs) for recording in recordings if recording.text}
    return Row(
        system=system.name,
        seconds=statistics.median(seconds),
        speed=sum(recording.seconds for recording in recordings) / statistics.median(seconds),
        ratios=[theirs / ours for theirs, ours in zip(seconds, our_seconds, strict=False)],
        groups={
            group: sum_errors(
                files[recording.name] for recording in recordings if recording.text and recording.group == group
            )
            for group in GROUPS
        },
        files=files,
        hallucinated=_count_hallucinated(recordings, runs) / len(seconds),
        peak_mb=peak_mb,
    )


def _seconds_by_round(runs: Iterable[Run]) -> list[float]:
    sums: dict[int, float] = defaultdict(float)
    for run in runs:
        sums[run.round] += run.seconds
    return [sums[round_] for round_ in sorted(sums)]


def _recording_errors(recording: Recording, runs: Iterable[Run]) -> Errors:
    assert recording.text is not None
    texts = (run.text for run in runs if run.recording == recording.name)
    return sum_errors(count_errors(recording.text, text, recording.language) for text in texts)


def _count_hallucinated(recordings: Iterable[Recording], runs: Iterable[Run]) -> int:
    """Words of all rounds in recordings without speech."""
    silent = {recording.name for recording in recordings if recording.text == ""}
    return sum(count_words(run.text) for run in runs if run.recording in silent)
