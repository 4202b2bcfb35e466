"""Error rates with the intervals of a bootstrap over recordings.

Recordings are the independent samples; words of one recording are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.scoring import Edits

DRAWS = 4000
"""Resamples of the bootstrap: the interval's ends are stable to about a tenth of its width."""

MIN_RECORDINGS = 5
"""An interval from fewer recordings would say nothing; that of one recording has no width."""


@dataclass(frozen=True)
class Rate:
    """A rate in percent, or a difference in points, with its 95% interval, or without one for few recordings."""

    value: float
    interval: tuple[float, float] | None

    @property
    def excludes_zero(self) -> bool:
        """True for a difference that is not due to chance."""
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]


def error_rate(edits: Sequence[Edits]) -> Rate:
    """Return the error rate over recordings, in percent."""
    return Rate(float(_rates(edits, _every(edits))[0]), _interval(_rates(edits, _draws(edits)), len(edits)))


def rate_difference(edits: Sequence[Edits], baseline: Sequence[Edits]) -> Rate:
    """Return the error rate less the baseline's, in points; each resample takes the same recordings of both."""
    every, draws = _every(edits), _draws(edits)
    difference = _rates(edits, every) - _rates(baseline, every)
    resampled = _rates(edits, draws) - _rates(baseline, draws)
    return Rate(float(difference[0]), _interval(resampled, len(edits)))


def _every(edits: Sequence[Edits]) -> NDArray[np.intp]:
    return np.arange(len(edits))[None]


def _draws(edits: Sequence[Edits]) -> NDArray[np.intp]:
    """Return the indices of the recordings in each resample; the same in every run."""
    return np.random.default_rng(0).integers(0, len(edits), (DRAWS, len(edits)))


def _rates(edits: Sequence[Edits], draws: NDArray[np.intp]) -> NDArray[np.float64]:
    wrong = np.array([edit.sum for edit in edits])[draws].sum(axis=1)
    total = np.array([edit.total for edit in edits])[draws].sum(axis=1)
    return np.asarray(100 * wrong / total, np.float64)


def _interval(resampled: NDArray[np.float64], recordings: int) -> tuple[float, float] | None:
    if recordings < MIN_RECORDINGS:
        return None
    low, high = np.percentile(resampled, [2.5, 97.5])
    return float(low), float(high)
