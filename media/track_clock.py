"""Finds by ear how the clocks of two tracks of a conversation differ: when each began, and how fast it runs.

What one microphone took up of another one's speaker is the same sound on both tracks:

    where they may fit     the cross-correlation of their loudness over the whole length has some highest peaks
    whether they do        GCC-PHAT, the cross-correlation of waveforms with all frequencies at the same level, of
                           stretches along both tracks: the same sound has a sharp peak, and the delays are on a line
    clock                  the line: its start is the offset, its slope the drift

Tracks without common sound have no such line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000

Pcm: TypeAlias = NDArray[np.int16]
"""[samples] at `SAMPLE_RATE`."""

FloatArray: TypeAlias = NDArray[np.float32]

HOP = SAMPLE_RATE // 100
"""Samples for each value of the loudness."""

STRETCH_S = 4.0
"""Clocks that are 100 ppm apart blur it by 0.4 ms, a period of 2500 Hz."""

MAX_STRETCHES = 24
MAX_CANDIDATES = 4
MAX_UNCLEAR = 6
"""Stretches of which one has to be clear, before the others are tried."""

MIN_SHARED_S = 4 * STRETCH_S
"""The shortest overlap in which tracks are compared."""

MARGIN_S = 0.75
"""How far a stretch's delay may be from that of the loudness: half of what clocks drift apart, and of its blur."""

MIN_PEAK = 9.0
"""Of GCC-PHAT in a stretch, in standard deviations; of other sound the highest one is 5.3 in the median.

In 3% of the stretches of unrelated recordings it is over 9, mostly of music, or where one has digital silence.
"""

MIN_FITTING = 5
"""Clear stretches that have to be near to one line. Of 182 pairs of unrelated recordings no line had more than 3.

Of 56 pairs of simulated microphones (17 to 120 s, bleed 0.03 to 0.3) 39 have as many, and the right offset; most
others share less than 16 s.
"""

MIN_FITTING_SHARE = 0.75
"""Of the clear stretches; of unrelated recordings three in five were near to a line."""

MAX_RESIDUAL_S = 0.04
"""Distance of a delay from the line: sound goes from each speaker to the other one's microphone, 7 m in this time."""

MAX_DRIFT = 300e-6
"""Clocks of recorders are right to some 50 ppm."""

MIN_DRIFT_S = 0.02
"""Over the length of a track; less is not corrected."""

MIN_OFFSET_S = 0.04
"""Less is not corrected either: it may be the way of the sound."""

_BAND_HZ = (200.0, 3500.0)  # of voices, without hum
_CHUNK = 1 << 20


@dataclass(frozen=True)
class TrackClock:
    """A track's clock, by that of another one: sound at `t` of the track is at `offset + t * (1 + drift)` of the other.

    Attributes:
        offset: in seconds; negative for a track that began earlier.
        drift: seconds per second.
    """

    offset: float
    drift: float = 0.0

    def describe(self) -> str:
        """Say in a sentence that the clock was found by ear."""
        run = f"to run {abs(self.drift) * 1e6:.0f} ppm too {'slow' if self.drift > 0 else 'fast'}" if self.drift else ""
        is_moved = round(self.offset, 2) != 0 or not run
        begin = f"to begin {self.offset:.2f} s after the earliest one" if is_moved else ""
        return (
            f"the track was taken {' and '.join(filter(None, (begin, run)))}, by the sound that it shares with another "
            "one: an offset overrides this"
        )


def find_clock(track: Pcm, reference: Pcm, check: Callable[[], None] = lambda: None) -> TrackClock | None:
    """Return a track's clock by that of another one, with which it shares sound; None if it seems to share none.

    Args:
        track: int16 [samples].
        reference: int16 [samples].
        check: called between steps of at most a second; its exceptions end the work.
    """
    loudness = _loudness(track, check), _loudness(reference, check)
    if min(map(len, loudness)) * HOP < MIN_SHARED_S * SAMPLE_RATE:
        return None
    best: tuple[int, TrackClock] | None = None
    for lag in _likely_lags(*loudness, check):
        times, delays = [], []
        for tried, start in enumerate(_stretches(*loudness, lag)):
            check()
            delay = _delay(track, reference, start, lag)
            if delay is not None:
                times.append(start / SAMPLE_RATE)
                delays.append(delay)
            if tried + 1 >= MAX_UNCLEAR and not times:
                break
        fitted = _fit(np.asarray(times), np.asarray(delays))
        if fitted is not None and (best is None or fitted[0] > best[0]):
            best = fitted
            if fitted[0] > MAX_STRETCHES / 2:
                break
    if best is None:
        return None
    clock = best[1]
    seconds = len(track) / SAMPLE_RATE
    if abs(clock.drift) * seconds >= MIN_DRIFT_S:
        return clock
    offset = clock.offset + clock.drift * seconds / 2
    return TrackClock(offset if abs(offset) >= MIN_OFFSET_S else 0.0)


def find_clocks(
    tracks: Sequence[Pcm], known: Mapping[int, float], check: Callable[[], None] = lambda: None
) -> dict[int, TrackClock]:
    """Return the clocks of tracks by a common one, whose start is that of the earliest track.

    Args:
        tracks: int16 [samples] each.
        known: offsets of some of them, by number; without any, the first track's is 0.
        check: as for `find_clock`.

    Returns:
        The clocks of the known tracks, and of those that share sound with one of these, directly or through others.
    """
    clocks = {number: TrackClock(offset) for number, offset in known.items()} or {0: TrackClock(0.0)}
    waiting = [number for number in range(len(tracks)) if number not in clocks]
    compared = 0
    while waiting and compared < len(clocks):
        reference = [*clocks][compared]
        compared += 1
        for number in [*waiting]:
            if clock := find_clock(tracks[number], tracks[reference], check):
                clocks[number] = _after(clocks[reference], clock)
                waiting.remove(number)
    earliest = min(0.0, *(clock.offset for clock in clocks.values()))
    return {number: TrackClock(clock.offset - earliest, clock.drift) for number, clock in clocks.items()}


def _after(reference: TrackClock, clock: TrackClock) -> TrackClock:
    """Return a clock that was measured by the reference's by the common one."""
    rate = 1 + reference.drift
    return TrackClock(reference.offset + clock.offset * rate, (1 + clock.drift) * rate - 1)


def map_pcm(path: Path) -> Pcm:
    """Map a file of samples."""
    return np.memmap(path, dtype="<i2", mode="r")


def place_track(track: Pcm, clock: TrackClock, path: Path, check: Callable[[], None] = lambda: None) -> Pcm:
    """Write a track by the clock of another one, with silence before it, to a file, and map it.

    Args:
        track: int16 [samples].
        clock: whose offset is not negative.
        path: of the file.
        check: called between steps of some 0.1 s; its exceptions end the work.
    """
    with path.open("wb") as file:
        file.seek(2 * round(clock.offset * SAMPLE_RATE))
        length = round(len(track) * (1 + clock.drift))
        for start in range(0, length, _CHUNK):
            check()
            times = np.arange(start, min(start + _CHUNK, length)) / (1 + clock.drift)
            first = int(times[0])
            part = track[first : int(times[-1]) + 2]
            file.write(np.interp(times - first, np.arange(len(part)), part).astype("<i2").tobytes())
    return map_pcm(path)


def _loudness(pcm: Pcm, check: Callable[[], None]) -> FloatArray:
    """Return the loudness of each `HOP`: 0 to 1 bel above the noise, since each microphone has another louder voice."""
    powers = []
    for start in range(0, len(pcm) // HOP * HOP, _CHUNK // HOP * HOP):
        check()
        part = pcm[start : min(start + _CHUNK // HOP * HOP, len(pcm) // HOP * HOP)].astype(np.float32).reshape(-1, HOP)
        powers.append(np.square(part).mean(1))
    power = np.concatenate(powers) if powers else np.zeros(0, np.float32)
    audible = power[power > 0]
    noise = max(1.0, float(np.quantile(audible, 0.02))) if len(audible) else 1.0
    return np.asarray(np.clip(np.log10(power / noise + 1e-9), 0.0, 1.0), np.float32)


def _likely_lags(track: FloatArray, reference: FloatArray, check: Callable[[], None]) -> Iterator[int]:
    """Yield lags in samples, the likeliest first: how much later the track began than the reference."""
    size = 1 << (len(track) + len(reference) - 1).bit_length()
    one = np.fft.rfft(_without_trend(reference), size)
    check()  # each transform of 12 hours takes a second
    other = np.fft.rfft(_without_trend(track), size)
    check()
    correlation = np.fft.irfft(one * np.conj(other), size)
    check()
    around = 30  # hops, in which there is one peak
    for _ in range(MAX_CANDIDATES):
        highest = int(correlation.argmax())
        yield (highest - size if highest > size // 2 and highest >= len(reference) else highest) * HOP
        correlation[np.arange(highest - around, highest + around + 1) % size] = -np.inf


def _without_trend(loudness: FloatArray) -> FloatArray:
    """Subtract the mean of the 10 s around each value."""
    width = min(1000, len(loudness))
    sums = np.concatenate([[0.0], np.cumsum(loudness, dtype=np.float64)])
    starts = np.clip(np.arange(len(loudness)) - width // 2, 0, len(loudness) - width)
    return np.asarray(loudness - (sums[starts + width] - sums[starts]) / width, np.float32)


def _stretches(track: FloatArray, reference: FloatArray, lag: int) -> Iterator[int]:
    """Yield where stretches of the track begin, in samples: along what it shares, each where both are loudest."""
    shift, width = lag // HOP, round(STRETCH_S * SAMPLE_RATE / HOP)
    first, last = max(0, -shift), min(len(track), len(reference) - shift)
    if (last - first) * HOP < MIN_SHARED_S * SAMPLE_RATE:
        return
    both = track[first:last] * reference[first + shift : last + shift]
    sums = np.concatenate([[0.0], np.cumsum(both)])
    shared = sums[width:] - sums[:-width]
    count = min(MAX_STRETCHES, len(both) // (width // 2))
    for part in np.array_split(np.arange(len(shared)), count):
        yield (first + int(part[shared[part].argmax()])) * HOP


def _delay(track: Pcm, reference: Pcm, start: int, lag: int) -> float | None:
    """Return how much later a stretch of the track is on the reference, in seconds; None if it is not clear."""
    width, margin = round(STRETCH_S * SAMPLE_RATE), round(MARGIN_S * SAMPLE_RATE)
    one = track[start : start + width]
    begin = start + lag - margin
    other = reference[max(0, begin) : begin + width + 2 * margin]
    size = 1 << (len(one) + len(other) - 1).bit_length()
    cross = np.fft.rfft(other.astype(np.float32), size) * np.conj(np.fft.rfft(one.astype(np.float32), size))
    hertz = np.fft.rfftfreq(size, 1 / SAMPLE_RATE)
    cross[(hertz < _BAND_HZ[0]) | (hertz > _BAND_HZ[1])] = 0
    strength = np.abs(cross)
    likeness = np.fft.irfft(np.divide(cross, strength, out=np.zeros_like(cross), where=strength > 0), size)
    shifts = np.arange(-2 * margin, 2 * margin + 1)
    found = likeness[(shifts + margin) % size]
    highest = int(np.abs(found).argmax())
    if not np.abs(found[highest]) > MIN_PEAK * float(found.std()):
        return None
    return (max(0, begin) + int(shifts[highest]) + margin - start) / SAMPLE_RATE


def _fit(times: NDArray[np.float64], delays: NDArray[np.float64]) -> tuple[int, TrackClock] | None:
    """Return the line that most delays are near to, with their number; None if it is not clear."""
    if len(times) < MIN_FITTING:
        return None
    slopes = [
        (delays[b] - delays[a]) / (times[b] - times[a])
        for a, b in combinations(range(len(times)), 2)
        if times[b] - times[a] > 30
    ]
    slopes = [slope for slope in slopes if abs(slope) <= MAX_DRIFT] or [0.0]
    drift = float(np.median(slopes))
    offset = float(np.median(delays - drift * times))
    near = np.abs(delays - offset - drift * times) <= MAX_RESIDUAL_S
    if near.sum() < max(MIN_FITTING, MIN_FITTING_SHARE * len(times)):
        return None
    if times[near][-1] - times[near][0] > 60:
        drift, offset = map(float, np.polyfit(times[near], delays[near], 1))
    return int(near.sum()), TrackClock(offset, drift)
