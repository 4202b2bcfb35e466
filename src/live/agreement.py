"""LocalAgreement-2: text that two successive drafts agree on is stable (Liu et al. 2020, https://arxiv.org/abs/2005.11185).

A draft is a text of all sound of an utterance so far. Its end changes with the next sound; what both drafts begin with
seldom does. Timestamps are left out of the comparison, since they move with the sound.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile

ToBytes = Callable[[int], bytes]
"""Returns what a token of text stands for, in UTF-8; perhaps not a whole character."""

UNSPACED = frozenset({"zh", "yue", "ja", "th", "lo", "my", "km", "bo"})
"""Languages that put no spaces between words: a word may end at any character."""

_WORD_ENDS = tuple(' .,!?;:)]}…"”»。，、！？；：）」』】।؟،')
"""Characters that begin a token which the word before it does not go on in."""


@dataclass(frozen=True)
class Vocabulary:
    """What agreement has to know of a checkpoint's tokens.

    Attributes:
        num_text: tokens from this one on are no text.
        to_bytes: of a token of text.
        spaced: the language puts spaces between its words.
    """

    num_text: int
    to_bytes: ToBytes
    spaced: bool = True

    def text_of(self, tokens: Sequence[int]) -> list[int]:
        """Return the tokens of text."""
        return [token for token in tokens if token < self.num_text]

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of tokens."""
        return b"".join(map(self.to_bytes, self.text_of(tokens))).decode("utf-8", "replace")

    def begins_anew(self, token: int) -> bool:
        """Return true if the word, or the character, before this token has ended."""
        first = self.to_bytes(token)
        if not self.spaced:
            return not first or first[0] & 0xC0 != 0x80  # the first byte of a character
        return first.decode("utf-8", "ignore").startswith(_WORD_ENDS)


def agreed_prefix(previous: Sequence[int], current: Sequence[int], vocabulary: Vocabulary) -> list[int]:
    """Return what two drafts in succession agree on, as the first tokens of the later one, timestamps among them.

    It ends with a whole word: the token after it begins another.
    """
    before, after = vocabulary.text_of(previous), vocabulary.text_of(current)
    alike = (token == other for token, other in zip(before, after, strict=False))
    agreed = sum(takewhile(bool, alike))
    while agreed and not (agreed < len(after) and vocabulary.begins_anew(after[agreed])):
        agreed -= 1
    ends = [position + 1 for position, token in enumerate(current) if token < vocabulary.num_text]
    return list(current[: ends[agreed - 1]]) if agreed else []


class Agreement:
    """What the drafts of an utterance agree on.

    Attributes:
        tokens: the agreed ones, with timestamps: what the next draft begins with.
        language: of the agreed text; None: there is none.
    """

    def __init__(self) -> None:
        self.tokens: list[int] = []
        self.language: str | None = None
        self._previous: tuple[str, Sequence[int]] | None = None

    def add(self, draft: Sequence[int], language: str, vocabulary: Vocabulary) -> None:
        """Take the next draft, which begins with `tokens`."""
        if self._previous is not None and self._previous[0] == language:
            agreed = agreed_prefix(self._previous[1], draft, vocabulary)
            if len(vocabulary.text_of(agreed)) > len(vocabulary.text_of(self.tokens)):
                self.tokens, self.language = agreed, language
        self._previous = language, draft

    def skip(self) -> None:
        """Take a draft that is no text, with which none agrees."""
        self._previous = None
