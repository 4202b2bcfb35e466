"""Keeps words out of the pauses between them: alignment gives a pause to the word after it, or to the one before.

The voice detector says where the pauses are.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from math import inf
from typing import NamedTuple

from src.audio.pcm import SAMPLE_RATE, Pcm
from src.audio.speech import find_speech
from src.audio.vad import VadOptions
from transcript.checks import never

MIN_SILENCE_S = 0.2
"""Shorter ones may be part of a word."""

ONSET_S = 0.05
"""How much earlier than the detector says a word may begin, and how much later it may end."""

MIN_LEFT_S = 0.06
"""What is left of a word at least."""

LONG_SILENCE_S = 2.0
"""Longer ones are no pauses of a sentence: text is not looked for across them."""

SURE = 0.5
"""Probability from which a word is taken to be where it is, and the detector to have missed it."""


class Silence(NamedTuple):
    """A stretch without speech, in seconds of the recording."""

    start: float
    end: float


def find_silences(pcm: Pcm, options: VadOptions, check: Callable[[], None] = never) -> list[Silence]:
    """Return the stretches of a recording without speech, in order; what is before and after it counts as silence.

    There are none if the detector finds no speech at all.

    Args:
        pcm: the recording.
        options: of the detection; padding and pauses are those that suit words.
        check: called now and then; its exceptions end the work.
    """
    exact = replace(options, speech_pad_ms=0, min_silence_ms=round(1000 * MIN_SILENCE_S))
    speech = [(region.start / SAMPLE_RATE, region.end / SAMPLE_RATE) for region in find_speech(pcm, exact, check)]
    if not speech:
        return []
    edges = [(-inf, -inf), *speech, (inf, inf)]
    return [Silence(end, start) for (_, end), (start, _) in pairwise(edges) if start - end >= MIN_SILENCE_S]


def fit_to_speech(
    start: float, end: float, silences: Sequence[Silence], probability: float = 1.0
) -> tuple[float, float]:
    """Return the start and the end of a word without the silence that it begins in, spans or ends in.

    Args:
        start: of the word, in seconds.
        end: of the word.
        silences: in order.
        probability: of the word. An unlikely one that lies in a long silence as a whole is moved to its nearer edge.
    """
    before = bisect_left(silences, end, key=lambda silence: silence.end) - 1
    if before >= 0 and silences[before].end > start:
        start = max(start, min(silences[before].end - ONSET_S, end - MIN_LEFT_S))
    after = bisect_right(silences, start, key=lambda silence: silence.start)
    if after < len(silences) and silences[after].start < end <= silences[after].end:
        end = min(end, max(silences[after].start + ONSET_S, start + MIN_LEFT_S))
    if after and end <= silences[after - 1].end and probability < SURE:
        return _out_of(silences[after - 1], start, end)
    return start, end


def _out_of(silence: Silence, start: float, end: float) -> tuple[float, float]:
    if silence.end - silence.start <= LONG_SILENCE_S:
        return start, end
    if start - silence.start < silence.end - end:
        return silence.start, silence.start + ONSET_S
    return silence.end - ONSET_S, silence.end
