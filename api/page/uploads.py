"""Recordings that come in pieces: on disk as they arrive, to go on after a lost connection or a restart.

Beside each recording a small JSON file says whose it is. The recording's file holds what was received: pieces are
appended in order, including one that breaks off.
"""

from __future__ import annotations

import errno
import json
import secrets
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO

KEPT_SECONDS = 7 * 24 * 3600.0
"""How long an upload waits for its next piece, or to be used."""

IDLE_SECONDS = 3600.0
"""An upload without a new piece for this long may be removed to make room for another one."""

MAX_UPLOADS, MAX_UPLOADS_OF_ONE = 2000, 50
"""Of all visitors, and of one."""

_UNFINISHED = ".new"
"""Suffix of a description that is being written."""


class UploadError(Exception):
    """A refusal; with a sentence."""


class NoSuchUpload(UploadError):
    """This visitor has no upload of this id."""

    def __init__(self) -> None:
        super().__init__("there is no such upload, or it is no longer kept: upload the file again")


class WrongOffset(UploadError):
    """A piece does not begin where the last one ended.

    Attributes:
        received: where it ended.
    """

    def __init__(self, received: int) -> None:
        super().__init__(f"the next piece should begin at byte {received}")
        self.received = received


class Incomplete(UploadError):
    """The upload has not ended."""

    def __init__(self, received: int, size: int) -> None:
        super().__init__(f"the upload is incomplete: {received} of {size} bytes are here, send the rest")


class TooManyUploads(UploadError):
    """There is no room for another upload."""


class NoSpace(UploadError):
    """The disk is full."""

    def __init__(self) -> None:
        super().__init__("the server's disk is full: delete transcripts that you no longer need, or free space on it")


@dataclass(frozen=True)
class About:
    """What is known of an upload from its beginning.

    Attributes:
        owner: the visitor.
        name: of the file, as the visitor has it.
        size: in bytes, at least 1.
        fingerprint: the same for the same file, by which it is found again.
    """

    owner: str
    name: str
    size: int
    fingerprint: str


@dataclass(eq=False)
class Upload:
    """An upload.

    Attributes:
        id: also the name of its files.
        about: what is known of it from its beginning.
        received: bytes that are here.
        touched: when the last of them came, in Unix seconds.
        piece: the one that is being received; None: there is none.
        is_removed: true: it takes no more.
        lock: held while any of these is read to be changed, or a byte is written.
    """

    id: str
    about: About
    received: int = 0
    touched: float = field(default_factory=time.time)
    piece: Piece | None = None
    is_removed: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


class Piece:
    """Appends a piece to an upload, until another piece of it is opened: the caller may have sent it again.

    Args:
        upload: whose lock is held.
        file: of the upload, at its end.
    """

    def __init__(self, upload: Upload, file: BinaryIO) -> None:
        self._upload = upload
        self._file = file

    def write(self, data: bytes) -> None:
        """Append bytes, at most as many as are missing; what is written counts even if the rest fails.

        Raises:
            NoSuchUpload: the upload has been removed.
            WrongOffset: another piece has been opened.
            NoSpace: the disk is full.
        """
        upload = self._upload
        with upload.lock, _saying_no_space():
            if upload.is_removed:
                raise NoSuchUpload
            if upload.piece is not self:
                raise WrongOffset(upload.received)
            rest = memoryview(data)
            while rest:
                written = self._file.write(rest)
                upload.received += written
                rest = rest[written:]
            upload.touched = time.time()

    def close(self) -> None:
        """End the piece."""
        self._file.close()
        with self._upload.lock:
            if self._upload.piece is self:
                self._upload.piece = None


class Uploads:
    """The uploads of all visitors; methods may be called on any thread.

    Args:
        folder: for them alone; made if it is not there, and cleared of what cannot go on.
        reserve_bytes: of its disk, which stay free.
    """

    def __init__(self, folder: Path, reserve_bytes: int) -> None:
        folder.mkdir(0o700, parents=True, exist_ok=True)
        self._folder = folder
        self._reserve_bytes = reserve_bytes
        self._lock = threading.Lock()
        self._uploads = {upload.id: upload for upload in self._load()}
        self._remove_strays()
        self._remove_old()

    def begin(self, about: About) -> Upload:
        """Begin an upload, or go on with one of the same file.

        Raises:
            TooManyUploads: the visitor, or all together, have too many.
            NoSpace: it does not fit on the disk.
        """
        with self._lock:
            self._remove_old()
            theirs = [upload for upload in list(self._uploads.values()) if upload.about.owner == about.owner]
            for upload in theirs:
                if upload.about == about:
                    return upload
            self._make_room(theirs, MAX_UPLOADS_OF_ONE)
            self._make_room(list(self._uploads.values()), MAX_UPLOADS)
            self._check_space(about.size)
            upload = Upload(secrets.token_urlsafe(12), about)
            with _saying_no_space():
                self._write_description(upload)
                self._part(upload.id).touch(0o600)
            self._uploads[upload.id] = upload
            return upload

    def find(self, owner: str, upload_id: str) -> Upload:
        """A visitor's upload.

        Raises:
            NoSuchUpload: this visitor has none with this id.
        """
        upload = self._uploads.get(upload_id)
        if upload is None or upload.about.owner != owner:
            raise NoSuchUpload
        return upload

    def open_piece(self, upload: Upload, offset: int) -> Piece:
        """Begin a piece, which is to be closed; one that is still open takes no more.

        Args:
            upload: as found.
            offset: where the piece begins.

        Raises:
            NoSuchUpload: it has been removed.
            WrongOffset: the piece does not begin where the last one ended.
            NoSpace: the disk is full.
        """
        with upload.lock, _saying_no_space():
            if upload.is_removed:
                raise NoSuchUpload
            if offset != upload.received:
                raise WrongOffset(upload.received)
            self._check_space(upload.about.size - upload.received)
            upload.piece = Piece(upload, self._part(upload.id).open("ab", buffering=0))
            return upload.piece

    def find_complete(self, owner: str, upload_id: str) -> Upload:
        """A visitor's upload that is complete.

        Raises:
            NoSuchUpload: this visitor has none with this id.
            Incomplete: bytes are missing.
        """
        upload = self.find(owner, upload_id)
        if upload.received < upload.about.size:
            raise Incomplete(upload.received, upload.about.size)
        return upload

    def take(self, upload: Upload, destination: Path) -> None:
        """Move a complete upload's file away, and forget the upload.

        Args:
            upload: as found.
            destination: of the file, on the same disk; its folder is made.

        Raises:
            NoSuchUpload: it has been taken or removed.
            NoSpace: the disk is full.
        """
        with upload.lock, _saying_no_space():
            if upload.is_removed:
                raise NoSuchUpload
            destination.parent.mkdir(0o700, exist_ok=True)
            self._part(upload.id).replace(destination)
            upload.is_removed = True
        self._remove_files(upload)

    def remove(self, upload: Upload) -> None:
        """Remove an upload; a piece of it that is being received is refused."""
        with upload.lock:
            upload.is_removed = True
        self._remove_files(upload)

    def _remove_files(self, upload: Upload) -> None:
        self._uploads.pop(upload.id, None)
        self._description(upload.id).unlink(missing_ok=True)
        self._part(upload.id).unlink(missing_ok=True)

    def _remove_old(self) -> None:
        for upload in list(self._uploads.values()):
            if upload.piece is None and upload.touched < time.time() - KEPT_SECONDS:
                self.remove(upload)

    def _make_room(self, uploads: Sequence[Upload], maximum: int) -> None:
        """Remove the idlest of some uploads, if there are too many."""
        if len(uploads) < maximum:
            return
        idlest = min(uploads, key=lambda upload: upload.touched)
        if idlest.piece is not None or idlest.touched > time.time() - IDLE_SECONDS:
            raise TooManyUploads("too many uploads are unfinished: wait until some have ended, or cancel some")
        self.remove(idlest)

    def _check_space(self, size: int) -> None:
        if shutil.disk_usage(self._folder).free - size < self._reserve_bytes:
            raise NoSpace

    def _load(self) -> Iterator[Upload]:
        """The uploads of the previous server that can go on."""
        for description in self._folder.glob("*.json"):
            upload_id = description.stem
            with suppress(OSError, ValueError, TypeError, KeyError):
                about = About(**json.loads(description.read_bytes()))
                found = self._part(upload_id).stat()
                if found.st_size <= about.size:
                    yield Upload(upload_id, about, found.st_size, found.st_mtime)

    def _remove_strays(self) -> None:
        for path in self._folder.iterdir():
            if path.stem not in self._uploads or path.suffix == _UNFINISHED:
                path.unlink()

    def _write_description(self, upload: Upload) -> None:
        """Write what is known of an upload; a server that is killed meanwhile leaves no part of it."""
        description = self._description(upload.id)
        unfinished = description.with_suffix(_UNFINISHED)
        unfinished.write_text(json.dumps(asdict(upload.about)), encoding="utf-8")
        unfinished.replace(description)

    def _description(self, upload_id: str) -> Path:
        return self._folder / f"{upload_id}.json"

    def _part(self, upload_id: str) -> Path:
        return self._folder / f"{upload_id}.part"


@contextmanager
def _saying_no_space() -> Iterator[None]:
    """Turn the system's errors of a full disk into `NoSpace`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NoSpace from error
        raise
