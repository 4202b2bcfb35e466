"""Files on a volume that is mounted on the worker: regular files inside the mount, which are copied, never changed.

Each folder on the way is opened by its own name, relative to the one before, and symbolic links are not followed: what
another program moves or replaces meanwhile cannot lead out of the mount. The file is copied, so that the job works
with the same bytes from beginning to end.
"""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from src.deadline import DeadlineExceeded, run_within
from src.errors import DownloadFailed, UnsupportedMedia, explain_os_error
from src.job_control import JobControl
from src.sources.limits import TIMED_OUT, too_large

_CHUNK_BYTES = 1 << 20
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_FILE_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC

_MISSING = "the volume has no such file: check the path, upper and lower case included"
_LINK = "the path on the volume is or has a symbolic link, and none is followed: give the file's own path"


@dataclass(frozen=True)
class Volume:
    """A mounted volume."""

    root: Path
    private: Path | None = None
    """A folder whose files no job may name; need not exist."""


def copy_file(volume: Volume, path: str, target: Path, *, max_bytes: int, timeout: float, control: JobControl) -> None:
    """Copy a file of the volume to `target`, in at most `timeout` seconds.

    Args:
        volume: where the file is.
        path: relative to the volume's root, as `clean_volume_path` gives it.
        target: written anew.
        max_bytes: of the file.
        timeout: in seconds.
        control: ends the copy when the job is cancelled.

    Raises:
        DownloadFailed: there is no such file, it cannot be read in time, or it changes meanwhile.
        UnsupportedMedia: it is a folder, or no regular file.
        TooLarge: it has more than `max_bytes`.
        OSError: `target` cannot be written.
        Cancelled: by `control`.
    """
    ended = threading.Event()
    deadline = time.monotonic() + timeout

    def copy() -> None:
        with target.open("wb") as copied, _opened(volume, path.split("/")) as file:
            _copy(file, copied, max_bytes, lambda: ended.is_set() or time.monotonic() > deadline)

    try:
        run_within(timeout, copy, name="copy", interrupt=ended.set, on_cancel=control.on_cancel)
    except DeadlineExceeded:
        raise DownloadFailed(TIMED_OUT) from None


def _copy(file: int, target: IO[bytes], max_bytes: int, must_stop: Callable[[], bool]) -> None:
    """Copy an open file.

    Raises:
        DownloadFailed: it is empty, changes meanwhile, or is not read in time.
        TooLarge: it has more than `max_bytes`.
    """
    before = os.fstat(file)
    if before.st_size == 0:
        raise DownloadFailed("the file on the volume is empty")
    if before.st_size > max_bytes:
        raise too_large(max_bytes)
    size = 0
    while size <= before.st_size and (chunk := _read(file)):
        if must_stop():
            raise DownloadFailed(TIMED_OUT)
        size += len(chunk)
        target.write(chunk)
    after = os.fstat(file)
    if (size, after.st_size, after.st_mtime_ns) != (before.st_size, before.st_size, before.st_mtime_ns):
        raise DownloadFailed("the file on the volume changed while it was read: send the job when it is complete")


def _read(file: int) -> bytes:
    with _volume_errors():
        return os.read(file, _CHUNK_BYTES)


@contextmanager
def _opened(volume: Volume, parts: list[str]) -> Iterator[int]:
    """Open a regular file inside the volume.

    Raises:
        DownloadFailed: there is none at this path that the worker may read.
        UnsupportedMedia: it is a folder, or no regular file.
    """
    *folders, name = parts
    with ExitStack() as opened:
        with _volume_errors(missing="the volume is not mounted on this worker, or is not a folder"):
            folder = _open(opened, volume.root, _FOLDER_FLAGS)
        for part in folders:
            _refuse_private(folder, volume)
            with _volume_errors():
                _refuse_link(os.stat(part, dir_fd=folder, follow_symlinks=False))
                folder = _open(opened, part, _FOLDER_FLAGS | os.O_NOFOLLOW, folder)
        _refuse_private(folder, volume)
        with _volume_errors():
            found = os.stat(name, dir_fd=folder, follow_symlinks=False)
            _refuse_link(found)
            _refuse_irregular(found)  # before it is opened, at which a device may act
            file = _open(opened, name, _FILE_FLAGS, folder)
            _refuse_irregular(os.fstat(file))
        yield file


def _open(opened: ExitStack, name: str | Path, flags: int, folder: int | None = None) -> int:
    descriptor = os.open(name, flags, dir_fd=folder)
    opened.callback(os.close, descriptor)
    return descriptor


def _refuse_link(found: os.stat_result) -> None:
    if stat.S_ISLNK(found.st_mode):
        raise DownloadFailed(_LINK)


def _refuse_irregular(found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise UnsupportedMedia("the path on the volume is a folder: name one file in it")
    if not stat.S_ISREG(found.st_mode):
        raise UnsupportedMedia("the path on the volume is no regular file: name a recording")


def _refuse_private(folder: int, volume: Volume) -> None:
    """Raise, as if there were nothing, if the folder is the private one, by whichever name it was reached."""
    if volume.private is None:
        return
    with suppress(OSError):
        if os.path.samestat(os.fstat(folder), volume.private.stat()):
            raise DownloadFailed(_MISSING)


@contextmanager
def _volume_errors(missing: str = _MISSING) -> Iterator[None]:
    """Turn the system's errors into sentences without paths."""
    try:
        yield
    except OSError as error:
        if exhausted := explain_os_error(error):
            raise exhausted from None
        if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENXIO):
            raise DownloadFailed(missing) from None
        if error.errno in (errno.EACCES, errno.EPERM):
            raise DownloadFailed("the worker may not read the file on the volume: change its permissions") from None
        name = errno.errorcode.get(error.errno or 0, "unknown error")
        raise DownloadFailed(f"the volume does not give the file ({name}): send the job again later") from None
