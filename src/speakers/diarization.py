"""Who speaks when. Knows nothing of what is said.

    pcm -> speech_regions -> pieces of at most 1.5 s -> voiceprints -> clusters -> turns

Two who speak at once are one turn, of whoever is louder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from src.audio.pcm import SAMPLE_RATE, Pcm, Region, release_pages
from src.audio.vad import VadOptions, speech_regions
from src.speakers.clustering import Counts, cluster, mean_direction
from src.speakers.embeddings import BATCH, PIECE, WIDTH, voiceprints
from src.transcript.transcript import Diarization, Speaker, Turn

Embedding = NDArray[np.float32]
"""[WIDTH], of length 1; the cosine of two tells how alike their voices are."""

STEP = SAMPLE_RATE * 5 // 4
"""Samples from one piece to the next at most, within speech without a pause."""

SPEECH = VadOptions(threshold=0.5, min_speech_ms=250, min_silence_ms=100, speech_pad_ms=50)
"""Finer than for transcription: where the speaker changes there mostly is a pause, if a short one."""

PAUSE = 2.0
"""Seconds within a turn, if nobody else speaks in them."""

ANY = Counts()

SAME_VOICE = 0.55
"""Cosine from which a speaker is who a sample is of. Samples of 2 s and more (`benchmarks/diarization.py`, and the
turns of its recordings): 0.57 and more with their own voice, 0.52 and less with any other, even by telephone."""


def diarize(
    pcm: Pcm,
    counts: Counts = ANY,
    known: Mapping[str, Embedding] | None = None,
    clips: Iterable[Region] | None = None,
    check: Callable[[], None] = lambda: None,
) -> Diarization:
    """Who speaks when: `SPEAKER_00` and so on in order of first speech, but for voices that are known.

    Args:
        pcm: [samples] at 16 kHz; read piece by piece, so it may be mapped from disk.
        counts: how many speakers there are; if the sound says otherwise, that is a warning.
        known: voices by their names: see `embed_sample`.
        clips: the parts to listen to, in samples; None: all.
        check: called between two steps of some 0.1 s; what it raises ends the work.
    """
    pieces = []
    for piece in _pieces(pcm, [Region(0, len(pcm))] if clips is None else clips):
        check()
        pieces.append(piece)
    if not pieces:
        return Diarization()
    heard = [piece.heard for piece in pieces]
    prints = np.empty((len(pieces), WIDTH), np.float32)
    for number, batch in enumerate(voiceprints(pcm, heard)):
        check()
        prints[number * BATCH : number * BATCH + len(batch)] = batch
        release_pages(pcm, heard[number * BATCH].start)
    seconds = np.array([piece.end - piece.start for piece in pieces]) / SAMPLE_RATE
    labels, voices = cluster(prints, seconds, counts)
    turns = _turns(pieces, labels)
    speakers = [_speaker(number, turns, prints[labels == number]) for number in np.unique(labels)]
    names = _names(sorted(speakers, key=lambda one: one.start), known or {})
    return Diarization(
        [turn._replace(speaker=names[turn.speaker]) for turn in turns],
        [replace(one, label=names[one.label]) for one in sorted(speakers, key=lambda one: one.start)],
        _contradictions(counts, voices, len(speakers)),
    )


def embed_sample(pcm: Pcm) -> Embedding | None:
    """The voice of a sample in which one person speaks; None: nobody does."""
    pieces = [piece.heard for piece in _pieces(pcm, [Region(0, len(pcm))])]
    return mean_direction(np.concatenate(list(voiceprints(pcm, pieces)))) if pieces else None


class _Piece(NamedTuple):
    """Samples that get one label, and those that are listened to for it, which reach over into its neighbours."""

    start: int
    end: int
    heard: Region


def _pieces(pcm: Pcm, clips: Iterable[Region]) -> Iterator[_Piece]:
    for clip in clips:
        for region in speech_regions(pcm[clip.start : clip.end], SPEECH):
            yield from _pieces_of(clip.start + region.start, clip.start + region.end)


def _pieces_of(start: int, end: int) -> list[_Piece]:
    """Speech without a pause, in equal steps; each piece reaches halfway to the middle of the next one."""
    steps = max(0, -((PIECE - (end - start)) // STEP))
    firsts = [start + (end - start - PIECE) * step // max(1, steps) for step in range(steps + 1)] if steps else [start]
    borders = [start, *((one + other + PIECE) // 2 for one, other in pairwise(firsts)), end]
    return [
        _Piece(borders[number], borders[number + 1], Region(first, min(first + PIECE, end)))
        for number, first in enumerate(firsts)
    ]


def _turns(pieces: Sequence[_Piece], labels: NDArray[np.intp]) -> list[Turn]:
    turns: list[Turn] = []
    for piece, label in zip(pieces, labels, strict=True):
        start, end = piece.start / SAMPLE_RATE, piece.end / SAMPLE_RATE
        if turns and turns[-1].speaker == str(label) and start - turns[-1].end <= PAUSE:
            turns[-1] = turns[-1]._replace(end=end)
        else:
            turns.append(Turn(start, end, str(label)))
    return turns


def _speaker(number: int, turns: Sequence[Turn], prints: NDArray[np.float32]) -> Speaker:
    own = [turn for turn in turns if turn.speaker == str(number)]
    seconds = sum(turn.end - turn.start for turn in own)
    return Speaker(str(number), seconds, len(own), own[0].start, mean_direction(prints).tolist())


def _names(speakers: Sequence[Speaker], known: Mapping[str, Embedding]) -> dict[str, str]:
    """What the speakers are called; of those that are like a sample, the likest gets its name."""
    names = {one.label: f"SPEAKER_{number:02d}" for number, one in enumerate(speakers)}
    pairs = [(float(voice @ one.embedding), one.label, name) for one in speakers for name, voice in known.items()]
    named: set[str] = set()
    for likeness, label, name in sorted(pairs, reverse=True):
        if likeness >= SAME_VOICE and name not in names.values() and label not in named:
            names[label] = name
            named.add(label)
    return names


def _contradictions(counts: Counts, heard: int, speakers: int) -> list[str]:
    if speakers < counts.least:
        return [f"{counts.least} speakers were asked for, but no more than {speakers} can be told apart"]
    if counts.most is not None and heard > counts.most:
        return [
            f"no more than {counts.most} speakers were asked for, but {heard} can be told apart: the likest are one"
        ]
    return []
