"""Masks words that the caller lists, such as profanity: `d***`, or `****`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cached_property
from typing import Literal

import regex

from transcript.checks import Check, never
from transcript.edits import Edit
from transcript.phrases import PhraseMatcher

MaskStyle = Literal["first_letter", "stars"]

_CHARACTER = regex.compile(r"\X")
"""A character as readers see it, with its accents."""


class Masker:
    """Finds the words of a list: whole words, in any case, as `transcript.phrases` says.

    Args:
        words: the list.
        style: what is left of a word: its first letter, or nothing but stars.
    """

    def __init__(self, words: Collection[str], style: MaskStyle = "first_letter") -> None:
        self._words = words
        self._style = style

    @cached_property
    def _matcher(self) -> PhraseMatcher:
        return PhraseMatcher(self._words)

    def find(self, parts: Sequence[str], check: Check = never) -> list[Edit]:
        """Find the words of a text in several parts, with what they are masked as."""
        text = "".join(parts)
        return [Edit(start, end, self._mask(text[start:end])) for _, start, end in self._matcher.find(parts, check)]

    def _mask(self, word: str) -> str:
        """Return a word with a star for each letter; a single letter is a star in any style."""
        letters = [letter for letter in _CHARACTER.findall(word) if not letter.isspace()]
        kept = letters[0] if self._style == "first_letter" and len(letters) > 1 else ""
        return kept + "*" * (len(letters) - bool(kept))
