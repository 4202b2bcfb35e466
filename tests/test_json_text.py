"""JSON by the standard, and written in pieces."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.json_text import PIECE_ITEMS, from_json, json_pieces, to_json
from tests.support.http_api import SEGMENTS
from tests.support.properties import examples

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@examples(100)
@given(JSON, st.booleans())
def test_it_is_what_python_writes(value: Any, ascii_only: bool) -> None:
    assert to_json(value, ascii_only=ascii_only) == json.dumps(value, ensure_ascii=ascii_only)


@pytest.mark.parametrize("size", [0, 1, PIECE_ITEMS, PIECE_ITEMS + 1, 3 * PIECE_ITEMS])
def test_a_long_list_is_what_python_writes(size: int) -> None:
    value = {"verbose_json": {"words": list(range(size)), "text": "ä"}}
    assert to_json(value) == json.dumps(value, ensure_ascii=False)


def test_pieces_are_small() -> None:
    answer = {"transcription": {"verbose_json": {"segments": SEGMENTS * 5000}, "segments": SEGMENTS * 5000}}
    assert max(map(len, json_pieces(answer, json.JSONEncoder()))) < 200_000


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_what_is_no_json_is_an_error(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_json({"a": [number]})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("NaN", "NaN is not JSON"),
        ('{"a": -Infinity}', "-Infinity is not JSON"),
        ("[" * 100_000, "nested too deeply"),
        ("", "Expecting value"),
        (b"\xff", "can't decode"),
        ("1" + "0" * 5000, "limit"),
    ],
)
def test_what_is_not_json_is_not_read(text: str | bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        from_json(text)


@pytest.mark.parametrize("text", ['{"a": [1, "\u00e4"]}', b'{"a": [1, "\xc3\xa4"]}'])
def test_json_is_read(text: str | bytes) -> None:
    assert from_json(text) == {"a": [1, "ä"]}
