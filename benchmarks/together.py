"""Eight short jobs at once against the same eight one after another: what sharing a batch is worth (ours only)."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

from benchmarks.peer_weights import weights_for
from benchmarks.process import Request, SystemProcess
from benchmarks.recordings import Recording, cut
from benchmarks.report import machine
from benchmarks.systems import System

JOBS = 8
SECONDS = 10


def clips(recordings: Sequence[Recording], folder: Path) -> list[Recording]:
    """Eight clips of 10 s from the recordings that hold one, again from the first if there are fewer."""
    found = [
        cut(recording, start, SECONDS, folder)
        for recording in recordings
        if recording.text != ""
        for start in range(0, int(recording.seconds) - SECONDS + 1, SECONDS)
    ]
    if not found:
        raise SystemExit(f"no recording is {SECONDS} s long")
    return list(islice(cycle(found), JOBS))


def compare(jobs: Sequence[Recording], model: str, rounds: int, out: Path) -> None:
    """Prints the seconds of both ways, which take turns, and their ratio; saves them in `out`."""
    paths = [job.path for job in jobs]
    single, shared = Request(paths, jobs[0].language), Request(paths, jobs[0].language, at_once=len(paths))
    turns = []
    with SystemProcess(System("ours"), weights_for("ours", model)) as ours:
        ours.ask(single)
        for round_ in range(rounds):
            alone, together = ours.ask(single).seconds, ours.ask(shared).seconds
            turns.append({"alone": alone, "together": together, "ratio": alone / together})
            print(
                f"round {round_ + 1}/{rounds}  {len(paths)} clips of {SECONDS} s: one after another {alone:.2f} s,"
                f" together {together:.2f} s, {alone / together:.2f} times as fast",
                flush=True,
            )
    ratios = [turn["ratio"] for turn in turns]
    print(f"together {statistics.median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f}) times as fast")
    out.mkdir(parents=True, exist_ok=True)
    whole = {"model": model, "machine": machine(), "rounds": turns}
    (out / "together.json").write_text(json.dumps(whole, indent=1), encoding="utf-8")
