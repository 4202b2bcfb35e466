"""What leaves the handler is what the SDK can post: plain JSON in UTF-8, below the platform's limit."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from src.delivery import seal
from src.errors import TooLarge


def sent(answer: dict[str, object]) -> object:
    """The bytes that the SDK posts (`rp_http.send_result`), read by a strict parser."""
    text = json.dumps(seal(answer, 10_000), ensure_ascii=False, allow_nan=False)
    return json.loads(text.encode("utf-8"))


@pytest.mark.parametrize(
    ("value", "arrives"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.arange(3), [0, 1, 2]),
        (torch.tensor(2.0), 2.0),
        (math.nan, None),
        (-math.inf, None),
        (np.float64("nan"), None),
        (np.array([1.0, np.nan]), [1.0, None]),
        ("lone \ud800 half", "lone ? half"),
        ("日本語 \U0001f600", "日本語 \U0001f600"),
        ((1, (2, 3)), [1, [2, 3]]),
        ({1: "one"}, {"1": "one"}),
        ({"\udfff": 1}, {"?": 1}),
    ],
)
def test_what_json_lacks_arrives_as_what_it_has(value: object, arrives: object) -> None:
    assert sent({"value": value}) == {"value": arrives}


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", 1j])
def test_what_has_no_json_form_is_refused(value: object) -> None:
    with pytest.raises(TypeError):
        seal({"value": value}, 10_000)


def test_the_size_is_that_of_the_bytes_and_not_of_the_characters() -> None:
    seal({"t": "x" * 900}, 1000)
    with pytest.raises(TooLarge, match="output_format"):
        seal({"t": "語" * 400}, 1000)


@given(st.dictionaries(st.text(), st.floats() | st.text(st.characters()) | st.lists(st.floats(width=32)), max_size=5))
def test_anything_of_python_arrives_whole(answer: dict[str, object]) -> None:
    sent(answer)
