"""From the probabilities of windows to overlaps, changes and votes, and from these to turns, pieces and clusters."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from src.audio.pcm import SAMPLE_RATE, Region
from src.audio.segmentation import CLASSES, HOP, LENGTH
from src.speakers.clustering import BLOCK_SIZE, SpeakerCounts, cluster
from src.speakers.diarization import split_at
from src.speakers.local_speakers import (
    MARGIN,
    MIN_RUN_FRAMES,
    NO_VOTES,
    STEP,
    Probabilities,
    Soloists,
    Votes,
    Window,
    find_changes,
    find_overlaps,
    find_votes,
    find_windows,
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
    table = probabilities((0, 200, FIRST_AND_SECOND), (200, 300, FIRST), (300, 310, FIRST_AND_SECOND))
    cut, whole = find_overlaps(window, table)
    assert cut.start == window.core.start
    assert cut.end == pytest.approx(heard.start + 200 * HOP, abs=2 * HOP)
    assert whole.start == pytest.approx(heard.start + 300 * HOP, abs=2 * HOP)
    assert whole.end - whole.start == 10 * HOP


def test_the_speaker_changes_where_another_one_speaks_for_a_while_in_the_core_of_the_window() -> None:
    heard = Region(SAMPLE_RATE, SAMPLE_RATE + LENGTH)
    window = Window(heard, Region(heard.start + MARGIN, heard.end - MARGIN))
    brief = MIN_RUN_FRAMES - 1
    table = probabilities(
        (0, 50, SECOND),  # changes before the core
        (50, 180, FIRST),
        (180, 180 + brief, SECOND),
        (220, 240, FIRST_AND_SECOND),
        (250, 300, FIRST),
        (310, 400, THIRD),
        (400, 589, SECOND),
    )
    expected = [heard.start + frame * HOP for frame in (305, 400)]
    assert list(find_changes(window, table)) == pytest.approx(expected, abs=2 * HOP)


def test_speech_is_split_at_changes_into_pieces_of_half_a_second_and_more() -> None:
    second = SAMPLE_RATE
    speech = [Region(0, 10 * second), Region(12 * second, 13 * second)]
    changes = [round(time * second) for time in (0.4, 2.0, 2.4, 9.7, 11.0, 12.5)]
    ends = [(0.0, 2.0), (2.0, 10.0), (12.0, 12.5), (12.5, 13.0)]
    assert list(split_at(speech, changes)) == [Region(round(a * second), round(b * second)) for a, b in ends]


def test_pieces_are_of_one_voice_or_two_by_who_speaks_alone_in_them() -> None:
    table = probabilities((0, 100, FIRST), (100, 200, SECOND), (200, 300, FIRST), (300, 400, FIRST_AND_SECOND))
    start = 5 * SAMPLE_RATE
    soloists = Soloists(Region(start, start + LENGTH), (table[:, FIRST : THIRD + 1] * 255).astype(np.uint8))
    elsewhere = Region(0, SAMPLE_RATE)
    edges = (-20, 100, 200, 300, 400)
    pieces = [elsewhere, *(Region(start + a * HOP, start + b * HOP) for a, b in pairwise(edges))]
    pairs, together = find_votes([soloists], pieces)
    assert dict(zip(map(tuple, pairs.tolist()), together.tolist(), strict=True)) == {(1, 2): -1, (1, 3): 1, (2, 3): -1}


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


@pytest.mark.parametrize(
    ("cosine", "seconds", "others", "vote", "speakers"),
    [
        (0.0, [1.0], 10, -1, 2),
        (0.0, [1.0], 10, 1, 1),
        (0.0, [1.0], 10, 0, 1),
        (0.0, [0.7], 10, -1, 1),
        (0.2, [1.0], 10, -1, 1),
        (0.0, [1.0], 100, -1, 1),
        (0.35, [0.9, 0.9], 10, -1, 2),
        (0.35, [0.9, 0.9], 10, 1, 1),
        (0.35, [0.7, 0.7], 10, -1, 1),
        (0.45, [0.9, 0.9], 10, -1, 1),
        (0.35, [0.9, 0.9], 200, -1, 1),
    ],
    ids=[
        *("a sentence", "a sentence of one voice by vote", "no vote", "too short", "alike", "too small a share"),
        *("interrupted", "one voice by vote", "both too short", "both alike", "too small a share of both"),
    ],
)
def test_somebody_brief_is_a_speaker_if_told_apart_and_like_nobody_else(
    cosine: float, seconds: list[float], others: int, vote: int, speakers: int
) -> None:
    brief = [[cosine, (1 - cosine**2) ** 0.5]] * len(seconds)
    embeddings = np.array([[1.0, 0.0]] * others + brief, np.float32)
    votes = Votes(np.array([(others - 1, others)]), np.array([vote], np.int8)) if vote else NO_VOTES
    lengths = np.array([1.2] * others + seconds)
    assert cluster(embeddings, lengths, SpeakerCounts(), votes=votes).num_found == speakers
