"""How far our word timestamps are from openai-whisper's own on the same recordings.

    python -m benchmarks.words AUDIO... --model base

Words are matched by their text, in order; the distance is between the starts of matched words.
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
from benchmarks.recordings import Recording, find_recordings, pcm_of
from src.models.weights import load_weights
from src.request.options import Options
from src.whisper_processor import WhisperProcessor


@dataclass(frozen=True)
class Word:
    text: str
    start: float

    @property
    def letters(self) -> str:
        return re.sub(r"\W", "", self.text).lower()


@dataclass(frozen=True)
class Distances:
    """Seconds between the starts of words that both heard, and how many words openai-whisper heard."""

    seconds: Sequence[float]
    words: int

    def __str__(self) -> str:
        if not self.seconds:
            return f"{'-':>8} {'-':>8} {self.words:8}        -"
        middle, most = np.percentile(self.seconds, [50, 90])
        return f"{middle:8.3f} {most:8.3f} {self.words:8} {100 * len(self.seconds) / self.words:7.1f}%"


def distances(ours: Sequence[Word], theirs: Sequence[Word]) -> Distances:
    matcher = SequenceMatcher(None, [word.letters for word in ours], [word.letters for word in theirs], autojunk=False)
    pairs = (
        (ours[block.a + offset], theirs[block.b + offset])
        for block in matcher.get_matching_blocks()
        for offset in range(block.size)
    )
    return Distances([abs(own.start - other.start) for own, other in pairs], len(theirs))


def our_words(processor: WhisperProcessor, recording: Recording) -> list[Word]:
    options = Options(word_timestamps=True, language=recording.language)
    segments = processor.transcribe(recording.path, options).segments
    return [Word(word.word, word.start) for segment in segments for word in segment.words or []]


def their_words(model: whisper.Whisper, recording: Recording) -> list[Word]:
    waveform = pcm_of(recording.path).astype(np.float32) / 32768.0
    result = whisper.transcribe(model, waveform, word_timestamps=True, language=recording.language, fp16=False)
    return [Word(word["word"], word["start"]) for segment in result["segments"] for word in segment["words"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("audio", type=Path, nargs="+", metavar="AUDIO", help="files, or folders with a manifest.json")
    parser.add_argument("--model", default="base", help="the same for both (default: %(default)s)")
    arguments = parser.parse_args()
    processor = WhisperProcessor(arguments.model)
    model = load_weights(Path(weights_for("openai-whisper", arguments.model))).float()
    print(f"{'recording':34} {'median s':>8} {'90% s':>8} {'words':>8} {'matched':>8}")
    found = []
    for recording in find_recordings(arguments.audio):
        found.append(distances(our_words(processor, recording), their_words(model, recording)))
        print(f"{recording.name:34} {found[-1]}", flush=True)
    everything = [seconds for one in found for seconds in one.seconds]
    print(f"{'in sum':34} {Distances(everything, sum(one.words for one in found))}")


if __name__ == "__main__":
    main()
