"""The windows of at most 30 s that are decoded: regions of speech joined, and long ones cut where they are quietest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from src.audio.pcm import SAMPLE_RATE, Pcm, Region

WINDOW_SECONDS = 30.0
"""Length of Whisper's window."""


@dataclass(frozen=True, slots=True)
class SpeechWindow:
    """What the decoder is given at once."""

    start: int
    end: int
    speech: tuple[Region, ...]
    """The regions within, in order; none where nobody looked for speech."""


def join_regions(
    regions: Iterable[Region],
    pcm: Pcm,
    max_seconds: float = WINDOW_SECONDS,
    max_silence_seconds: float = 5.0,
    first_seconds: float = WINDOW_SECONDS,
) -> Iterator[SpeechWindow]:
    """Joins regions into windows of at most `max_seconds` (1 or more) that start and end between regions.

    Each window takes all regions that it has room for, which gives the fewest windows, and each costs the encoder a
    full 30 s. Silence longer than `max_silence_seconds` ends a window all the same: with 6 s between utterances `base`
    did as well on joined ones as on each alone, with 10 s it dropped words.
    A region longer than a window is cut where it is quietest.

    Args:
        first_seconds: the first window takes no further regions beyond this, for whoever waits for the first words.
    """
    longest = int(max_seconds * SAMPLE_RATE)
    room = int(min(first_seconds, max_seconds) * SAMPLE_RATE)
    widest = int(max_silence_seconds * SAMPLE_RATE)
    speech: list[Region] = []
    for piece in (piece for region in regions for piece in _pieces(region, pcm, longest)):
        if speech and (piece.end - speech[0].start > room or piece.start - speech[-1].end > widest):
            yield _around(speech)
            speech, room = [], longest
        speech.append(piece)
    if speech:
        yield _around(speech)


def _around(speech: list[Region]) -> SpeechWindow:
    return SpeechWindow(speech[0].start, speech[-1].end, tuple(speech))


def _pieces(region: Region, pcm: Pcm, longest: int) -> Iterator[Region]:
    """The region in pieces of at most `longest`, none shorter than a third of it: too little to be understood."""
    start, end = region
    third = longest // 3
    while end - start > longest:
        latest = min(start + longest, end - third)
        cut = quietest(pcm, latest - third, latest)
        yield Region(start, cut)
        start = cut
    yield Region(start, end)


def quietest(pcm: Pcm, start: int, end: int) -> int:
    """Middle of the 100 ms with the least energy between two positions, in steps of 10 ms."""
    step, steps = SAMPLE_RATE // 100, 10
    samples = pcm[start : start + (end - start) // step * step].astype(np.float32)
    energy = np.square(samples).reshape(-1, step).sum(axis=1)
    return start + step * (int(np.convolve(energy, np.ones(steps), mode="valid").argmin()) + steps // 2)
