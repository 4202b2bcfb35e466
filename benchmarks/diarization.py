"""Measures diarization beside senko's: error rate, number of speakers, words with the wrong speaker, and CPU time.

    .venv/bin/python -m benchmarks.diarization DIR [DIR ...] [--model base]

DIR holds recordings and a `manifest.json`: a list of objects with `file` and, where the speakers' turns are known,
`rttm`. Recordings are summed by their `kind`. Dialogues of real voices that interrupt each other are made by
benchmarks/overlaps.py. Ten dialogues of flite's voices (benchmarks/dialogues.py) are measured too if flite is there.

    DER          diarization error rate: missed speech, false alarm and confusion, divided by the seconds of speech;
                 overlapping speakers count once each; 0.125 s on both sides of each turn boundary do not count
                 (pyannote's collar=0.25)
    words        words whose speaker differs from the RTTM's at their middle, of all words with a single speaker there
    similarity   cosine of a sample, a speaker's longest turn, with the voices of all other recordings

Times are CPU times of this process, of a transcription and of the diarization that runs beside it, and depend on the
CPU; all other figures depend on the recordings and the model.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import shutil
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from benchmarks.dialogues import write_dialogues
from benchmarks.recordings import REPOSITORY_CLIPS, load_pcm, read_rttm
from benchmarks.report import describe_run
from src.audio.pcm import SAMPLE_RATE, Pcm
from src.request.options import Options
from src.speakers.assignment import assign_speakers
from src.speakers.diarization import ENROLL_THRESHOLD, diarize, embed_sample
from src.speakers.embeddings import Embedding
from src.whisper_processor import WhisperProcessor
from transcript.transcript import Diarization, Transcript, Turn

T = TypeVar("T")

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
    kind: str

    @property
    def speakers(self) -> list[str]:
        """The speakers' names, sorted."""
        return sorted({turn.speaker for turn in self.turns})


def find_annotated(folder: Path) -> Iterator[AnnotatedRecording]:
    """Yield the recordings of a folder's manifest that have an RTTM."""
    for entry in json.loads((folder / "manifest.json").read_text()):
        if entry.get("rttm"):
            path = folder / entry["file"]
            pcm = load_pcm(path)
            turns = read_rttm(folder / entry["rttm"], len(pcm) / SAMPLE_RATE)
            yield AnnotatedRecording(path, pcm, turns, entry.get("kind", folder.name))


def error_rate(truth: Sequence[Turn], found: Sequence[Turn]) -> dict[str, float]:
    """Return the `DER` and its parts (`ERROR_TYPES`), divided by the seconds of speech."""
    errors = error_seconds(truth, found)
    rates = {name: errors[name] / errors["speech"] for name in ERROR_TYPES}
    return {"DER": sum(rates.values()), **rates}


def error_seconds(truth: Sequence[Turn], found: Sequence[Turn]) -> dict[str, float]:
    """Return the seconds of the parts of the error rate, and of `speech`."""
    from pyannote.metrics.diarization import DiarizationErrorRate

    metric = DiarizationErrorRate(collar=COLLAR_S)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns that no evaluated region is given: all of the recording is evaluated
        parts = metric(_annotation(truth), _annotation(found), detailed=True)
    return {"speech": parts["total"], **{name: parts[key] for name, key in ERROR_TYPES.items()}}


def _annotation(turns: Sequence[Turn]) -> Any:
    from pyannote.core import Annotation, Segment

    annotation = Annotation()
    for number, turn in enumerate(turns):
        annotation[Segment(turn.start, turn.end), number] = turn.speaker
    return annotation


def count_confused_words(
    recording: AnnotatedRecording, transcript: Transcript, found: Sequence[Turn]
) -> tuple[int, int]:
    """Return the number of words with the wrong speaker, and of all words that have a single speaker in truth."""
    from pyannote.metrics.diarization import DiarizationErrorRate

    assigned = replace(transcript, warnings=[])
    assign_speakers(assigned, Diarization(sorted(found)))
    mapping = DiarizationErrorRate().optimal_mapping(_annotation(recording.turns), _annotation(found))
    confused = count = 0
    for word in (word for segment in assigned.segments for word in segment.words or []):
        middle = (word.start + word.end) / 2
        speakers = {turn.speaker for turn in recording.turns if turn.start <= middle <= turn.end}
        if len(speakers) == 1:
            count += 1
            confused += mapping.get(word.speaker) not in speakers
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


Row = dict[str, float]
"""The counts and seconds of some recordings."""


def measure(
    recording: AnnotatedRecording, processor: WhisperProcessor, systems: Mapping[str, Callable[[Pcm], list[Turn]]]
) -> dict[str, Row]:
    """Return the figures of one recording, by system."""
    _, plain = _timed(lambda: processor.transcribe(recording.path, Options()))
    transcript = processor.transcribe(recording.path, Options(word_timestamps=True))
    rows = {}
    for name, system in systems.items():
        found, seconds = _timed(partial(system, recording.pcm))
        confused, words = count_confused_words(recording, transcript, found)
        speakers = len({turn.speaker for turn in found})
        rows[name] = {
            **error_seconds(recording.turns, found),
            "found": speakers,
            "speakers": len(recording.speakers),
            "right_counts": speakers == len(recording.speakers),
            "confused_words": confused,
            "words": words,
            "plain": plain,
            "seconds": seconds,
            "recordings": 1,
        }
    return rows


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    started = time.process_time()
    result = work()
    return result, time.process_time() - started


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


HEADER = f"{'recording':32} {'system':6}    DER missed  alarm confus speakers     words   plain diarize added"


def _format_row(name: str, system: str, row: Row) -> str:
    rates = " ".join(f"{100 * row[key] / row['speech']:6.1f}" for key in ERROR_TYPES)
    total = 100 * sum(row[key] for key in ERROR_TYPES) / row["speech"]
    right, found = (
        f"{row['right_counts']:.0f}/{row['recordings']:.0f} ok",
        f"{row['found']:.0f}/{row['speakers']:.0f}",
    )
    speakers = right if row["recordings"] > 1 else found
    words = f"{row['confused_words']:.0f}/{row['words']:.0f}"
    times = f"{row['plain']:7.2f} {row['seconds']:7.2f} {row['seconds'] / row['plain']:5.0%}"
    return f"{name:32} {system:6} {total:6.1f} {rates} {speakers:>8} {words:>9} {times}"


def main() -> None:
    """Measure the recordings of the folders, then all voices with each other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", metavar="DIR", help="with recordings and a manifest.json")
    parser.add_argument("--model", default="base", help="name, or path to weights (default: %(default)s)")
    parser.add_argument(
        "--without-senko", action="store_true", help="its binary ends the process on CPUs that lack its instructions"
    )
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    if shutil.which("flite") and not (DIALOGUES / "manifest.json").is_file():
        write_dialogues(DIALOGUES)
    folders = [*([DIALOGUES] if DIALOGUES.is_dir() else []), *arguments.folders]
    processor = WhisperProcessor(arguments.model)
    systems: dict[str, Callable[[Pcm], list[Turn]]] = {"ours": lambda pcm: diarize(pcm).turns}
    if not arguments.without_senko:
        systems["senko"] = load_senko()
    for diarizer in systems.values():
        diarizer(np.zeros(10 * SAMPLE_RATE, np.int16))  # loads the weights
    print(f"{describe_run()}\n\nRates in percent, times in seconds of CPU time.\n\n{HEADER}")
    recordings: list[AnnotatedRecording] = []
    sums: dict[tuple[str, str], Row] = defaultdict(lambda: defaultdict(float))
    for recording in chain.from_iterable(map(find_annotated, folders)):
        recordings.append(recording)
        for system, row in measure(recording, processor, systems).items():
            print(_format_row(recording.path.name, system, row), flush=True)
            for key, value in row.items():
                sums[recording.kind, system][key] += value
    processor.close()
    for (kind, system), row in sums.items():
        print(_format_row(f"{row['recordings']:.0f} of {kind}", system, row))
    same, different = compare_voices(recordings)
    if same and different:  # not in one recording
        _print_similarities(same, different)


def _print_similarities(same: Sequence[float], different: Sequence[float]) -> None:
    print(f"similarity of the same voice: at least {min(same):.2f}; of different voices: at most {max(different):.2f}")
    accepted = sum(cosine >= ENROLL_THRESHOLD for cosine in same) / len(same)
    mistaken = sum(cosine >= ENROLL_THRESHOLD for cosine in different) / len(different)
    print(
        f"at {ENROLL_THRESHOLD} or more: {accepted:.1%} of {len(same)} pairs of the same voice,"
        f" {mistaken:.1%} of {len(different)} pairs of different voices"
    )


if __name__ == "__main__":
    main()
