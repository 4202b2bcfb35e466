"""Dialogues of flite's four voices, with who speaks when: recordings whose truth is exact.

    apt-get install flite
    python -m benchmarks.dialogues FOLDER

Ten of them, each with 2 to 4 voices, turns of 2 to 8 s and pauses of 0.2 to 1 s. The same flite gives the same bytes.
FOLDER gets a WAV and an RTTM for each, and a `manifest.json`.
"""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
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
"""A Scot, two Americans and an American woman; all at 16 kHz."""

DIALOGUES = 10
TURNS = range(8, 13)
SHORTEST, LONGEST = 2.0, 8.0
"""Seconds of a turn."""
PAUSES = 0.2, 1.0
"""Seconds between two turns."""

SILENT = 300
"""Amplitude below which flite's sound is the silence that it puts before and after."""

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
    """What one voice says without a break; times in seconds."""

    voice: str
    start: float
    end: float
    text: str


def make(folder: Path) -> None:
    """Writes the dialogues.

    Raises:
        SystemExit: flite is not installed.
    """
    if shutil.which("flite") is None:
        raise SystemExit("the dialogues are made by flite: apt-get install flite")
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for number in range(DIALOGUES):
        name = f"dialogue-{number}"
        pcm, turns = dialogue(random.Random(number), VOICES_OF[number % len(VOICES_OF)])
        write_wav(pcm, folder / f"{name}.wav")
        (folder / f"{name}.rttm").write_text(rttm(name, turns))
        text = " ".join(turn.text for turn in turns)
        entries.append({"file": f"{name}.wav", "rttm": f"{name}.rttm", "text": text, "language": "en"})
    # Last: a folder with a manifest is complete.
    (folder / "manifest.json").write_text(json.dumps(entries, indent=1))


VOICES_OF: Sequence[Sequence[str]] = (
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
"""Who speaks in each dialogue."""


def dialogue(dice: random.Random, voices: Sequence[str]) -> tuple[NDArray[np.int16], list[Turn]]:
    """The sound [samples], and the turns; every voice has at least two, and none follows itself."""
    pieces: list[NDArray[np.int16]] = [np.zeros(SAMPLE_RATE // 2, np.int16)]
    turns: list[Turn] = []
    for voice in _order(dice, voices):
        text, sound = _turn(dice, voice)
        start = sum(map(len, pieces)) / SAMPLE_RATE
        turns.append(Turn(voice, start, start + len(sound) / SAMPLE_RATE, text))
        pieces += [sound, np.zeros(round(dice.uniform(*PAUSES) * SAMPLE_RATE), np.int16)]
    return np.concatenate(pieces), turns


def rttm(name: str, turns: Sequence[Turn]) -> str:
    lines = (
        f"SPEAKER {name} 1 {turn.start:.3f} {turn.end - turn.start:.3f} <NA> <NA> {turn.voice} <NA> <NA>\n"
        for turn in turns
    )
    return "".join(lines)


def _order(dice: random.Random, voices: Sequence[str]) -> Iterator[str]:
    """Each voice once, then once more, then as it comes."""
    last = ""
    for number in range(dice.choice(TURNS)):
        due = voices[number % len(voices)] if number < 2 * len(voices) else dice.choice(voices)
        voice = due if due != last else dice.choice([one for one in voices if one != last])
        yield voice
        last = voice


def _turn(dice: random.Random, voice: str) -> tuple[str, NDArray[np.int16]]:
    """Sentences until the turn is long enough, but not too long."""
    while True:
        text = " ".join(dice.sample(SENTENCES, dice.choice((1, 1, 2))))
        sound = _spoken(voice, text)
        if SHORTEST <= len(sound) / SAMPLE_RATE <= LONGEST:
            return text, sound


def _spoken(voice: str, text: str) -> NDArray[np.int16]:
    """[samples] without the silence around them."""
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "turn.wav"
        subprocess.run(["flite", "-voice", voice, "-t", text, "-o", path], check=True)
        with wave.open(str(path), "rb") as file:
            assert file.getframerate() == SAMPLE_RATE
            pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    loud = np.flatnonzero(np.abs(pcm.astype(np.int32)) > SILENT)
    return pcm[loud[0] : loud[-1] + 1]


if __name__ == "__main__":
    make(Path(sys.argv[1]))
