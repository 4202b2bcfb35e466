"""Offsets and drift of tracks, found by the sound that they share: synthetic voices with known clocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from media.track_clock import SAMPLE_RATE, TrackClock, _fit, find_clock, find_clocks, place_track
from src.audio.track_alignment import align_tracks, describe_alignment
from tests.support.conversations import conversation


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seconds", "clock"), [(60, TrackClock(7.3)), (300, TrackClock(12.0, 100e-6)), (300, TrackClock(3.0, -80e-6))]
)
def test_the_clock_of_a_track_is_found_and_corrected(seconds: float, clock: TrackClock, tmp_path: Path) -> None:
    first, second = conversation(seconds, clock)
    found = find_clock(second, first)
    assert found is not None
    assert found.offset == pytest.approx(clock.offset, abs=0.02)
    assert found.offset + found.drift * seconds == pytest.approx(clock.offset + clock.drift * seconds, abs=0.02)
    again = find_clock(place_track(second, found, tmp_path / "placed.pcm"), first)
    assert again == TrackClock(0.0)


@pytest.mark.slow
def test_tracks_without_common_sound_stay_as_they_are(tmp_path: Path) -> None:
    first, second = conversation(60, TrackClock(7.3), bleed=0.0)
    silence = np.zeros(60 * SAMPLE_RATE, np.int16)
    short = first[: 5 * SAMPLE_RATE]
    placed, times = align_tracks([first, second, silence, short], "ABCD", [None] * 4, tmp_path, lambda: None)
    assert all(track is given for track, given in zip(placed, (first, second, silence, short), strict=True))
    assert [(time.offset, time.drift, time.by_ear) for time in times] == [(0.0, 0.0, False)] * 4
    assert describe_alignment(times) == []


@pytest.mark.parametrize(
    ("delays", "found"),
    [
        ([7.30, 7.31, 7.30, 7.29, 7.30], (5, 7.30)),
        ([7.30, 7.31, 7.30, 7.29, 7.30, 6.80], (5, 7.30)),  # one stretch is taken for another one
        ([7.30, 7.31], None),  # as two of unrelated recordings may be
        ([7.30, 7.31, 7.30, 7.29], None),
        ([7.30, 7.31, 7.30, 7.29, 7.30, 6.8, 7.5, 7.7], None),
        ([], None),
    ],
)
def test_a_clock_needs_five_stretches_that_agree_and_few_that_do_not(
    delays: list[float], found: tuple[int, float] | None
) -> None:
    fitted = _fit(np.arange(len(delays), dtype=np.float64) * 5.0, np.array(delays))
    assert (fitted and (fitted[0], round(fitted[1].offset, 2))) == found


def test_the_earliest_track_begins_the_clock_and_given_offsets_stay() -> None:
    first, second = conversation(60, TrackClock(7.3))
    clocks = find_clocks([second, first], {})
    assert {number: round(clock.offset, 1) for number, clock in clocks.items()} == {0: 7.3, 1: 0.0}
    clocks = find_clocks([first, second], {0: 2.0})
    assert {number: round(clock.offset, 1) for number, clock in clocks.items()} == {0: 2.0, 1: 9.3}
    assert find_clocks([first, second], {0: 0.0, 1: 1.0}) == {0: TrackClock(0.0), 1: TrackClock(1.0)}


def test_a_moved_track_is_told_with_its_offset_and_drift(tmp_path: Path) -> None:
    first, second = conversation(300, TrackClock(12.0, 100e-6))
    placed, times = align_tracks([first, second], ["Ada", "Ben"], [None, None], tmp_path, lambda: None)
    assert len(placed[1]) == pytest.approx(300 * SAMPLE_RATE, abs=0.1 * SAMPLE_RATE)
    assert not placed[1][: 11 * SAMPLE_RATE].any()
    [sentence] = describe_alignment(times)
    assert sentence.startswith("Ben: the track was taken to begin 12.0")
    assert "ppm too slow" in sentence
    assert [time.by_ear for time in times] == [True, True]
