"""Transcription errors as Whisper's paper counts them: its text normalisers, then the edit distance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

LANGUAGES_WITHOUT_SPACES = {"zh", "yue", "ja", "th", "lo", "my", "km"}
"""Languages that put no space between words. Characters are counted in them: WER becomes CER."""


@dataclass(frozen=True)
class Errors:
    """Errors of a transcript against a reference text.

    Attributes:
        edits: Words (or characters) that are substituted, deleted or inserted.
        total: Words (or characters) of the reference.
    """

    edits: int = 0
    total: int = 0

    @property
    def rate(self) -> float | None:
        """Word (or character) error rate; None without a reference."""
        return self.edits / self.total if self.total else None


def count_errors(reference: str, transcript: str, language: str | None) -> Errors:
    """Count the errors of a transcript; `language` decides on the normaliser and on words or characters."""
    expected, actual = split_units(reference, language), split_units(transcript, language)
    return Errors(edit_distance(expected, actual), len(expected))


def sum_errors(parts: Iterable[Errors]) -> Errors:
    """Add the errors of several transcripts, so that each word has the same weight."""
    parts = list(parts)
    return Errors(sum(part.edits for part in parts), sum(part.total for part in parts))


def split_units(text: str, language: str | None) -> list[str]:
    """Return normalised words, without case, punctuation and spelling variants; characters in CER languages."""
    from whisper.normalizers import BasicTextNormalizer, EnglishTextNormalizer  # imports torch

    if language in (None, "en"):
        return list(EnglishTextNormalizer()(text).split())
    return list(BasicTextNormalizer(split_letters=language in LANGUAGES_WITHOUT_SPACES)(text).split())


def edit_distance(reference: Sequence[str], hypothesis: Sequence[str]) -> int:
    """Return the smallest number of insertions, deletions and substitutions (Levenshtein)."""
    ids: dict[str, int] = {}
    left, right = (
        np.array([ids.setdefault(item, len(ids)) for item in items], int) for items in (reference, hypothesis)
    )
    column = np.arange(len(right) + 1)
    row = column
    for index, item in enumerate(left):
        replaced_or_deleted = np.minimum(row[:-1] + (right != item), row[1:] + 1)
        row = np.concatenate(([index + 1], replaced_or_deleted))
        # An insertion moves one column to the right and costs 1: less the column number, that is a running minimum.
        row = np.minimum.accumulate(row - column) + column
    return int(row[-1])
