"""All speech of a recording: what the detector finds at once, and what only a second look finds.

    pcm -> probabilities, twice -> runs of speech, sure or doubtful -> SpeechRegion

A region is sure if the detector recognises any of it in the recording as it is, unless it is short and the detector was
never certain. All others are doubtful: mostly quiet or disturbed voices, sometimes a cough, a sigh or a note of music,
so that their text should be kept only if Whisper is sure.
Where the detector finds all speech at once, the regions are those of `speech_regions`, to the sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice, pairwise
from typing import NamedTuple

from src.audio import vad
from src.audio.pcm import SAMPLE_RATE, Pcm, Region
from src.audio.second_look import probabilities_at_second_look
from src.audio.vad import FRAME, RunFinder, VadOptions

BLOCK_FRAMES = vad.BLOCK // FRAME
"""Frames that get a second look together: 16 s."""

MIN_DOUBTFUL = SAMPLE_RATE // 4
"""Samples of the shortest doubtful region: in shorter ones Whisper hallucinates. silero's default."""

MAX_UNCERTAIN = 2 * SAMPLE_RATE
"""Samples of the longest region that may be a cough or a sigh."""
CERTAIN = 0.9
"""Probability that the detector reaches in clear speech. Measured: in 6 clips of 2 s with
speech it does in 33 to 63 frames; in 12 with coughs, sighs and yawns in none, the highest is 0.87."""


MIN_REACH = SAMPLE_RATE * 2 // 5
"""Samples around speech that get no second look, even with less padding: words fade, and a look has its price."""


class SpeechRegion(NamedTuple):
    """A stretch of speech, in samples; `end` is excluded."""

    start: int
    end: int
    doubtful: bool = False
    """Only the second look found it, or it is short and the detector is never certain of it."""


class _Frame(NamedTuple):
    """Probabilities of speech in a frame of 32 ms."""

    first: float
    either: float
    """The higher one of both looks."""


def find_speech(pcm: Pcm, options: VadOptions) -> Iterator[SpeechRegion]:
    """Yield the regions with speech, in order and without overlap, padding included."""
    pad = options.speech_pad_ms * SAMPLE_RATE // 1000
    return _pad(_find_runs(_look_twice(pcm, max(pad, MIN_REACH)), len(pcm), options), pad, len(pcm))


def seconds_of_speech(pcm: Pcm, options: VadOptions) -> float:
    """Return the seconds of speech in a stretch of a recording, without padding."""
    regions = find_speech(pcm, replace(options, speech_pad_ms=0))
    return sum(region.end - region.start for region in regions) / SAMPLE_RATE


def _look_twice(pcm: Pcm, reach: int) -> Iterator[_Frame]:
    """Yield the probabilities of each frame, with a second look at what is further than `reach` from speech."""
    probabilities = vad.speech_probabilities(pcm)
    start = 0
    while first := list(islice(probabilities, BLOCK_FRAMES)):
        either = probabilities_at_second_look(pcm, start, first, reach)
        for pair in zip(first, either, strict=True):
            yield _Frame(*pair)
        start += len(first) * FRAME


def _find_runs(frames: Iterable[_Frame], samples: int, options: VadOptions) -> Iterator[SpeechRegion]:
    """Yield runs of speech without padding.

    A run at either look contains all runs at the first look that overlap it, since no frame is less probable.
    """
    at_first_look, at_either = RunFinder(options), RunFinder(options)
    contained: list[Region] = []
    highest = 0.0
    for frame in frames:
        highest = max(highest, frame.either)
        contained += _long_enough(at_first_look.push(frame.first), options)
        if run := at_either.push(frame.either):
            yield from _label(run, contained, highest, options)
            contained, highest = [], 0.0
    contained += _long_enough(at_first_look.finish(samples), options)
    if run := at_either.finish(samples):
        yield from _label(run, contained, highest, options)


def _long_enough(run: Region | None, options: VadOptions) -> list[Region]:
    min_speech = options.min_speech_ms * SAMPLE_RATE // 1000
    return [run] if run is not None and run.end - run.start > min_speech else []


def _label(run: Region, contained: list[Region], highest: float, options: VadOptions) -> Iterator[SpeechRegion]:
    """Yield a run at either look as regions.

    Args:
        run: the run.
        contained: what the first look found of it. These are kept as they are, except where the run has speech beside
            them or between them that padding would not cover.
        highest: the highest probability in the run.
        options: the options of detection.
    """
    if not contained:
        if run.end - run.start >= MIN_DOUBTFUL:
            yield SpeechRegion(*run, doubtful=True)
        return
    if highest < CERTAIN and run.end - run.start <= MAX_UNCERTAIN:
        yield SpeechRegion(contained[0].start, contained[-1].end, doubtful=True)
        return
    covered = max(options.speech_pad_ms * SAMPLE_RATE // 1000, MIN_DOUBTFUL)
    start = run.start if contained[0].start - run.start > covered else contained[0].start
    end = run.end if run.end - contained[-1].end > covered else contained[-1].end
    for before, after in pairwise(contained):
        if after.start - before.end <= 2 * covered:
            yield SpeechRegion(start, before.end)
            start = after.start
    yield SpeechRegion(start, end)


def _pad(regions: Iterable[SpeechRegion], pad: int, samples: int) -> Iterator[SpeechRegion]:
    """Extend regions by `pad` at both ends, within the recording and without overlap."""
    previous: SpeechRegion | None = None
    earliest = 0
    for region in regions:
        if previous is not None:
            border = _border(previous, region, pad)
            yield previous._replace(end=min(previous.end + pad, border))
            earliest = border
        previous = region._replace(start=max(region.start - pad, earliest))
    if previous is not None:
        yield previous._replace(end=min(previous.end + pad, samples))


def _border(before: SpeechRegion, after: SpeechRegion, pad: int) -> int:
    """Return where the padding of two neighbours meets: halfway, or where that of the only sure one ends."""
    if before.doubtful == after.doubtful:
        return (before.end + after.start) // 2
    return max(after.start - pad, before.end) if before.doubtful else min(before.end + pad, after.start)
