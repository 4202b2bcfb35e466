"""Saves the captioned video of a job's output."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Any

import requests

from client.errors import BadAnswer, EndpointFailed, Incomplete
from client.files import add_suffix, atomic_file

SUFFIXES = (".mp4", ".mov", ".mkv", ".webm")

_BLOCK_BYTES = 1 << 20


def save_video(output: dict[str, Any], target: Path) -> Path | None:
    """Write the video, whole or not at all.

    Args:
        output: of a job.
        target: `talk` gives `talk.captioned.mp4`.

    Returns:
        The video's path; None if the output has no video.

    Raises:
        BadAnswer: the video is damaged.
        EndpointFailed: the video cannot be downloaded from the bucket.
    """
    video = output.get("captioned_video") or {}
    if "base64" not in video and "url" not in video:
        return None
    suffix = PurePosixPath(str(video.get("filename"))).suffix
    path = add_suffix(target, f".captioned{suffix if suffix in SUFFIXES else '.mkv'}")
    with atomic_file(path) as file:
        file.writelines(_decode(video["base64"]) if "base64" in video else _download(video["url"]))
    return path


def check_video(output: dict[str, Any]) -> None:
    """Report that the video was requested, but could not be made.

    Raises:
        Incomplete: with the worker's reason.
    """
    if error := (output.get("captioned_video") or {}).get("error"):
        raise Incomplete(f"the transcript is written, but the captioned video could not be made: {error}")


def video_paths(target: Path) -> list[Path]:
    """Return the files of which one becomes the captioned video."""
    return [add_suffix(target, f".captioned{suffix}") for suffix in SUFFIXES]


def strip_video(output: dict[str, Any]) -> dict[str, Any]:
    """Return the output for a JSON file: with the facts about the video, but without its data."""
    video = output.get("captioned_video")
    if not isinstance(video, dict):
        return output
    return {**output, "captioned_video": {key: value for key, value in video.items() if key != "base64"}}


def _decode(text: str) -> Iterator[bytes]:
    try:
        yield base64.b64decode(text, validate=True)
    except ValueError:
        raise BadAnswer("the captioned video in the answer is damaged") from None


def _download(link: str) -> Iterator[bytes]:
    try:
        with closing(requests.get(link, timeout=60, stream=True)) as response:
            response.raise_for_status()
            yield from response.iter_content(_BLOCK_BYTES)
    except requests.RequestException as error:
        raise EndpointFailed(
            f"the captioned video cannot be downloaded from the bucket ({type(error).__name__})"
        ) from None
