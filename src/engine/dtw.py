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


def cheapest_path(cost: Matrix) -> npt.NDArray[np.int64]:
    """Return what `whisper.timing.dtw_cpu` returns: the rows and the frames that the cheapest path goes through.

    The sums are made in the same order, so that the path is the same to the last step. Whole diagonals are computed at
    once: their cells depend only on the two diagonals before.

    Args:
        cost: [rows, frames].

    Returns:
        [2, steps], from the first corner to the last.
    """
    rows, frames = cost.shape
    flat_cost = np.ascontiguousarray(cost).ravel()
    came_from = np.full((rows + 1, frames + 1), _ALONG, dtype=np.int8)
    flat_from = came_from.ravel()
    # Totals of two diagonals, by row; below a row and beside a column of infinity but where the path begins.
    before_last, last = np.full(rows + 1, np.inf), np.full(rows + 1, np.inf)
    before_last[0] = 0.0
    for diagonal in range(2, rows + frames + 1):
        first, end = max(1, diagonal - frames), min(rows, diagonal - 1) + 1
        slant, down, along = before_last[first - 1 : end - 1], last[first - 1 : end - 1], last[first:end]
        is_slant = (slant < down) & (slant < along)
        is_down = (down < slant) & (down < along)
        total = np.full(rows + 1, np.inf)
        start = (first - 1) * frames + diagonal - first - 1
        step_cost = flat_cost[start :: max(frames - 1, 1)][: end - first]
        total[first:end] = step_cost + np.where(is_slant, slant, np.where(is_down, down, along))
        flat_from[first * frames + diagonal :: frames][: end - first] = np.where(
            is_slant, _SLANT, np.where(is_down, _DOWN, _ALONG)
        )
        before_last, last = last, total
    return _steps_back(came_from)


_SLANT, _DOWN, _ALONG = 0, 1, 2
"""Where the path comes from: the row and the frame before, the row before, or the frame before."""


def _steps_back(came_from: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
    """Follow the path back from its end."""
    came_from[0, :], came_from[:, 0] = _ALONG, _DOWN
    row, frame = came_from.shape[0] - 1, came_from.shape[1] - 1
    steps = []
    while row > 0 or frame > 0:
        steps.append((row - 1, frame - 1))
        step = came_from[row, frame]
        row -= int(step != _ALONG)
        frame -= int(step != _DOWN)
    path: npt.NDArray[np.int64] = np.array(steps[::-1], dtype=np.int64).T
    return path


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
