"""From the probabilities of windows to overlaps and votes, and from these to turns and clusters."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from src.audio.pcm import SAMPLE_RATE, Region
from src.audio.segmentation import CLASSES, HOP, LENGTH
from src.speakers.clustering import BLOCK_SIZE, SpeakerCounts, cluster
from src.speakers.local_speakers import (
    MARGIN,
    STEP,
    Probabilities,
    Votes,
    Window,
    find_overlaps,
    find_windows,
    vote,
)
from src.speakers.overlaps import add_overlaps
from transcript.transcript import Turn

NOBODY, FIRST, SECOND, THIRD, FIRST_AND_SECOND = range(5)
FRAMES = 589


def probabilities(*spans: tuple[int, int, int]) -> Probabilities:
    """Return a window with these classes (first frame, end, class) and nobody elsewhere."""
    table = np.zeros((FRAMES, CLASSES), np.float32)
    table[:, NOBODY] = 1
    for first, last, value in spans:
        table[first:last] = np.eye(CLASSES)[value]
    return table


@pytest.mark.parametrize("length", [1, LENGTH - 1, LENGTH, LENGTH + 1, LENGTH + STEP, 10 * LENGTH + 3])
def test_windows_are_within_the_recording_and_their_cores_cover_it_once(length: int) -> None:
    windows = list(find_windows(length))
    assert (windows[0].core.start, windows[-1].core.end) == (0, length)
    for before, after in pairwise(windows):
        assert before.core.end == after.core.start
        assert before.core.end <= before.heard.end - MARGIN
        assert after.core.start >= after.heard.start + MARGIN
    for heard, core in windows:
        assert 0 <= heard.start <= core.start < core.end <= heard.end <= length
        assert heard.end - heard.start == min(length, LENGTH)


def test_an_overlap_counts_in_the_core_of_its_window_only() -> None:
    heard = Region(SAMPLE_RATE, SAMPLE_RATE + LENGTH)
    window = Window(heard, Region(heard.start + MARGIN, heard.end - MARGIN))
    table = probabilities((0, 100, FIRST_AND_SECOND), (100, 300, FIRST), (300, 310, FIRST_AND_SECOND))
    cut, whole = find_overlaps(window, table)
    assert cut.start == window.core.start
    assert cut.end == pytest.approx(heard.start + 100 * HOP, abs=2 * HOP)
    assert whole.start == pytest.approx(heard.start + 300 * HOP, abs=2 * HOP)
    assert whole.end - whole.start == 10 * HOP


def test_pieces_are_of_one_voice_or_two_by_who_speaks_alone_in_them() -> None:
    table = probabilities((0, 100, FIRST), (100, 200, SECOND), (200, 300, FIRST), (300, 400, FIRST_AND_SECOND))
    pairs, together = vote(np.array([(-20, 100), (100, 200), (200, 300), (300, 400)]), table)
    assert dict(zip(map(tuple, pairs.tolist()), together.tolist(), strict=True)) == {(0, 1): -1, (0, 2): 1, (1, 2): -1}


LONG, SECOND_LONG = Turn(0.0, 10.0, "ANN"), Turn(10.0, 20.0, "BOB")


@pytest.mark.parametrize(
    ("turns", "overlap", "expected"),
    [
        # the one who goes on begins earlier, the one who is interrupted ends later
        ([LONG, SECOND_LONG], (9.0, 10.5), [Turn(0.0, 10.5, "ANN"), Turn(9.0, 20.0, "BOB")]),
        # in the middle of a turn
        ([LONG, SECOND_LONG], (4.0, 5.0), [LONG, Turn(4.0, 5.0, "BOB"), SECOND_LONG]),
        # of two others, the nearer in time
        (
            [Turn(0.0, 2.0, "CID"), Turn(2.0, 10.0, "ANN"), SECOND_LONG],
            (3.0, 4.0),
            [Turn(0.0, 2.0, "CID"), Turn(2.0, 10.0, "ANN"), Turn(3.0, 4.0, "CID"), SECOND_LONG],
        ),
        # in nobody's turn, too short, and with nobody else
        ([LONG, Turn(12.0, 20.0, "BOB")], (10.5, 11.5), [LONG, Turn(12.0, 20.0, "BOB")]),
        ([LONG, SECOND_LONG], (4.0, 4.02), [LONG, SECOND_LONG]),
        ([LONG, Turn(12.0, 20.0, "ANN")], (4.0, 5.0), [LONG, Turn(12.0, 20.0, "ANN")]),
    ],
)
def test_an_overlap_is_a_turn_of_whoever_else_speaks_nearest(
    turns: list[Turn], overlap: tuple[float, float], expected: list[Turn]
) -> None:
    start, end = (round(time * SAMPLE_RATE) for time in overlap)
    assert add_overlaps(turns, [Region(start, end)]) == expected


@pytest.mark.parametrize("count", [20, BLOCK_SIZE + 20])
def test_similar_voices_are_two_if_most_votes_tell_them_apart(count: int) -> None:
    angles = np.where(np.arange(count) % 2, 1.0, 0.0)  # cosine 0.54
    embeddings = np.column_stack((np.cos(angles), np.sin(angles))).astype(np.float32)
    neighbours = np.column_stack((np.arange(count - 1), np.arange(1, count)))
    counts, seconds = SpeakerCounts(), np.ones(count)
    apart = Votes(neighbours, np.full(count - 1, -1, np.int8))
    mostly_together = Votes(neighbours, np.where(np.arange(count - 1) % 3, 1, -1).astype(np.int8))
    assert cluster(embeddings, seconds, counts).num_found == 1
    assert cluster(embeddings, seconds, counts, votes=mostly_together).num_found == 1
    labels, found = cluster(embeddings, seconds, counts, votes=apart)
    assert found == 2
    assert (labels[::2] == labels[0]).all()
    assert (labels[1::2] == labels[1]).all()
    assert cluster(embeddings, seconds, SpeakerCounts(maximum=1), votes=apart).labels.max() == 0
