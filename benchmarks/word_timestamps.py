"""Measures word timestamps against human alignments, and against openai-whisper's where there are none.

    .venv/bin/python -m benchmarks.word_timestamps AUDIO... --model base

AUDIO are files, or folders with a manifest.json, whose `words` files hold the words as a person aligned them.
openai-whisper itself is measured against those as well. Words are matched by their text, in order; the distance is
between the starts of matched words. The figures depend on the recordings and the model, and on the compute type:
openai-whisper runs in float32 here, ours in the CPU's default.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import whisper

from benchmarks.peer_weights import weights_for
from benchmarks.recordings import Recording, TimedWord, find_recordings, load_pcm
from benchmarks.report import describe_run, markdown_table
from src.models.weights import load_weights
from src.request.options import Options
from src.whisper_processor import WhisperProcessor

ROUNDING_S = 0.01
"""Times are rounded to this, so that a word may end so much after the recording."""


@dataclass(frozen=True)
class Aligned:
    """The words of a recording by both systems."""

    recording: Recording
    ours: Sequence[TimedWord]
    openai: Sequence[TimedWord]


def distances(words: Sequence[TimedWord], reference: Sequence[TimedWord]) -> list[float]:
    """Return the distances in seconds between the starts of words and of the reference's words that match them."""
    matcher = SequenceMatcher(
        None, [word.letters for word in words], [word.letters for word in reference], autojunk=False
    )
    return [
        abs(words[block.a + offset].start - reference[block.b + offset].start)
        for block in matcher.get_matching_blocks()
        for offset in range(block.size)
    ]


def distance_table(aligned: Sequence[Aligned]) -> str:
    """Return a table of the distances from human alignments, and from openai-whisper where there are none."""
    human = [item for item in aligned if item.recording.words]
    others = [item for item in aligned if not item.recording.words]
    comparisons = [
        ("ours", "human", [(item.ours, item.recording.words) for item in human]),
        ("openai-whisper", "human", [(item.openai, item.recording.words) for item in human]),
        ("ours", "openai-whisper", [(item.ours, item.openai) for item in others]),
    ]
    headings = ["word starts of", "distance from", "recordings", "words", "matched", "median s", "90% s"]
    return markdown_table(
        headings, [[system, reference, *_distance_cells(pairs)] for system, reference, pairs in comparisons if pairs]
    )


def _distance_cells(pairs: Sequence[tuple[Sequence[TimedWord], Sequence[TimedWord]]]) -> list[str]:
    seconds = [distance for words, reference in pairs for distance in distances(words, reference)]
    total = sum(len(reference) for _, reference in pairs)
    if not seconds:
        return [str(len(pairs)), str(total), "-", "-", "-"]
    median, percentile_90 = np.percentile(seconds, [50, 90])
    matched = f"{100 * len(seconds) / total:.1f}%"
    return [str(len(pairs)), str(total), matched, f"{median:.3f}", f"{percentile_90:.3f}"]


def fault_table(aligned: Sequence[Aligned]) -> str:
    """Return a table of words that cannot be right: without length, or past the recording's end."""
    rows = []
    for system in ("ours", "openai-whisper"):
        words = [
            (word, item.recording.seconds)
            for item in aligned
            for word in (item.ours if system == "ours" else item.openai)
        ]
        empty = sum(word.end <= word.start for word, _ in words)
        late = sum(word.end > seconds + ROUNDING_S for word, seconds in words)
        rows.append([system, str(len(words)), str(empty), str(late)])
    return markdown_table(["system", "words", "of no length", "past the end"], rows)


def transcribe_with_ours(processor: WhisperProcessor, recording: Recording) -> list[TimedWord]:
    """Return the words of our transcript."""
    options = Options(word_timestamps=True, language=recording.language)
    segments = processor.transcribe(recording.path, options).segments
    return [TimedWord(word.word, word.start, word.end) for segment in segments for word in segment.words or []]


def transcribe_with_openai_whisper(model: whisper.Whisper, recording: Recording) -> list[TimedWord]:
    """Return the words of openai-whisper's transcript."""
    waveform = load_pcm(recording.path).astype(np.float32) / 32768.0
    result = whisper.transcribe(model, waveform, word_timestamps=True, language=recording.language, fp16=False)
    return [
        TimedWord(word["word"], float(word["start"]), float(word["end"]))
        for segment in result["segments"]
        for word in segment["words"]
    ]


def main() -> None:
    """Transcribe the recordings with both systems and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("audio", type=Path, nargs="+", metavar="AUDIO", help="files, or folders with a manifest.json")
    parser.add_argument("--model", default="base", help="model of both systems (default: %(default)s)")
    arguments = parser.parse_args()
    processor = WhisperProcessor(arguments.model)
    model = load_weights(Path(weights_for("openai-whisper", arguments.model))).float()
    aligned = []
    for number, recording in enumerate(recordings := find_recordings(arguments.audio), 1):
        ours = transcribe_with_ours(processor, recording)
        aligned.append(Aligned(recording, ours, transcribe_with_openai_whisper(model, recording)))
        print(f"\r{number}/{len(recordings)} {recording.name[:40]:40}", end="", flush=True)
    print(f"\n\n{describe_run()}\n\n{distance_table(aligned)}\n\n{fault_table(aligned)}")


if __name__ == "__main__":
    main()
