"""Answers split into chunks for `/stream`."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from src.delivery.chunks import batch_items, json_size, split_answer


def join_chunks(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    whole: dict[str, Any] = {}
    for chunk in chunks:
        for key, value in chunk.items():
            if key != "transcription":
                whole[key] = value
                continue
            joined = whole.setdefault(key, {})
            for name, part in value.items():
                joined[name] = joined[name] + part if name in joined else part
    return whole


def test_an_answer_that_fits_is_one_chunk() -> None:
    answer = {"transcription": {"text": "yes"}, "metadata": {}}
    assert list(split_answer(answer)) == [answer]


@given(
    text=st.text(max_size=3000),
    segments=st.lists(st.fixed_dictionaries({"text": st.text(max_size=20), "start": st.floats(0, 9)}), max_size=60),
)
def test_chunks_are_small_and_join_to_the_answer(text: str, segments: list[dict[str, Any]]) -> None:
    text = text.encode("utf-8", "replace").decode()
    answer = {"transcription": {"text": text, "language": "en", "segments": segments}, "metadata": {"model": "base"}}
    chunks = list(split_answer(answer, 1000))
    assert all(json_size(chunk) <= 1000 for chunk in chunks)
    assert join_chunks(chunks) == answer


def test_an_error_is_one_chunk() -> None:
    assert list(split_answer({"error": "x" * 2000}, 1000)) == [{"error": "x" * 2000}]


def test_batches_keep_order_and_limit() -> None:
    items = ["a" * 30] * 10
    packed = list(batch_items(items, 100))
    assert [item for batch in packed for item in batch] == items
    assert all(json_size(batch) <= 100 for batch in packed)
    assert list(batch_items([], 100)) == [[]]
