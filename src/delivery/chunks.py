"""An answer in pieces that RunPod's `/stream` carries: 1 MB each at the most (`/stream` in its operation reference)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

MAX_CHUNK_BYTES = 1_000_000 - 10_000
"""Less what the SDK and the platform put around a chunk."""

_MOST_BYTES_OF_A_CHARACTER = 6  # a control character in JSON: \u0000


def in_chunks(answer: dict[str, Any], max_bytes: int = MAX_CHUNK_BYTES) -> Iterator[dict[str, Any]]:
    """The answer itself where it fits, else pieces of it.

    Pieces are put together by key: texts and lists of `transcription` and `translation` are joined in order, the last
    piece has the rest. Where `transcription` is a text itself, so are all texts and lists.
    """
    if size(answer) <= max_bytes:
        yield answer
        return
    flat = isinstance(answer.get("transcription"), str)
    rest = {}
    for key, value in answer.items():
        if key in ("transcription", "translation") and isinstance(value, dict):
            yield from ({key: {form: part}} for form, whole in value.items() for part in _parts(whole, max_bytes))
        elif flat and isinstance(value, (list, str)):
            yield from ({key: part} for part in _parts(value, max_bytes))
        else:
            rest[key] = value
    yield rest


def batches(items: list[Any], max_bytes: int = MAX_CHUNK_BYTES) -> Iterator[list[Any]]:
    """Items, in order, in lists whose JSON is within the limit; at least one list."""
    batch: list[Any] = []
    used = 0
    for item in items:
        needed = size(item) + 2
        if batch and used + needed > max_bytes:
            yield batch
            batch, used = [], 0
        batch.append(item)
        used += needed
    yield batch


def size(value: Any) -> int:
    """Bytes of the JSON that the SDK sends."""
    return len(json.dumps(value, ensure_ascii=False).encode())


def _parts(value: Any, max_bytes: int) -> Iterator[Any]:
    room = max_bytes - 200  # for the keys around it
    if isinstance(value, list):
        yield from batches(value, room)
    elif isinstance(value, str):
        step = max(1, room // _MOST_BYTES_OF_A_CHARACTER)
        for start in range(0, max(1, len(value)), step):
            yield value[start : start + step]
    else:
        yield value
