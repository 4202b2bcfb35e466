"""Who may send requests, and how many at once: decided before a body is read."""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.connections import ADMITTED
from api.http.door import Door
from api.http.middleware import HttpMiddleware
from api.openai.errors import ApiError, too_busy

OPEN_PATHS = frozenset({"/", "/ping", "/health", "/docs", "/openapi.json"})
"""Paths that need no key."""

_IP_ADDRESS = re.compile(r"(\d{1,3}\.){3}\d{1,3}|\[[0-9a-f:.]+\]", re.ASCII)


class Admission(HttpMiddleware):
    """Middleware that refuses requests without one of the keys (401), and those over `max_requests` (429).

    Where no key is needed, it refuses those of foreign pages (403): a browser sends a form of any page without asking,
    also to this machine's own addresses. It keeps nothing about a caller.
    """

    def __init__(self, app: ASGIApp, door: Door) -> None:
        super().__init__(app)
        self._door = door
        self._digests = [_digest(key.encode()) for key in door.settings.api_keys]

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it.

        Raises:
            ApiError: the request is refused.
        """
        headers = Headers(scope=scope)
        _check_length(headers)
        if scope["path"] in OPEN_PATHS:
            await self._app(scope, receive, send)
            return
        if self._digests:
            self._check_key(headers)
        else:
            self._check_origin(headers)
        if scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        with _counted(self._door, scope):
            await self._app(scope, receive, send)

    def _check_key(self, headers: Headers) -> None:
        sent = _keys_of(headers)
        if not sum(self._is_known(key) for key in sent):
            wrong = "the API key is wrong" if sent else "an API key is missing"
            raise ApiError(401, f"{wrong}: send `Authorization: Bearer KEY`", code="invalid_api_key")

    def _check_origin(self, headers: Headers) -> None:
        origin = headers.get("origin")
        allowed = self._door.settings.cors_origins
        if origin is None or "*" in allowed or origin in allowed or _is_own_page(origin, headers.get("host", "")):
            return
        raise ApiError(
            403, "pages of this origin may not send requests: allow the origin (CORS) or set an API key", code="origin"
        )

    def _is_known(self, key: bytes) -> bool:
        """True for one of the keys; the time is the same for all: each is compared, by digests of the same length."""
        digest = _digest(key)
        return sum(hmac.compare_digest(digest, known) for known in self._digests) > 0


def _check_length(headers: Headers) -> None:
    """Refuse a body with two lengths: a proxy in front may take the other one (RFC 9112, section 11.2)."""
    if "content-length" in headers and "transfer-encoding" in headers:
        raise ApiError(400, "the request has content-length and transfer-encoding: send one of them")


def _digest(key: bytes) -> bytes:
    return sha256(key).digest()


def _is_own_page(origin: str, host: str) -> bool:
    """True for a page of this server, under a name that nobody else can let point here (DNS rebinding)."""
    _, _, address = origin.partition("://")
    name = address.rsplit(":", 1)[0] if not address.endswith("]") else address
    is_local = "." not in name or name.endswith((".localhost", ".local")) or bool(_IP_ADDRESS.fullmatch(name))
    return address == host and is_local


def _keys_of(headers: Headers) -> list[bytes]:
    """The keys that a request sends: in `Authorization`, as OpenAI's clients do, or in `x-api-key`."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    keys = [token.strip()] if scheme.lower() == "bearer" else []
    return [key.encode("latin-1") for key in [*keys, headers.get("x-api-key", "")] if key]


@contextmanager
def _counted(door: Door, scope: Scope) -> Iterator[None]:
    if door.requests >= door.settings.max_requests:
        raise too_busy(f"the server has {door.settings.max_requests} requests at once: try again later")
    state = scope.setdefault("state", {})
    door.requests += 1
    state[ADMITTED] = True
    try:
        yield
    finally:
        door.requests -= 1
        state[ADMITTED] = False
        door.held_bytes -= state.get("held_bytes", 0)
