"""Splits an answer into chunks for RunPod's `/stream`: at most 1 MB each, by its operation reference."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

MAX_CHUNK_BYTES = 1_000_000 - 10_000
"""1 MB, less the fields that the SDK and the platform put around a chunk."""

_KEY_BYTES = 200
"""Reserved for the keys around a part of a value."""

_MAX_CHARACTER_BYTES = 6
"""Of a control character in JSON: \\u0000."""


def split_answer(answer: dict[str, Any], max_bytes: int = MAX_CHUNK_BYTES) -> Iterator[dict[str, Any]]:
    """Yield the answer itself if it fits, else chunks of it.

    Chunks are joined by key: strings and lists of `transcription` and `translation` are concatenated in order, and the
    last chunk has the other keys. If `transcription` is itself a string, so are all strings and lists.
    """
    if json_size(answer) <= max_bytes:
        yield answer
        return
    is_flat = isinstance(answer.get("transcription"), str)
    rest = {}
    for key, value in answer.items():
        if key in ("transcription", "translation") and isinstance(value, dict):
            yield from ({key: {name: part}} for name, whole in value.items() for part in _split(whole, max_bytes))
        elif is_flat and isinstance(value, (list, str)):
            yield from ({key: part} for part in _split(value, max_bytes))
        else:
            rest[key] = value
    yield rest


def split_text(text: str, max_bytes: int = MAX_CHUNK_BYTES) -> Iterator[str]:
    """Yield the text in pieces; an empty one is one piece."""
    yield from _split(text, max_bytes)


def batch_items(items: list[Any], max_bytes: int = MAX_CHUNK_BYTES) -> Iterator[list[Any]]:
    """Yield the items, in order, in lists whose JSON has at most `max_bytes`; at least one list."""
    batch: list[Any] = []
    used = 0
    for item in items:
        needed = json_size(item) + 2
        if batch and used + needed > max_bytes:
            yield batch
            batch, used = [], 0
        batch.append(item)
        used += needed
    yield batch


def json_size(value: Any) -> int:
    """Bytes of the JSON that the SDK sends for `value`."""
    return len(json.dumps(value, ensure_ascii=False).encode())


def _split(value: Any, max_bytes: int) -> Iterator[Any]:
    available = max_bytes - _KEY_BYTES
    if isinstance(value, list):
        yield from batch_items(value, available)
    elif isinstance(value, str):
        step = max(1, available // _MAX_CHARACTER_BYTES)
        for start in range(0, max(1, len(value)), step):
            yield value[start : start + step]
    else:
        yield value
