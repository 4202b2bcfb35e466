"""Diarization: how much of the speech has the right speaker, by how much senko alone does, and what it costs.

    python -m benchmarks.diarization DIR [--model base]

DIR holds recordings and a `manifest.json`: a list of objects with `file` and, where the speakers' turns are known,
`rttm`. Ten dialogues of flite's voices (benchmarks/dialogues.py) are measured besides, and made if they are missing.

    DER          diarization error rate: missed speech, false alarm and confusion, by the speech there is; speakers who
                 speak at once count each; 0.125 s before and after each border do not count (pyannote's collar=0.25)
    words        words with another speaker than who speaks in their middle by the RTTM, of those in which one speaks
    likeness     cosine of a sample, a speaker's longest turn, with the voices of all other recordings
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.dialogues import make
from benchmarks.recordings import REPOSITORY_CLIPS, pcm_of
from src.audio.pcm import SAMPLE_RATE, Pcm
from src.request.options import Options
from src.speakers.diarization import ENROLL_THRESHOLD, diarize, embed_sample
from src.speakers.embeddings import Embedding
from src.transcript.transcript import Turn
from src.whisper_processor import WhisperProcessor

DIALOGUES = REPOSITORY_CLIPS.parents[1] / ".cache" / "dialogues"

COLLAR = 0.25
"""Seconds around each border that do not count, half of them on each side."""

PARTS = {"missed": "missed detection", "alarm": "false alarm", "confused": "confusion"}
"""Of the error rate, under pyannote.metrics' own names."""


@dataclass(frozen=True)
class Known:
    """A recording, and who speaks when in truth."""

    path: Path
    pcm: Pcm
    turns: list[Turn]

    @property
    def speakers(self) -> list[str]:
        return sorted({turn.speaker for turn in self.turns})


def known_recordings(folder: Path) -> Iterator[Known]:
    for entry in json.loads((folder / "manifest.json").read_text()):
        if entry.get("rttm"):
            path = folder / entry["file"]
            yield Known(path, pcm_of(path), read_rttm(folder / entry["rttm"]))


def read_rttm(path: Path) -> list[Turn]:
    fields = [line.split() for line in path.read_text().splitlines() if line.startswith("SPEAKER")]
    return [Turn(float(one[3]), float(one[3]) + float(one[4]), one[7]) for one in fields]


def error_rate(truth: Sequence[Turn], found: Sequence[Turn]) -> dict[str, float]:
    """The rate and its parts, by the seconds of speech there are; and the `mapping` of speakers that is best."""
    from pyannote.metrics.diarization import DiarizationErrorRate

    metric = DiarizationErrorRate(collar=COLLAR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it would like to be told what is evaluated: all of it
        parts = metric(_annotation(truth), _annotation(found), detailed=True)
    total = parts["total"]
    return {"DER": parts["diarization error rate"], **{name: parts[key] / total for name, key in PARTS.items()}}


def _annotation(turns: Sequence[Turn]) -> Any:
    from pyannote.core import Annotation, Segment

    annotation = Annotation()
    for number, turn in enumerate(turns):
        annotation[Segment(turn.start, turn.end), number] = turn.speaker
    return annotation


def words_confused(known: Known, segments: Sequence[dict[str, Any]], found: Sequence[Turn]) -> tuple[int, int]:
    """Words with the wrong speaker, and words in all."""
    from pyannote.metrics.diarization import DiarizationErrorRate

    mapping = DiarizationErrorRate().optimal_mapping(_annotation(known.turns), _annotation(found))
    wrong = count = 0
    for word in (word for segment in segments for word in segment["words"]):
        middle = (word["start"] + word["end"]) / 2
        speaking = {turn.speaker for turn in known.turns if turn.start <= middle <= turn.end}
        if len(speaking) == 1:
            count += 1
            wrong += mapping.get(word["speaker"]) not in speaking
    return wrong, count


def senko_alone() -> Callable[[Pcm], list[Turn]]:
    """What `senko.Diarizer` itself makes of a recording."""
    with contextlib.redirect_stdout(io.StringIO()):
        import senko

        diarizer = senko.Diarizer(device="cpu", warmup=False)
        diarizer.logical_cores = 1  # it sets the whole process's threads to this

    def turns(pcm: Pcm) -> list[Turn]:
        found = diarizer.diarize_samples(pcm)
        return [Turn(one["start"], one["end"], one["speaker"]) for one in found["merged_segments"]] if found else []

    return turns


def measure(known: Known, processor: WhisperProcessor, senko: Callable[[Pcm], list[Turn]]) -> dict[str, float]:
    """One recording's figures; seconds are the processor's, not the clock's."""
    found = diarize(known.pcm)
    rates = error_rate(known.turns, found.turns)
    asked = Options(diarize=True, word_timestamps=True, output_format=["json"])
    plain_seconds = _processor_seconds(lambda: processor.process_audio(known.path, Options()))
    seconds = _processor_seconds(lambda: processor.process_audio(known.path, asked))
    segments = processor.process_audio(known.path, asked)["segments"]
    wrong, words = words_confused(known, segments, found.turns)
    return {
        **rates,
        "found": len(found.speakers),
        "there": len(known.speakers),
        "senko": error_rate(known.turns, senko(known.pcm))["DER"],
        "wrong": wrong,
        "words": words,
        "plain": plain_seconds,
        "seconds": seconds,
    }


def _processor_seconds(work: Callable[[], object]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def likenesses(recordings: Sequence[Known]) -> tuple[list[float], list[float]]:
    """Of samples with the voices of other recordings: where it is the same speaker, and where it is another."""
    samples = [
        (one, name, voice) for one in recordings for name in one.speakers if (voice := _sample(one, name)) is not None
    ]
    same: list[float] = []
    other: list[float] = []
    for recording in recordings:
        for name in recording.speakers:
            voice = _whole(recording, name)
            for source, own, sample in samples:
                if source is not recording:
                    (same if own == name else other).append(float(sample @ voice))
    return same, other


def _sample(recording: Known, name: str) -> Embedding | None:
    longest = max((turn for turn in recording.turns if turn.speaker == name), key=lambda turn: turn.end - turn.start)
    return embed_sample(_cut(recording, longest))


def _whole(recording: Known, name: str) -> Embedding:
    parts = [_cut(recording, turn) for turn in recording.turns if turn.speaker == name]
    voice = embed_sample(np.concatenate(parts))
    assert voice is not None
    return voice


def _cut(recording: Known, turn: Turn) -> Pcm:
    return recording.pcm[round(turn.start * SAMPLE_RATE) : round(turn.end * SAMPLE_RATE)]


def _line(name: str, row: dict[str, float]) -> str:
    parts = " ".join(f"{100 * row[key]:6.1f}" for key in ("DER", *PARTS, "senko"))
    words = f"{row['wrong']:.0f}/{row['words']:.0f}"
    more = 100 * (row["seconds"] / row["plain"] - 1)
    times = f"{row['plain']:7.2f} {row['seconds']:7.2f} {more:5.0f}%"
    return f"{name:32} {parts} {row['found']:.0f}/{row['there']:.0f} {words:>8} {times}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="base")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if not (DIALOGUES / "manifest.json").is_file():
        make(DIALOGUES)
    processor, senko = WhisperProcessor(arguments.model), senko_alone()
    print(f"{'':32}    DER missed  alarm confus  senko    #    words   plain diarize   more")
    every: list[Known] = []
    rows: list[dict[str, float]] = []
    for folder in (DIALOGUES, arguments.folder):
        recordings = list(known_recordings(folder))
        for known in recordings:
            rows.append(measure(known, processor, senko))
            print(_line(known.path.name, rows[-1]), flush=True)
        every += recordings
    processor.close()
    plain, seconds = (sum(row[key] for row in rows) for key in ("plain", "seconds"))
    print(
        f"in sum, diarization makes {plain:.1f} s of the processor's time {seconds:.1f} s: {seconds / plain - 1:+.0%}"
    )
    same, other = likenesses(every)
    print(f"likeness of the same voice {min(same):.2f} and more, of others {max(other):.2f} and less")
    taken = sum(one >= ENROLL_THRESHOLD for one in same) / len(same)
    mistaken = sum(one >= ENROLL_THRESHOLD for one in other) / len(other)
    print(
        f"from {ENROLL_THRESHOLD} on: {taken:.1%} of the same, {mistaken:.1%} of the others "
        f"({len(same)}, {len(other)} pairs)"
    )


if __name__ == "__main__":
    main()
