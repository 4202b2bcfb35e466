"""Files on this machine: written whole or not at all, checked before work is paid for, under names that fit."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from client.errors import WrongUsage

MAX_NAME_BYTES = 255
"""Longest file name of the usual file systems."""

PRIVATE_FILE, PRIVATE_FOLDER = 0o600, 0o700
"""Permissions of what other users of the machine may not read."""

_DIGEST_LENGTH = 8


def home_folder() -> Path:
    """Return the user's home folder.

    Raises:
        WrongUsage: there is none, as in a container that runs under a user's number alone.
    """
    try:
        return Path.home()
    except RuntimeError:
        raise WrongUsage("your home folder is unknown: set HOME to a folder that can be written") from None


@contextmanager
def atomic_file(path: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """Open a file that replaces `path` when the context ends without an error, and is removed otherwise.

    Args:
        path: its folder is created if need be.
        mode: permissions, less the umask.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(_temporary_name())
    try:
        with open(temporary, "xb", opener=partial(os.open, mode=mode)) as file:
            yield file
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: str | bytes, mode: int = 0o666) -> None:
    """Write a file so that readers see its old or its new content, never a part of it."""
    with atomic_file(path, mode) as file:
        file.write(content if isinstance(content, bytes) else content.encode("utf-8", "replace"))


def check_writable(path: Path) -> None:
    """Check that a file can be written, by writing another one into its folder, or where that would be created.

    Raises:
        WrongUsage: it cannot; the message says why.
    """
    try:
        if path.exists() and not path.is_file():
            raise WrongUsage(f"{path} is not a file that can be replaced: choose another name")
        names, folder = [path.name], path.parent
        while not folder.exists():
            names.append(folder.name)
            folder = folder.parent
        for name in names:
            with suppress(FileNotFoundError):
                (folder / name).lstat()  # fails if the name is too long
        probe = folder / _temporary_name()
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise WrongUsage(f"{path} cannot be written ({describe(error)}): choose another place") from None


def describe_no_file(path: Path) -> str:
    """Return the sentence about a path that is not a file: it does not exist, or is something else, such as a pipe."""
    return f"{path} is not a regular file" if path.exists() else f"there is no file {path}"


def _temporary_name() -> str:
    """Return a name that is unique for each thread and process, and short, as names of files may not be long."""
    return f".{uuid4().hex}.new"


def add_suffix(path: Path, suffix: str) -> Path:
    """Return `path` with a suffix; a name that gets too long is cut, and marked with a digest to keep it distinct."""
    room = MAX_NAME_BYTES - len(os.fsencode(suffix))
    if len(os.fsencode(path.name)) <= room:
        return path.with_name(path.name + suffix)
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()[:_DIGEST_LENGTH]
    kept = path.name
    while len(os.fsencode(kept)) > room - _DIGEST_LENGTH - 1 or unicodedata.combining(path.name[len(kept)]):
        kept = kept[:-1]
    return path.with_name(f"{kept}~{digest}{suffix}")


def describe(error: OSError) -> str:
    """Return the system's reason in a sentence's spelling: `no space left on device`."""
    reason = error.strerror or type(error).__name__
    return reason[:1].lower() + reason[1:]
