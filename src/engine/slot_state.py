"""What a batch knows of each slot, on the device: one row of bytes, written by one copy and read by one."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from src.engine.placement import Placement

START, TEXT, STAMP, PAIR, ENDED = range(5)
"""What a text ends with: nothing yet; text; one timestamp after text; two timestamps, or the first one; its end."""


class Fields(NamedTuple):
    """The state of slots or of one slot, as views of its bytes. Texts are those of the G candidates of a window.

    Attributes:
        latest: [..., G], each text's latest token, which the next step reads.
        kind: [..., G], what each text ends with.
        latest_stamp: [..., G], the step of each text's latest timestamp; -1: none.
        position: [..., 1], the position at which the next step reads the latest token.
        num_sampled: [..., 1], tokens sampled so far.
        prompt_length: [..., 1], tokens that are given: prompt and prefix.
        max_sampled: [..., 1], tokens that may be sampled after them.
        start: [..., 1], position of `<|startoftranscript|>`.
        score: [..., G], sum of the log-probabilities of each text's tokens.
        temperature: [..., 1].
        no_speech: [..., 1], probability of `<|nospeech|>` after `<|startoftranscript|>`.
        active: [..., 1], the slot's window is being decoded.
        broken: [..., 1], the numbers of the slot's window overflowed.
        num_finished: [..., 1], complete hypotheses of a beam search.
    """

    latest: Tensor
    kind: Tensor
    latest_stamp: Tensor
    position: Tensor
    num_sampled: Tensor
    prompt_length: Tensor
    max_sampled: Tensor
    start: Tensor
    num_finished: Tensor
    score: Tensor
    temperature: Tensor
    no_speech: Tensor
    active: Tensor
    broken: Tensor


_PER_CANDIDATE = {"latest", "kind", "latest_stamp", "score"}
_DTYPES = {
    **dict.fromkeys(Fields._fields, torch.long),
    **dict.fromkeys(("score", "temperature", "no_speech"), torch.float32),
    **dict.fromkeys(("active", "broken"), torch.bool),
}


class SlotState:
    """The bytes of all slots, and their fields.

    Attributes:
        bytes: [slots, row bytes].
        fields: views of it.
    """

    def __init__(self, placement: Placement, num_slots: int, num_candidates: int) -> None:
        self._placement = placement
        self._num_candidates = num_candidates
        self.bytes = placement.zeros(torch.uint8, num_slots, _row_bytes(num_candidates))
        self.fields = _fields(self.bytes, num_candidates)

    def host_rows(self, count: int) -> tuple[Tensor, Fields]:
        """Return the bytes of `count` rows of zeros in the host's memory, ready for an asynchronous copy, and views."""
        rows = self._placement.host_zeros(torch.uint8, count, self.bytes.shape[1])
        return rows, _fields(rows, self._num_candidates)


def _row_bytes(num_candidates: int) -> int:
    """Wide types come first, so that each field is aligned; rows are a multiple of 8 bytes long."""
    widths = (_DTYPES[name].itemsize * _width(name, num_candidates) for name in Fields._fields)
    return math.ceil(sum(widths) / 8) * 8


def _fields(rows: Tensor, num_candidates: int) -> Fields:
    views, offset = [], 0
    for name in Fields._fields:
        end = offset + _DTYPES[name].itemsize * _width(name, num_candidates)
        views.append(rows[:, offset:end].view(_DTYPES[name]))
        offset = end
    return Fields(*views)


def _width(name: str, num_candidates: int) -> int:
    return num_candidates if name in _PER_CANDIDATE else 1
