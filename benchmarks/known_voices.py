"""Measures how often a library of known voices names somebody wrongly.

    .venv/bin/python -m benchmarks.known_voices FOLDER

FOLDER has recordings of one voice each and a `manifest.json`: a list of objects with `file`, `speaker` and `kind`. The
library has a voice for each speaker, and for each recording of a group whose speakers the manifest does not tell apart
(`UNTOLD`); none of these is looked up in a library with its own group. Copies at another pitch are further voices of
the library. Each table has the rates, in percent, by the size of the library, the threshold of similarity, and the
margin to the second-best voice.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.recordings import load_pcm
from src.audio.pcm import SAMPLE_RATE
from src.speakers.diarization import ENROLL_THRESHOLD, embed_sample

SIZES = (1, 10, 50, 100, 200)
THRESHOLDS = (ENROLL_THRESHOLD, 0.6, 0.65, 0.7)
MARGINS = (0.0, 0.05, 0.1)
PROBE_SECONDS = (3.0, 10.0)
SAMPLE_SECONDS = 10.0
PITCHES = (0.9, 1.1)
MAX_RECORDINGS = 6
"""Of a speaker."""
DRAWS = 50
"""Libraries that are drawn for each probe and size."""

UNTOLD = ("fleurs-", "cv-", "deeply")
KINDS = {"short", "multilingual", "accented", "telephone", "spontaneous", "noisy", "long"}

Pcm = NDArray[np.int16]
Rule = tuple[float, float]
RULES: list[Rule] = [(threshold, margin) for threshold in THRESHOLDS for margin in MARGINS]


class Voice(NamedTuple):
    """The embedding of one recording.

    Attributes:
        speaker: or group of speakers.
        file: its name.
        embedding: of its beginning.
    """

    speaker: str
    file: str
    embedding: NDArray[np.float32]


def main() -> None:
    """Print the rates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    sounds = read_recordings(parser.parse_args().folder)
    samples = embed_all(sounds, SAMPLE_SECONDS)
    library = list({voice.file if is_untold(voice) else voice.speaker: voice for voice in samples}.values())
    chosen = {(voice.speaker, voice.file) for voice in library}
    for pitch in PITCHES:
        copies = {
            key: at_pitch(pcm[: round(SAMPLE_SECONDS * SAMPLE_RATE)], pitch)
            for key, pcm in sounds.items()
            if key in chosen
        }
        library += embed_all(copies, SAMPLE_SECONDS)
    print(f"{len(samples)} recordings; a library of {len(chosen)} voices and {len(library) - len(chosen)} copies")
    for seconds in PROBE_SECONDS:
        probes = embed_all(sounds, seconds)
        print(f"\nUp to {seconds:g} s of speech, {len(probes)} probes")
        print_table("strangers with a name", count_strangers(probes, library))
        right, wrong = count_members(probes, samples, library)
        print_table("members with their name", right)
        print_table("members with another name", wrong)


def read_recordings(folder: Path) -> dict[tuple[str, str], Pcm]:
    """Return the sound of the recordings that take part, by speaker and file."""
    sounds: dict[tuple[str, str], Pcm] = {}
    counts: Counter[str] = Counter()
    for entry in json.loads((folder / "manifest.json").read_text(encoding="utf-8")):
        speaker = entry.get("speaker")
        if not speaker or entry["kind"] not in KINDS or entry.get("split", "dev") != "dev" or "AMI" in speaker:
            continue
        if counts[speaker] < MAX_RECORDINGS or speaker.startswith(UNTOLD):
            counts[speaker] += 1
            sounds[speaker, entry["file"]] = load_pcm(folder / entry["file"])[: 15 * SAMPLE_RATE]
    return sounds


def is_untold(voice: Voice) -> bool:
    """True for a voice of a group."""
    return voice.speaker.startswith(UNTOLD)


def at_pitch(pcm: Pcm, factor: float) -> Pcm:
    """Return the sound as if a tape ran faster by a factor."""
    places = np.arange(0, len(pcm) - 1, factor)
    copy: Pcm = np.interp(places, np.arange(len(pcm)), pcm).astype(np.int16)
    return copy


def embed_all(sounds: Mapping[tuple[str, str], Pcm], seconds: float) -> list[Voice]:
    """Return the voices of the beginnings of recordings in which there is speech."""
    found = []
    for (speaker, file), pcm in sounds.items():
        embedding = embed_sample(pcm[: round(seconds * SAMPLE_RATE)])
        if embedding is not None:
            found.append(Voice(speaker, file, np.asarray(embedding)))
    return found


def count_strangers(probes: Sequence[Voice], library: Sequence[Voice]) -> dict[int, NDArray[np.float64]]:
    """Return the share of those who are not in the library and get a name, by its size and for each rule."""
    draw = np.random.default_rng(1)
    rates = {size: np.zeros(len(RULES)) for size in SIZES}
    for probe in probes:
        others = _similarities(probe, library)
        for size in SIZES:
            for _ in range(DRAWS):
                some = np.sort(draw.choice(others, size, replace=False))
                rates[size] += _passes(some[-1], some[-2] if size > 1 else -1.0)
    return {size: rate / len(probes) / DRAWS for size, rate in rates.items()}


def count_members(
    probes: Sequence[Voice], samples: Sequence[Voice], library: Sequence[Voice]
) -> tuple[dict[int, NDArray[np.float64]], dict[int, NDArray[np.float64]]]:
    """Return the shares of those in the library who get their name, and another one; a sample is another recording."""
    draw = np.random.default_rng(2)
    right = {size: np.zeros(len(RULES)) for size in SIZES}
    wrong = {size: np.zeros(len(RULES)) for size in SIZES}
    trials = 0
    for probe in probes:
        own = [voice for voice in samples if voice.speaker == probe.speaker and voice.file != probe.file]
        if not own or is_untold(probe):
            continue
        others = _similarities(probe, library)
        for _ in range(DRAWS):
            trials += 1
            same = float(own[draw.integers(len(own))].embedding @ probe.embedding)
            for size in SIZES:
                best = np.sort([-1.0, -1.0, *draw.choice(others, size - 1, replace=False)])[-2:]
                rates, first, second = (
                    (right, same, best[1]) if same > best[1] else (wrong, best[1], max(same, best[0]))
                )
                rates[size] += _passes(first, second)
    return {size: rate / trials for size, rate in right.items()}, {size: rate / trials for size, rate in wrong.items()}


def _similarities(probe: Voice, library: Sequence[Voice]) -> NDArray[np.float32]:
    return np.array([voice.embedding @ probe.embedding for voice in library if voice.speaker != probe.speaker])


def _passes(best: float, second: float) -> NDArray[np.bool_]:
    return np.array([best >= threshold and best - second >= margin for threshold, margin in RULES])


def print_table(title: str, rates: Mapping[int, Iterable[float]]) -> None:
    """Print the rates by size of the library and rule."""
    print(f"{title:26}", *(f"{threshold:.2f}+{margin:.2f}" for threshold, margin in RULES))
    for size, row in rates.items():
        print(f"{size:26}", *(f"{100 * rate:9.1f}" for rate in row))


if __name__ == "__main__":
    main()
