"""Joins regions of speech into windows of at most 30 s, and cuts long regions where they are quietest."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from src.audio.pcm import SAMPLE_RATE, Pcm, Region

WINDOW_SECONDS = 30.0
"""Length of Whisper's window."""


@dataclass(frozen=True, slots=True)
class SpeechWindow:
    """A window of a recording, in samples."""

    start: int
    end: int
    speech: tuple[Region, ...]
    """The joined regions, in order, in samples of the recording."""


def join_regions(
    regions: Iterable[Region],
    pcm: Pcm,
    max_seconds: float = WINDOW_SECONDS,
    max_silence_seconds: float = 5.0,
    first_seconds: float = WINDOW_SECONDS,
) -> Iterator[SpeechWindow]:
    """Join regions into windows that start and end between regions; a region longer than a window is cut.

    Each window takes as many regions as fit. That gives the fewest windows, each of which costs the encoder a full
    30 s.

    Args:
        regions: in order, without overlap.
        pcm: the recording; only read to find the quietest place of a long region.
        max_seconds: maximum length of a window, at least 1.
        max_silence_seconds: longer silence ends a window: with 6 s between utterances `base` did as well on joined
            utterances as on separate ones, with 10 s it dropped words.
        first_seconds: the first window takes no further regions beyond this length, for a low latency in streaming.
    """
    max_samples = int(max_seconds * SAMPLE_RATE)
    limit = int(min(first_seconds, max_seconds) * SAMPLE_RATE)
    max_silence = int(max_silence_seconds * SAMPLE_RATE)
    speech: list[Region] = []
    for part in (part for region in regions for part in _cut_region(region, pcm, max_samples)):
        if speech and (part.end - speech[0].start > limit or part.start - speech[-1].end > max_silence):
            yield _to_window(speech)
            speech, limit = [], max_samples
        speech.append(part)
    if speech:
        yield _to_window(speech)


def _to_window(speech: list[Region]) -> SpeechWindow:
    return SpeechWindow(speech[0].start, speech[-1].end, tuple(speech))


def _cut_region(region: Region, pcm: Pcm, max_samples: int) -> Iterator[Region]:
    """Cut a region into parts of at most `max_samples`, none shorter than a third: Whisper needs some context."""
    start, end = region
    third = max_samples // 3
    while end - start > max_samples:
        latest = min(start + max_samples, end - third)
        cut = find_quietest(pcm, latest - third, latest)
        yield Region(start, cut)
        start = cut
    yield Region(start, end)


def find_quietest(pcm: Pcm, start: int, end: int) -> int:
    """Return the middle of the 100 ms with the least energy between two positions, in steps of 10 ms."""
    step, steps = SAMPLE_RATE // 100, 10
    samples = pcm[start : start + (end - start) // step * step].astype(np.float32)
    energy = np.square(samples).reshape(-1, step).sum(axis=1)
    return start + step * (int(np.convolve(energy, np.ones(steps), mode="valid").argmin()) + steps // 2)
