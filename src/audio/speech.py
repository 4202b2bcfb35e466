"""All speech of a recording: what the detector finds at once, and what only a second look finds.

    pcm -> probabilities, twice -> runs of speech, sure or doubtful -> SpeechRegion

A region is sure if the detector recognises any of it in the recording as it is, unless it is short and the detector was
never certain. All others are doubtful: mostly quiet or disturbed voices, sometimes a cough, a sigh or a note of music,
so that their text should be kept only if Whisper is sure.
Where the detector finds all speech at once, the regions are those of `speech_regions`, to the sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import NamedTuple

from src.audio import vad
from src.audio.pcm import SAMPLE_RATE, Pcm, Recording, Region
from src.audio.second_look import MARGIN, probabilities_at_second_look
from src.audio.vad import FRAME, Probabilities, RunFinder, VadOptions, load_vad

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


class _Looks(NamedTuple):
    """Probabilities of speech of a block's frames."""

    first: Probabilities
    either: Probabilities
    """The higher one of both looks."""


def find_speech(
    pcm: Recording, options: VadOptions, check: Callable[[], None] = lambda: None
) -> Iterator[SpeechRegion]:
    """Yield the regions with speech, in order and without overlap, padding included.

    `check` is called for each block, also without speech; its exceptions end the work.
    """
    pad = options.speech_pad_ms * SAMPLE_RATE // 1000
    return _pad(_find_runs(_look_twice(pcm, max(pad, MIN_REACH), check), pcm, options), pad, pcm)


def seconds_of_speech(pcm: Pcm, options: VadOptions) -> float:
    """Return the seconds of speech in a stretch of a recording, without padding."""
    regions = find_speech(pcm, replace(options, speech_pad_ms=0))
    return sum(region.end - region.start for region in regions) / SAMPLE_RATE


def _look_twice(pcm: Recording, reach: int, check: Callable[[], None]) -> Iterator[_Looks]:
    """Yield the probabilities of each block, with a second look at what is further than `reach` from speech."""
    return load_vad().work_ahead(_second_looks(pcm, reach, check))


def _second_looks(pcm: Recording, reach: int, check: Callable[[], None]) -> Iterator[Callable[[], _Looks]]:
    """Yield the second look at each block, as soon as the first one is made.

    The recording is read here: where it is still being decoded, the detector's threads must not wait for it.
    """
    start = 0
    for first in vad.speech_probabilities(pcm, check):
        margin = min(start, MARGIN)
        end = start + len(first) * FRAME
        yield partial(_look_again, pcm[start - margin : end + MARGIN], margin, first, reach)
        start = end


def _look_again(pcm: Pcm, start: int, first: Probabilities, reach: int) -> _Looks:
    return _Looks(first, probabilities_at_second_look(pcm, start, first, reach))


def _find_runs(blocks: Iterable[_Looks], pcm: Recording, options: VadOptions) -> Iterator[SpeechRegion]:
    """Yield runs of speech without padding.

    A run at either look contains all runs at the first look that overlap it, since no frame is less probable.
    """
    at_first_look, at_either = RunFinder(options), RunFinder(options)
    contained: list[Region] = []
    highest = 0.0
    for first, either in blocks:
        found = list(at_first_look.push(first))
        seen = 0
        for run, end in at_either.push(either):
            contained += _long_enough((part for part, its_end in found if seen < its_end <= end), options)
            yield from _label(run, contained, max(highest, either[seen:end].max()), options)
            contained, highest, seen = [], 0.0, end
        contained += _long_enough((part for part, its_end in found if its_end > seen), options)
        highest = either[seen:].max(initial=highest)
    if last := at_first_look.finish(len(pcm)):
        contained += _long_enough([last], options)
    if last := at_either.finish(len(pcm)):
        yield from _label(last, contained, highest, options)


def _long_enough(runs: Iterable[Region], options: VadOptions) -> list[Region]:
    min_speech = options.min_speech_ms * SAMPLE_RATE // 1000
    return [run for run in runs if run.end - run.start > min_speech]


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


def _pad(regions: Iterable[SpeechRegion], pad: int, pcm: Recording) -> Iterator[SpeechRegion]:
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
        yield previous._replace(end=min(previous.end + pad, len(pcm)))


def _border(before: SpeechRegion, after: SpeechRegion, pad: int) -> int:
    """Return where the padding of two neighbours meets: halfway, or where that of the only sure one ends."""
    if before.doubtful == after.doubtful:
        return (before.end + after.start) // 2
    return max(after.start - pad, before.end) if before.doubtful else min(before.end + pad, after.start)
