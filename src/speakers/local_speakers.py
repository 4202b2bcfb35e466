"""Local speakers: where two speak at once, and which pieces of speech are of one voice, within windows of 10 s.

    pcm -> windows -> pyannote's segmentation -> overlaps, votes

The network numbers up to three speakers of its window, and it hears how they take turns. Over a whole recording, voices
are told apart by their embeddings alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from functools import cache
from threading import Lock
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from src.audio.pcm import SAMPLE_RATE, Pcm, Region, release_pages, to_float
from src.audio.segmentation import (
    FIRST_MIDDLE,
    HOP,
    LENGTH,
    LOCAL_SPEAKERS,
    MIN_LENGTH,
    SegmentationNetwork,
    load_segmentation,
)
from src.audio.vad import single_threaded_executor
from transcript.checks import Check, never

STEP = SAMPLE_RATE * 15 // 2
"""Samples between two windows: in all but the first and the last, the network hears 1.25 s around what counts."""

MARGIN = (LENGTH - STEP) // 2

BATCH_SIZE = 8
"""Windows per call of the network."""

OVERLAP_THRESHOLD = 0.7
"""Probability of two speakers from which there are two. On mixed dialogues, 0.5 to 0.8 give the same error rate."""

MIN_VOTE = 0.3
"""Share of its time by which a pair must be together rather than apart, or the other way around, for a vote."""

Probabilities: TypeAlias = NDArray[np.float32]
"""[frames, classes]: see `SegmentationNetwork`."""


class Votes(NamedTuple):
    """What the network says of pairs of pieces of speech."""

    pairs: NDArray[np.intp]
    """Numbers of the pieces [votes, 2]."""
    together: NDArray[np.int8]
    """1 for the same voice, -1 for two voices [votes]."""


class LocalSpeakers(NamedTuple):
    """Where two speak at once, in order, and votes on the pieces of speech."""

    overlaps: list[Region]
    votes: Votes


class Window(NamedTuple):
    """The input of the network, and the part of it that counts for overlaps."""

    heard: Region
    core: Region


NO_VOTES = Votes(np.zeros((0, 2), np.intp), np.zeros(0, np.int8))


def find_local_speakers(pcm: Pcm, pieces: Sequence[Region], check: Check = never) -> LocalSpeakers:
    """Listen to the windows that have speech.

    Args:
        pcm: the recording.
        pieces: of speech, by start and without overlap.
        check: called for each batch of windows; its exceptions end the work.
    """
    starts, ends = np.array(pieces, np.int64).reshape(-1, 2).T
    overlaps: list[Region] = []
    votes = [NO_VOTES]
    windows = [
        window
        for window in find_windows(len(pcm))
        if np.searchsorted(ends, window.core.start, "right") < np.searchsorted(starts, window.core.end)
    ]
    for first in range(0, len(windows), BATCH_SIZE):
        check()
        batch = windows[first : first + BATCH_SIZE]
        for window, probabilities in zip(batch, _listen(pcm, [window.heard for window in batch]), strict=True):
            overlaps += find_overlaps(window, probabilities)
            near = slice(np.searchsorted(ends, window.heard.start, "right"), np.searchsorted(starts, window.heard.end))
            middles = (starts[near] + ends[near]) // 2
            inside = (middles >= window.heard.start) & (middles < window.heard.end)
            frames = (np.column_stack((starts[near], ends[near]))[inside] - window.heard.start) // HOP
            found = vote(frames, probabilities)
            votes.append(found._replace(pairs=found.pairs + near.start + int(np.argmax(inside))))
        release_pages(pcm, batch[0].heard.start)
    pairs = np.concatenate([window_votes.pairs for window_votes in votes])
    return LocalSpeakers(overlaps, Votes(pairs, np.concatenate([window_votes.together for window_votes in votes])))


def find_windows(length: int) -> Iterator[Window]:
    """Yield the windows of a recording; their cores cover it once."""
    count = max(1, -(-(length - 2 * MARGIN) // STEP))
    for number in range(count):
        start = max(0, min(number * STEP, length - LENGTH))
        first = MARGIN + number * STEP if number else 0
        last = MARGIN + (number + 1) * STEP if number < count - 1 else length
        yield Window(Region(start, min(start + LENGTH, length)), Region(first, last))


def find_overlaps(window: Window, probabilities: Probabilities) -> Iterator[Region]:
    """Yield the parts of a window's core in which two speak at once."""
    two = probabilities[:, LOCAL_SPEAKERS + 1 :].sum(1) > OVERLAP_THRESHOLD
    for first, last in np.flatnonzero(np.diff(two.astype(np.int8), prepend=0, append=0)).reshape(-1, 2).tolist():
        start, end = (window.heard.start + FIRST_MIDDLE - HOP // 2 + frame * HOP for frame in (first, last))
        start, end = max(start, window.core.start), min(end, window.core.end)
        if start < end:
            yield Region(start, end)


def vote(pieces: NDArray[np.int64], probabilities: Probabilities) -> Votes:
    """Vote on pairs of pieces by who speaks alone in them.

    Args:
        pieces: their first frame and their end [pieces, 2]; frames outside the window do not count.
        probabilities: of the window.
    """
    totals = np.zeros((len(probabilities) + 1, LOCAL_SPEAKERS))
    np.cumsum(probabilities[:, 1 : LOCAL_SPEAKERS + 1], axis=0, out=totals[1:])
    pieces = pieces.clip(0, len(probabilities))
    lengths = np.maximum(1, pieces[:, 1] - pieces[:, 0])
    shares = (totals[pieces[:, 1]] - totals[pieces[:, 0]]) / lengths[:, None]
    same = shares @ shares.T
    excess = np.triu(2 * same - np.outer(shares.sum(1), shares.sum(1)), 1)
    pairs = np.argwhere(abs(excess) > MIN_VOTE)
    return Votes(pairs, np.sign(excess[tuple(pairs.T)]).astype(np.int8))


def _listen(pcm: Pcm, windows: Sequence[Region]) -> Probabilities:
    """Return the probabilities of windows of the same length [windows, frames, classes]."""
    length = max(MIN_LENGTH, *(window.end - window.start for window in windows))
    batch = np.zeros((len(windows), length), np.float32)
    for row, window in zip(batch, windows, strict=True):
        row[: window.end - window.start] = to_float(pcm[window.start : window.end])
    listener = _load_listener()
    return listener.executor.submit(listener.listen, batch).result()


class _Listener(NamedTuple):
    """The network, and a thread that runs it on a single core: see `Detector` in `src/audio/vad.py`."""

    network: SegmentationNetwork
    executor: Executor
    device: torch.device

    def listen(self, batch: NDArray[np.float32]) -> Probabilities:
        found: Probabilities = self.network(torch.from_numpy(batch).to(self.device)).cpu().numpy()
        return found


_loading = Lock()


def _load_listener() -> _Listener:
    with _loading:
        return _listener()


@cache
def _listener() -> _Listener:
    device = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
    executor = single_threaded_executor("local-speakers")
    return _Listener(executor.submit(lambda: load_segmentation(device)).result(), executor, device)
