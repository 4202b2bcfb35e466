"""Transcription errors as Whisper's paper counts them: its text normalisers, then the edit distance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

LANGUAGES_SCORED_BY_CHARACTER = {"zh", "yue", "ja", "ko", "th", "lo", "my", "km"}
"""Languages without spaces between words, and Korean, whose spaces are a matter of taste: WER becomes CER."""


@dataclass(frozen=True)
class Edits:
    """Kinds of errors of a transcript, in words (or characters), and the length of the reference."""

    substitutions: int
    deletions: int
    insertions: int
    total: int

    @property
    def sum(self) -> int:
        """All errors."""
        return self.substitutions + self.deletions + self.insertions


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
    edits = count_edits(reference, transcript, language)
    return Errors(edits.sum, edits.total)


def count_edits(reference: str, transcript: str, language: str | None) -> Edits:
    """Count the errors of a transcript by kind, on one of the shortest ways from the reference to it (Levenshtein)."""
    from rapidfuzz.distance import Levenshtein

    expected, actual = split_units(reference, language), split_units(transcript, language)
    kinds = Counter(operation.tag for operation in Levenshtein.editops(expected, actual))
    return Edits(kinds["replace"], kinds["delete"], kinds["insert"], len(expected))


def sum_errors(parts: Iterable[Errors]) -> Errors:
    """Add the errors of several transcripts, so that each word has the same weight."""
    parts = list(parts)
    return Errors(sum(part.edits for part in parts), sum(part.total for part in parts))


def sum_edits(parts: Iterable[Edits]) -> Edits:
    """Add the errors of several transcripts, kind by kind."""
    parts = list(parts)
    return Edits(
        sum(part.substitutions for part in parts),
        sum(part.deletions for part in parts),
        sum(part.insertions for part in parts),
        sum(part.total for part in parts),
    )


def split_units(text: str, language: str | None) -> list[str]:
    """Return normalised words, without case, punctuation and spelling variants; characters in CER languages."""
    from whisper.normalizers import BasicTextNormalizer, EnglishTextNormalizer  # imports torch

    if language in (None, "en"):
        return list(EnglishTextNormalizer()(text).split())
    return list(BasicTextNormalizer(split_letters=language in LANGUAGES_SCORED_BY_CHARACTER)(text).split())


def count_words(text: str) -> int:
    """Count all words of a text, as written; in scripts without spaces, all letters.

    The normalisers would not count text in brackets and filler words such as `um`.
    """
    import regex  # a dependency of openai-whisper; it knows scripts

    unspaced = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
    letters = regex.findall(rf"[{unspaced}--\p{{M}}]", text, regex.VERSION1)
    others = regex.sub(rf"[{unspaced}]", " ", text).split()
    return len(letters) + sum(any(character.isalnum() for character in word) for word in others)
