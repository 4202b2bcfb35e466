"""Finds personal data in a text: card numbers, IBANs, e-mail addresses, phone numbers and IP addresses.

They are found as people say them and Whisper writes them: with digits in groups, blanks, hyphens and commas, and as
words, "john dot smith at gmail dot com". Checksums and numbering plans decide, so that a year, a time, a price or an
order number is none of them. All of it takes time linear in the text.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple, get_args

import regex

from transcript.checks import Check, never
from transcript.phone_numbers import find_phones
from transcript.spoken_numbers import Run, find_runs
from transcript.transcript import PersonalData

KINDS: tuple[PersonalData, ...] = get_args(PersonalData)


class Span(NamedTuple):
    """The characters [start, end) of a text, and what they are."""

    start: int
    end: int
    kind: PersonalData


def find_personal_data(
    text: str, kinds: Collection[PersonalData], languages: Iterable[str], check: Check = never
) -> list[Span]:
    """Return the personal data of a text, in order of their place; none overlaps another one.

    Args:
        text: with spaces between its words, as far as its script has them.
        kinds: what is looked for.
        languages: Whisper's codes of those that are spoken, for phone numbers without a country's code.
        check: ends the work by an exception.
    """
    runs = list(find_runs(text)) if {"card", "phone"} & {*kinds} else []
    finders = {
        "iban": lambda: _find_ibans(text),
        "card": lambda: _find_cards(runs),
        "email": lambda: _find_emails(text),
        "ip": lambda: _find_ips(text),
        "phone": lambda: find_phones(text, runs, languages, check),
    }
    found: list[Span] = []
    for kind in ("iban", "card", "email", "ip", "phone"):  # what has a checksum first
        if kind in kinds:
            found += [Span(start, end, kind) for start, end in finders[kind]()]
    return _without_overlaps(found)


def _without_overlaps(spans: Sequence[Span]) -> list[Span]:
    """Return the spans in order of their place, without those that overlap one that comes first in `spans`."""
    taken: set[int] = set()
    kept = []
    for span in spans:
        places = range(span.start, span.end)
        if taken.isdisjoint(places):
            taken.update(places)
            kept.append(span)
    return sorted(kept)


# --- card numbers

_CARD = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})"  # Visa
    r"|5[1-5]\d{14}|2(?:22[1-9]|2[3-9]\d|[3-6]\d\d|7[01]\d|720)\d{12}"  # Mastercard
    r"|3[47]\d{13}"  # American Express
    r"|3(?:0[0-5]|[689]\d)\d{11,16}"  # Diners Club
    r"|35(?:2[89]|[3-8]\d)\d{12,15}"  # JCB
    r"|220[0-4]\d{12,15}"  # Mir
    r"|(?:50|5[6-9]|6\d)\d{10,17}"  # Maestro, Discover, UnionPay, RuPay
    r"|8[12]\d{14,17}"  # UnionPay, RuPay
)
"""The issuers' first digits and lengths, as they publish them (ISO/IEC 7812)."""

MAX_CARD_DIGITS = 19

_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)


def is_card_number(digits: str) -> bool:
    """Return true for the first digits and a length of an issuer, and a right check digit (Luhn, ISO/IEC 7812-1)."""
    if not _CARD.fullmatch(digits):
        return False
    values = [int(digit) for digit in reversed(digits)]
    return (sum(values[::2]) + sum(_DOUBLED[value] for value in values[1::2])) % 10 == 0


def _find_cards(runs: Iterable[Run]) -> Iterator[tuple[int, int]]:
    for run in runs:
        groups, first = run.groups, 0
        while first < len(groups):
            after = _end_of_card([group.digits for group in groups[first : first + MAX_CARD_DIGITS]])
            if after:
                yield groups[first].start, groups[first + after - 1].end
            first += after or 1


def _end_of_card(groups: Sequence[str]) -> int:
    """Return how many of the first groups are a card number, at most; 0 if none are."""
    for after, length in reversed(list(enumerate(accumulate(map(len, groups)), start=1))):
        if length <= MAX_CARD_DIGITS and is_card_number("".join(groups[:after])):
            return after
    return 0


# --- IBANs

_IBAN_LENGTHS = {
    country: int(length)
    for length, countries in (
        (15, "NO"),
        (16, "BE"),
        (18, "DK FI FK FO GL NL SD"),  # codespell:ignore
        (19, "MK SI"),
        (20, "AT BA EE KZ LT LU MN XK"),
        (21, "CH HN HR LI LV"),
        (22, "BG BH CR DE GB GE IE ME RS VA"),
        (23, "AE GI IL IQ OM SO TL"),
        (24, "AD CZ ES MD PK RO SA SE SK TN VG"),
        (25, "LY PT ST"),
        (26, "IS TR"),
        (27, "BI DJ FR GR IT MC MR SM"),
        (28, "AL AZ BY CY DO GT HU LB NI PL SV"),
        (29, "BR EG PS QA UA"),
        (30, "JO KW MU YE"),
        (31, "MT SC"),
        (32, "LC"),
        (33, "RU"),
    )
    for country in countries.split()
}
"""Characters of an IBAN by country (SWIFT, IBAN registry)."""

_IBAN_START = regex.compile(r"(?<![A-Z0-9]) [A-Z] [\s.-]? [A-Z] [\s,.-]{0,2} \d", regex.VERBOSE | regex.I | regex.ASCII)
_MAX_GAP = 3
"""Blanks and marks between two characters of an IBAN."""


def is_iban(characters: str) -> bool:
    """Return true for the length of the country and right check digits (ISO 13616: modulo 97)."""
    if len(characters) != _IBAN_LENGTHS.get(characters[:2]) or not characters.isalnum():
        return False
    return int("".join(str(int(character, 36)) for character in characters[4:] + characters[:4])) % 97 == 1


def _find_ibans(text: str) -> Iterator[tuple[int, int]]:
    end = 0
    for found in _IBAN_START.finditer(text, overlapped=True):
        if found.start() < end:
            continue
        if iban_end := _end_of_iban(text, found.start()):
            end = iban_end
            yield found.start(), end


def _end_of_iban(text: str, start: int) -> int:
    """Return where the IBAN ends that begins at `start`; 0 if there is none."""
    characters, gap = "", 0
    for at in range(start, len(text)):
        character = text[at]
        if character.isascii() and character.isalnum():
            characters, gap = characters + character.upper(), 0
            if len(characters) > 1 and len(characters) == _IBAN_LENGTHS.get(characters[:2]):
                is_whole = not text[at + 1 : at + 2].isalnum()
                return at + 1 if is_whole and is_iban(characters) else 0
            if len(characters) == 2 and characters not in _IBAN_LENGTHS:
                return 0
        elif gap < _MAX_GAP and (character.isspace() or character in ",.-‐‑–—/"):
            gap += 1
        else:
            return 0
    return 0


# --- e-mail addresses

_AT = r"(?: at | arobase | arroba | chiocciola | klammeraffe )"
_DOT = r"(?: dot | punkt | point | punto | ponto )"
_JOIN = rf"(?: [.+_-] | \s{{1,2}} (?: {_DOT} | underscore | dash | hyphen | minus ) \s{{1,2}} )"
_LETTER = r"[\p{L}\p{M}\p{N}_--\p{Han}--\p{Hiragana}--\p{Katakana}--\p{Thai}]"
_NAME = rf"{_LETTER}++"
_DOMAIN = rf"{_NAME} (?: -+ {_NAME} ){{0,6}}"
_DOMAINS = rf"(?: (?: \. | \s{{1,2}} {_DOT} \s{{1,2}} ) {_DOMAIN} )"
_EMAIL = regex.compile(
    rf"""
    (?<! {_LETTER} ) (?<! {_LETTER} [.+-] )
    (?P<local> {_NAME} (?: {_JOIN} {_NAME} ){{0,30}}+ )
    (?: (?P<sign> @ ) (?P<domain> {_DOMAIN} {_DOMAINS}{{0,6}}+ )
      | (?P<sign> \s @ \s | \s @ | @ \s | \s? [\[(] at [\])] \s? ) (?P<domain> {_DOMAIN} {_DOMAINS}{{1,6}}+ )
      | \s{{1,2}} {_AT} \s{{1,2}} (?P<domain> {_DOMAIN} {_DOMAINS}{{1,6}}+ ) )
    """,
    regex.VERSION1 | regex.VERBOSE | regex.IGNORECASE,
)
_MAIL_HOST = regex.compile(
    r"(?: g\s?mail | google\s?mail | yahoo | hotmail | outlook | live | icloud | me | aol | gmx | web | t-online"
    r"| proton (?: \s? mail )? | mail | posteo | orange | free | laposte | libero | naver | qq | 163 | yandex )"
    r"(?: \. | \s )",
    regex.VERBOSE | regex.IGNORECASE,
)
_MAIL_WORD = regex.compile(
    r"e-?\s?mail | \bmail | add?ress | correo | courriel | indirizzo | write\s+to | reach | contact",
    regex.VERBOSE | regex.IGNORECASE,
)
_BEFORE = 60
"""Characters before a spoken address in which a word says that it is one."""


def _find_emails(text: str) -> Iterator[tuple[int, int]]:
    end = 0
    for found in _EMAIL.finditer(text, overlapped=True):
        if found.start() >= end and _is_email(text, found):
            end = found.end()
            yield found.span()


def _is_email(text: str, found: regex.Match[str]) -> bool:
    """Return true unless a word `at` stands before a domain that is a place: "I work at amazon.com"."""
    if found["sign"]:
        return True
    has_marks = not found["local"].isalpha()
    before = text[max(0, found.start() - _BEFORE) : found.start()]
    return has_marks or _MAIL_HOST.match(found["domain"]) is not None or _MAIL_WORD.search(before) is not None


# --- IP addresses

_IPV4 = regex.compile(
    r"(?<! [\w.] ) \d{1,3} (?: \s{0,2} (?: \. | dot | punkt | point | punto | ponto ) \s{0,2} \d{1,3} ){3}"
    r"(?! \w | \.\w )",
    regex.VERBOSE | regex.IGNORECASE,
)
_IPV6 = regex.compile(r"(?<! [\w:] ) [0-9a-f:]{2,39}+ (?! \w )", regex.VERBOSE | regex.IGNORECASE)


def _find_ips(text: str) -> Iterator[tuple[int, int]]:
    for found in _IPV4.finditer(text):
        if all(int(part) < 256 for part in regex.findall(r"\d+", found[0])):
            yield found.span()
    for found in _IPV6.finditer(text):
        address = found[0] if found[0].endswith("::") else found[0].rstrip(":")
        if address.count(":") > 1 and regex.search("[0-9a-fA-F]", address) and _is_ipv6(address):
            yield found.start(), found.start() + len(address)


def _is_ipv6(address: str) -> bool:
    try:
        ipaddress.IPv6Address(address)
    except ValueError:
        return False
    return True
