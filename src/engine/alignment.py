"""Word alignment by openai-whisper's method (`whisper/timing.py`), for many windows at once.

Some heads of the cross-attention attend to the sound of the next token. The text is read once more, the attention
weights of those heads become one matrix of tokens over time per window, and the cheapest monotonic path through it
(dynamic time warping) yields the frame at which each token begins. Frames are the encoder's, 20 ms; all times are
seconds from the window's start.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from whisper.audio import TOKENS_PER_SECOND

from src.engine.kv_cache import KeysValues
from src.engine.model import Model
from src.engine.word_timing import set_words, text_tokens_of
from src.engine.work import AlignmentRequest
from src.transcript.word_lengths import lengthen_empty_words

FILTER_WIDTH = 7
"""Width in frames of the median filter over a head's weights."""

Matrix = npt.NDArray[np.float64]


@torch.inference_mode()
def align(model: Model, requests: Sequence[AlignmentRequest]) -> None:
    """Set the words of all segments, and adjust the segments' times to them."""
    for segment in chain.from_iterable(request.segments for request in requests):
        segment.words = []
    with_text = [request for request in requests if _text_tokens(request)]
    if not with_text:
        return
    attention, probabilities = _read_attention(model, with_text)
    onsets = [frames / TOKENS_PER_SECOND for frames in dtw_onset_frames([-weights for weights in attention])]
    for request, onset, probability in zip(with_text, onsets, probabilities, strict=True):
        set_words(request.segments, request.tokenizer, onset, probability)
        lengthen_empty_words(request.segments, request.mel_frames / 100)


def _read_attention(model: Model, requests: Sequence[AlignmentRequest]) -> tuple[list[Matrix], list[list[float]]]:
    """Read the texts; per request, return attention [text tokens + 1, frames] and each text token's probability.

    Row i is the attention of the token before text token i, which predicts it; the last row predicts the end.
    """
    device = model.placement.device
    inputs = [
        torch.tensor([*_prefix_tokens(request), *_text_tokens(request), request.tokenizer.eot]) for request in requests
    ]
    attention = [
        torch.zeros(len(tokens), request.num_frames, device=device)
        for request, tokens in zip(requests, inputs, strict=True)
    ]

    def visit(layer: int, _: KeysValues, cross_attn: KeysValues, queries: Tensor) -> None:
        heads = [head for head_layer, head in model.alignment_heads if head_layer == layer]
        if not heads:
            return
        # One window at a time: texts and lengths differ, and the scores of a single window stay in a CPU's cache.
        for row, (request, tokens) in enumerate(zip(requests, inputs, strict=True)):
            q, k = queries[row, heads, : len(tokens)], cross_attn[0][row, heads, : request.num_frames]
            attention[row] += _normalise(q.float() @ k.float().mT).sum(0).to(device)

    padded, features = pad_sequence(inputs, batch_first=True), torch.stack([request.features for request in requests])
    hidden = model.decoder.read(padded.to(device), features, visit)
    matrices, probabilities = [], []
    for row, request in enumerate(requests):
        text = _text_tokens(request)
        first = len(_prefix_tokens(request)) - 1
        last = first + len(text)
        matrices.append(attention[row][first : last + 1].double().cpu().numpy())
        probs = model.decoder.logits(hidden[row, first:last])[:, : request.tokenizer.eot].softmax(-1)
        probabilities.append(probs.gather(-1, torch.tensor(text, device=device)[:, None]).flatten().tolist())
    return matrices, probabilities


def _text_tokens(request: AlignmentRequest) -> list[int]:
    """The tokens of the segments' text."""
    return text_tokens_of(request.segments, request.tokenizer)


def _prefix_tokens(request: AlignmentRequest) -> list[int]:
    """The tokens before the text."""
    return [*request.tokenizer.sot_sequence_including_notimestamps]


def _normalise(scores: Tensor) -> Tensor:
    """Standardise each frame's attention over the tokens and smooth it; scores and result [heads, tokens, frames]."""
    weights = scores.softmax(-1)
    deviation, mean = torch.std_mean(weights, dim=-2, keepdim=True, correction=0)
    return median_filter((weights - mean) / deviation)


def median_filter(x: Tensor) -> Tensor:
    """Apply a median filter of width `FILTER_WIDTH` to the last dimension, reflected at the ends.

    By forgetful selection: the extremes of more than half of the values cannot be the median of all. On a CPU that is
    six times as fast as sorting them.
    """
    radius = FILTER_WIDTH // 2
    if x.shape[-1] <= radius:  # too short to be reflected
        return x
    values = list(F.pad(x, (radius, radius), mode="reflect").unfold(-1, FILTER_WIDTH, 1).unbind(-1))
    pool, remaining = values[: radius + 2], values[radius + 2 :]
    while remaining:
        pool = [*_drop_extremes(pool), remaining.pop()]
    (median,) = _drop_extremes(pool)
    return median


def _drop_extremes(pool: list[Tensor]) -> list[Tensor]:
    """Elementwise, all values but the minimum and the maximum, in any order."""
    minimum, *pool = pool
    for index, value in enumerate(pool):
        minimum, pool[index] = torch.minimum(minimum, value), torch.maximum(minimum, value)
    maximum, *pool = pool
    for index, value in enumerate(pool):
        maximum, pool[index] = torch.maximum(maximum, value), torch.minimum(maximum, value)
    return pool


# --- Dynamic time warping -------------------------------------------------------------------------------------------


def dtw_onset_frames(costs: Sequence[Matrix]) -> list[npt.NDArray[np.int64]]:
    """Dynamic time warping: the frame at which the cheapest path through each matrix reaches each of its rows.

    The path goes from the first corner to the last, by one row, one frame or both per step. All matrices advance
    together, one anti-diagonal at a time, as the cells of a diagonal do not depend on each other. Padding comes after
    a matrix's last corner, which no path goes beyond.

    Args:
        costs: [rows, frames] each, of any sizes.
    """
    rows, frames = (max(cost.shape[axis] for cost in costs) for axis in (0, 1))
    # Indices are diagonal, matrix, row. Infinity keeps paths out of cells that are not in the matrix.
    slanted = np.full((rows + frames - 1, len(costs), rows), np.inf)
    for matrix, cost in enumerate(costs):
        for row, values in enumerate(cost):
            slanted[row : row + len(values), matrix, row] = values

    from_previous_row = np.empty(slanted.shape, dtype=bool)
    from_previous_frame_too = np.empty(slanted.shape, dtype=bool)
    # Total costs on the latest two diagonals, after a row of infinity that is 0 in the cell where all paths begin.
    before, latest = np.full((2, len(costs), rows + 1), np.inf)
    before[:, 0] = 0.0
    for diagonal, cost in enumerate(slanted):
        slant, down, along = before[:, :-1], latest[:, :-1], latest[:, 1:]
        from_above = np.minimum(slant, down)
        # If both steps from above cost the same, openai-whisper takes neither, whatever the third one costs.
        from_previous_row[diagonal] = (from_above < along) & (slant != down)
        from_previous_frame_too[diagonal] = slant < down
        before[:, 1:] = cost + np.where(from_previous_row[diagonal], from_above, along)
        before[:, 0] = np.inf
        before, latest = latest, before
    return [
        _backtrace(from_previous_row[:, matrix], from_previous_frame_too[:, matrix], *cost.shape)
        for matrix, cost in enumerate(costs)
    ]


def _backtrace(
    from_previous_row: npt.NDArray[np.bool_], from_previous_frame_too: npt.NDArray[np.bool_], rows: int, frames: int
) -> npt.NDArray[np.int64]:
    """Follow one path back from its end; both arrays are [diagonals, rows]."""
    onsets = np.zeros(rows, dtype=np.int64)
    row, frame = rows - 1, frames - 1
    while row > 0:
        cell = row + frame, row
        if frame == 0 or from_previous_row[cell]:
            onsets[row] = frame
            row -= 1
            frame -= int(frame > 0 and from_previous_frame_too[cell])
        else:
            frame -= 1
    return onsets
