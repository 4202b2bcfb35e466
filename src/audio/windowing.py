"""Joins regions of speech into windows of at most 30 s, and cuts long regions where they are quietest.

The windows of sure speech are the same with and without doubtful regions (see `src/audio/speech.py`): a doubtful region
within a window becomes part of it, and others get windows of their own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from src.audio.pcm import SAMPLE_RATE, Recording
from src.audio.speech import SpeechRegion

WINDOW_SECONDS = 30.0
"""Length of Whisper's window."""


@dataclass(frozen=True, slots=True)
class SpeechWindow:
    """A window of a recording, in samples."""

    start: int
    end: int
    speech: tuple[SpeechRegion, ...]
    """The joined regions, in order, in samples of the recording."""

    @property
    def doubtful(self) -> bool:
        """True if all of its speech is doubtful."""
        return all(region.doubtful for region in self.speech)


def join_regions(
    regions: Iterable[SpeechRegion],
    pcm: Recording,
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

    def fits(window: Sequence[SpeechRegion], part: SpeechRegion) -> bool:
        return part.end - window[0].start <= limit and part.start - window[-1].end <= max_silence

    speech: list[SpeechRegion] = []
    doubtful: list[SpeechRegion] = []  # since the last sure region
    for part in (part for region in regions for part in _cut_region(region, pcm, max_samples)):
        if speech and not fits(speech, part):
            yield _to_window(speech)
            speech, limit = [], max_samples
        if part.doubtful:
            if not speech and doubtful and not fits(doubtful, part):
                yield _to_window(doubtful)
                doubtful, limit = [], max_samples
            doubtful.append(part)
            continue
        if doubtful and not speech:
            yield _to_window(doubtful)
            doubtful, limit = [], max_samples
        speech += [*doubtful, part]
        doubtful = []
    yield from (_to_window(rest) for rest in (speech, doubtful) if rest)


def _to_window(speech: list[SpeechRegion]) -> SpeechWindow:
    return SpeechWindow(speech[0].start, speech[-1].end, tuple(speech))


def _cut_region(region: SpeechRegion, pcm: Recording, max_samples: int) -> Iterator[SpeechRegion]:
    """Cut a region into parts of at most `max_samples`, none shorter than a third: Whisper needs some context."""
    start, end, _ = region
    third = max_samples // 3
    while end - start > max_samples:
        latest = min(start + max_samples, end - third)
        cut = find_quietest(pcm, latest - third, latest)
        yield region._replace(start=start, end=cut)
        start = cut
    yield region._replace(start=start)


def find_quietest(pcm: Recording, start: int, end: int) -> int:
    """Return the middle of the 100 ms with the least energy between two positions, in steps of 10 ms."""
    step, steps = SAMPLE_RATE // 100, 10
    samples = pcm[start : start + (end - start) // step * step].astype(np.float32)
    energy = np.square(samples).reshape(-1, step).sum(axis=1)
    return start + step * (int(np.convolve(energy, np.ones(steps), mode="valid").argmin()) + steps // 2)
