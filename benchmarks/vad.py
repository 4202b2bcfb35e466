"""Voice activity detection: how much speech it finds, and what it costs.

    python -m benchmarks.vad DIR

DIR holds recordings and a `manifest.json`: a list of objects with `file` and, where the speakers' turns are known,
`rttm`. Recall and precision are over frames of 10 ms, without a collar; `bare` is recall without padding. A turn holds
its speaker's pauses too, so that a detector of speech does not reach a bare recall of 1.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from src.audio.decode import decode_audio
from src.audio.pcm import SAMPLE_RATE, Pcm
from src.audio.vad import VadOptions, load_vad, speech_regions
from src.audio.windowing import join_regions

FRAME = SAMPLE_RATE // 100
ROUNDS = 5


@dataclass
class Row:
    """One recording's figures; speech in frames of 10 ms, None where nobody wrote down where it is."""

    name: str
    audio_seconds: float
    seconds: float
    windows: int
    speech: int | None = None
    found: int | None = None
    found_bare: int | None = None
    claimed: int | None = None

    def __str__(self) -> str:
        recall = _ratio(self.found, self.speech)
        bare = _ratio(self.found_bare, self.speech)
        precision = _ratio(self.found, self.claimed)
        percent = 100 * self.seconds / self.audio_seconds
        return (
            f"{self.name:34} {self.audio_seconds:8.1f} {self.windows:8} {recall:>7} {bare:>7} {precision:>9}"
            f" {self.seconds:8.3f} {percent:8.3f}"
        )


def _ratio(part: int | None, whole: int | None) -> str:
    return f"{part / whole:.4f}" if part is not None and whole else "-"


def read_rttm(path: Path) -> list[tuple[float, float]]:
    """The turns of all speakers as start and end in seconds."""
    turns = (line.split()[3:5] for line in path.read_text().splitlines() if line.startswith("SPEAKER"))
    return [(float(start), float(start) + float(duration)) for start, duration in turns]


def on_frames(spans: Iterable[tuple[float, float]], frames: int) -> NDArray[np.bool_]:
    """Whether each frame of 10 ms lies in one of the spans, which are in frames: [frames]."""
    marked = np.zeros(frames, dtype=np.bool_)
    for start, end in spans:
        marked[round(start) : round(end)] = True
    return marked


def regions_on_frames(pcm: Pcm, options: VadOptions) -> NDArray[np.bool_]:
    regions = speech_regions(pcm, options)
    return on_frames(((start / FRAME, end / FRAME) for start, end in regions), -(-len(pcm) // FRAME))


def seconds_taken(pcm: Pcm) -> tuple[float, int]:
    """Median seconds from the recording to its windows, and their number."""
    taken = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        count = sum(1 for _ in join_regions(speech_regions(pcm), pcm))
        taken.append(time.perf_counter() - start)
    return statistics.median(taken), count


def measure(name: str, pcm: Pcm, rttm: Path | None) -> Row:
    seconds, count = seconds_taken(pcm)
    row = Row(name, len(pcm) / SAMPLE_RATE, seconds, count)
    if rttm is None:
        return row
    options = VadOptions()
    padded = regions_on_frames(pcm, options)
    bare = regions_on_frames(pcm, replace(options, speech_pad_ms=0))
    truth = on_frames(((start * 100, end * 100) for start, end in read_rttm(rttm)), len(padded))
    return replace(
        row,
        speech=int(truth.sum()),
        found=int((truth & padded).sum()),
        found_bare=int((truth & bare).sum()),
        claimed=int(padded.sum()),
    )


def in_sum(rows: list[Row]) -> Row:
    """All recordings as one; recall and precision over those with known turns."""
    known = [row for row in rows if row.speech is not None]
    return Row(
        "in sum",
        sum(row.audio_seconds for row in rows),
        sum(row.seconds for row in rows),
        sum(row.windows for row in rows),
        *(sum(getattr(row, name) for row in known) for name in ("speech", "found", "found_bare", "claimed")),
    )


def main(folder: Path) -> None:
    start = time.perf_counter()
    load_vad()
    print(f"loading the network: {time.perf_counter() - start:.3f} s\n")
    print(
        f"{'recording':34} {'audio s':>8} {'windows':>8} {'recall':>7} {'bare':>7} {'precision':>9} {'s':>8} {'%':>8}"
    )
    rows = []
    for entry in json.loads((folder / "manifest.json").read_text()):
        with tempfile.TemporaryDirectory() as scratch:
            pcm = decode_audio(folder / entry["file"], Path(scratch), max_seconds=86_400, max_bytes=4 << 30)
            rows.append(measure(entry["file"], pcm, folder / entry["rttm"] if entry.get("rttm") else None))
        print(rows[-1])
    print(in_sum(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
