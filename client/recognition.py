"""Tells recordings from other files by their content: suffixes are missing, wrong, or unheard of."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import filetype

from client.errors import BadRecording
from client.media.tracks import read_tracks

RECORDING_SUFFIXES = (
    *(".aac", ".ac3", ".aif", ".aiff", ".amr", ".ape", ".au", ".caf", ".flac", ".m4a", ".m4b", ".mka", ".mp2", ".mp3"),
    *(".oga", ".ogg", ".opus", ".ra", ".spx", ".tta", ".wav", ".weba", ".wma", ".wv"),
    *(".3gp", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".mxf", ".ogv", ".rm", ".vob"),
    *(".webm", ".wmv"),
)
"""Suffixes that promise a recording: in a folder, a file with one of them that is none is damaged, and fails. All other
files are recognised by their content alone."""

_HEAD_BYTES = 8192  # what filetype looks at
_BYTE_ORDER_MARKS = (b"\xff\xfe", b"\xfe\xff")


def other_kind(path: Path) -> str | None:
    """Return what a file is if it is no recording, such as `image/jpeg`; None if it is one.

    Known containers are recognised by their first bytes, without a look at their tracks; ffmpeg decides about the rest.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    if not head:
        return "empty"
    mime = filetype.guess_mime(head)
    if mime is not None and mime.startswith(("audio/", "video/")) and mime != "audio/midi":
        return None
    if mime is not None or _is_text(head):
        return mime or "text"
    return None if _has_audio(path) else "of an unknown type"


def check_recording(path: Path) -> None:
    """Refuse a file that has no audio, before it is sent.

    Raises:
        BadRecording: the message says what the file is.
    """
    try:
        kind = other_kind(path)
        if kind is None and not _has_audio(path):
            raise BadRecording(f"{path.name} has no audio that can be decoded: it is damaged, cut off or without sound")
    except OSError as error:
        raise BadRecording(f"{path.name} cannot be read: {error.strerror}") from None
    if kind is not None:
        raise BadRecording(f"{path.name} is not a recording: it is {kind}")


@contextmanager
def encodable_path(path: Path) -> Iterator[Path]:
    """Yield a path that can be put into ffmpeg's command: `path`, or a temporary link to a name that is not UTF-8."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        with tempfile.TemporaryDirectory() as folder:
            link = Path(folder, f"recording{path.suffix if path.suffix.isascii() else ''}")
            link.symlink_to(path.resolve())
            yield link
    else:
        yield path


def _has_audio(path: Path) -> bool:
    with encodable_path(path) as readable:
        return bool(read_tracks(readable))


def _is_text(head: bytes) -> bool:
    """True for UTF-8, of which the last character may be cut off, and for UTF-16."""
    if head.startswith(_BYTE_ORDER_MARKS):
        return True
    try:
        head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:
            return False
    return b"\0" not in head
