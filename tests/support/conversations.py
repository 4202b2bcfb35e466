"""Synthetic conversations of two microphones, with known clocks and bleed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from media.track_clock import SAMPLE_RATE, Pcm, TrackClock

Sound = NDArray[np.float32]


def turns(seconds: float, random: np.random.Generator) -> list[Sound]:
    """Noise in the rhythm of two people who take turns."""
    voices = [np.zeros(round(seconds * SAMPLE_RATE), np.float32) for _ in range(2)]
    at, number = 0, 0
    while at < len(voices[0]):
        length = round(random.uniform(1, 6) * SAMPLE_RATE)
        levels = np.repeat(random.uniform(0.2, 1, length // 1600 + 1), 1600)[:length]
        part = (random.standard_normal(length) * levels)[: len(voices[0]) - at]
        voices[number % 2][at : at + len(part)] = part
        at += length + round(random.uniform(0.1, 1) * SAMPLE_RATE)
        number += 1
    return voices


def conversation(seconds: float, clock: TrackClock, bleed: float = 0.1) -> tuple[Pcm, Pcm]:
    """Two microphones; the recorder of the second one has this clock."""
    random = np.random.default_rng(1)
    one, other = turns(seconds, random)
    tracks = [
        own + bleed * np.roll(far, 80) + 0.003 * random.standard_normal(len(own))
        for own, far in ((one, other), (other, one))
    ]
    times = np.arange(round((seconds - clock.offset) / (1 + clock.drift) * SAMPLE_RATE))
    late = np.interp(clock.offset * SAMPLE_RATE + times * (1 + clock.drift), np.arange(len(one)), tracks[1])
    return (tracks[0] * 8000).clip(-32768, 32767).astype(np.int16), (late * 8000).clip(-32768, 32767).astype(np.int16)
