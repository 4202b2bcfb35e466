"""When each word is said, by openai-whisper's definition (`whisper/timing.py`), for many windows at once.

Some heads of the cross-attention look at the sound of the token that comes next. The text is read once more, the
weights of those heads become one map of tokens over time for each window, and the cheapest monotonic path through the
map tells the frame at which each token begins. Frames are those of the encoder, 20 ms; all times are seconds from the
window's start.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from whisper.audio import TOKENS_PER_SECOND
from whisper.tokenizer import Tokenizer

from src.engine.kv_cache import Pair
from src.engine.model import Model
from src.engine.word_timing import set_words, text_of
from src.transcript.transcript import Segment

FILTER_WIDTH = 7
"""Frames over which the median smooths a head's weights."""

Matrix = npt.NDArray[np.float64]


@dataclass(eq=False)
class Passage:
    """One window and what was understood of it.

    Attributes:
        features: [1500, D], the encoder's output.
        segments: in order of time; their tokens with or without timestamps.
        frames: log-mel frames (10 ms) of the window that are sound, not padding.
        tokenizer: for the window's language, which decides where words part, and its task.
    """

    features: Tensor
    segments: list[Segment]
    frames: int
    tokenizer: Tokenizer

    @property
    def text(self) -> list[int]:
        return text_of(self.segments, self.tokenizer)

    @property
    def prefix(self) -> list[int]:
        return [*self.tokenizer.sot_sequence_including_notimestamps]

    @property
    def positions(self) -> int:
        """Positions of the encoder's output that are sound; one at the least, so that words have a time."""
        return max(1, self.frames // 2)


@torch.inference_mode()
def align(model: Model, passages: Sequence[Passage]) -> None:
    """Sets the words of all segments, and fits the segments' times to them."""
    for segment in chain.from_iterable(passage.segments for passage in passages):
        segment.words = []
    spoken = [passage for passage in passages if passage.text]
    if not spoken:
        return
    attention, probabilities = _read(model, spoken)
    onsets = [frames / TOKENS_PER_SECOND for frames in first_frames([-one for one in attention])]
    for passage, onset, probability in zip(spoken, onsets, probabilities, strict=True):
        set_words(passage.segments, passage.tokenizer, onset, probability)


def _read(model: Model, passages: Sequence[Passage]) -> tuple[list[Matrix], list[list[float]]]:
    """For each passage: how each token [text + 1] attends to the frames, and the probability of each token of its text.

    A row is what the token before a token of the text, which foretells it, looks at; the last one foretells the end.
    """
    device = model.placement.device
    inputs = [torch.tensor([*one.prefix, *one.text, one.tokenizer.eot]) for one in passages]
    attention = [
        torch.zeros(len(tokens), passage.positions, device=device)
        for passage, tokens in zip(passages, inputs, strict=True)
    ]

    def visit(layer: int, _: Pair, cross: Pair, queries: Tensor) -> None:
        heads = [head for its_layer, head in model.alignment_heads if its_layer == layer]
        if not heads:
            return
        # One window at a time: each has a text and a length of its own, and its scores stay in a CPU's cache.
        for row, (passage, tokens) in enumerate(zip(passages, inputs, strict=True)):
            asked, keys = queries[row, heads, : len(tokens)], cross[0][row, heads, : passage.positions]
            attention[row] += _prominence(asked.float() @ keys.float().mT).sum(0).to(device)

    hidden = model.decoder.read(
        pad_sequence(inputs, batch_first=True).to(device), torch.stack([one.features for one in passages]), visit
    )
    maps, probabilities = [], []
    for row, passage in enumerate(passages):
        text = passage.text
        first, last = len(passage.prefix) - 1, len(passage.prefix) - 1 + len(text)
        maps.append(attention[row][first : last + 1].double().cpu().numpy())
        likely = model.decoder.logits(hidden[row, first:last])[:, : passage.tokenizer.eot].softmax(-1)
        probabilities.append(likely.gather(-1, torch.tensor(text, device=device)[:, None]).flatten().tolist())
    return maps, probabilities


def _prominence(scores: Tensor) -> Tensor:
    """How much more each token attends to a frame than the others do; scores and result [heads, tokens, frames]."""
    weights = scores.softmax(-1)
    spread, mean = torch.std_mean(weights, dim=-2, keepdim=True, correction=0)
    return median_filter((weights - mean) / spread)


def median_filter(x: Tensor) -> Tensor:
    """The median of each value of [.., .., frames] and its neighbours, as far as `FILTER_WIDTH`; reflected at the ends.

    By forgetful selection: the extremes of more than half of the values cannot be the median of all. On a CPU that is
    six times as fast as sorting them.
    """
    reach = FILTER_WIDTH // 2
    if x.shape[-1] <= reach:  # too short to be reflected
        return x
    values = list(F.pad(x, (reach, reach), mode="reflect").unfold(-1, FILTER_WIDTH, 1).unbind(-1))
    pool, late = values[: reach + 2], values[reach + 2 :]
    while late:
        pool = [*_without_extremes(pool), late.pop()]
    (middle,) = _without_extremes(pool)
    return middle


def _without_extremes(pool: list[Tensor]) -> list[Tensor]:
    """All but the least and the greatest of each place, in no order."""
    least, *pool = pool
    for at, one in enumerate(pool):
        least, pool[at] = torch.minimum(least, one), torch.maximum(least, one)
    greatest, *pool = pool
    for at, one in enumerate(pool):
        greatest, pool[at] = torch.maximum(greatest, one), torch.minimum(greatest, one)
    return pool


# --- The cheapest path ----------------------------------------------------------------------------------------------


def first_frames(costs: Sequence[Matrix]) -> list[npt.NDArray[np.int64]]:
    """Dynamic time warping: the frame at which the cheapest path through each matrix reaches each of its rows.

    The path goes from the first corner to the last, by one row, by one frame or by both at a step. All matrices
    advance together, a diagonal at a time, as the places on a diagonal do not depend on each other. Padding comes
    after a matrix's last corner, where no path of its own can be.

    Args:
        costs: [rows, frames] each, of any sizes.
    """
    rows, frames = (max(cost.shape[axis] for cost in costs) for axis in (0, 1))
    # Indices are diagonal, matrix, row. Infinity keeps paths from entering where there is no frame.
    slanted = np.full((rows + frames - 1, len(costs), rows), np.inf)
    for which, cost in enumerate(costs):
        for row, values in enumerate(cost):
            slanted[row : row + len(values), which, row] = values

    from_row_before = np.empty(slanted.shape, dtype=bool)
    from_frame_before_too = np.empty(slanted.shape, dtype=bool)
    # Total costs on the latest two diagonals, behind a row of infinity, but for the place that all paths come from.
    before, latest = np.full((2, len(costs), rows + 1), np.inf)
    before[:, 0] = 0.0
    for diagonal, cost in enumerate(slanted):
        slant, down, along = before[:, :-1], latest[:, :-1], latest[:, 1:]
        from_above = np.minimum(slant, down)
        # Where both ways from above cost the same, openai-whisper takes neither, whatever the third one costs.
        from_row_before[diagonal] = (from_above < along) & (slant != down)
        from_frame_before_too[diagonal] = slant < down
        before[:, 1:] = cost + np.where(from_row_before[diagonal], from_above, along)
        before[:, 0] = np.inf
        before, latest = latest, before
    return [
        _walk_back(from_row_before[:, which], from_frame_before_too[:, which], *cost.shape)
        for which, cost in enumerate(costs)
    ]


def _walk_back(
    from_row_before: npt.NDArray[np.bool_], from_frame_before_too: npt.NDArray[np.bool_], rows: int, frames: int
) -> npt.NDArray[np.int64]:
    """Follows one path from its end; both arrays are [diagonals, rows]."""
    first = np.zeros(rows, dtype=np.int64)
    row, frame = rows - 1, frames - 1
    while row > 0:
        here = row + frame, row
        if frame == 0 or from_row_before[here]:
            first[row] = frame
            row -= 1
            frame -= int(frame > 0 and from_frame_before_too[here])
        else:
            frame -= 1
    return first
