"""The captioned video of a job's output -> a file."""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Any

import requests

from client.errors import EndpointFailed

SUFFIXES = (".mp4", ".mov", ".mkv", ".webm")

_BLOCK = 1 << 20


def save(output: dict[str, Any], target: Path) -> Path | None:
    """Writes `talk.captioned.mp4` for the target `talk`, whole or not at all; None where the output has no video.

    Raises:
        EndpointFailed: the video is damaged, or cannot be fetched from the bucket.
    """
    video = output.get("captioned_video") or {}
    if "base64" not in video and "url" not in video:
        return None
    suffix = PurePosixPath(str(video.get("filename"))).suffix
    path = target.with_name(f"{target.name}.captioned{suffix if suffix in SUFFIXES else '.mkv'}")
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        with fresh.open("wb") as file:
            file.writelines(_decoded(video["base64"]) if "base64" in video else _fetched(video["url"]))
        fresh.replace(path)
    finally:
        fresh.unlink(missing_ok=True)
    return path


def saved_before(target: Path) -> list[Path]:
    """The captioned videos of that target which are there."""
    return [path for path in (target.with_name(f"{target.name}.captioned{one}") for one in SUFFIXES) if path.exists()]


def without_video(output: dict[str, Any]) -> dict[str, Any]:
    """The output as it is kept in a JSON file: what is known of the video, but not the video itself."""
    video = output.get("captioned_video")
    if not isinstance(video, dict):
        return output
    return {**output, "captioned_video": {key: value for key, value in video.items() if key != "base64"}}


def _decoded(text: str) -> Iterator[bytes]:
    try:
        yield base64.b64decode(text, validate=True)
    except binascii.Error:
        raise EndpointFailed("the captioned video in the answer is damaged") from None


def _fetched(link: str) -> Iterator[bytes]:
    try:
        with closing(requests.get(link, timeout=60, stream=True)) as answer:
            answer.raise_for_status()
            yield from answer.iter_content(_BLOCK)
    except requests.RequestException as error:
        raise EndpointFailed(
            f"the captioned video cannot be fetched from the bucket ({type(error).__name__})"
        ) from None
