"""Recordings whose words are known, and whether a transcript has the words of one of them and of no other."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cached_property
from pathlib import Path

from media.sandbox import ffmpeg_executable
from tests.support.clips import CLIPS, words

_MIN_RATIO = {"numbers.mp3": 0.7, "demo.ogg": 0.9, "long.ogg": 0.95}
"""Least similarity of words in clips of which tiny.en gets some wrong, whatever the options.

Without beams it takes "There are twelve" for "Tharrier 12"; in bfloat16 with AMX it takes "jumps" for "jump".
"""
_NEIGHBOURLY = 3  # words in a row that only another recording has: those that are alike by chance are fewer


@dataclass(frozen=True)
class Recording:
    """`min_ratio` is the share of `text` that has to come back, in order and without more; 1.0 is word for word."""

    name: str
    data: bytes
    text: str
    min_ratio: float = 1.0

    @cached_property
    def base64(self) -> str:
        return base64.b64encode(self.data).decode()

    @cached_property
    def words(self) -> list[str]:
        return words(self.text)


def clips() -> dict[str, Recording]:
    """The repository's clips by name."""
    texts = json.loads((CLIPS / "clips.json").read_text())
    return {
        name: Recording(name, (CLIPS / name).read_bytes(), facts["text"], _MIN_RATIO.get(name, 1.0))
        for name, facts in texts.items()
    }


def joined(parts: Sequence[Recording], folder: Path) -> Recording:
    """Clips one after the other, as one recording: of different words, since Whisper takes repeated ones for a loop."""
    path = folder / f"{'+'.join(Path(part.name).stem for part in parts)}.flac"
    files = [argument for part in parts for argument in ("-i", str(CLIPS / part.name))]
    command = [ffmpeg_executable(), "-v", "error", *files, "-filter_complex", f"concat=n={len(parts)}:v=0:a=1"]
    subprocess.run([*command, str(path)], check=True)
    text = " ".join(part.text for part in parts)
    return Recording(path.name, path.read_bytes(), text, min(0.95, *(part.min_ratio for part in parts)))


def repeated(clip: Recording, times: int, folder: Path) -> Recording:
    """A clip over and over."""
    path = folder / f"{times}x-{clip.name}"
    command = [ffmpeg_executable(), "-v", "error", "-stream_loop", str(times - 1), "-i", str(CLIPS / clip.name)]
    subprocess.run([*command, "-c", "copy", str(path)], check=True)
    return Recording(path.name, path.read_bytes(), " ".join([clip.text] * times), min(clip.min_ratio, 0.95))


def fault_in_words(heard: Sequence[str], recording: Recording, others: Sequence[Recording]) -> str | None:
    """The fault of the words in a transcript of `recording`; None if they are right."""
    for other in others:
        if strange := set(_rows(heard)) & set(_rows(other.words)) - set(_rows(recording.words)):
            return f"has words of {other.name}, its neighbour's: {' '.join(min(strange))!r}"
    right = SequenceMatcher(None, list(heard), recording.words, autojunk=False).ratio()
    if right < recording.min_ratio:
        return f"has the words of {recording.name} by {right:.0%} only: {' '.join(heard)[:120]!r}"
    return None


def _rows(text: Sequence[str]) -> Iterator[tuple[str, ...]]:
    return zip(*(text[start:] for start in range(_NEIGHBOURLY)), strict=False)
