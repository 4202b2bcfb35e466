"""Where recordings are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.splitter import GRID, seams

FRAME = 0.04
LOUD, QUIET = -20.0, -60.0


def speech(seconds: float, *pauses: tuple[float, float]) -> list[float]:
    """Levels of speech with pauses from one time to another."""
    frames = [index * FRAME for index in range(round(seconds / FRAME))]
    return [QUIET if any(start <= at < end for start, end in pauses) else LOUD for at in frames]


@given(
    levels=st.lists(st.floats(-120, 0), min_size=1, max_size=2000),
    longest=st.floats(5, 60),
    wanted=st.integers(1, 8),
)
def test_no_part_is_too_long_or_empty(levels: list[float], longest: float, wanted: int) -> None:
    total = len(levels) * FRAME
    places = [0.0, *seams(levels, FRAME, longest, wanted), total]
    assert all(round(place / FRAME) % round(GRID / FRAME) == 0 for place in places[1:-1])
    assert all(0 < after - before <= longest + FRAME for before, after in pairwise(places))


def test_a_recording_that_fits_is_not_cut() -> None:
    assert seams(speech(200), FRAME, 200.0) == []


def test_a_seam_is_in_the_middle_of_the_longest_pause_near_the_even_place() -> None:
    levels = speech(200, (20, 25), (96.0, 96.3), (102.0, 103.0), (180, 185))
    assert seams(levels, FRAME, 150.0) == [pytest.approx(102.5, abs=GRID / 2)]


def test_speech_without_a_pause_is_cut_where_it_is_least_loud() -> None:
    levels = [-20.0 - 3 * (101 <= index * FRAME < 102) for index in range(5000)]
    assert seams(levels, FRAME, 150.0) == [pytest.approx(101.5, abs=GRID / 2)]


def test_there_are_as_many_parts_as_are_wanted_if_they_are_long_enough() -> None:
    hour = speech(3600)
    assert len(seams(hour, FRAME, 2000.0, wanted=4)) == 3
    assert len(seams(hour, FRAME, 2000.0, wanted=100)) == 3600 // 300 - 1
