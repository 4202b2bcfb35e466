"""Brings the voices of a recording to one loudness, where they differ by more than Whisper can bear.

Whisper's log-mel features reach 80 dB down from the loudest moment of a window, and a voice 30 dB below another in the
same window is mostly left out of the text. Two readers in turn, the second one quieter; words of the quieter one that
`base` recognised (of 138, greedy, in one window with the louder one, without the repair of gaps):

    quieter by          as recorded    levelled
    20 dB                      78%          83%
    30 dB                      15%          75%
    40 dB                       1%          72%
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from src.audio.pcm import Pcm, Region, Samples, to_float

Decibels: TypeAlias = NDArray[np.float64]

STEP = 512
"""Samples per value of a loudness: 32 ms."""
NEIGHBOURHOOD_STEPS = 37
"""Steps whose loud ones give the loudness at their middle: 1.2 s, so that pauses between words do not count."""
LOUD_SHARE = 0.9
"""Quantile of the loudness within a neighbourhood."""

VOICE_STEPS = 25
"""Shortest stretch that counts as a voice of its own, 0.8 s: around it, a word's loudness reaches that far."""
MAX_DIFFERENCE_DB = 22.0
"""Differences in loudness up to this stay as they are: within a sentence 15 dB are usual."""
REMAINING_DIFFERENCE_DB = 6.0
"""What is left of a greater difference."""
MAX_GAIN_DB = 50.0


def loudness(samples: Samples) -> Decibels:
    """Return the loudness around each step of `STEP` samples, in decibels relative to full scale.

    Args:
        samples: in -1..1, at least one.
    """
    steps = np.pad(samples, (0, -len(samples) % STEP)).reshape(-1, STEP)
    power = 10 * np.log10(np.square(steps, dtype=np.float64).mean(axis=1) + 1e-12)
    margin = NEIGHBOURHOOD_STEPS // 2
    around = np.lib.stride_tricks.sliding_window_view(np.pad(power, margin, "edge"), NEIGHBOURHOOD_STEPS)
    rank = int(LOUD_SHARE * (NEIGHBOURHOOD_STEPS - 1))
    loud: Decibels = np.partition(around, rank, axis=1)[:, rank]
    return loud


def apply_gain(samples: Samples, gain: Decibels) -> Samples:
    """Amplify samples by a gain for each step, smoothed over a quarter of a neighbourhood; clips at full scale."""
    width = NEIGHBOURHOOD_STEPS // 4
    smooth = np.convolve(np.pad(gain, width // 2, "edge"), np.full(width, 1 / width), "valid")
    factors: Samples = np.pad(10 ** (smooth / 20), 1, "edge").astype(np.float32)
    ramp = np.linspace(0, 1, STEP, endpoint=False, dtype=np.float32)
    between_middles: Samples = (factors[:-1, np.newaxis] + np.diff(factors)[:, np.newaxis] * ramp).reshape(-1)
    amplified: Samples = samples * between_middles[STEP // 2 :][: len(samples)]
    np.clip(amplified, -1, 1, out=amplified)
    return amplified


def level_voices(pcm: Pcm, speech: Sequence[Region]) -> Pcm:
    """Amplify the quiet voices of a window, if its voices differ by more than `MAX_DIFFERENCE_DB`.

    What lies between two regions of speech gets a gain between theirs, so that noise in a pause never becomes louder
    than the voices around it make it.

    Args:
        pcm: the window.
        speech: its regions of speech without padding, in samples from its start.

    Returns:
        The window itself if nothing has to change.
    """
    steps = [step for start, end in speech for step in range(-(-start // STEP), min(end, len(pcm)) // STEP)]
    if not steps:
        return pcm
    samples = to_float(pcm)
    voices = loudness(samples)[steps]
    loudest = voices.max()
    if loudest - _quietest_voice(voices) <= MAX_DIFFERENCE_DB:
        return pcm
    wanted = np.clip(loudest - REMAINING_DIFFERENCE_DB - voices, 0, MAX_GAIN_DB)
    gain = np.interp(np.arange(-(-len(pcm) // STEP)), steps, wanted)
    levelled: Pcm = np.rint(apply_gain(samples, gain) * 32767).astype(np.int16)
    return levelled


def _quietest_voice(voices: Decibels) -> float:
    """Return the loudness that is not exceeded for `VOICE_STEPS`; a word that trails off takes less."""
    if len(voices) < VOICE_STEPS:
        return float(voices.max())
    return float(np.lib.stride_tricks.sliding_window_view(voices, VOICE_STEPS).max(axis=1).min())
