"""Local speakers: where the speaker changes or two speak at once, and which pieces are of one voice, within 10 s.

    pcm -> windows -> pyannote's segmentation -> overlaps, changes
                                              -> who speaks alone -> votes on pieces of speech

The network numbers up to three speakers of its window, and it hears how they take turns. Over a whole recording, voices
are told apart by their embeddings alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from functools import cache
from itertools import combinations, pairwise
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

STEP = SAMPLE_RATE * 5
"""Samples between two windows: in all but the first and the last, the network hears 2.5 s around what counts.

With 1.25 s, it takes a short answer for the voice before or after it (4.7% instead of 1.2% of errors on the telephone).
"""

MARGIN = (LENGTH - STEP) // 2

BATCH_SIZE = 8
"""Windows per call of the network."""

OVERLAP_THRESHOLD = 0.7
"""Probability of two speakers from which there are two. On mixed dialogues, 0.5 to 0.8 give the same error rate."""

MIN_RUN_FRAMES = round(0.3 * SAMPLE_RATE / HOP)
"""Speech of a local speaker from which the speaker changes; 0.2 to 0.5 s give the same error rate."""

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


class Soloists(NamedTuple):
    """Who speaks alone in a window."""

    heard: Region
    alone: NDArray[np.uint8]
    """Probability of each local speaker, in 255ths [frames, LOCAL_SPEAKERS]: half the bytes of the embeddings."""


class LocalSpeakers(NamedTuple):
    """Where two speak at once and where the speaker changes, in order, and who speaks alone."""

    overlaps: list[Region]
    changes: list[int]
    """In samples."""
    soloists: list[Soloists]


class Window(NamedTuple):
    """The input of the network, and the part of it that counts for overlaps and changes."""

    heard: Region
    core: Region


NO_VOTES = Votes(np.zeros((0, 2), np.intp), np.zeros(0, np.int8))


_MEMBERS = np.array(
    [
        [speaker in members for speaker in range(LOCAL_SPEAKERS)]
        for size in range(3)
        for members in combinations(range(LOCAL_SPEAKERS), size)
    ],
    np.float32,
)
"""Who speaks in each class [classes, LOCAL_SPEAKERS]."""


def find_local_speakers(pcm: Pcm, speech: Sequence[Region], check: Check = never) -> LocalSpeakers:
    """Listen to the windows that have speech.

    Args:
        pcm: the recording.
        speech: by start and without overlap.
        check: called for each batch of windows; its exceptions end the work.
    """
    starts, ends = np.array(speech, np.int64).reshape(-1, 2).T
    found = LocalSpeakers([], [], [])
    windows = [
        window
        for window in find_windows(len(pcm))
        if np.searchsorted(ends, window.core.start, "right") < np.searchsorted(starts, window.core.end)
    ]
    for first in range(0, len(windows), BATCH_SIZE):
        check()
        batch = windows[first : first + BATCH_SIZE]
        for window, probabilities in zip(batch, _listen(pcm, [window.heard for window in batch]), strict=True):
            found.overlaps.extend(find_overlaps(window, probabilities))
            found.changes.extend(find_changes(window, probabilities))
            alone = (probabilities[:, 1 : LOCAL_SPEAKERS + 1] * 255).round().astype(np.uint8)
            found.soloists.append(Soloists(window.heard, alone))
        release_pages(pcm, batch[0].heard.start)
    return found


def find_votes(soloists: Sequence[Soloists], pieces: Sequence[Region]) -> Votes:
    """Return the votes of all windows on pieces of speech, which are by start and without overlap."""
    starts, ends = np.array(pieces, np.int64).reshape(-1, 2).T
    votes = [NO_VOTES]
    for heard, alone in soloists:
        near = slice(np.searchsorted(ends, heard.start, "right"), np.searchsorted(starts, heard.end))
        middles = (starts[near] + ends[near]) // 2
        inside = (middles >= heard.start) & (middles < heard.end)
        frames = (np.column_stack((starts[near], ends[near]))[inside] - heard.start) // HOP
        found = vote(frames, alone)
        votes.append(found._replace(pairs=found.pairs + near.start + int(np.argmax(inside))))
    pairs = np.concatenate([window_votes.pairs for window_votes in votes])
    return Votes(pairs, np.concatenate([window_votes.together for window_votes in votes]))


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
        start = max(_first_sample(window, first), window.core.start)
        end = min(_first_sample(window, last), window.core.end)
        if start < end:
            yield Region(start, end)


def find_changes(window: Window, probabilities: Probabilities) -> Iterator[int]:
    """Yield the samples of a window's core where another local speaker takes over: halfway between their speech."""
    speakers = probabilities @ _MEMBERS
    loudest = np.where(speakers.max(1) > 0.5, speakers.argmax(1), -1)
    last_speaker, last_end = -1, 0
    for first, end in pairwise(np.flatnonzero(np.diff(loudest, prepend=-2, append=-2)).tolist()):
        speaker = int(loudest[first])
        if speaker == last_speaker:
            last_end = end
        elif speaker >= 0 and end - first >= MIN_RUN_FRAMES:
            change = _first_sample(window, (last_end + first) // 2)
            if last_speaker >= 0 and window.core.start <= change < window.core.end:
                yield change
            last_speaker, last_end = speaker, end


def _first_sample(window: Window, frame: int) -> int:
    return window.heard.start + FIRST_MIDDLE - HOP // 2 + frame * HOP


def vote(pieces: NDArray[np.int64], alone: NDArray[np.uint8]) -> Votes:
    """Vote on pairs of pieces by who speaks alone in them.

    Args:
        pieces: their first frame and their end [pieces, 2]; frames outside the window do not count.
        alone: as in `Soloists`.
    """
    totals = np.zeros((len(alone) + 1, LOCAL_SPEAKERS))
    np.cumsum(alone / 255, axis=0, out=totals[1:])
    pieces = pieces.clip(0, len(alone))
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
