"""Finds phone numbers by the numbering plans of the countries in which a language is spoken."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import groupby

from langcodes import Language

from transcript.checks import Check, never
from transcript.spoken_numbers import Group, Run

_OTHER_REGIONS = {
    "en": ("US", "GB", "AU", "IN", "IE", "NZ", "ZA"),
    "de": ("DE", "AT", "CH"),
    "fr": ("FR", "BE", "CH", "CA"),
    "es": ("ES", "MX", "AR", "CO", "CL", "PE"),
    "pt": ("BR", "PT"),
    "it": ("IT", "CH"),
    "nl": ("NL", "BE"),
    "ar": ("EG", "SA", "AE", "MA"),
    "zh": ("CN", "TW", "HK", "SG"),
}
"""Countries by language, where it is the language of several; of others it is the one that Unicode's CLDR has."""

MIN_DIGITS = 7
MAX_DIGITS = 17
"""Of 15 digits of E.164, with a prefix for calls abroad."""
_MIN_DIGITS_WITHOUT_PREFIX = 10
"""A number without the prefix that it is dialled with is one only if it is that of a mobile phone: 138 1234 5678."""

_STRONG_GAP = re.compile(r"[,.]\s|\s/\s")
"""May be between two numbers, as well as within one."""
_YEAR = re.compile("1[5-9]\\d\\d|20\\d\\d")
_BEFORE = re.compile(r"(?:\+|\bplus)[\s(]{0,2}\Z|\(\Z", re.IGNORECASE)
_MAX_BEFORE = 8
_NORTH_AMERICAN = (3, 3, 4)


def find_phones(
    text: str, runs: Iterable[Run], languages: Iterable[str], check: Check = never
) -> Iterator[tuple[int, int]]:
    """Yield start and end of the phone numbers of a text.

    Args:
        text: the text.
        runs: its runs of digits.
        languages: Whisper's codes of those that are spoken.
        check: ends the work by an exception; asked before each place in a run.
    """
    regions = tuple(dict.fromkeys(region for language in languages for region in _regions(language)))
    for run in runs:
        if run.is_amount or all(_YEAR.fullmatch(group.digits) for group in run.groups):
            continue
        if sum(len(group.digits) for group in run.groups) >= MIN_DIGITS:
            yield from _find_in_run(text, run, regions, check)


def _find_in_run(text: str, run: Run, regions: Sequence[str], check: Check) -> Iterator[tuple[int, int]]:
    if _is_phone(run.groups, regions, has_plus=run.has_plus):
        yield _with_marks(text, run.groups[0].start, run.groups[-1].end)
        return
    has_plus = run.has_plus
    for sentence in _split_at_strong_gaps(text, run.groups):
        first = 0
        while first < len(sentence):
            check()
            after = _end_of_phone(sentence[first : first + MAX_DIGITS + 1], regions, has_plus=has_plus)
            if after:
                yield _with_marks(text, sentence[first].start, sentence[first + after - 1].end)
            first += after or 1
            has_plus = False


def _with_marks(text: str, start: int, end: int) -> tuple[int, int]:
    """Return the stretch with the plus and the bracket before it, if there are any."""
    before = _BEFORE.search(text[max(0, start - _MAX_BEFORE) : start])
    return start - len(before[0]) if before else start, end


def _split_at_strong_gaps(text: str, groups: Sequence[Group]) -> Iterator[list[Group]]:
    sentence = 0
    numbers = []
    for number, group in enumerate(groups):
        if number and _STRONG_GAP.match(text, groups[number - 1].end, group.start):
            sentence += 1
        numbers.append(sentence)
    for _, numbered in groupby(zip(numbers, groups, strict=True), key=lambda pair: pair[0]):
        yield [group for _, group in numbered]


def _end_of_phone(groups: Sequence[Group], regions: Sequence[str], *, has_plus: bool) -> int:
    """Return how many of the first groups are a phone number; 0 if none are.

    Fewer than all of them only after a prefix, or in groups of 3, 3 and 4: any ten digits within others may be a
    number that somebody has.
    """
    if tuple(len(group.digits) for group in groups[:3]) == _NORTH_AMERICAN and "US" in regions:
        return 3
    if _is_phone(groups, regions, has_plus=has_plus):
        return len(groups)
    if has_plus or groups[0].digits[0] == "0":
        for after in range(min(len(groups), MAX_DIGITS), 0, -1):
            if _is_phone(groups[:after], regions, has_plus=has_plus):
                return after
    return 0


def _is_phone(groups: Sequence[Group], regions: Sequence[str], *, has_plus: bool) -> bool:
    digits = "".join(group.digits for group in groups[: MAX_DIGITS + 1])
    if not MIN_DIGITS <= len(digits) <= MAX_DIGITS or sum(len(group.digits) for group in groups) > MAX_DIGITS:
        return False
    if has_plus:
        return _is_valid(f"+{digits}", None)
    if digits.startswith("00") and _is_valid(f"+{digits[2:]}", None):
        return True
    return any(_is_valid(digits, region) for region in regions)


def _is_valid(number: str, region: str | None) -> bool:
    """Return true for a number of a numbering plan, as it is dialled within a region; None: anywhere."""
    import phonenumbers  # 0.05 s, for few jobs
    from phonenumbers import PhoneMetadata, PhoneNumberType

    try:
        parsed = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return False
    if region is None:
        return phonenumbers.is_valid_number(parsed)
    if not phonenumbers.is_valid_number_for_region(parsed, region):
        return False
    metadata = PhoneMetadata.metadata_for_region(region)
    prefix = metadata.national_prefix if metadata else None
    if prefix is None or number.startswith(prefix) or region in ("US", "CA"):
        return True
    is_mobile = phonenumbers.number_type(parsed) in (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)
    return is_mobile and len(number) >= _MIN_DIGITS_WITHOUT_PREFIX


@cache
def _regions(language: str) -> tuple[str, ...]:
    if language in _OTHER_REGIONS:
        return _OTHER_REGIONS[language]
    territory = Language.get(language).maximize().territory
    return (territory,) if territory else ()
