"""The recordings that a benchmark listens to, with what is known of them."""

from __future__ import annotations

import json
import tempfile
import wave
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from src.audio.decode import decode_audio
from src.audio.pcm import SAMPLE_RATE

REPOSITORY_CLIPS = Path(__file__).resolve().parents[1] / "tests" / "data"


@dataclass(frozen=True)
class Recording:
    """An audio file, and who knows what is said in it."""

    path: Path
    seconds: float
    text: str | None = None
    """What is said; empty: nothing is; None: nobody wrote it down."""
    language: str | None = None

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def group(self) -> str:
        return "English" if self.language in (None, "en") else "other languages"


def find_recordings(paths: Iterable[Path]) -> list[Recording]:
    """The recordings in files and in folders; what a folder's manifest.json or clips.json knows of them is kept."""
    return [recording for path in paths for recording in (_in_folder(path) if path.is_dir() else [_file(path)])]


def _in_folder(folder: Path) -> list[Recording]:
    known = _manifest(folder)
    if not known:
        raise SystemExit(f"{folder} has no manifest.json or clips.json: name its audio files instead")
    return [_known(folder / file, entry) for file, entry in known.items()]


def _file(path: Path) -> Recording:
    return _known(path, _manifest(path.parent).get(path.name, {}))


def _manifest(folder: Path) -> dict[str, dict[str, str | None]]:
    """What is known of the files in a folder: their text and their language."""
    if (folder / "manifest.json").is_file():
        entries = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        return {entry["file"]: {key: entry.get(key) for key in ("text", "language")} for entry in entries}
    if (folder / "clips.json").is_file():
        clips = json.loads((folder / "clips.json").read_text(encoding="utf-8"))
        return {
            file: {"text": clip["text"], "language": "en" if clip["text"] else None} for file, clip in clips.items()
        }
    return {}


def _known(path: Path, entry: dict[str, str | None]) -> Recording:
    language = entry.get("language")
    return Recording(path, len(pcm_of(path)) / SAMPLE_RATE, entry.get("text"), None if language == "und" else language)


def pcm_of(path: Path) -> NDArray[np.int16]:
    """The samples of a recording at 16 kHz, in memory."""
    with tempfile.TemporaryDirectory() as scratch:
        return np.array(decode_audio(path, Path(scratch), max_seconds=86_400, max_bytes=4 << 30))


def cut(recording: Recording, start: float, seconds: float, folder: Path) -> Recording:
    """A part of a recording as a WAV of its own in `folder`; its text is known if the part is the whole."""
    pcm = pcm_of(recording.path)[round(start * SAMPLE_RATE) : round((start + seconds) * SAMPLE_RATE)]
    path = write_wav(pcm, folder / f"{recording.path.stem}-{start:g}s.wav")
    whole = start == 0 and recording.seconds <= seconds
    return Recording(path, len(pcm) / SAMPLE_RATE, recording.text if whole else None, recording.language)


def write_wav(pcm: NDArray[np.int16], path: Path) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(pcm.astype("<i2").tobytes())
    return path
