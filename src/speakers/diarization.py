"""Diarization: the speaker turns of a recording, independent of its transcript.

    pcm -> speech_regions -> subsegments of at most 1.5 s -> embeddings -> clusters -> turns
                                                          -> local speakers: votes ^   ^ overlaps

The voice detector decides where anyone speaks, and the embeddings who; the segmentation network tells apart voices that
are alike, and adds a second speaker where two speak at once. Alone it is worse: it misses quiet words (EN2001a of the
AMI corpus, with true labels: 41% of errors instead of 27%).
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from src.audio.pcm import SAMPLE_RATE, Pcm, Region, release_pages
from src.audio.vad import VadOptions, speech_regions
from src.request.known_voices import EMBEDDING_SIZE
from src.speakers.clustering import SpeakerCounts, cluster, mean_direction
from src.speakers.embeddings import BATCH_SIZE, SUBSEGMENT_SAMPLES, Embedding, embed
from src.speakers.local_speakers import find_local_speakers
from src.speakers.overlaps import add_overlaps
from transcript.transcript import Diarization, Speaker, Turn

MAX_STEP_SAMPLES = SAMPLE_RATE * 5 // 4
"""Maximum distance between the starts of two subsegments, within speech without a pause."""

VAD = VadOptions(threshold=0.5, min_speech_ms=250, min_silence_ms=100, speech_pad_ms=50)
"""Finer than for transcription: between two speakers there mostly is a pause, if a short one."""

MAX_PAUSE_SECONDS = 2.0
"""Maximum pause within a turn, if nobody else speaks in it."""

ANY_COUNT = SpeakerCounts()

ENROLL_THRESHOLD = 0.55
"""Cosine similarity from which a speaker is the known speaker of a sample.

Samples of 2 s and more (`benchmarks/diarization.py`, and the turns of its recordings): at least 0.57 with the same
speaker, at most 0.52 with any other, even over the telephone.
"""


def diarize(
    pcm: Pcm,
    counts: SpeakerCounts = ANY_COUNT,
    known: Mapping[str, Embedding] | None = None,
    clips: Iterable[Region] | None = None,
    check: Callable[[], None] = lambda: None,
    expected: Container[str] | None = None,
) -> Diarization:
    """Find the turns of a recording's speakers: `SPEAKER_00` and so on by first speech, or names of known speakers.

    Args:
        pcm: the recording; read block by block, so it may be mapped from disk.
        counts: the expected number of speakers; a contradiction is a warning.
        known: embeddings of known speakers by name: see `embed_sample`.
        clips: the parts to diarize; None: the whole recording.
        check: called between steps of some 0.1 s; its exceptions end the work.
        expected: the known speakers whose absence is a warning; None: all.
    """
    expected_names = [name for name in known or {} if expected is None or name in expected]
    subsegments = []
    for subsegment in _find_subsegments(pcm, [Region(0, len(pcm))] if clips is None else clips, check):
        check()
        subsegments.append(subsegment)
    if not subsegments:
        return Diarization(warnings=_silence_warnings(counts, expected_names))
    local = find_local_speakers(pcm, [Region(subsegment.start, subsegment.end) for subsegment in subsegments], check)
    regions = [subsegment.embedded for subsegment in subsegments]
    embeddings = np.empty((len(subsegments), EMBEDDING_SIZE), np.float32)
    for number, batch in enumerate(embed(pcm, regions)):
        check()
        embeddings[number * BATCH_SIZE : number * BATCH_SIZE + len(batch)] = batch
        release_pages(pcm, regions[number * BATCH_SIZE].start)
    seconds = np.array([subsegment.end - subsegment.start for subsegment in subsegments]) / SAMPLE_RATE
    labels, num_found = cluster(embeddings, seconds, counts, check, local.votes)
    turns = add_overlaps(_to_turns(subsegments, labels), local.overlaps)
    speakers = [_to_speaker(number, turns, embeddings[labels == number]) for number in np.unique(labels)]
    speakers.sort(key=lambda speaker: speaker.start)
    names, unnamed = _name_speakers(speakers, known or {}, expected_names)
    return Diarization(
        [turn._replace(speaker=names[turn.speaker]) for turn in turns],
        [replace(speaker, label=names[speaker.label]) for speaker in speakers],
        [*_count_warnings(counts, num_found, len(speakers)), *unnamed],
    )


def embed_sample(pcm: Pcm) -> Embedding | None:
    """Return the embedding of a sample in which one person speaks; None without speech."""
    regions = [subsegment.embedded for subsegment in _find_subsegments(pcm, [Region(0, len(pcm))])]
    return mean_direction(np.concatenate(list(embed(pcm, regions)))) if regions else None


class _Subsegment(NamedTuple):
    """Samples that get one label, and the samples that are embedded for it, which overlap with its neighbours'."""

    start: int
    end: int
    embedded: Region


def _find_subsegments(
    pcm: Pcm, clips: Iterable[Region], check: Callable[[], None] = lambda: None
) -> Iterator[_Subsegment]:
    for clip in clips:
        for region in speech_regions(pcm[clip.start : clip.end], VAD, check):
            release_pages(pcm, clip.start + region.start)
            yield from _split_region(clip.start + region.start, clip.start + region.end)


def _split_region(start: int, end: int) -> list[_Subsegment]:
    """Split speech without a pause in equal steps; borders are halfway between the middles of subsegments."""
    steps = max(0, -((SUBSEGMENT_SAMPLES - (end - start)) // MAX_STEP_SAMPLES))
    last = end - SUBSEGMENT_SAMPLES
    starts = [start + (last - start) * step // max(1, steps) for step in range(steps + 1)] if steps else [start]
    borders = [start, *((before + after + SUBSEGMENT_SAMPLES) // 2 for before, after in pairwise(starts)), end]
    return [
        _Subsegment(borders[number], borders[number + 1], Region(first, min(first + SUBSEGMENT_SAMPLES, end)))
        for number, first in enumerate(starts)
    ]


def _to_turns(subsegments: Sequence[_Subsegment], labels: NDArray[np.intp]) -> list[Turn]:
    turns: list[Turn] = []
    for subsegment, label in zip(subsegments, labels, strict=True):
        start, end = subsegment.start / SAMPLE_RATE, subsegment.end / SAMPLE_RATE
        if turns and turns[-1].speaker == str(label) and start - turns[-1].end <= MAX_PAUSE_SECONDS:
            turns[-1] = turns[-1]._replace(end=end)
        else:
            turns.append(Turn(start, end, str(label)))
    return turns


def _to_speaker(number: int, turns: Sequence[Turn], embeddings: NDArray[np.float32]) -> Speaker:
    speaker_turns = [turn for turn in turns if turn.speaker == str(number)]
    seconds = sum(turn.end - turn.start for turn in speaker_turns)
    embedding = mean_direction(embeddings).tolist()
    return Speaker(str(number), seconds, len(speaker_turns), speaker_turns[0].start, embedding)


def _name_speakers(
    speakers: Sequence[Speaker], known: Mapping[str, Embedding], expected: Iterable[str]
) -> tuple[dict[str, str], list[str]]:
    """Return the speakers' names by label; of those similar to a sample, the most similar one gets its name.

    The second result is a warning for each expected name that nobody got.
    """
    names = {speaker.label: f"SPEAKER_{number:02d}" for number, speaker in enumerate(speakers)}
    pairs = [
        (float(embedding @ speaker.embedding), speaker.label, name)
        for speaker in speakers
        for name, embedding in known.items()
    ]
    named: set[str] = set()
    for similarity, label, name in sorted(pairs, reverse=True):
        if similarity >= ENROLL_THRESHOLD and name not in names.values() and label not in named:
            names[label] = name
            named.add(label)
    unmatched = [name for name in expected if name not in names.values()]
    return names, [
        _unmatched_warning(name, max(pair for pair in pairs if pair[2] == name), names) for name in unmatched
    ]


def _unmatched_warning(name: str, nearest: tuple[float, str, str], names: Mapping[str, str]) -> str:
    similarity, label, _ = nearest
    if similarity >= ENROLL_THRESHOLD:
        return f"speakers: the only voice like {name} is that of {names[label]}, whose sample it is more like"
    return (
        f"speakers: nobody in the recording sounds like {name}: the nearest is {names[label]} with a similarity of "
        f"{similarity:.2f}, and {ENROLL_THRESHOLD} is needed"
    )


def _silence_warnings(counts: SpeakerCounts, known: Sequence[str]) -> list[str]:
    warnings = [f"{counts.minimum} speakers were asked for, but nobody speaks"] if counts.minimum > 1 else []
    return [*warnings, f"speakers: nobody speaks, so nobody is {' or '.join(known)}"] if known else warnings


def _count_warnings(counts: SpeakerCounts, num_found: int, num_speakers: int) -> list[str]:
    if num_speakers < counts.minimum:
        return [f"{counts.minimum} speakers were asked for, but no more than {num_speakers} can be told apart"]
    if counts.maximum is not None and num_found > counts.maximum:
        return [
            f"no more than {counts.maximum} speakers were asked for, but {num_found} can be told apart: the most "
            "similar ones were merged"
        ]
    return []
