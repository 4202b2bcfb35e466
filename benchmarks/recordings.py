"""Recordings for the benchmarks, with their reference texts and speaker turns."""

from __future__ import annotations

import json
import tempfile
import wave
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from src.audio.decode import decode_audio
from src.audio.pcm import SAMPLE_RATE
from src.transcript.transcript import Turn

REPOSITORY_CLIPS = Path(__file__).resolve().parents[1] / "tests" / "data"


@dataclass(frozen=True)
class Recording:
    """An audio file and its reference text."""

    path: Path
    seconds: float
    text: str | None = None
    """The spoken words. Empty: there is no speech. None: there is no reference text."""
    language: str | None = None

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def group(self) -> str:
        """The group of languages under which errors are added up."""
        return "English" if self.language in (None, "en") else "other languages"


@dataclass(frozen=True)
class Reference:
    """A recording of a manifest with all that is known of it."""

    path: Path
    language: str | None
    kind: str
    seconds: float
    text: str | None
    """The spoken words. Empty: there is no speech. None: there is no reference text."""
    speech: Sequence[tuple[float, float]] = ()
    """Spans in which somebody speaks, in seconds, without overlap; empty if they are not known."""

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name


def read_references(folder: Path) -> list[Reference]:
    """Read the folder's manifest.json, with the speech of its RTTM files or word times.

    Raises:
        FileNotFoundError: The folder has no manifest.json.
    """
    entries = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return [_make_reference(folder, entry) for entry in entries]


def _make_reference(folder: Path, entry: dict[str, Any]) -> Reference:
    if entry.get("rttm"):
        spans = [(turn.start, turn.end) for turn in read_rttm(folder / entry["rttm"])]
    elif entry.get("words"):
        words = json.loads((folder / entry["words"]).read_text(encoding="utf-8"))
        spans = [(word["start"], word["end"]) for word in words]
    else:
        spans = []
    return Reference(
        folder / entry["file"],
        None if entry["language"] == "und" else entry["language"],
        entry["kind"],
        entry["duration_s"],
        entry.get("text"),
        merge_spans(spans),
    )


def merge_spans(spans: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the union of spans, in order and without overlap."""
    merged: list[tuple[float, float]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return merged


def find_recordings(paths: Iterable[Path]) -> list[Recording]:
    """Find the recordings in files and folders, with the facts from a folder's manifest.json or clips.json.

    Raises:
        SystemExit: A folder has neither of these files.
    """
    return [
        recording
        for path in paths
        for recording in (_folder_recordings(path) if path.is_dir() else [_file_recording(path)])
    ]


def _folder_recordings(folder: Path) -> list[Recording]:
    entries = _read_manifest(folder)
    if not entries:
        raise SystemExit(f"{folder} has no manifest.json or clips.json: name its audio files instead")
    return [_make_recording(folder / file, entry) for file, entry in entries.items()]


def _file_recording(path: Path) -> Recording:
    return _make_recording(path, _read_manifest(path.parent).get(path.name, {}))


def _read_manifest(folder: Path) -> dict[str, dict[str, str | None]]:
    """Return the `text` and `language` of each file that the folder's manifest lists."""
    if (folder / "manifest.json").is_file():
        entries = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        return {entry["file"]: {key: entry.get(key) for key in ("text", "language")} for entry in entries}
    if (folder / "clips.json").is_file():
        clips = json.loads((folder / "clips.json").read_text(encoding="utf-8"))
        return {
            file: {"text": clip["text"], "language": "en" if clip["text"] else None} for file, clip in clips.items()
        }
    return {}


def _make_recording(path: Path, entry: dict[str, str | None]) -> Recording:
    language = entry.get("language")
    seconds = len(load_pcm(path)) / SAMPLE_RATE
    return Recording(path, seconds, entry.get("text"), None if language == "und" else language)


def load_pcm(path: Path) -> NDArray[np.int16]:
    """Decode a recording to 16 kHz mono PCM, held in memory."""
    with tempfile.TemporaryDirectory() as scratch:
        return np.array(decode_audio(path, Path(scratch), max_seconds=86_400, max_bytes=4 << 30))


def cut_recording(recording: Recording, start: float, seconds: float, folder: Path) -> Recording:
    """Write a part of a recording to `folder` as WAV; the reference text is kept only if the part is the whole."""
    pcm = load_pcm(recording.path)[round(start * SAMPLE_RATE) : round((start + seconds) * SAMPLE_RATE)]
    path = write_wav(pcm, folder / f"{recording.path.stem}-{start:g}s.wav")
    is_whole = start == 0 and recording.seconds <= seconds
    return Recording(path, len(pcm) / SAMPLE_RATE, recording.text if is_whole else None, recording.language)


def write_wav(pcm: NDArray[np.int16], path: Path) -> Path:
    """Write 16 kHz mono PCM and return `path`."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(pcm.astype("<i2").tobytes())
    return path


def read_rttm(path: Path) -> list[Turn]:
    """Read the speaker turns of an RTTM file."""
    rows = [line.split() for line in path.read_text().splitlines() if line.startswith("SPEAKER")]
    return [Turn(float(row[3]), float(row[3]) + float(row[4]), row[7]) for row in rows]
