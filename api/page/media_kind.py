"""What a recording is by its name, until it has been looked at."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

_PLAYABLE_AUDIO = frozenset({".mp3", ".wav", ".m4a", ".aac", ".ogg", ".oga", ".opus", ".flac", ".weba"})
_PLAYABLE_VIDEO = frozenset({".mp4", ".m4v", ".webm"})
_VIDEO = _PLAYABLE_VIDEO | frozenset({".mov", ".mkv", ".avi", ".mpg", ".mpeg", ".wmv", ".flv", ".ts", ".3gp", ".ogv"})


def media_of(name: str) -> dict[str, Any]:
    """Whether a file is audio or video, and whether browsers play it.

    Args:
        name: of the file.
    """
    extension = PurePath(name).suffix.lower()
    playable = extension in _PLAYABLE_AUDIO | _PLAYABLE_VIDEO
    return {"kind": "video" if extension in _VIDEO else "audio", "playable": playable}
