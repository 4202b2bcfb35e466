"""Choice of the points where recordings are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.media.splitter import GRID_S, cut_points

FRAME = 0.04
LOUD, QUIET = -20.0, -60.0


def speech(seconds: float, *pauses: tuple[float, float]) -> list[float]:
    """Levels of speech with pauses, each from one time to another."""
    frames = [index * FRAME for index in range(round(seconds / FRAME))]
    return [QUIET if any(start <= time < end for start, end in pauses) else LOUD for time in frames]


@given(
    levels=st.lists(st.floats(-120, 0), min_size=1, max_size=2000),
    longest=st.floats(5, 60),
    wanted=st.integers(1, 8),
)
def test_no_part_is_too_long_or_empty(levels: list[float], longest: float, wanted: int) -> None:
    total = len(levels) * FRAME
    times = [0.0, *cut_points(levels, FRAME, longest, wanted), total]
    assert all(round(time / FRAME) % round(GRID_S / FRAME) == 0 for time in times[1:-1])
    assert all(0 < after - before <= longest + FRAME for before, after in pairwise(times))


def test_a_recording_within_the_limit_is_not_cut() -> None:
    assert cut_points(speech(200), FRAME, 200.0) == []


def test_the_cut_is_in_the_middle_of_the_longest_pause_near_the_target() -> None:
    levels = speech(200, (20, 25), (96.0, 96.3), (102.0, 103.0), (180, 185))
    assert cut_points(levels, FRAME, 150.0) == [pytest.approx(102.5, abs=GRID_S / 2)]


def test_speech_without_pauses_is_cut_at_the_quietest_point() -> None:
    levels = [-20.0 - 3 * (101 <= index * FRAME < 102) for index in range(5000)]
    assert cut_points(levels, FRAME, 150.0) == [pytest.approx(101.5, abs=GRID_S / 2)]


def test_there_are_as_many_parts_as_wanted_if_they_are_long_enough() -> None:
    hour = speech(3600)
    assert len(cut_points(hour, FRAME, 2000.0, wanted=4)) == 3
    assert len(cut_points(hour, FRAME, 2000.0, wanted=100)) == 3600 // 300 - 1
