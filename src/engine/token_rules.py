"""Rules for the next token: timestamps in pairs, never decreasing, one at the start.

openai-whisper's `ApplyTimestampRules` looks at all tokens of a text. Here what a text ends with, and its latest
timestamp, are kept beside it, so that a step is a fixed number of operations on tensors of a fixed size.

Shapes: B windows, G candidates of each, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence

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
        # By what a text ends with: steps from its latest timestamp to the first allowed one. A segment is never empty;
        # after two timestamps comes text.
        self._gaps = torch.tensor([0, 1, 0, len(self._steps), 0], device=device)
        # By what a text ends with, and by the next token: text, a timestamp, the end.
        after_stamp = (PAIR, STAMP, PAIR, PAIR, PAIR)
        self._next_kinds = torch.tensor([(TEXT, kind, ENDED) for kind in after_stamp], device=device)
        self._token_types = torch.zeros(n_vocab, dtype=torch.long, device=device)
        self._token_types[self.timestamps :] = 1
        self._token_types[self.end] = 2

    def apply(self, logits: Tensor, kind: Tensor, latest_stamp: Tensor) -> Tensor:
        """Return log-probabilities [B, G, V] of the next token, -inf where the rules forbid it.

        Args:
            logits: [B, G, V], overwritten.
            kind: [B, G], what each text ends with.
            latest_stamp: [B, G], the step of its latest timestamp; -1: none.
        """
        needs_timestamp = self._forbid(logits, kind, latest_stamp)
        logits[..., : self.timestamps].masked_fill_(needs_timestamp[..., None], -torch.inf)
        return logits.log_softmax(-1)

    def score(self, logits: Tensor, tokens: Sequence[int]) -> Tensor:
        """Return the log-probability [P] of each token of a text that was decoded under the rules.

        Args:
            logits: [P, V], those before each token, overwritten.
            tokens: at least one.
        """
        chosen, kind, stamps = torch.tensor([tokens, *self.endings(tokens[:-1])], device=logits.device)
        needs_timestamp = self._forbid(logits, kind, stamps)
        # Where text was chosen, text was allowed, even if by other rounding a timestamp is the likelier one here.
        timestamp_only = needs_timestamp & (chosen >= self.timestamps)
        total = torch.where(timestamp_only, logits[:, self.timestamps :].logsumexp(-1), logits.logsumexp(-1))
        return logits.gather(-1, chosen[:, None])[:, 0] - total

    def endings(self, tokens: Sequence[int]) -> tuple[list[int], list[int]]:
        """Return what a text ends with, and the step of its latest timestamp: before each token, and after the last."""
        kinds, stamps = [START], [-1]
        for token in tokens:
            after_stamp = STAMP if kinds[-1] == TEXT else PAIR
            kinds.append(TEXT if token < self.timestamps else after_stamp)
            stamps.append(max(stamps[-1], token - self.timestamps))
        return kinds, stamps

    def _forbid(self, logits: Tensor, kind: Tensor, latest_stamp: Tensor) -> Tensor:
        """Set the logits of forbidden timestamps and text to -inf; return where only a timestamp may follow."""
        at_start, closing = kind == START, kind == STAMP
        first = latest_stamp + self._gaps[kind]
        timestamps = logits[..., self.timestamps :]
        timestamps.masked_fill_(self._steps < first[..., None], -torch.inf)
        timestamps[..., MAX_FIRST_TIMESTAMP + 1 :].masked_fill_(at_start[..., None], -torch.inf)
        logits[..., : self.end].masked_fill_(closing[..., None], -torch.inf)
        # Together likelier than the likeliest text token.
        likeliest_text = logits[..., : self.timestamps].amax(-1, keepdim=True)
        return ((timestamps - likeliest_text).exp_().sum(-1) > 1) | at_start

    def next_kind(self, kind: Tensor, chosen: Tensor) -> Tensor:
        """Return what texts that ended with `kind` end with after the tokens `chosen`; both are [B, G]."""
        return self._next_kinds[kind, self._token_types[chosen]]

    def next_stamp(self, latest_stamp: Tensor, chosen: Tensor) -> Tensor:
        """Return the step of each text's latest timestamp after the tokens `chosen`; both are [B, G]."""
        return torch.maximum(latest_stamp, chosen - self.timestamps)
