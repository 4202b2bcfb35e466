"""Segments of several parts, which arrive in any order and may be sent again, in the order of the recording."""

from __future__ import annotations

from typing import Any

from client.segment_order import SegmentOrder
from client.transport.fanout import JobSpec


def part(start: float) -> JobSpec:
    return JobSpec(f"part-{start}", dict, start=start)


def segment(start: float, text: str, **fields: Any) -> dict[str, Any]:
    return {"id": 0, "start": start, "end": start + 1, "text": text, **fields}


class Order:
    """An order of two parts, and what it has passed on."""

    def __init__(self) -> None:
        self.passed: list[dict[str, Any]] = []
        self.order = SegmentOrder(self.passed.extend)
        self.first, self.second = part(0.0), part(10.0)
        self.order.on_start([self.first, self.second])

    @property
    def texts(self) -> str:
        return " ".join(segment["text"] for segment in self.passed)


def test_segments_of_a_later_part_are_held_back_until_the_earlier_one_is_done() -> None:
    parts = Order()
    parts.order.on_segments(parts.second, [segment(0.0, "c")])
    parts.order.on_segments(parts.first, [segment(0.0, "a")])
    assert parts.texts == "a"
    parts.order.on_segments(parts.first, [segment(1.0, "b")])
    parts.order.on_job_done(parts.first)
    assert parts.texts == "a b c"
    parts.order.on_segments(parts.second, [segment(1.0, "d")])
    assert parts.texts == "a b c d"
    assert [segment["start"] for segment in parts.passed] == [0.0, 1.0, 10.0, 11.0]
    assert [segment["id"] for segment in parts.passed] == [0, 1, 2, 3]


def test_segments_that_another_worker_sends_again_are_left_out() -> None:
    parts = Order()
    parts.order.on_segments(parts.first, [segment(0.0, "a"), segment(1.0, "b")])
    parts.order.on_segments(parts.first, [segment(0.0, "a")])
    parts.order.on_segments(parts.first, [segment(1.0, "b"), segment(1.0, "b2"), segment(2.0, "c")])
    assert parts.texts == "a b b2 c"


def test_channels_have_times_of_their_own() -> None:
    parts = Order()
    left, right = segment(3.0, "left", channel=0), segment(1.0, "right", channel=1)
    parts.order.on_segments(parts.first, [left, right, left])
    assert parts.texts == "left right"
