"""Measures the times of a given text (`align`) against human alignments, and in a long recording.

    .venv/bin/python -m benchmarks.given_text FOLDER --model base --seconds 600 --pauses 0.2 8

FOLDER has a manifest.json. Recordings whose `words` file holds the words as a person aligned them are aligned with the
text of those words, a line for each turn of a speaker as people write them down: alone, and within a long recording,
which is joined here from short ones with silence between them. If there are too few of them, they come again in another
order, those with word times first each time. The distance is between the starts of words; recognised words are those of
a transcript, and are matched by their text. In the long recordings a word is in place if it starts within the recording
that it comes from; thirds of the recording show whether times drift.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.recordings import Reference, TimedWord, load_pcm, read_references, write_wav
from benchmarks.report import describe_run, markdown_table
from benchmarks.word_timestamps import distances
from src.audio.pcm import SAMPLE_RATE
from src.request.options import Options
from src.transcription.text_matching import match_units
from src.transcription.text_units import split_units
from src.whisper_processor import WhisperProcessor
from transcript.transcript import Transcript

TOLERANCE_S = 0.2
"""How far outside its recording a word may start."""

PARTS = 3
"""Of a long recording, for which the shares of words in place are told apart."""

TURN_PAUSE_S = 0.5
"""After such a pause a speaker's next word begins another turn."""

MIN_SECONDS = 1.5
"""Of recordings that are joined."""


@dataclass(frozen=True)
class Placed:
    """A recording within a long one, in seconds."""

    reference: Reference
    start: float
    end: float

    @property
    def words(self) -> list[TimedWord]:
        """The words that a person aligned, in the order of the text, with times in the long recording."""
        return [
            replace(word, start=word.start + self.start, end=word.end + self.start)
            for turn in to_turns(self.reference.words)
            for word in turn
        ]

    @property
    def text(self) -> str:
        """The words that a person aligned, a line for each turn, if anybody did; else the text in one line."""
        turns = [" ".join(word.text for word in turn) for turn in to_turns(self.reference.words)]
        return "\n".join(turns) or " ".join((self.reference.text or "").split())


@dataclass(frozen=True)
class Outcome:
    """A recording, long or short, with its words as recognised and as aligned."""

    name: str
    placed: Sequence[Placed]
    recognised: Sequence[TimedWord]
    aligned: Sequence[TimedWord]
    not_said: int


def to_turns(words: Sequence[TimedWord]) -> list[list[TimedWord]]:
    """Return the words of each speaker's turns, which may overlap, in the order in which they begin."""
    turns: list[list[TimedWord]] = []
    latest: dict[str | None, list[TimedWord]] = {}
    for word in sorted(words, key=lambda word: word.start):
        turn = latest.get(word.speaker)
        if turn is None or word.start - turn[-1].end > TURN_PAUSE_S:
            turn = latest[word.speaker] = []
            turns.append(turn)
        turn.append(word)
    return turns


def join(references: Sequence[Reference], seconds: float, pauses: tuple[float, float], path: Path) -> list[Placed]:
    """Write a recording of at least `seconds` to `path`, and return what it is joined from.

    Args:
        references: in the order of their first time.
        seconds: length from which no more are joined.
        pauses: shortest and longest silence between two of them, in seconds.
        path: of the WAV.
    """
    chance = random.Random(0)
    placed: list[Placed] = []
    parts: list[np.ndarray] = []
    position = 0
    order = list(references)
    while position < seconds * SAMPLE_RATE:
        for reference in order:
            if position >= seconds * SAMPLE_RATE:
                break
            pcm = load_pcm(reference.path)
            placed.append(Placed(reference, position / SAMPLE_RATE, (position + len(pcm)) / SAMPLE_RATE))
            parts += [pcm, np.zeros(round(chance.uniform(*pauses) * SAMPLE_RATE), np.int16)]
            position += len(pcm) + len(parts[-1])
        chance.shuffle(order)
        order.sort(key=lambda reference: not reference.words)
    write_wav(np.concatenate(parts), path)
    return placed


def measure(processor: WhisperProcessor, name: str, path: Path, placed: Sequence[Placed]) -> Outcome:
    """Transcribe a recording, and align the text of what it is joined from."""
    language = placed[0].reference.language
    recognised = processor.transcribe(path, Options(word_timestamps=True, language=language))
    text = "\n".join(part.text for part in placed)
    aligned = processor.transcribe(path, Options(align=text, language=language))
    not_said = sum(not word.said for segment in aligned.segments for word in segment.words or [])
    return Outcome(name, placed, _words(recognised), _words(aligned), not_said)


def _words(transcript: Transcript) -> list[TimedWord]:
    return [
        TimedWord(word.word, word.start, word.end) for segment in transcript.segments for word in segment.words or []
    ]


def by_recording(outcome: Outcome) -> Iterator[tuple[Placed, list[TimedWord]]]:
    """Yield the aligned words of each recording that a long one is joined from, by the letters of its text."""
    words = iter(outcome.aligned)
    for placed in outcome.placed:
        letters = len(TimedWord(placed.text, 0, 0).letters)
        its_words = []
        while letters > 0 and (word := next(words, None)):
            its_words.append(word)
            letters -= len(word.letters)
        yield placed, its_words


def distance_rows(outcome: Outcome) -> Iterator[list[str]]:
    """Yield a row for recognised and for aligned words, if a person aligned those of any part."""
    recognised: list[float] = []
    aligned: list[float] = []
    total = 0
    for placed, words in by_recording(outcome):
        human = placed.words
        total += len(human)
        within = [
            word for word in outcome.recognised if placed.start - TOLERANCE_S <= word.start < placed.end + TOLERANCE_S
        ]
        recognised += distances(within, human)
        aligned += distances(words, human)
    for system, seconds in (("recognised", recognised), ("given", aligned)):
        if seconds:
            median, percentile_95 = np.percentile(seconds, [50, 95])
            matched = f"{100 * len(seconds) / total:.0f}%"
            yield [outcome.name, system, str(total), matched, f"{median:.3f}", f"{percentile_95:.3f}"]


def place_rows(outcome: Outcome) -> Iterator[list[str]]:
    """Yield a row for recognised and for aligned words: how many are where they belong, in order, and not said."""
    aligned = [
        (word, placed.start - TOLERANCE_S <= word.start <= placed.end + TOLERANCE_S)
        for placed, words in by_recording(outcome)
        for word in words
    ]
    seconds = outcome.placed[-1].end
    described = [outcome.name, str(len(outcome.placed)), f"{seconds:.0f} s"]
    for system, words, not_said in (
        ("recognised", list(recognised_in_place(outcome)), "-"),
        ("given", aligned, str(outcome.not_said)),
    ):
        backwards = sum(after.start < before.start for (before, _), (after, _) in pairwise(words))
        yield [*described, system, str(len(words)), *_shares(words, seconds), str(backwards), not_said]


def recognised_in_place(outcome: Outcome) -> Iterator[tuple[TimedWord, bool]]:
    """Yield the recognised words that the text has, and whether they start in the recording that has them."""
    language = outcome.placed[0].reference.language or "en"
    given = [(unit.key, placed) for placed in outcome.placed for unit in split_units(placed.text, language)]
    heard = [(unit.key, word) for word in outcome.recognised for unit in split_units(word.text, language)[:1]]
    for match in match_units([key for key, _ in given], [key for key, _ in heard]):
        for offset in range(match.size):
            placed, word = given[match.first + offset][1], heard[match.second + offset][1]
            yield word, placed.start - TOLERANCE_S <= word.start <= placed.end + TOLERANCE_S


def _shares(words: Sequence[tuple[TimedWord, bool]], seconds: float) -> Iterator[str]:
    """Yield the share of words in place: of all, and of those in each part of a recording of `seconds`."""
    parts = [[is_in for word, is_in in words if int(PARTS * word.start / seconds) == part] for part in range(PARTS)]
    for part in [[is_in for _, is_in in words], *parts]:
        yield f"{100 * sum(part) / len(part):.1f}%" if part else "-"


def choose(references: Sequence[Reference], language: str, longest: float) -> list[Reference]:
    """Return a language's recordings of up to `longest` seconds that can be joined, those with word times first."""
    chosen = [
        reference
        for reference in references
        if reference.language == language and reference.text and MIN_SECONDS <= reference.seconds <= longest
    ]
    return sorted(chosen, key=lambda reference: not reference.words)


def main() -> None:
    """Align the texts of a folder's recordings and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="a folder with a manifest.json")
    parser.add_argument("--model", default="base", help="(default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=240, help="of a long recording (default: %(default)s)")
    parser.add_argument("--longest", type=float, default=60, help="of those that it is joined from (default: 60)")
    parser.add_argument(
        "--pauses", type=float, nargs=2, default=(1.0, 1.0), metavar="S", help="between them (default: 1 1)"
    )
    parser.add_argument("--languages", default="en,zh,ja", help="of long recordings (default: %(default)s)")
    arguments = parser.parse_args()
    references = read_references(arguments.folder)
    processor = WhisperProcessor(arguments.model)
    outcomes = [
        measure(processor, reference.name, reference.path, [Placed(reference, 0.0, reference.seconds)])
        for reference in references
        if reference.words
    ]
    with tempfile.TemporaryDirectory() as folder:
        for language in arguments.languages.split(","):
            path = Path(folder, f"{language}.wav")
            if chosen := choose(references, language, arguments.longest):
                placed = join(chosen, arguments.seconds, arguments.pauses, path)
                outcomes.append(measure(processor, f"joined, {language}", path, placed))
    distance_headings = ["recording", "words", "with human times", "matched", "median s", "95% s"]
    thirds = [f"in third {number}" for number in range(1, PARTS + 1)]
    place_headings = ["recording", "parts", "length", "words of", "words", "in place", *thirds, "backwards", "not said"]
    rows = [row for outcome in outcomes for row in distance_rows(outcome)]
    print(f"{describe_run()}\n\n{markdown_table(distance_headings, rows)}\n")
    print(markdown_table(place_headings, [row for outcome in outcomes for row in place_rows(outcome)]))


if __name__ == "__main__":
    main()
