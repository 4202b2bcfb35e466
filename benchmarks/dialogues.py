"""Generates dialogues of flite's four voices with exact speaker turns, for `benchmarks.diarization`.

    apt-get install flite
    .venv/bin/python -m benchmarks.dialogues FOLDER

There are ten dialogues, each with 2 to 4 voices, turns of 2 to 8 s and pauses of 0.2 to 1 s. FOLDER gets a WAV and an
RTTM for each, and a `manifest.json`. The random seeds are fixed: the same flite gives the same bytes.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import tempfile
import wave
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.recordings import write_wav
from src.audio.pcm import SAMPLE_RATE

VOICES = ("awb", "kal16", "rms", "slt")
"""A Scottish man, two American men and an American woman; all at 16 kHz."""

DIALOGUES = 10
TURNS = range(8, 13)
"""Possible numbers of turns in a dialogue."""
MIN_TURN_S, MAX_TURN_S = 2.0, 8.0
PAUSE_RANGE_S = 0.2, 1.0
"""Shortest and longest pause between two turns."""

SILENCE_AMPLITUDE = 300
"""Samples below it belong to the silence that flite adds before and after a sentence."""

SENTENCES = (
    "Did you find the papers that I left on your desk this morning?",
    "Yes, thank you.",
    "The train from the north was late again, so nobody could open the office before ten.",
    "I thought that we had agreed on Thursday.",
    "Well, that depends on how many people want to come along.",
    "Most of the houses on this street were built by the same family.",
    "We should ask the doctor what she thinks about it.",
    "My sister has lived near the harbour for almost twenty years.",
    "Nobody told me that the price had changed.",
    "Please write down the number before you forget it.",
    "There is a good restaurant behind the old theatre, but it is closed on Mondays.",
    "Let me see what I can do for you.",
    "The first version was better than the second one, if you ask me.",
    "I have never been to the mountains in winter.",
    "In the end they decided to sell the farm and move to the city.",
    "Could you repeat the last part, please?",
    "It rained all week, and the river came up as far as the garden wall.",
    "He said that the machine stops whenever the door is open.",
    "That sounds like a very reasonable plan to me.",
    "Our teacher always told us to read the question twice.",
    "The money will be on your account by Friday at the latest.",
    "What happens if the battery runs out on the way?",
    "I would rather walk than wait another hour for the bus.",
    "They painted every room of the house in a different colour.",
)


@dataclass(frozen=True)
class Turn:
    """Uninterrupted speech of one voice; times in seconds."""

    voice: str
    start: float
    end: float
    text: str


def write_dialogues(folder: Path) -> None:
    """Generate the dialogues and write them to `folder`.

    Raises:
        SystemExit: flite is not installed.
    """
    if shutil.which("flite") is None:
        raise SystemExit("flite generates the dialogues and is not installed: apt-get install flite")
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for number in range(DIALOGUES):
        name = f"dialogue-{number}"
        pcm, turns = make_dialogue(random.Random(number), CASTS[number % len(CASTS)])
        write_wav(pcm, folder / f"{name}.wav")
        (folder / f"{name}.rttm").write_text(format_rttm(name, turns))
        text = " ".join(turn.text for turn in turns)
        entries.append({"file": f"{name}.wav", "rttm": f"{name}.rttm", "text": text, "language": "en"})
    # Written last: a folder with a manifest is complete.
    (folder / "manifest.json").write_text(json.dumps(entries, indent=1))


CASTS: Sequence[Sequence[str]] = (
    ("slt", "rms"),
    ("awb", "slt", "kal16"),
    VOICES,
    ("kal16", "awb"),
    ("rms", "kal16", "slt"),
    ("awb", "rms"),
    VOICES,
    ("slt", "kal16"),
    ("rms", "awb", "kal16"),
    ("awb", "slt", "rms"),
)
"""The voices of each dialogue."""


def make_dialogue(rng: random.Random, voices: Sequence[str]) -> tuple[NDArray[np.int16], list[Turn]]:
    """Return the PCM [samples] and the turns; each voice has at least two turns, never two in a row."""
    pieces: list[NDArray[np.int16]] = [np.zeros(SAMPLE_RATE // 2, np.int16)]
    turns: list[Turn] = []
    for voice in _choose_voices(rng, voices):
        text, speech = _make_turn(rng, voice)
        start = sum(map(len, pieces)) / SAMPLE_RATE
        turns.append(Turn(voice, start, start + len(speech) / SAMPLE_RATE, text))
        pieces += [speech, np.zeros(round(rng.uniform(*PAUSE_RANGE_S) * SAMPLE_RATE), np.int16)]
    return np.concatenate(pieces), turns


def format_rttm(name: str, turns: Sequence[Turn]) -> str:
    """Return the turns as an RTTM file's text."""
    lines = (
        f"SPEAKER {name} 1 {turn.start:.3f} {turn.end - turn.start:.3f} <NA> <NA> {turn.voice} <NA> <NA>\n"
        for turn in turns
    )
    return "".join(lines)


def _choose_voices(rng: random.Random, voices: Sequence[str]) -> Iterator[str]:
    """Yield each voice twice in order, then voices at random, without repeating the last one."""
    last = ""
    for number in range(rng.choice(TURNS)):
        candidate = voices[number % len(voices)] if number < 2 * len(voices) else rng.choice(voices)
        voice = candidate if candidate != last else rng.choice([voice for voice in voices if voice != last])
        yield voice
        last = voice


def _make_turn(rng: random.Random, voice: str) -> tuple[str, NDArray[np.int16]]:
    """Draw sentences until the turn's length is in range; return their text and PCM."""
    while True:
        text = " ".join(rng.sample(SENTENCES, rng.choice((1, 1, 2))))
        speech = _synthesize(voice, text)
        if MIN_TURN_S <= len(speech) / SAMPLE_RATE <= MAX_TURN_S:
            return text, speech


def _synthesize(voice: str, text: str) -> NDArray[np.int16]:
    """Run flite and return PCM [samples] without leading and trailing silence."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "turn.wav"
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", path], check=True)
        with wave.open(str(path), "rb") as file:
            assert file.getframerate() == SAMPLE_RATE
            pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > SILENCE_AMPLITUDE)
    return pcm[loud[0] : loud[-1] + 1]


def main() -> None:
    """Write the dialogues to the folder of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="folder for the recordings")
    write_dialogues(parser.parse_args().folder)


if __name__ == "__main__":
    main()
