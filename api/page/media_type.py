"""The content type of a recording, by its first bytes: what its visitor says of it may be a trap for their browser."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

UNKNOWN = "application/octet-stream"
"""Of what browsers do not play as it is: they save it."""

_HEAD_BYTES = 16

_MAGIC: list[tuple[bytes, str]] = [
    (rb"ID3|\xff[\xe2\xe3\xf2\xf3\xfa\xfb]", "audio/mpeg"),
    (rb"\xff[\xf0\xf1\xf8\xf9]", "audio/aac"),
    (rb"(RIFF|RF64).{4}WAVE", "audio/wav"),
    (rb"fLaC", "audio/flac"),
    (rb"OggS", "{kind}/ogg"),
    (rb"\x1a\x45\xdf\xa3", "{kind}/webm"),
    (rb".{4}ftyp(?!hei|hev|mif1|msf1|avi[fs])", "{kind}/mp4"),  # but not HEIC and AVIF, which are pictures
]

EXTENSIONS = {
    "audio/mpeg": ".mp3", "audio/aac": ".aac", "audio/wav": ".wav", "audio/flac": ".flac", "audio/ogg": ".ogg",
    "audio/webm": ".weba", "audio/mp4": ".m4a", "video/ogg": ".ogv", "video/webm": ".webm", "video/mp4": ".mp4",
}  # fmt: skip
"""Of files by their content type."""


def media_type_of(path: Path, kind: Literal["audio", "video"]) -> str:
    """The content type of a recording: one of `EXTENSIONS`, or `UNKNOWN`.

    Args:
        path: of the recording.
        kind: `video` if it has a picture.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    for magic, media_type in _MAGIC:
        if re.match(magic, head, re.DOTALL):
            return media_type.format(kind=kind)
    return UNKNOWN
