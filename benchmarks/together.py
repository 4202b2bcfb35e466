"""The `together` scenario: eight short jobs at once and the same eight one after another (ours only).

Run by `benchmarks.transcription --scenario together`. The ratio of the two times is the gain from sharing a batch.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path

from benchmarks.peer_weights import weights_for
from benchmarks.recordings import Recording, cut_recording
from benchmarks.report import describe_run, run_facts
from benchmarks.system_process import Request, SystemProcess
from benchmarks.systems import System

JOBS = 8
CLIP_SECONDS = 10


def cut_clips(recordings: Sequence[Recording], folder: Path) -> list[Recording]:
    """Cut eight clips of 10 s from the recordings with speech, and repeat them if there are fewer.

    Raises:
        SystemExit: No recording is that long.
    """
    clips = [
        cut_recording(recording, start, CLIP_SECONDS, folder)
        for recording in recordings
        if recording.text != ""
        for start in range(0, int(recording.seconds) - CLIP_SECONDS + 1, CLIP_SECONDS)
    ]
    if not clips:
        raise SystemExit(f"no recording is {CLIP_SECONDS} s long")
    return list(islice(cycle(clips), JOBS))


def compare(jobs: Sequence[Recording], model: str, rounds: int, out: Path) -> None:
    """Measure both ways in turn, print the seconds and their ratio, and save them in `out`."""
    print(describe_run())
    paths = [job.path for job in jobs]
    sequential = Request(paths, jobs[0].language)
    concurrent = Request(paths, jobs[0].language, concurrency=len(paths))
    results = []
    with SystemProcess(System("ours"), weights_for("ours", model)) as ours:
        ours.transcribe(sequential)  # not measured: the first request is slower
        for round_ in range(rounds):
            alone, together = ours.transcribe(sequential).seconds, ours.transcribe(concurrent).seconds
            results.append({"alone": alone, "together": together, "ratio": alone / together})
            print(
                f"round {round_ + 1}/{rounds}  {len(paths)} clips of {CLIP_SECONDS} s: one after another {alone:.2f} s,"
                f" together {together:.2f} s, {alone / together:.2f} times as fast",
                flush=True,
            )
    ratios = [result["ratio"] for result in results]
    print(f"together {statistics.median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f}) times as fast")
    out.mkdir(parents=True, exist_ok=True)
    document = {"model": model, **run_facts(), "rounds": results}
    (out / "together.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
