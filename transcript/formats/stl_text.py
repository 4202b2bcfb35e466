"""The characters of EBU STL: its five tables (EBU Tech 3264, appendix 2). Pure.

A file has one table: Latin (00, that is ISO 6937, where a letter with an accent is two bytes), or ASCII with Cyrillic
(01, ISO 8859-5), Arabic (02, ISO 8859-6), Greek (03, ISO 8859-7) or Hebrew (04, ISO 8859-8).
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

LATIN = "00"

_CODECS = {"01": "iso8859_5", "02": "iso8859_6", "03": "iso8859_7", "04": "iso8859_8"}

TABLES = (LATIN, *_CODECS)

_UNASSIGNED = "\0"

_LATIN_UPPER_HALF = (
    "\u00a0¡¢£$¥#§¤‘“«←↑→↓"  # A0
    "°±²³×µ¶·÷’”»¼½¾¿"
    f"{_UNASSIGNED * 16}"  # C0: the accents
    f"—¹®©™♪¬¦{_UNASSIGNED * 4}⅛⅜⅝⅞"
    f"ΩÆĐªĦ{_UNASSIGNED}ĲĿŁØŒºÞŦŊŉ"
    "ĸæđðħıĳŀłøœßþŧŋ\u00ad"  # F0
)

_ACCENTS = {
    "\u0300": (0xC1, "AEIOU"),  # grave
    "\u0301": (0xC2, "ACEILNORSUYZ"),  # acute
    "\u0302": (0xC3, "ACEGHIJOSUWY"),  # circumflex
    "\u0303": (0xC4, "AINOU"),  # tilde
    "\u0304": (0xC5, "AEIOU"),  # macron
    "\u0306": (0xC6, "AGU"),  # breve
    "\u0307": (0xC7, "CEGIZ"),  # dot above
    "\u0308": (0xC8, "AEIOUY"),  # diaeresis
    "\u030a": (0xCA, "AU"),  # ring
    "\u0327": (0xCB, "CGKLNRST"),  # cedilla
    "\u030b": (0xCD, "OU"),  # double acute
    "\u0328": (0xCE, "AEIU"),  # ogonek
    "\u030c": (0xCF, "CDELNRSTZ"),  # caron
    "\u0326": (0xCB, "ST"),  # Romanian's comma below, which is written as a cedilla
}
"""Byte of each accent, which comes before its letter, and the letters that it may have (ISO 6937, table 3)."""

_LATIN_CODES = {
    **{character: 0xA0 + at for at, character in enumerate(_LATIN_UPPER_HALF) if character != _UNASSIGNED},
    **{chr(code): code for code in range(0x20, 0x7F)},
    **{"Ð": 0xE2, "―": 0xD0},
}
_ACCENT_MARKS = {code: mark for mark, (code, _) in reversed(_ACCENTS.items())}

_LATER_CODES = {"03": (b"\xa4", b"\xa5", b"\xaa"), "04": (b"\xfd", b"\xfe")}
"""Codes that today's ISO 8859 has in addition to the edition of the tables."""

_SUBSTITUTES = {
    **dict.fromkeys("‐‑‒–—―−", "-"),
    **dict.fromkeys("‘’‚‛‹›′`´", "'"),
    **dict.fromkeys("“”„‟«»″", '"'),
    **dict.fromkeys("♪♫♩♬", "#"),
    **{"…": "...", "€": "EUR", "№": "No", "•": "-"},
}
"""Where a table lacks a sign, what subtitles have in its place; nothing is lost by it."""


class Encoded(NamedTuple):
    """A text in a table's bytes."""

    content: bytes
    replaced: list[str]
    """The characters that the table lacks, in order: the content has a similar letter, or "?"."""


def choose_table(texts: Iterable[str]) -> str:
    """Return the table in which the fewest characters of the texts have to be replaced; of several, the first."""
    counts = Counter(character for text in texts for character in _to_plain(text))

    def count_replaced(table: str) -> int:
        return sum(count for character, count in counts.items() if not _encode_character(character, table)[1])

    return min(TABLES, key=count_replaced)


def encode(text: str, table: str) -> Encoded:
    """Encode a line; runs of spaces become one space, and invisible characters are left out."""
    plain = _to_plain(text)
    encoded = [_encode_character(character, table) for character in plain]
    replaced = [character for character, (_, is_exact) in zip(plain, encoded, strict=True) if not is_exact]
    return Encoded(b"".join(content for content, _ in encoded), replaced)


def decode(content: bytes, table: str) -> str:
    """Decode a line; bytes without a character become U+FFFD."""
    if table != LATIN:
        return content.decode(_CODECS[table], "replace")
    text, accent = "", ""
    for code in content:
        if code in _ACCENT_MARKS:
            accent = _ACCENT_MARKS[code]
        else:
            text += (chr(code) if code < 0xA0 else _LATIN_UPPER_HALF[code - 0xA0]) + accent
            accent = ""
    return unicodedata.normalize("NFC", text.replace(_UNASSIGNED, "\ufffd"))


def is_accent(code: int, table: str) -> bool:
    """True for the first byte of two that are one letter."""
    return table == LATIN and code in _ACCENT_MARKS


def _to_plain(text: str) -> str:
    """Return `text` with single spaces and composed letters, without control and format characters."""
    visible = (
        character for character in text if character.isspace() or unicodedata.category(character) not in ("Cc", "Cf")
    )
    return unicodedata.normalize("NFC", " ".join("".join(visible).split()))


@lru_cache(maxsize=4096)
def _encode_character(character: str, table: str) -> tuple[bytes, bool]:
    """Return the bytes of a character, or of what is written in its place; False if it is lost by that."""
    if exact := _find(character, table):
        return exact, True
    substitute = _SUBSTITUTES.get(character) or (str(unicodedata.decimal(character)) if character.isdecimal() else "")
    if substitute:
        return substitute.encode("ascii"), True
    similar = [_find(part, table) for part in unicodedata.normalize("NFKD", character)]
    if unicodedata.combining(character):
        return b"", False
    return b"".join(similar).strip() or b"?", False


def _find(character: str, table: str) -> bytes:
    """Return the bytes of a character that the table has; empty if it has not."""
    if table != LATIN:
        content = character.encode(_CODECS[table], "ignore")
        return b"" if content in _LATER_CODES.get(table, ()) else content
    if code := _LATIN_CODES.get(character):
        return bytes([code])
    letter, *marks = list(unicodedata.normalize("NFD", character))
    if len(marks) == 1 and marks[0] in _ACCENTS:
        code, letters = _ACCENTS[marks[0]]
        if letter.isascii() and letter.upper() in letters:
            return bytes([code]) + letter.encode("ascii")
    return b""
