"""Checks of the values in the page's requests; an `ApiError` names a wrong value and its correct form."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from api.openai.errors import ApiError
from api.page.lines import DECIMALS_OF_SECONDS, MAX_SECONDS, clean_text

MAX_REVISION = 2**53 - 1
"""The largest integer that JavaScript counts to."""

MAX_URL_CHARACTERS = 2048

_ID = re.compile(r"[0-9a-z.]{1,64}")


def parse_id(value: Any, place: str) -> str:
    """A line's id.

    Raises:
        ApiError: the value is not valid.
    """
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise ApiError(400, f"{place}: should be 1 to 64 digits, small letters and dots", param=place)
    return value


def parse_revision(value: Any, place: str) -> int:
    """A revision.

    Raises:
        ApiError: the value is not valid.
    """
    if type(value) is not int or not 0 <= value <= MAX_REVISION:
        raise ApiError(400, f"{place}: should be a revision, a number from 0", param=place)
    return value


def parse_seconds(value: Any, place: str) -> float:
    """A time in seconds, rounded to milliseconds.

    Raises:
        ApiError: the value is not valid.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= MAX_SECONDS:
        raise ApiError(400, f"{place}: should be seconds, from 0 to {MAX_SECONDS:.0f}", param=place)
    return round(float(value), DECIMALS_OF_SECONDS)


def parse_url(value: Any, place: str) -> str:
    """An address from which a worker may fetch a recording.

    Raises:
        ApiError: the value is not valid.
    """
    url = parse_text(value, place, MAX_URL_CHARACTERS).strip()
    try:
        parts = urlsplit(url)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_address = False
    if not is_address or " " in url:
        raise ApiError(400, f"{place}: should be an address that begins with https:// or http://", param=place)
    return url


def parse_text(value: Any, place: str, max_characters: int) -> str:
    """A text of one line; control characters become spaces.

    Raises:
        ApiError: the value is not a string, or is too long.
    """
    if not isinstance(value, str) or len(value) > max_characters:
        raise ApiError(400, f"{place}: should be a text of at most {max_characters} characters", param=place)
    return clean_text(value)
