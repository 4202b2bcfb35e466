"""Which names speakers may have: those that fit all formats of a transcript."""

from __future__ import annotations

import re
import unicodedata

MAX_NAME_CHARACTERS = 60

_GENERATED_LABEL = re.compile(r"(SPEAKER|CHANNEL)_\d+(_SPEAKER_\d+)?")

_APOSTROPHES = "'\u2018\u2019"

_PUNCTUATION = f" .-{_APOSTROPHES}\u00b7\u2027\u30fb\u2010\u2011\u05be\u05f3\u05f4"
"""Beside ASCII's: middle dots (Catalan, Chinese, Japanese), hyphens, and Hebrew's maqaf, geresh and gershayim."""

_JOINERS = "\u200c\u200d"
"""Invisible, but letters of a word in Persian, Sinhala and other languages."""


def clean_speaker_name(name: str) -> str:
    """Return a name with composed letters (NFC), so that its spellings are one name.

    Raises:
        ValueError: it has markup, a line break or a tab, is too long, or is like a label of ours.
    """
    composed = unicodedata.normalize("NFC", name)
    begins_well = _is_letter((composed[1:] if composed[:1] in _APOSTROPHES else composed)[:1])
    fits = 1 <= len(composed) <= MAX_NAME_CHARACTERS and begins_well and composed[-1] not in _JOINERS
    if not fits or not all(map(_is_allowed, composed)) or _GENERATED_LABEL.fullmatch(composed):
        raise ValueError("a name should be 1 to 60 letters, digits, spaces and . ' ’ · -, but not like SPEAKER_00")
    return composed


def _is_letter(character: str) -> bool:
    return character.isalnum() or character == "_"


def _is_allowed(character: str) -> bool:
    """True also for marks: vowel signs of Hindi and Thai, and accents that no composed letter has."""
    is_mark = unicodedata.category(character).startswith("M")
    return is_mark or _is_letter(character) or character in _PUNCTUATION or character in _JOINERS
