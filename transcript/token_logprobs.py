"""The log-probability of each token that Whisper wrote, in the form of OpenAI's API (`include[]=logprobs`).

Texts are addressed by characters, tokens have bytes: several may share a character.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """A token of text.

    Attributes:
        bytes: in UTF-8; perhaps not a whole character.
        logprob: natural logarithm of the probability with which the decoder chose the token.
    """

    bytes: bytes
    logprob: float

    def to_dict(self) -> dict[str, Any]:
        """Return the token in its JSON form."""
        text = self.bytes.decode("utf-8", "replace")
        return {"token": text, "logprob": round(self.logprob, 6), "bytes": list(self.bytes)}


def cut_out(tokens: Sequence[TokenLogprob], cuts: Sequence[tuple[int, int]]) -> list[TokenLogprob]:
    """Return the tokens that begin outside the cuts: start and end in characters of their text."""
    return [
        token
        for token, begin in zip(tokens, _begins(tokens), strict=True)
        if not any(start <= begin < end for start, end in cuts)
    ]


def split_at(tokens: Sequence[TokenLogprob], positions: Sequence[int]) -> list[list[TokenLogprob]]:
    """Return one list of tokens more than there are positions, which are in characters, in order."""
    bounds = pairwise([0, *positions, sum(len(token.bytes) for token in tokens) + 1])
    begins = list(_begins(tokens))
    return [
        [token for token, begin in zip(tokens, begins, strict=True) if start <= begin < end] for start, end in bounds
    ]


def _begins(tokens: Sequence[TokenLogprob]) -> Iterator[int]:
    """Yield the number of complete characters before each token."""
    decoder, position = codecs.getincrementaldecoder("utf-8")("replace"), 0
    for token in tokens:
        yield position
        position += len(decoder.decode(token.bytes))
