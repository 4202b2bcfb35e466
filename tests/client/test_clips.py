"""Clips of a recording in parts: each of them is asked for once, wherever the seams are."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.clips import MARGIN, WORTH_A_CUT, clips_of, seams_around, within
from client.errors import WrongUsage


@pytest.mark.parametrize("given", ["1,2.5, 4", [1, 2.5, 4], [[1, 2.5], [4, None]]])
def test_all_forms_of_the_option_are_read(given: Any) -> None:
    assert clips_of({"clip_timestamps": given}) == [(1.0, 2.5), (4.0, math.inf)]


@pytest.mark.parametrize("given", ["a", "2,1", "1,3,2,4", [[1, 2, 3]], [[0, None], [4, 5]], {"a": 1}, "-1,2", 7])
def test_what_is_no_clips_is_told(given: Any) -> None:
    with pytest.raises(WrongUsage, match="clip_timestamps should be"):
        clips_of({"clip_timestamps": given})


TIMES = st.lists(st.integers(0, 999), min_size=2, max_size=12, unique=True).map(sorted)


@given(edges=TIMES, seams=st.lists(st.integers(1, 999), max_size=4, unique=True).map(sorted))
def test_clips_are_whole_and_little_else_is_sent(edges: list[float], seams: list[float]) -> None:
    clips = list(zip(edges[::2], edges[1::2], strict=False))
    wanted = sum(end - start for start, end in clips)
    asked = sent = spans = 0.0
    for start, end in pairwise([0.0, *seams_around(clips, seams, 1000.0), 1000.0]):
        if inside := within(clips, start, end):
            asked += sum(other - one for one, other in inside)
            sent += end - start
            spans += inside[-1][1] - inside[0][0] + 2 * max(WORTH_A_CUT, MARGIN)
    assert asked == pytest.approx(wanted)
    assert sent <= spans + 1e-6
