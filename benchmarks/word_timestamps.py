"""Measures the distance of our word timestamps from openai-whisper's on the same recordings.

    .venv/bin/python -m benchmarks.word_timestamps AUDIO... --model base

Words are matched by their text, in order; the distance is between the starts of matched words. The figures depend on
the recordings and the model, and on the compute type: openai-whisper runs in float32 here, ours in the CPU's default.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import whisper

from benchmarks.peer_weights import weights_for
from benchmarks.recordings import Recording, find_recordings, load_pcm
from benchmarks.report import describe_run
from src.models.weights import load_weights
from src.request.options import Options
from src.whisper_processor import WhisperProcessor


@dataclass(frozen=True)
class Word:
    """A word and its start in seconds."""

    text: str
    start: float

    @property
    def letters(self) -> str:
        """The word without case and punctuation."""
        return re.sub(r"\W", "", self.text).lower()


@dataclass(frozen=True)
class Distances:
    """Distances between the starts of matched words.

    Attributes:
        seconds: The distance of each matched pair.
        words: All words of openai-whisper, matched or not.
    """

    seconds: Sequence[float]
    words: int

    def __str__(self) -> str:
        if not self.seconds:
            return f"{'-':>8} {'-':>8} {self.words:8}        -"
        median, percentile_90 = np.percentile(self.seconds, [50, 90])
        return f"{median:8.3f} {percentile_90:8.3f} {self.words:8} {100 * len(self.seconds) / self.words:7.1f}%"


def match_words(ours: Sequence[Word], theirs: Sequence[Word]) -> Distances:
    """Match the words of two transcripts and return the distances of their starts."""
    matcher = SequenceMatcher(None, [word.letters for word in ours], [word.letters for word in theirs], autojunk=False)
    pairs = (
        (ours[block.a + offset], theirs[block.b + offset])
        for block in matcher.get_matching_blocks()
        for offset in range(block.size)
    )
    return Distances([abs(our_word.start - their_word.start) for our_word, their_word in pairs], len(theirs))


def transcribe_with_ours(processor: WhisperProcessor, recording: Recording) -> list[Word]:
    """Return the words of our transcript."""
    options = Options(word_timestamps=True, language=recording.language)
    segments = processor.transcribe(recording.path, options).segments
    return [Word(word.word, word.start) for segment in segments for word in segment.words or []]


def transcribe_with_openai_whisper(model: whisper.Whisper, recording: Recording) -> list[Word]:
    """Return the words of openai-whisper's transcript."""
    waveform = load_pcm(recording.path).astype(np.float32) / 32768.0
    result = whisper.transcribe(model, waveform, word_timestamps=True, language=recording.language, fp16=False)
    return [Word(word["word"], word["start"]) for segment in result["segments"] for word in segment["words"]]


def main() -> None:
    """Transcribe the recordings with both systems and print the distances of each and of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("audio", type=Path, nargs="+", metavar="AUDIO", help="files, or folders with a manifest.json")
    parser.add_argument("--model", default="base", help="model of both systems (default: %(default)s)")
    arguments = parser.parse_args()
    processor = WhisperProcessor(arguments.model)
    model = load_weights(Path(weights_for("openai-whisper", arguments.model))).float()
    print(f"{describe_run()}\n\n{'recording':34} {'median s':>8} {'90% s':>8} {'words':>8} {'matched':>8}")
    results = []
    for recording in find_recordings(arguments.audio):
        our_words = transcribe_with_ours(processor, recording)
        results.append(match_words(our_words, transcribe_with_openai_whisper(model, recording)))
        print(f"{recording.name:34} {results[-1]}", flush=True)
    all_seconds = [seconds for distances in results for seconds in distances.seconds]
    print(f"{'all':34} {Distances(all_seconds, sum(distances.words for distances in results))}")


if __name__ == "__main__":
    main()
