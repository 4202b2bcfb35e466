"""Distinguishes a phrase that is said several times from one that only the decoder repeats, by the sound.

A loop of the decoder and a chant have the same text, and compress equally well. In a chant the sound recurs with the
text, wherever one looks. So a piece from the middle of the passage, as long as one repetition, is looked for in all of
the passage, by subsequence dynamic time warping of its cepstrum, at half to double its tempo.

The cost of a match is its distance relative to the median distance in the passage. Measured: the same phrase again 0.0,
with noise at 20 dB 0.4, at other tempos and pitches 0.3 to 0.9; other read speech from 0.74, in pieces of half a second
from 0.71; steady noise from 0.9.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from whisper.audio import SAMPLE_RATE

from transcript.transcript import Segment

MIN_REPEATS = 4
"""Fewest repetitions of a loop: people do say "no, no, no"."""

MAX_PHRASE_CHARACTERS = 120
"""The longest repeated phrase that is looked for, in letters and digits."""

MAX_MATCH_COST = 0.65
"""The costliest recurrence of a sound."""

HEARD_SHARE = 0.55
"""Share of a text's repetitions that the sound has to show: tempo and pitch vary, and some are covered by noise."""

_HOP = 320
_FRAME = 512
_BANDS = 24
_CEPSTRA = 13

Frames = NDArray[np.float32]


class Loop(NamedTuple):
    """The longest repetition of a text, in characters of it."""

    start: int
    end: int
    repeats: int


def find_loop(text: str) -> Loop | None:
    """Return the repetition that covers most of a text, whatever its punctuation, or None."""
    matches = list(re.finditer(r"[^\W_]", text.casefold()))
    letters = np.array([ord(match[0]) for match in matches])
    best: Loop | None = None
    longest = 0
    for period in range(1, min(MAX_PHRASE_CHARACTERS, len(letters) // MIN_REPEATS) + 1):
        start, length = _longest_run(letters[period:] == letters[:-period])
        repeats = (length + period) // period
        if repeats >= MIN_REPEATS and length + period > longest:
            longest = length + period
            best = Loop(matches[start].start(), matches[start + length + period - 1].end(), repeats)
    return best


def _longest_run(values: NDArray[np.bool_]) -> tuple[int, int]:
    """Return start and length of the longest run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], values, [False])).astype(np.int8)))
    if not len(edges):
        return 0, 0
    starts, lengths = edges[::2], edges[1::2] - edges[::2]
    longest = int(lengths.argmax())
    return int(starts[longest]), int(lengths[longest])


def is_said_repeatedly(segments: Sequence[Segment], audio: NDArray[np.int16], offset: float = 0.0) -> bool:
    """Return True if segments repeat a phrase because it was said repeatedly; False without a repetition too.

    Args:
        segments: in order, with times in seconds.
        audio: the sound, 16 kHz.
        offset: time of the first sample, in seconds.
    """
    loop = find_loop("".join(segment.text for segment in segments))
    if loop is None:
        return False
    start, end = (_time_of(position, segments) - offset for position in (loop.start, loop.end))
    return sound_repeats(audio[max(0, round(start * SAMPLE_RATE)) : round(end * SAMPLE_RATE)], loop.repeats)


def _time_of(position: int, segments: Sequence[Segment]) -> float:
    """Return the time of a character of the segments' text, as if each segment were spoken at a constant rate."""
    first = 0
    for segment in segments:
        if position <= first + len(segment.text):
            return segment.start + (segment.end - segment.start) * (position - first) / len(segment.text)
        first += len(segment.text)
    return segments[-1].end


def sound_repeats(samples: NDArray[np.int16], repeats: int) -> bool:
    """Return True if a passage's sound recurs like its text, so that the repetition was said.

    Args:
        samples: the passage, 16 kHz, at most some tens of seconds.
        repeats: how often the text has the phrase.
    """
    frames = _cepstrum(samples)
    period = len(frames) // repeats
    if period < 5:  # a phrase takes longer than 0.1 s
        return False
    middle = (len(frames) - period) // 2
    costs = _match_costs(frames[middle : middle + period], frames)
    typical = float(np.median(costs[np.isfinite(costs)]))
    return _count_minima(costs, MAX_MATCH_COST * typical, period) >= max(MIN_REPEATS, HEARD_SHARE * repeats)


def _cepstrum(samples: NDArray[np.int16]) -> Frames:
    """[frames of 20 ms, 13], each coefficient with mean 0 and deviation 1 over the passage.

    Not from Whisper's spectrogram, whose 80 bands separate less: 0.5 with noise at 20 dB, and other speech from 0.6.
    """
    padded = np.pad(samples.astype(np.float32), (0, _FRAME))
    windows = np.lib.stride_tricks.sliding_window_view(padded, _FRAME)[: max(1, len(samples)) : _HOP]
    power = np.square(np.abs(np.fft.rfft(windows * np.hanning(_FRAME), axis=1))) @ _mel_filters().T
    log_power = np.log(np.maximum(power, max(1.0, power.max() * 1e-6)))
    cosines = np.cos(np.pi * np.arange(_CEPSTRA)[:, None] * (np.arange(_BANDS) + 0.5) / _BANDS)
    cepstrum = log_power @ cosines.T
    normalised = (cepstrum - cepstrum.mean(axis=0)) / (cepstrum.std(axis=0) + 1e-9)
    return np.asarray(normalised, np.float32)


def _mel_filters() -> NDArray[np.float64]:
    """[bands, bins], triangles from 100 to 6,000 Hz."""
    lowest, highest = 2595 * np.log10(1 + 100 / 700), 2595 * np.log10(1 + 6000 / 700)
    mel_edges = np.linspace(lowest, highest, _BANDS + 2)
    edges = 700 * (10 ** (mel_edges / 2595) - 1)
    bins = np.arange(_FRAME // 2 + 1) * SAMPLE_RATE / _FRAME
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangles: NDArray[np.float64] = np.clip(
        np.minimum((bins - low) / (centre - low), (high - bins) / (high - centre)), 0, None
    )
    return triangles


def _match_costs(piece: Frames, frames: Frames) -> Frames:
    """[frames], the mean distance of a piece to the best-warped stretch that ends at each frame; infinite if none."""
    squares = np.square(piece).sum(axis=1)[:, None] + np.square(frames).sum(axis=1) - 2 * piece @ frames.T
    distances = np.sqrt(np.maximum(squares, 0) / _CEPSTRA)
    rows = [distances[0]]
    for number in range(1, len(piece)):
        straight = _delayed(rows[-1], 1)
        slower = _delayed(rows[-1], 2) + 0.5 * distances[number]
        best = np.minimum(straight, slower)
        if number > 1:
            faster = _delayed(rows[-2], 1) + distances[number - 1]
            best = np.minimum(best, faster)
        rows.append(best + distances[number])
    return np.asarray(rows[-1] / len(piece), np.float32)


def _delayed(row: Frames, frames: int) -> Frames:
    return np.concatenate((np.full(frames, np.inf, np.float32), row[:-frames]))


def _count_minima(costs: Frames, highest: float, period: int) -> int:
    """Count the costs below `highest` that lie apart by more than half a period, the lowest ones first."""
    chosen: list[int] = []
    for frame in np.argsort(costs):
        if costs[frame] >= highest:  # digital silence equals itself
            break
        if all(abs(int(frame) - other) > 0.6 * period for other in chosen):
            chosen.append(int(frame))
    return len(chosen)
