"""Clips of a recording in parts: each is requested once, wherever the recording is cut."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.errors import WrongUsage
from client.media.clips import MARGIN_S, MIN_SKIPPED_S, add_cuts_around_clips, clips_in_span, parse_clips


@pytest.mark.parametrize("given", ["1,2.5, 4", [1, 2.5, 4], [[1, 2.5], [4, None]]])
def test_all_forms_of_the_option_are_parsed(given: Any) -> None:
    assert parse_clips({"clip_timestamps": given}) == [(1.0, 2.5), (4.0, math.inf)]


@pytest.mark.parametrize("given", ["a", "2,1", "1,3,2,4", [[1, 2, 3]], [[0, None], [4, 5]], {"a": 1}, "-1,2", 7])
def test_malformed_clips_are_refused(given: Any) -> None:
    with pytest.raises(WrongUsage, match="clip_timestamps should be"):
        parse_clips({"clip_timestamps": given})


TIMES = st.lists(st.integers(0, 999), min_size=2, max_size=12, unique=True).map(sorted)


@given(edges=TIMES, cuts=st.lists(st.integers(1, 999), max_size=4, unique=True).map(sorted))
def test_all_clips_and_little_else_are_sent(edges: list[int], cuts: list[int]) -> None:
    clips = list(zip(edges[::2], edges[1::2], strict=False))
    wanted = sum(end - start for start, end in clips)
    requested = sent = limit = 0.0
    for start, end in pairwise([0.0, *add_cuts_around_clips(clips, cuts, 1000.0), 1000.0]):
        if inside := clips_in_span(clips, start, end):
            requested += sum(clip_end - clip_start for clip_start, clip_end in inside)
            sent += end - start
            limit += inside[-1][1] - inside[0][0] + 2 * max(MIN_SKIPPED_S, MARGIN_S)
    assert requested == pytest.approx(wanted)
    assert sent <= limit + 1e-6
