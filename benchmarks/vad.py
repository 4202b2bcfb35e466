"""Measures voice activity detection: the speech that it finds, and its time.

    .venv/bin/python -m benchmarks.vad DIR

DIR holds recordings and a `manifest.json`: a list of objects with `file` and, where the speakers' turns are known,
`rttm`. Recall and precision are over frames of 10 ms, without a collar; `bare` is recall without padding. An annotated
turn includes its speaker's pauses, so that a speech detector does not reach a bare recall of 1. Times are medians of 5
runs and depend on the CPU; the other figures depend on the recordings alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.recordings import load_pcm, read_rttm
from benchmarks.report import describe_run
from src.audio.pcm import SAMPLE_RATE, Pcm
from src.audio.speech import find_speech
from src.audio.vad import VadOptions, load_vad
from src.audio.windowing import join_regions

SAMPLES_PER_FRAME = SAMPLE_RATE // 100
"""A frame has 10 ms."""
ROUNDS = 5


@dataclass
class Row:
    """The figures of one recording.

    Attributes:
        name: The file.
        audio_seconds: Length of the recording.
        seconds: Median time from PCM to windows.
        windows: Number of windows.
        speech: Frames of speech by the annotation; this and the following are None without one.
        found: Frames of speech that are detected too.
        found_bare: The same without padding.
        claimed: Frames that are detected as speech.
    """

    name: str
    audio_seconds: float
    seconds: float
    windows: int
    speech: int | None = None
    found: int | None = None
    found_bare: int | None = None
    claimed: int | None = None

    def __str__(self) -> str:
        recall = _format_ratio(self.found, self.speech)
        bare = _format_ratio(self.found_bare, self.speech)
        precision = _format_ratio(self.found, self.claimed)
        percent = 100 * self.seconds / self.audio_seconds
        return (
            f"{self.name:34} {self.audio_seconds:8.1f} {self.windows:8} {recall:>7} {bare:>7} {precision:>9}"
            f" {self.seconds:8.3f} {percent:8.3f}"
        )


def _format_ratio(part: int | None, whole: int | None) -> str:
    return f"{part / whole:.4f}" if part is not None and whole else "-"


def mark_frames(spans: Iterable[tuple[float, float]], frames: int) -> NDArray[np.bool_]:
    """Return a mask [frames], True inside the spans; these are in frames."""
    mask = np.zeros(frames, dtype=np.bool_)
    for start, end in spans:
        mask[round(start) : round(end)] = True
    return mask


def detect_frames(pcm: Pcm, options: VadOptions) -> NDArray[np.bool_]:
    """Return a mask [frames], True where speech is detected."""
    regions = find_speech(pcm, options)
    spans = ((start / SAMPLES_PER_FRAME, end / SAMPLES_PER_FRAME) for start, end, _ in regions)
    return mark_frames(spans, -(-len(pcm) // SAMPLES_PER_FRAME))


def measure_time(pcm: Pcm) -> tuple[float, int]:
    """Return the median seconds from PCM to windows, and the number of windows."""
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        count = sum(1 for _ in join_regions(find_speech(pcm, VadOptions()), pcm))
        times.append(time.perf_counter() - started)
    return statistics.median(times), count


def measure(name: str, pcm: Pcm, rttm: Path | None) -> Row:
    """Return the figures of one recording; `rttm` holds its speakers' turns, if they are known."""
    seconds, count = measure_time(pcm)
    row = Row(name, len(pcm) / SAMPLE_RATE, seconds, count)
    if rttm is None:
        return row
    options = VadOptions()
    padded = detect_frames(pcm, options)
    bare = detect_frames(pcm, replace(options, speech_pad_ms=0))
    truth = mark_frames(((turn.start * 100, turn.end * 100) for turn in read_rttm(rttm)), len(padded))
    return replace(
        row,
        speech=int(truth.sum()),
        found=int((truth & padded).sum()),
        found_bare=int((truth & bare).sum()),
        claimed=int(padded.sum()),
    )


def sum_rows(rows: list[Row]) -> Row:
    """Return all recordings as one; recall and precision are over those with known turns."""
    annotated = [row for row in rows if row.speech is not None]
    return Row(
        "all",
        sum(row.audio_seconds for row in rows),
        sum(row.seconds for row in rows),
        sum(row.windows for row in rows),
        *(sum(getattr(row, name) for row in annotated) for name in ("speech", "found", "found_bare", "claimed")),
    )


def main() -> None:
    """Measure the recordings of a folder and print a row for each and one for all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder with recordings and a manifest.json")
    folder = parser.parse_args().folder
    started = time.perf_counter()
    load_vad()
    print(f"{describe_run()}\n\nloading the VAD network: {time.perf_counter() - started:.3f} s\n")
    print(
        f"{'recording':34} {'audio s':>8} {'windows':>8} {'recall':>7} {'bare':>7} {'precision':>9} {'s':>8} {'%':>8}"
    )
    rows = []
    for entry in json.loads((folder / "manifest.json").read_text()):
        rttm = folder / entry["rttm"] if entry.get("rttm") else None
        rows.append(measure(entry["file"], load_pcm(folder / entry["file"]), rttm))
        print(rows[-1])
    print(sum_rows(rows))


if __name__ == "__main__":
    main()
