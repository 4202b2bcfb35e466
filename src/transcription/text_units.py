"""Splits texts into units that can be compared: words, or characters in scripts that do not separate words."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator
from functools import cache
from typing import NamedTuple

from transcript.chinese_script import CHINESE, to_simplified

_UNSPACED = (
    r"\u0e00-\u0eff"  # Thai and Lao
    r"\u1000-\u109f\u1780-\u17ff"  # Burmese, Khmer
    r"\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # Japanese syllables
    r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Chinese characters
)
"""Ranges of the scripts that do not put spaces between words."""

_MARKS = r"\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ece\u102b-\u103e\u17b4-\u17d3"
"""Vowels and tones that are written around the letter before."""

_OPENING = "\"'“‘¿¡([{«‹「『（《〈【"

_DASHES = "—–…/"
"""Characters that separate words without a space."""

_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")

_PARTS = re.compile(rf"[{_UNSPACED}][{_MARKS}]*|[^\s{_UNSPACED}{_DASHES}]+[{_DASHES}]*|[{_DASHES}]+")


class Unit(NamedTuple):
    """A word or a character with the punctuation around it: `text[start:end]`."""

    start: int
    end: int
    key: str
    """Its letters and digits, without what spellings differ in."""

    @property
    def spaced(self) -> bool:
        """True if its script puts spaces between words."""
        return is_spaced(self.key)


def is_spaced(text: str) -> bool:
    """Return true unless the first letter of a text is of a script that puts no spaces between words."""
    letter = re.search(r"\w", text)
    return letter is None or not _IS_UNSPACED.match(letter[0])


def split_units(text: str, language: str) -> list[Unit]:
    """Return the units of a text, in order; marks without a letter belong to the unit before, or to the one after.

    Args:
        text: any text.
        language: Whisper's code of its language.
    """
    to_key = _key_function(language)
    units: list[Unit] = []
    start: int | None = None  # of marks that belong to the next unit
    for match in _PARTS.finditer(text):
        key = to_key(match[0])
        begin = match.start() if start is None else start
        if key:
            units.append(Unit(begin, match.end(), key))
            start = None
        elif units and start is None and match[0][-1] not in _OPENING:
            units[-1] = units[-1]._replace(end=match.end())
        else:
            start = begin
    if start is not None and units:
        units[-1] = units[-1]._replace(end=len(text.rstrip()))
    return units


def split_lines(text: str) -> Iterator[tuple[int, int]]:
    """Yield the start and the end of each line that is not blank, without the spaces around it."""
    for match in re.finditer(r"\S(?:[^\r\n\v\f\x1c-\x1e\x85\u2028\u2029]*\S)?", text):
        yield match.span()


def _key_function(language: str) -> Callable[[str], str]:
    if language not in CHINESE:
        return _to_key

    @cache
    def in_one_script(text: str) -> str:
        return to_simplified(_to_key(text))

    return in_one_script


def _to_key(text: str) -> str:
    """Return letters, digits and vowel marks, without case, width and Latin accents."""
    if text.isascii():
        return re.sub(r"[\W_]", "", text).lower()
    decomposed = unicodedata.normalize("NFKD", text)
    plain = "".join(character for character in decomposed if not "\u0300" <= character <= "\u036f")
    composed = unicodedata.normalize("NFKC", plain).casefold()
    return "".join(character for character in composed if unicodedata.category(character)[0] in "LNM")
