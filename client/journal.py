"""What is known about an unfinished transcription, on disk, so that a crash or Ctrl-C costs nothing that was done.

One folder each, under the user's cache: the parts' audio, `parts.json` with their times, and for each part `NAME.job`,
the id of the job that does it, until `NAME.json`, its output, is there. The folder goes when all is done, or after a
week.
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

from client.audio import Part

WEEK = 7 * 24 * 3600.0


class Journal:
    """Each note is one file, written whole or not at all: threads and crashes do not meet in it."""

    def __init__(self, key: str, root: Path | None = None) -> None:
        root = root or cache_folder()
        _forget_old(root)
        self.folder = root / key

    def parts(self) -> list[Part] | None:
        """None before the recording has been cut."""
        listed = _read(self.folder / "parts.json")
        return (
            None
            if listed is None
            else [Part(self.folder / name, start, end) for name, start, end in json.loads(listed)]
        )

    def note_parts(self, parts: Sequence[Part]) -> None:
        listed = [[part.path.name, part.start, part.end] for part in parts]
        write_whole(self.folder / "parts.json", json.dumps(listed))

    def job(self, name: str) -> str | None:
        """The id of the job that was sent for a part, and not heard of since."""
        return _read(self.folder / f"{name}.job")

    def note_job(self, name: str, job_id: str) -> None:
        write_whole(self.folder / f"{name}.job", job_id)

    def forget_job(self, name: str) -> None:
        (self.folder / f"{name}.job").unlink(missing_ok=True)

    def output(self, name: str) -> dict[str, Any] | None:
        known = _read(self.folder / f"{name}.json")
        output: dict[str, Any] | None = None if known is None else json.loads(known)
        return output

    def note_output(self, name: str, output: dict[str, Any]) -> None:
        write_whole(self.folder / f"{name}.json", json.dumps(output))
        self.forget_job(name)

    def discard(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def key_of(*facts: Any) -> str:
    """The same for the same facts, which JSON can hold."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def content_of(path: Path) -> str:
    """A file's SHA-256."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "worker-whisper"


def write_whole(path: Path, text: str) -> None:
    """Writes a file that nobody ever sees by half."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _forget_old(root: Path) -> None:
    for folder in root.iterdir() if root.exists() else []:
        if folder.is_dir() and time.time() - folder.stat().st_mtime > WEEK:
            shutil.rmtree(folder, ignore_errors=True)
