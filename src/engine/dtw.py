"""Dynamic time warping: when each token begins, by the cheapest monotonic path through its window's attention."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.float64]


def onset_frames(cost: Matrix) -> npt.NDArray[np.int64]:
    """Return the frame at which the cheapest path through a matrix reaches each of its rows.

    The path goes from the first corner to the last, by one row, one frame or both per step. If both steps from the
    previous row cost the same, openai-whisper takes neither, whatever the third one costs.

    Whole rows are computed at once: a row is entered at some frame, and all its cells from there on are paid for. With
    running totals of the row, that is the minimum over the entries so far.

    Args:
        cost: [rows, frames].
    """
    rows, frames = cost.shape
    # Total cost of the cheapest path to each cell, below a row and beside a column of infinity but where it begins.
    total = np.full((rows + 1, frames + 1), np.inf)
    total[0, 0] = 0.0
    paid = np.cumsum(cost, axis=1)
    paid_before = paid - cost
    for row in range(rows):
        slant, down = total[row, :-1], total[row, 1:]
        entry = np.minimum(slant, down)
        entry[slant == down] = np.inf
        total[row + 1, 1:] = np.minimum.accumulate(entry - paid_before[row]) + paid[row]
    return _trace_back(total)


def _trace_back(total: Matrix) -> npt.NDArray[np.int64]:
    """Follow the path back from its end."""
    slant, down, along = total[:-1, :-1], total[:-1, 1:], total[1:, :-1]
    is_entry = (np.minimum(slant, down) < along) & (slant != down)
    is_entry[:, 0] = True
    onsets = np.zeros(len(is_entry), dtype=np.int64)
    frame = is_entry.shape[1] - 1
    for row in range(len(onsets) - 1, 0, -1):
        onsets[row] = frame = np.flatnonzero(is_entry[row, : frame + 1])[-1]
        frame -= int(frame > 0 and slant[row, frame] < down[row, frame])
    return onsets
