"""Who may send requests, and how many at once: decided before a body is read."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http.connections import ADMITTED
from api.http.door import Door
from api.http.middleware import HttpMiddleware
from api.http.origins import is_own_page
from api.http.page_access import API_PREFIX, SESSION_PATH, STATIC_PREFIX, admit
from api.openai.errors import ApiError, too_busy

OPEN_PATHS = frozenset({"/", "/ping", "/health", "/docs", "/openapi.json"})
"""Paths that need no key."""

CALLER = "caller"
"""Key of a request's ASGI state: a digest of the key that it was admitted with, where one is needed."""

_KEY_SUBPROTOCOL = "openai-insecure-api-key."
"""Before a key, as OpenAI's own WebSockets take it from browsers, whose scripts can set no header."""


class Admission(HttpMiddleware):
    """Middleware that refuses requests without one of the keys (401), and those over `max_requests` (429).

    Where no key is needed, it refuses those of foreign pages (403): a browser sends a form of any page without asking,
    also to this machine's own addresses. It keeps nothing about a caller. The page's visitors have a cookie instead of
    a key (see `api/http/page_access.py`). A WebSocket counts as a request until it is closed.
    """

    scopes = frozenset({"http", "websocket"})

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
        path = scope["path"]
        if path.startswith(API_PREFIX):
            admit(HTTPConnection(scope))
        elif path in OPEN_PATHS or path.startswith(STATIC_PREFIX):
            await self._app(scope, receive, send)
            return
        elif self._digests:
            scope.setdefault("state", {})[CALLER] = self._check_key(headers)
        else:
            self._check_origin(headers)
        if scope.get("method") in ("GET", "HEAD") or path == SESSION_PATH:
            await self._app(scope, receive, send)
            return
        with _counted(self._door, scope):
            await self._app(scope, receive, send)

    def _check_key(self, headers: Headers) -> bytes:
        """The digest of the key that the request sends."""
        sent = _keys_of(headers)
        known = [digest for key in sent if (digest := self._find(key)) is not None]
        if not known:
            wrong = "the API key is wrong" if sent else "an API key is missing"
            raise ApiError(401, f"{wrong}: send `Authorization: Bearer KEY`", code="invalid_api_key")
        return known[0]

    def _check_origin(self, headers: Headers) -> None:
        origin = headers.get("origin")
        allowed = self._door.settings.cors_origins
        if origin is None or "*" in allowed or origin in allowed or is_own_page(origin, headers.get("host", "")):
            return
        raise ApiError(
            403, "pages of this origin may not send requests: allow the origin (CORS) or set an API key", code="origin"
        )

    def _find(self, key: bytes) -> bytes | None:
        """The digest of one of the keys; the time is the same for all: each is compared, by digests of one length."""
        digest = _digest(key)
        return digest if sum(hmac.compare_digest(digest, known) for known in self._digests) else None


def _check_length(headers: Headers) -> None:
    """Refuse a body with two lengths: a proxy in front may take the other one (RFC 9112, section 11.2)."""
    if "content-length" in headers and "transfer-encoding" in headers:
        raise ApiError(400, "the request has content-length and transfer-encoding: send one of them")


def _digest(key: bytes) -> bytes:
    return sha256(key).digest()


def _keys_of(headers: Headers) -> list[bytes]:
    """The keys that a request sends: in `Authorization`, in `x-api-key`, or as a subprotocol."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    keys = [token.strip()] if scheme.lower() == "bearer" else []
    offered = [name.strip() for name in headers.get("sec-websocket-protocol", "").split(",")]
    keys += [name.removeprefix(_KEY_SUBPROTOCOL) for name in offered if name.startswith(_KEY_SUBPROTOCOL)]
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
