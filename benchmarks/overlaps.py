"""Mixes dialogues of real voices that interrupt each other, with exact speaker turns, for `benchmarks.diarization`.

    .venv/bin/python -m benchmarks.overlaps DIR FOLDER

DIR has recordings of one voice each and a `manifest.json`: a list of objects with `file`, `speaker`, `kind` and
`duration_s`. Voices of at least `MIN_RECORDINGS` recordings take part. FOLDER gets a WAV and an RTTM for each dialogue
and a `manifest.json`. The same recordings give the same dialogues.

A third of the turns begin before the previous one has ended, by 0.3 to 2 s; others after a pause of up to 1 s. A turn
lasts from the first loud moment of a recording to the last one, without pauses of `MIN_PAUSE_S`.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.dialogues import Turn, format_rttm
from benchmarks.recordings import load_pcm, write_wav
from src.audio.pcm import SAMPLE_RATE

DIALOGUES = 12
VOICES = (2, 3, 4)
"""Number of voices of the dialogues, in turn."""
TURNS_PER_VOICE = 4
MIN_RECORDINGS = 4
"""Of a voice that takes part."""
MAX_SECONDS = 12.0
"""Of a recording that takes part."""
KINDS = {"short", "multilingual", "accented", "telephone", "spontaneous", "noisy"}

OVERLAP_SHARE = 1 / 3
OVERLAP_RANGE_S = 0.3, 2.0
PAUSE_RANGE_S = 0.0, 1.0

FRAME = SAMPLE_RATE // 100
LOUD_DB = -35.0
"""Loudness of speech, relative to a recording's loudest frame."""
MIN_PAUSE_S = 0.5
PEAK = 0.3
"""Of each recording in a dialogue, of full scale."""

Pcm = NDArray[np.int16]


def find_voices(folder: Path, ignored: Sequence[str]) -> dict[str, list[Path]]:
    """Return the recordings of each voice of the folder's manifest that takes part."""
    voices: dict[str, list[Path]] = defaultdict(list)
    for entry in json.loads((folder / "manifest.json").read_text(encoding="utf-8")):
        voice = entry.get("speaker")
        fits = entry["kind"] in KINDS and entry["duration_s"] <= MAX_SECONDS
        if voice and fits and entry.get("split", "dev") == "dev" and not voice.startswith(tuple(ignored)):
            voices[voice.replace(" ", "_")].append(folder / entry["file"])
    return {voice: sorted(files) for voice, files in sorted(voices.items()) if len(files) >= MIN_RECORDINGS}


def write_overlaps(voices: Mapping[str, Sequence[Path]], folder: Path) -> None:
    """Write the dialogues of these voices into a new folder."""
    folder.mkdir(parents=True)
    entries = []
    for number in range(DIALOGUES):
        rng = random.Random(number)
        name = f"overlaps-{number:02d}"
        cast = rng.sample(sorted(voices), VOICES[number % len(VOICES)])
        pcm, turns = mix(rng, {voice: voices[voice] for voice in cast})
        write_wav(pcm, folder / f"{name}.wav")
        (folder / f"{name}.rttm").write_text(format_rttm(name, turns))
        entries.append({"file": f"{name}.wav", "rttm": f"{name}.rttm", "kind": "overlaps"})
    (folder / "manifest.json").write_text(json.dumps(entries, indent=1))


def mix(rng: random.Random, cast: Mapping[str, Sequence[Path]]) -> tuple[Pcm, list[Turn]]:
    """Return a dialogue of these voices and its turns."""
    order = [voice for voice, files in cast.items() for _ in files[:TURNS_PER_VOICE]]
    rng.shuffle(order)
    files = {voice: iter(rng.sample(list(paths), len(paths))) for voice, paths in cast.items()}
    sound = np.zeros(SAMPLE_RATE * 300, np.float32)
    turns: list[Turn] = []
    end, last_voice, last_start = SAMPLE_RATE // 2, "", 0
    for voice in order:
        pcm, spans = _load_turn(next(files[voice]))
        if voice != last_voice and rng.random() < OVERLAP_SHARE:
            start = end - round(min(rng.uniform(*OVERLAP_RANGE_S) * SAMPLE_RATE, 0.8 * (end - last_start)))
        else:
            start = end + round(rng.uniform(*PAUSE_RANGE_S) * SAMPLE_RATE)
        sound[start : start + len(pcm)] += pcm
        turns += [Turn(voice, (start + first) / SAMPLE_RATE, (start + last) / SAMPLE_RATE, "") for first, last in spans]
        last_start, last_voice, end = start, voice, max(end, start + len(pcm))
    return (sound[: end + SAMPLE_RATE // 2].clip(-1, 1) * 32767).astype(np.int16), turns


def _load_turn(path: Path) -> tuple[NDArray[np.float32], list[tuple[int, int]]]:
    """Return a recording without silence at both ends, at `PEAK`, and the spans of its speech in samples."""
    sound = load_pcm(path).astype(np.float32)
    frames = sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME)
    power = 10 * np.log10((frames**2).mean(1) + 1)
    loud = np.flatnonzero(power > power.max() + LOUD_DB)
    breaks = np.flatnonzero(np.diff(loud) > MIN_PAUSE_S * SAMPLE_RATE / FRAME)
    firsts, lasts = loud[np.append(0, breaks + 1)], loud[np.append(breaks, -1)] + 1
    begin = int(loud[0]) * FRAME
    sound = sound[begin : int(loud[-1] + 1) * FRAME]
    spans = [(int(first) * FRAME - begin, int(last) * FRAME - begin) for first, last in zip(firsts, lasts, strict=True)]
    return sound * (PEAK / max(1.0, float(np.abs(sound).max()))), spans


def main() -> None:
    """Write the dialogues of the folder's voices."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("voices", type=Path, metavar="DIR", help="folder with recordings of voices and a manifest.json")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="new folder for the dialogues")
    parser.add_argument("--ignore", nargs="*", default=[], help="starts of names that stand for several voices")
    arguments = parser.parse_args()
    write_overlaps(find_voices(arguments.voices, arguments.ignore), arguments.folder)


if __name__ == "__main__":
    main()
