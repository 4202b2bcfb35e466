"""Rules for the next token: timestamps in pairs, never decreasing, one at the start.

openai-whisper's `ApplyTimestampRules` looks at all tokens of a text. Here what a text ends with, and its latest
timestamp, are kept beside it, so that a step is a fixed number of operations on tensors of a fixed size.

Shapes: B windows, G candidates of each, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor
from whisper.tokenizer import Tokenizer

from src.engine.slot_state import ENDED, PAIR, STAMP, START, TEXT

MAX_FIRST_TIMESTAMP = 50
"""Latest first timestamp of a window in steps of 20 ms: 1.0 s (`max_initial_timestamp` of openai-whisper)."""


class TokenRules:
    """The rules for a vocabulary, on one device."""

    def __init__(self, tokenizer: Tokenizer, n_vocab: int, device: torch.device) -> None:
        self.end: int = tokenizer.eot
        self.timestamps: int = tokenizer.timestamp_begin
        self.no_speech: int = tokenizer.no_speech
        self.start: int = tokenizer.sot
        self._steps = torch.arange(n_vocab - self.timestamps, device=device)

    def apply(self, logits: Tensor, kind: Tensor, latest_stamp: Tensor) -> Tensor:
        """Return log-probabilities [B, G, V] of the next token, -inf where the rules forbid it.

        Args:
            logits: [B, G, V], overwritten.
            kind: [B, G], what each text ends with.
            latest_stamp: [B, G], the step of its latest timestamp; -1: none.
        """
        at_start, closing = kind == START, kind == STAMP
        # A segment is never empty; after two timestamps comes text.
        first = torch.where(closing | at_start, latest_stamp, latest_stamp + 1)
        first = first.masked_fill(kind == PAIR, len(self._steps))
        last = torch.where(at_start, MAX_FIRST_TIMESTAMP, len(self._steps))
        timestamps = logits[..., self.timestamps :]
        timestamps.masked_fill_((self._steps < first[..., None]) | (self._steps > last[..., None]), -torch.inf)
        logits[..., : self.end].masked_fill_(closing[..., None], -torch.inf)

        text = logits[..., : self.timestamps]
        timestamp_likelier = timestamps.logsumexp(-1) > text.amax(-1)
        text.masked_fill_((timestamp_likelier | at_start)[..., None], -torch.inf)
        return logits.log_softmax(-1)

    def next_kind(self, kind: Tensor, chosen: Tensor) -> Tensor:
        """Return what texts that ended with `kind` end with after the tokens `chosen`; both are [B, G]."""
        after_stamp = torch.where(kind == TEXT, STAMP, PAIR)
        after = torch.where(chosen >= self.timestamps, after_stamp, TEXT)
        return after.masked_fill(chosen == self.end, ENDED)

    def next_stamp(self, latest_stamp: Tensor, chosen: Tensor) -> Tensor:
        """Return the step of each text's latest timestamp after the tokens `chosen`; both are [B, G]."""
        return torch.maximum(latest_stamp, chosen - self.timestamps)
