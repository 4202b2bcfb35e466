"""The repository's clips: their files, the words that are said in them, and how close a transcript comes to those."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from rapidfuzz.distance import Levenshtein

ROOT = Path(__file__).resolve().parents[2]
CLIPS = ROOT / "tests" / "data"


def words(text: str) -> list[str]:
    """Splits a text into words as Whisper's evaluation does: no case, no punctuation, "twelve" becomes "12"."""
    from whisper.normalizers import EnglishTextNormalizer  # imports torch

    return list(EnglishTextNormalizer()(text).split())


def spoken(clip: str) -> list[str]:
    """The words that are said in a clip."""
    return words(json.loads((CLIPS / "clips.json").read_text())[clip]["text"])


def assert_spoken(text: str, clip: str, max_errors: int = 1, repeats: int = 1) -> None:
    """Asserts that `text` has the words of the clip, except for a few word errors.

    A small model's exact words depend on the CPU: in bfloat16 with AMX, `tiny.en` hears "jump" for "jumps".

    Args:
        text: The transcript.
        clip: File name of the clip in `tests/data`.
        max_errors: Word errors allowed in each repeat of the clip.
        repeats: How many times the recording plays the clip.
    """
    expected, transcribed = spoken(clip) * repeats, words(text)
    errors = Levenshtein.distance(expected, transcribed)
    assert errors <= max_errors * repeats, f"{errors} word errors in {' '.join(transcribed)!r}"


def as_base64(path: Path) -> str:
    """The content of a file in base64."""
    return base64.b64encode(path.read_bytes()).decode()
