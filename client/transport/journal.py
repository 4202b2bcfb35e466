"""On-disk state of an unfinished transcription, so that a crash or Ctrl-C loses no finished work.

Each transcription has a folder in the user's cache. It holds the parts' audio, `parts.json` with their times, and for
each part either `NAME.job`, the id of its running job, or `NAME.json`, its output. The folder is deleted when the
transcription is complete, or after a week.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from client.media.audio import AudioPart

MAX_AGE_S = 7 * 24 * 3600.0


class Journal:
    """State of one transcription. Every entry is a file, written atomically, so that threads and crashes are safe.

    Args:
        key: name of the folder; see `make_key`.
        root: folder of all journals; by default in the user's cache.
    """

    def __init__(self, key: str, root: Path | None = None) -> None:
        root = root or cache_folder()
        _delete_expired(root)
        self.folder = root / key

    def parts(self) -> list[AudioPart] | None:
        """Return the parts of the recording; None before it has been cut."""
        saved = _read(self.folder / "parts.json")
        if saved is None:
            return None
        return [AudioPart(self.folder / name, start, end) for name, start, end in json.loads(saved)]

    def save_parts(self, parts: Sequence[AudioPart]) -> None:
        """Record how the recording was cut."""
        rows = [[part.path.name, part.start, part.end] for part in parts]
        write_atomically(self.folder / "parts.json", json.dumps(rows))

    def job_id(self, name: str) -> str | None:
        """Return the id of a part's job, if one was sent and has not ended."""
        return _read(self.folder / f"{name}.job")

    def save_job_id(self, name: str, job_id: str) -> None:
        """Record that a part's job was sent."""
        write_atomically(self.folder / f"{name}.job", job_id)

    def delete_job_id(self, name: str) -> None:
        """Record that a part's job has ended."""
        (self.folder / f"{name}.job").unlink(missing_ok=True)

    def output(self, name: str) -> dict[str, Any] | None:
        """Return a part's output, if its job is done."""
        saved = _read(self.folder / f"{name}.json")
        output: dict[str, Any] | None = None if saved is None else json.loads(saved)
        return output

    def save_output(self, name: str, output: dict[str, Any]) -> None:
        """Record a part's output; its job has ended."""
        write_atomically(self.folder / f"{name}.json", json.dumps(output))
        self.delete_job_id(name)

    def delete(self) -> None:
        """Delete the folder: the transcription is complete."""
        shutil.rmtree(self.folder, ignore_errors=True)


def make_key(*facts: Any) -> str:
    """Return a hash of JSON-serialisable values; equal values give equal keys."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def file_sha256(path: Path) -> str:
    """Return a file's SHA-256 in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def cache_folder() -> Path:
    """Return the client's folder in the user's cache, which need not exist."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "worker-whisper"


def write_atomically(path: Path, text: str) -> None:
    """Write a file so that readers see its old or its new content, never a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _delete_expired(root: Path) -> None:
    for folder in root.iterdir() if root.exists() else []:
        if folder.is_dir() and time.time() - folder.stat().st_mtime > MAX_AGE_S:
            shutil.rmtree(folder, ignore_errors=True)
