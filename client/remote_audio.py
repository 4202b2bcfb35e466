"""Recordings that the worker fetches itself: URLs, objects in its bucket, and files on its network volume."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from client.errors import WrongUsage

VOLUME = "volume:"
"""In front of a path on the worker's volume, as in `volume:in/talk.mp4`; a local file of that name: `./volume:...`."""

_PREFIXES = ("http://", "https://", "s3://", VOLUME)


def is_remote(source: str) -> bool:
    """Return true for a recording that is not on this machine."""
    return source.lower().startswith(_PREFIXES)


def remote_audio(source: str, headers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the `audio` of a job for such a recording; headers go with an http(s) URL only."""
    if source.lower().startswith(VOLUME):
        return {"volume": source[len(VOLUME) :]}
    return {"url": source, **({"headers": dict(headers)} if headers and _is_http(source) else {})}


def check_headers(headers: Mapping[str, str], sources: Sequence[str | Path]) -> None:
    """Refuse headers that none of the recordings takes, or that would go to several hosts.

    Raises:
        WrongUsage: without the headers, which may be secrets.
    """
    if not headers:
        return
    origins = {urlsplit(source)[:2] for source in sources if isinstance(source, str) and _is_http(source)}
    if not origins:
        raise WrongUsage("headers go with an http:// or https:// URL: the recording is not one")
    if len(origins) > 1:
        raise WrongUsage("headers go to one host only: the tracks are on several ones")


def parse_headers(texts: Sequence[str]) -> dict[str, str]:
    """Return the headers for the values of `--header`; `@FILE` has one on each line.

    Raises:
        WrongUsage: with the correct form, and without the value.
    """
    headers: dict[str, str] = {}
    for line in (line for text in texts for line in _to_lines(text)):
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):
            raise WrongUsage(
                '--header: give each header a flag of its own, such as --header "Authorization: Bearer ..."'
            )
        if name.lower() in map(str.lower, headers):
            raise WrongUsage(f"--header: {name} is there twice")
        headers[name] = value
    return headers


def _to_lines(text: str) -> list[str]:
    if not text.startswith("@"):
        return [text]
    path = Path(text[1:]).expanduser()
    try:
        return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError):
        raise WrongUsage(f"--header: {path} cannot be read") from None


def _is_http(source: str) -> bool:
    return source.lower().startswith(("http://", "https://"))


def remote_stem(source: str) -> str:
    """Return the name of such a recording without its suffix; empty if it has none."""
    if _is_http(source):
        return PurePosixPath(unquote(urlsplit(source).path)).stem
    place, _, path = source.partition("://") if "://" in source else source.partition(":")
    return PurePosixPath(path.partition("/")[2] if place.lower() == "s3" else path).stem
