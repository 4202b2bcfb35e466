"""Recordings that the worker fetches itself: URLs, objects in its bucket, and files on its network volume."""

from __future__ import annotations

from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

VOLUME = "volume:"
"""In front of a path on the worker's volume, as in `volume:in/talk.mp4`; a local file of that name: `./volume:...`."""

_PREFIXES = ("http://", "https://", "s3://", VOLUME)


def is_remote(source: str) -> bool:
    """Return true for a recording that is not on this machine."""
    return source.lower().startswith(_PREFIXES)


def remote_audio(source: str) -> dict[str, str]:
    """Return the `audio` of a job for such a recording."""
    if source.lower().startswith(VOLUME):
        return {"volume": source[len(VOLUME) :]}
    return {"url": source}


def remote_stem(source: str) -> str:
    """Return the name of such a recording without its suffix; empty if it has none."""
    if source.lower().startswith(("http://", "https://")):
        return PurePosixPath(unquote(urlsplit(source).path)).stem
    place, _, path = source.partition("://") if "://" in source else source.partition(":")
    return PurePosixPath(path.partition("/")[2] if place.lower() == "s3" else path).stem
