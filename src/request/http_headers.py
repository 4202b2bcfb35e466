"""The HTTP headers that a caller may add to the download of a recording, and to webhooks."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

MAX_HEADERS = 20

MAX_HEADER_BYTES = 8192
"""Of all names and values together."""

_OWN = re.compile(
    r"host|range|if-range|accept-encoding|expect|content-.*|transfer-encoding|te|trailer|connection|keep-alive|upgrade"
    r"|proxy-.*|webhook-.*",
    re.IGNORECASE,
)
"""What the worker sets itself, or what holds for one connection only (RFC 9110, 7.6.1)."""


def _check_headers(headers: dict[str, str]) -> dict[str, str]:
    """Check the names and values, which the messages do not repeat: they may be secrets.

    Raises:
        ValueError: one of them is not valid or not allowed.
    """
    if sum(len(name) + len(value) for name, value in headers.items()) > MAX_HEADER_BYTES:
        raise ValueError(f"should have at most {MAX_HEADER_BYTES} characters in all")
    for name, value in headers.items():
        if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name):  # a token of RFC 9110, 5.6.2
            raise ValueError('the name of a header has letters, digits and "-" only, such as "Authorization"')
        if _OWN.fullmatch(name):
            raise ValueError(f'the header "{name.lower()}" is set by the worker, leave it out')
        if not re.fullmatch(r"[ -~]*", value) or value != value.strip():
            raise ValueError("the value of a header is printable ASCII without blanks around it")
    if len({name.lower() for name in headers}) < len(headers):
        raise ValueError("a header is there twice, in different capitals")
    return headers


def _check_count(headers: Any) -> Any:
    """Raise ValueError for more than `MAX_HEADERS`, before each of them can be an error of its own."""
    if isinstance(headers, dict) and len(headers) > MAX_HEADERS:
        raise ValueError(f"should have at most {MAX_HEADERS} headers")
    return headers


Headers = Annotated[dict[str, str], BeforeValidator(_check_count), AfterValidator(_check_headers)]
