"""Recordings for the benchmarks, with their reference texts and speaker turns."""

from __future__ import annotations

import json
import re
import tempfile
import wave
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.systems import Span
from src.audio.decode import decode_audio
from src.audio.pcm import SAMPLE_RATE
from transcript.transcript import Turn

REPOSITORY_CLIPS = Path(__file__).resolve().parents[1] / "tests" / "data"


@dataclass(frozen=True)
class TimedWord:
    """A word with its start and end, in seconds."""

    text: str
    start: float
    end: float
    speaker: str | None = None
    """None: there is one, or nobody knows."""

    @property
    def letters(self) -> str:
        """The word without case and punctuation."""
        return re.sub(r"\W", "", self.text).lower()


@dataclass(frozen=True)
class Recording:
    """An audio file and its reference text."""

    path: Path
    seconds: float
    text: str | None = None
    """The spoken words. Empty: there is no speech. None: there is no reference text."""
    language: str | None = None
    words: Sequence[TimedWord] = ()
    """The spoken words as a person aligned them; empty if nobody did."""

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
    turns: Sequence[Turn] = ()
    """Who speaks when; empty if that is not known."""
    words: Sequence[TimedWord] = ()
    """The spoken words as a person aligned them; empty if nobody did."""

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def speech(self) -> list[Span]:
        """Spans in which somebody speaks, without overlap; empty if neither turns nor words are known."""
        return merge_spans((turn.start, turn.end) for turn in self.turns) or self.word_spans

    @property
    def solo_speech(self) -> list[Span]:
        """Spans in which exactly one person speaks; empty if the turns are not known."""
        return find_solo_spans(self.turns)

    @property
    def word_spans(self) -> list[Span]:
        """Spans of the aligned words, without overlap."""
        return merge_spans((word.start, word.end) for word in self.words)


def read_references(folder: Path) -> list[Reference]:
    """Read the folder's manifest.json, with the speech of its RTTM files or word times.

    Raises:
        FileNotFoundError: The folder has no manifest.json.
    """
    entries = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    return [_make_reference(folder, entry) for entry in entries]


def _make_reference(folder: Path, entry: dict[str, Any]) -> Reference:
    return Reference(
        folder / entry["file"],
        None if entry["language"] == "und" else entry["language"],
        entry["kind"],
        entry["duration_s"],
        entry.get("text"),
        read_rttm(folder / entry["rttm"], entry["duration_s"]) if entry.get("rttm") else (),
        read_words(folder / entry["words"]) if entry.get("words") else (),
    )


def merge_spans(spans: Iterable[Span]) -> list[Span]:
    """Return the union of spans, in order and without overlap."""
    merged: list[Span] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(merged[-1][1], end)
        else:
            merged.append((start, end))
    return merged


def find_solo_spans(turns: Iterable[Turn]) -> list[Span]:
    """Return the spans in which exactly one speaker has a turn; turns of one speaker may overlap."""
    spans_by_speaker: dict[str, list[Span]] = defaultdict(list)
    for turn in turns:
        spans_by_speaker[turn.speaker].append((turn.start, turn.end))
    changes: Counter[float] = Counter()
    for spans in spans_by_speaker.values():
        for start, end in merge_spans(spans):
            changes[start] += 1
            changes[end] -= 1
    times = sorted(changes)
    speakers = accumulate(changes[time] for time in times)
    return merge_spans(span for span, count in zip(pairwise(times), speakers, strict=False) if count == 1)


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
    """Return the `text`, `language` and file of `words` of each file that the folder's manifest lists."""
    if (folder / "manifest.json").is_file():
        entries = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        return {entry["file"]: {key: entry.get(key) for key in ("text", "language", "words")} for entry in entries}
    if (folder / "clips.json").is_file():
        clips = json.loads((folder / "clips.json").read_text(encoding="utf-8"))
        return {
            file: {"text": clip["text"], "language": "en" if clip["text"] else None} for file, clip in clips.items()
        }
    return {}


def _make_recording(path: Path, entry: dict[str, str | None]) -> Recording:
    language = entry.get("language")
    seconds = len(load_pcm(path)) / SAMPLE_RATE
    words_file = entry.get("words")
    words = read_words(path.parent / words_file) if words_file else ()
    return Recording(path, seconds, entry.get("text"), None if language == "und" else language, words)


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


def read_rttm(path: Path, seconds: float = inf) -> list[Turn]:
    """Read the speaker turns of an RTTM file, up to the end of a recording of `seconds`."""
    rows = [line.split() for line in path.read_text().splitlines() if line.startswith("SPEAKER")]
    return [Turn(float(row[3]), min(float(row[3]) + float(row[4]), seconds), row[7]) for row in rows]


def read_words(path: Path) -> list[TimedWord]:
    """Read a JSON list of words with `word`, `start` and `end`, and `speaker` where several speak."""
    words = json.loads(path.read_text(encoding="utf-8"))
    return [TimedWord(word["word"], word["start"], word["end"], word.get("speaker")) for word in words]
