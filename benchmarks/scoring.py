"""How far a transcript is from what was said, as Whisper's paper counts: its normalisers, then edit distance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

WITHOUT_SPACES = {"zh", "yue", "ja", "th", "lo", "my", "km"}
"""Languages that put no space between words, so that letters are counted instead: WER becomes CER."""


@dataclass(frozen=True)
class Errors:
    """Words (or letters) wrong, missing or invented, out of `said`."""

    edits: int = 0
    said: int = 0

    @property
    def rate(self) -> float | None:
        return self.edits / self.said if self.said else None


def errors(reference: str, transcript: str, language: str | None) -> Errors:
    said, heard = units(reference, language), units(transcript, language)
    return Errors(edit_distance(said, heard), len(said))


def in_sum(parts: Iterable[Errors]) -> Errors:
    """The errors of several transcripts as of one long one, in which each word weighs the same."""
    parts = list(parts)
    return Errors(sum(part.edits for part in parts), sum(part.said for part in parts))


def units(text: str, language: str | None) -> list[str]:
    """What is compared: words without case, punctuation and spelling variants; letters where no words are marked."""
    from whisper.normalizers import BasicTextNormalizer, EnglishTextNormalizer  # imports torch

    if language in (None, "en"):
        return list(EnglishTextNormalizer()(text).split())
    return list(BasicTextNormalizer(split_letters=language in WITHOUT_SPACES)(text).split())


def edit_distance(one: Sequence[str], other: Sequence[str]) -> int:
    """Least number of insertions, deletions and substitutions between two sequences (Levenshtein)."""
    ids: dict[str, int] = {}
    left, right = (np.array([ids.setdefault(item, len(ids)) for item in items], int) for items in (one, other))
    column = np.arange(len(right) + 1)
    row = column
    for index, item in enumerate(left):
        replaced_or_deleted = np.minimum(row[:-1] + (right != item), row[1:] + 1)
        row = np.concatenate(([index + 1], replaced_or_deleted))
        # Insertions run along the row, one each: what is left of a cell reaches it at its cost plus the way.
        row = np.minimum.accumulate(row - column) + column
    return int(row[-1])
