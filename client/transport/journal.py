"""On-disk state of an unfinished transcription, so that a crash, Ctrl-C or a full disk loses no finished work.

Each transcription has a folder in the user's cache, which other users cannot read. It holds the parts' audio,
`parts.json` with their times, and for each part either `NAME.job`, the id of its running job, or `NAME.json`, its
output. The folder is deleted when the transcription's files are written, or after a week.

Only one thread or process works on a transcription; others that want the same wait for it, and take its outputs.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock, Timeout

from client.errors import CacheFailed, Stopped
from client.files import PRIVATE_FILE, PRIVATE_FOLDER, describe, home_folder, write_atomically
from client.media.audio import AudioPart

MAX_AGE_S = 7 * 24 * 3600.0

_POLL_S = 0.5
_WAITING_AGE_S = 10.0
"""Age from which a waiting run's mark counts as left behind: it is renewed with every poll."""


class Journal:
    """State of one transcription. Every entry is a file, written atomically, so that threads and crashes are safe.

    Args:
        key: name of the folder; see `make_key`.
        root: folder of all journals; by default in the user's cache.

    Attributes:
        folder: of this transcription.
        is_complete: False once an output could not be saved.
    """

    def __init__(self, key: str, root: Path | None = None) -> None:
        self._root = root or cache_folder()
        self.folder = self._root / key
        self.is_complete = True

    @contextmanager
    def claimed(self, stop: threading.Event, on_wait: Callable[[], object] = lambda: None) -> Iterator[None]:
        """Work on the transcription alone, after any other thread or process that does.

        Args:
            stop: ends the wait when set.
            on_wait: called again and again while another one is at work.

        Raises:
            Stopped: `stop` was set.
            CacheFailed: the cache cannot be written.
        """
        lock = FileLock(f"{self.folder}.lock", mode=PRIVATE_FILE)
        mark = self.folder / f"{uuid4().hex}.waiting"
        try:
            while not self._try_to_lock(lock, mark):
                if stop.is_set():
                    raise Stopped("stopped")
                on_wait()
            yield
        finally:
            with suppress(OSError):
                mark.unlink()
            if lock.is_locked:
                self._remove_if_empty(lock)
                lock.release()

    def _try_to_lock(self, lock: FileLock, mark: Path) -> bool:
        """Mark this run as waiting, so that another one leaves its outputs, then try to get the lock for a while."""
        try:
            try:
                self._make_folder()
                mark.touch(PRIVATE_FILE)
                lock.acquire(timeout=_POLL_S)
            except Timeout:
                return False
            except FileNotFoundError:
                if self._root.is_dir():  # the other run has just deleted the folder
                    return False
                raise
            mark.unlink(missing_ok=True)
            self._make_folder()
            os.utime(lock.lock_file)  # while it is in use, it does not expire
            _delete_expired(self._root)
        except OSError as error:
            raise CacheFailed(
                f"the cache {self._root} cannot be written ({describe(error)}): set XDG_CACHE_HOME to another folder"
            ) from None
        return True

    def _remove_if_empty(self, lock: FileLock) -> None:
        with suppress(OSError):
            self.folder.rmdir()
        if not self.folder.exists():
            # While the lock is held: whoever gets it afterwards sees that its file is gone, and makes a new one.
            with suppress(OSError):  # Windows keeps open files
                Path(lock.lock_file).unlink()

    def parts(self) -> list[AudioPart] | None:
        """Return the parts of the recording; None before it has been cut."""
        saved = self._read("parts.json")
        if saved is None:
            return None
        return [AudioPart(self.folder / name, start, end) for name, start, end in json.loads(saved)]

    def save_parts(self, parts: Sequence[AudioPart]) -> None:
        """Record how the recording was cut."""
        for part in parts:
            part.path.chmod(PRIVATE_FILE)
        self._write("parts.json", json.dumps([[part.path.name, part.start, part.end] for part in parts]))

    def job_id(self, name: str) -> str | None:
        """Return the id of a part's job, if one was sent and has not ended."""
        return self._read(f"{name}.job")

    def save_job_id(self, name: str, job_id: str) -> None:
        """Record that a part's job was sent, if the disk has room: the job itself is already paid for."""
        with suppress(OSError):
            self._write(f"{name}.job", job_id)

    def delete_job_id(self, name: str) -> None:
        """Record that a part's job has ended."""
        (self.folder / f"{name}.job").unlink(missing_ok=True)

    def output(self, name: str) -> dict[str, Any] | None:
        """Return a part's output, if its job is done."""
        saved = self._read(f"{name}.json")
        output: dict[str, Any] | None = None if saved is None else json.loads(saved)
        return output

    def save_output(self, name: str, output: dict[str, Any]) -> None:
        """Record a part's output; its job has ended. On a full disk, the job's id is kept in its place."""
        try:
            self._write(f"{name}.json", json.dumps(output))
        except OSError:
            self.is_complete = False
        else:
            self.delete_job_id(name)

    def delete(self) -> None:
        """Delete the entries, as the transcription is complete; leave them to a run that waits for them, if any."""
        if all(_is_older(mark, _WAITING_AGE_S) for mark in self.folder.glob("*.waiting")):
            shutil.rmtree(self.folder, ignore_errors=True)

    def _read(self, name: str) -> str | None:
        path = self.folder / name
        return path.read_text(encoding="utf-8") if path.exists() else None

    def _write(self, name: str, text: str) -> None:
        self._make_folder()
        write_atomically(self.folder / name, text, PRIVATE_FILE)

    def _make_folder(self) -> None:
        self._root.parent.mkdir(parents=True, exist_ok=True)
        for folder in (self._root, self.folder):
            with suppress(FileExistsError):  # not exist_ok, which fails if another run deletes it meanwhile
                folder.mkdir(PRIVATE_FOLDER)
        self.folder.chmod(PRIVATE_FOLDER)  # that of an earlier version was open to all


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
    return Path(os.environ.get("XDG_CACHE_HOME") or home_folder() / ".cache") / "worker-whisper"


def _delete_expired(root: Path) -> None:
    for path in root.iterdir():
        if not _is_older(path, MAX_AGE_S):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.suffix == ".lock":
            with suppress(OSError):
                path.unlink()


def _is_older(path: Path, age_s: float) -> bool:
    try:
        return time.time() - path.stat().st_mtime > age_s
    except FileNotFoundError:  # another run has just deleted it
        return False
