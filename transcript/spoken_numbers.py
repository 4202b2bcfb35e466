"""Finds long numbers as people say them and Whisper writes them: digits in groups, in one run.

"4242 4242", "4-2-4-2", "four two, four two" and "double four" are runs. A word, a colon or a sign between them
ends one.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import regex

_WORDS = {
    word: str(digit)
    for digit, words in enumerate(
        (
            "zero oh null nul nulla zéro cero 〇 零",
            "one eins een un uno una um 一 幺",
            "two zwei zwo twee deux dos due dois 二",
            "three drei drie trois tres tre três 三",  # codespell:ignore
            "four vier quatre cuatro quattro quatro 四",
            "five fünf vijf cinq cinco cinque 五",
            "six sechs zes seis sei 六",
            "seven sieben zeven sept siete sette sete 七",
            "eight acht huit ocho otto oito 八",
            "nine neun negen neuf nueve nove 九",
        )
    )
    for word in words.split()
}
"""In English, German, Dutch, French, Spanish, Italian, Portuguese and Chinese."""

_REPEATS = {"double": 2, "triple": 3}

_TOKEN = regex.compile(
    r"\d+ | [〇零一二三四五六七八九幺] | [\p{L}--\p{Han}] [\p{L}\p{M}--\p{Han}]* | \p{Han}",
    regex.VERSION1 | regex.VERBOSE,
)
_GAP = regex.compile(r"[\s,.()/\-‐-―]{0,4}")
_PLUS = regex.compile(r"(?: \+ | \b plus ) [\s(]{0,2} \Z", regex.VERBOSE | regex.IGNORECASE)
_CURRENCY = regex.compile(r"\p{Sc} \s? \Z", regex.VERBOSE)
_MIN_COUNTED = 4
_MAX_COUNTED_DIGITS = 4
_BEFORE = 8
"""Characters before a run that say what it is."""
_AFTER_AMOUNT = regex.compile(r"\s? [\p{Sc}%]", regex.VERBOSE)
_THOUSANDS = regex.compile(r"\d , \d", regex.VERBOSE)

_FIRST_UNATTACHED = "\u0590"
"""From this character on, letters are of scripts in which a number may follow a word without a space."""


class Group(NamedTuple):
    """Digits that stand together, as ASCII ones, at the characters [start, end) of the text."""

    digits: str
    start: int
    end: int


class Run(NamedTuple):
    """Groups with nothing but blanks and marks between them.

    Attributes:
        groups: in order.
        has_plus: true if a plus is before them.
        is_amount: true if it is written as an amount: with a currency, as a percentage, or with commas for thousands.
    """

    groups: list[Group]
    has_plus: bool
    is_amount: bool


def find_runs(text: str) -> Iterator[Run]:
    """Yield the runs of a text, in order, but for those in which somebody counts: 1, 2, 3, 4."""
    groups: list[Group] = []
    for group in _find_groups(text):
        if groups and not _GAP.fullmatch(text, groups[-1].end, group.start):
            if not _is_counting(groups):
                yield _to_run(text, groups)
            groups = []
        groups.append(group)
    if groups and not _is_counting(groups):
        yield _to_run(text, groups)


def _is_counting(groups: list[Group]) -> bool:
    return len(groups) >= _MIN_COUNTED and all(
        max(len(first.digits), len(second.digits)) < _MAX_COUNTED_DIGITS and int(first.digits) + 1 == int(second.digits)
        for first, second in pairwise(groups)
    )


def is_number_word(word: str) -> bool:
    """Return true for the word of a digit, and for words that stand before one, such as `double` and `plus`."""
    folded = word.casefold()
    return folded in _WORDS or folded in _REPEATS or folded == "plus"


def _to_run(text: str, groups: list[Group]) -> Run:
    start, end = groups[0].start, groups[-1].end
    before = text[max(0, start - _BEFORE) : start]
    is_amount = _CURRENCY.search(before) or _AFTER_AMOUNT.match(text, end) or _THOUSANDS.search(text, start, end)
    return Run(groups, _PLUS.search(before) is not None, bool(is_amount))


def _find_groups(text: str) -> Iterator[Group]:
    repeats, start = 1, 0
    for token in _TOKEN.finditer(text):
        word = token[0]
        digits = _digits(word)
        if digits and not _is_attached(text, token):
            begin = start if repeats > 1 else token.start()
            yield Group(digits * repeats if len(digits) == 1 else digits, begin, token.end())
        repeats, start = _REPEATS.get(word.casefold(), 1), token.start()


def _digits(word: str) -> str:
    """Return the ASCII digits of digits in any script, or of a number's word; empty for any other word."""
    if word[0].isdecimal():
        return word if word.isascii() else "".join(str(unicodedata.decimal(digit)) for digit in word)
    return _WORDS.get(word.casefold(), "")


def _is_attached(text: str, token: regex.Match[str]) -> bool:
    """Return true if a letter or an underscore is next to the digits: they are a part of a name, such as A4."""
    before, after = text[max(0, token.start() - 1) : token.start()], text[token.end() : token.end() + 1]
    return any(
        neighbour == "_" or (neighbour.isalpha() and neighbour < _FIRST_UNATTACHED) for neighbour in (before, after)
    )
