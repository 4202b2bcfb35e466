"""Recognizes on a track what was said into another microphone.

The voice of a speaker reaches the other microphones of a room more quietly, and later. A stretch of a track is such
bleed if another track has the same waveform at that time, and louder. Who talks into one's own microphone at the same
time has another waveform, however quiet.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from src.audio.pcm import SAMPLE_RATE, Pcm, Samples

MIN_STRETCH_S = 0.5
"""Shorter stretches are widened: in a few periods of a voice, any two voices are alike."""

MAX_DELAY_S = 0.1
"""Sound takes it for 34 m; recorders that were started by hand are further apart, and need an offset."""

MIN_DIFFERENCE_DB = 3.0
"""Microphones may differ in gain by as much as bleed is quieter, less this."""

MIN_CORRELATION = 0.5
"""At this one, the other voice has a quarter of the power. Two who talk at once have 0.2 to 0.35."""


def is_bleed(tracks: Sequence[Pcm], number: int, start: float, end: float) -> bool:
    """True if what is heard on a track was said into the microphone of another one.

    Args:
        tracks: int16 [samples] each, of any lengths, on a common clock.
        number: of the track.
        start: in seconds.
        end: in seconds.
    """
    missing = max(0.0, MIN_STRETCH_S - (end - start)) / 2
    stretch = slice(max(0, round((start - missing) * SAMPLE_RATE)), round((end + missing) * SAMPLE_RATE))
    own = _samples(tracks[number], stretch)
    loud = 10 ** (MIN_DIFFERENCE_DB / 20) * float(np.linalg.norm(own))
    others = (_samples(track, stretch) for other, track in enumerate(tracks) if other != number)
    return any(np.linalg.norm(other) >= loud and _correlation(own, other) >= MIN_CORRELATION for other in others)


def _samples(track: Pcm, stretch: slice) -> Samples:
    """A stretch of a track, with silence after its end."""
    samples = np.zeros(stretch.stop - stretch.start, np.float32)
    part = track[stretch]
    samples[: len(part)] = part
    return samples


def _correlation(one: Samples, other: Samples) -> float:
    """The largest normalized cross-correlation of two stretches, for delays of at most `MAX_DELAY_S`; 0 in silence."""
    power = float(np.linalg.norm(one) * np.linalg.norm(other))
    if not power:
        return 0.0
    size = 1 << (2 * len(one) - 1).bit_length()  # so that the ends do not meet
    product = np.fft.irfft(np.fft.rfft(one, size) * np.conj(np.fft.rfft(other, size)), size)
    most = min(round(MAX_DELAY_S * SAMPLE_RATE), len(one) - 1)
    return float(max(np.abs(product[: most + 1]).max(), np.abs(product[-most:]).max())) / power
