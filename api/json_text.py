"""JSON by the standard; answers may have tens of megabytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NoReturn

PIECE_ITEMS = 200
"""Of a list: segments, some 200 kB with their words."""


def to_json(value: Any, *, ascii_only: bool = False) -> str:
    """A value as JSON by the standard; `json.dumps` would stop all other threads until its end.

    Args:
        value: its objects have texts as keys.
        ascii_only: escape all other characters.

    Raises:
        ValueError: it has a number that JSON does not know.
    """
    return "".join(json_pieces(value, json.JSONEncoder(ensure_ascii=ascii_only, allow_nan=False)))


def from_json(text: str | bytes | bytearray) -> Any:
    """The value that JSON spells; `json.loads` would also take `NaN`.

    Raises:
        ValueError: it is not valid, or nested too deeply.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def json_pieces(value: Any, encoder: json.JSONEncoder) -> Iterator[str]:
    """A value as JSON in pieces, between which other threads run."""
    if isinstance(value, dict):
        before = "{"
        for key, inner in value.items():
            yield f"{before}{encoder.encode(key)}: "
            yield from json_pieces(inner, encoder)
            before = ", "
        yield "}" if value else "{}"
    elif isinstance(value, list) and len(value) > PIECE_ITEMS:
        for start in range(0, len(value), PIECE_ITEMS):
            yield ("[" if start == 0 else ", ") + encoder.encode(value[start : start + PIECE_ITEMS])[1:-1]
        yield "]"
    else:
        yield encoder.encode(value)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
