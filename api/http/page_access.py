"""Who may use the page: a visitor, known by a cookie, from the page's own origin; with a password where there are keys.

A visitor is a random token in a cookie that no script reads. The password is one of the server's keys; the cookie
proves that its visitor knew one by `HMAC-SHA256(key, token)`. So the server stores neither, and a key that is changed
or removed ends all sessions that began with it, while their transcripts stay the visitor's.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable
from hashlib import sha256
from typing import TYPE_CHECKING

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import Message, Receive, Scope, Send

from api.http.door import Door
from api.http.middleware import HttpMiddleware
from api.http.origins import is_local, is_same_address
from api.openai.errors import ApiError

if TYPE_CHECKING:
    from api.page.services import PageServices  # with numpy and more, which the API alone does not need

PREFIX = "/page/"
API_PREFIX = f"{PREFIX}api/"
STATIC_PREFIX = f"{PREFIX}static/"
SESSION_PATH = f"{API_PREFIX}session"
"""Open to visitors who have no cookie yet, or no password."""

_COOKIE = re.compile(r"(?P<token>[\w-]{43})(?:\.(?P<proof>[0-9a-f]{64}))?", re.ASCII)
_SAFE_METHODS = ("GET", "HEAD")

_POLICY = "; ".join(
    [
        *("default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data: blob:"),
        *("media-src 'self' blob: https: http:", "connect-src 'self'", "font-src 'self'", "manifest-src 'self'"),
        *("base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"),
        *("require-trusted-types-for 'script'", "trusted-types search-worker"),
    ]
)
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "referrer-policy": "same-origin",
}
"""Of all answers of the page, unless an answer has its own."""


class AddPageHeaders(HttpMiddleware):
    """Middleware that adds headers which keep foreign scripts and pages out of the page; around all that answers."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        path = scope["path"]
        if path != "/" and not path.startswith(PREFIX):
            await self._app(scope, receive, send)
            return
        caching = "no-store" if path.startswith(API_PREFIX) else "no-cache"

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in (*_HEADERS.items(), ("cache-control", caching)):
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def admit(request: HTTPConnection) -> None:
    """Admit a request, or a WebSocket, to the page's API, or refuse it.

    Raises:
        ApiError: it comes from another page, or from nobody who may use the page.
    """
    _check_origin(request)
    if request.scope["path"] != SESSION_PATH:
        owner_of(request)


def owner_of(request: HTTPConnection) -> str:
    """The visitor who sends the request, as the store knows them: a hash of the token.

    Raises:
        ApiError: the request has no cookie, or one that proves no password where one is needed.
    """
    token = token_of(request)
    keys = keys_of(request)
    if keys and proven_key(request) is None:
        raise ApiError(401, "the page asks for its password: log in", code="password_needed")
    if token is None:
        raise ApiError(401, "the browser sent no cookie: allow this page its cookie, and reload", code="session_needed")
    return owner_by_token(token)


def owner_by_token(token: str) -> str:
    """A visitor as the store knows them."""
    return sha256(token.encode()).hexdigest()


def page_of(request: HTTPConnection) -> PageServices:
    """What the handlers of the page share."""
    page: PageServices = request.app.state.page
    return page


def keys_of(request: HTTPConnection) -> frozenset[str]:
    """The server's keys, each of which is a password of the page; empty: it has none."""
    door: Door = request.app.state.door
    return door.settings.api_keys


def token_of(request: HTTPConnection) -> str | None:
    """The token of the request's cookie, whether or not it proves a password."""
    cookie = _COOKIE.fullmatch(request.cookies.get(cookie_name(request), ""))
    return cookie and cookie["token"]


def proven_key(request: HTTPConnection) -> str | None:
    """The key that the request's cookie proves, if any of the server's."""
    cookie = _COOKIE.fullmatch(request.cookies.get(cookie_name(request), ""))
    if cookie is None or cookie["proof"] is None:
        return None
    proven = [key for key in keys_of(request) if hmac.compare_digest(cookie["proof"], make_proof(key, cookie["token"]))]
    return proven[0] if proven else None


def make_proof(key: str, token: str) -> str:
    """What a cookie with the token holds if its visitor knew the key."""
    return hmac.new(key.encode(), token.encode(), sha256).hexdigest()


def find_key(password: str, keys: Iterable[str]) -> str | None:
    """The key that the password is, if any; the time is the same for all passwords."""
    digest = sha256(password.encode("utf-8", "surrogatepass")).digest()  # JSON may hold half a character
    found = [key for key in keys if hmac.compare_digest(digest, sha256(key.encode()).digest())]
    return found[0] if found else None


def cookie_name(request: HTTPConnection) -> str:
    """The cookie's name, with the port that the server listens at: all ports of a host share their cookies."""
    _, port = request.scope.get("server") or ("", None)
    return f"worker-whisper-visitor-{port or 0}"


def is_https(request: HTTPConnection) -> bool:
    """True if the browser sent the request over TLS, which a proxy in front may have ended."""
    forwarded = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
    return "https" in (request.scope["scheme"], forwarded)


def _check_origin(request: HTTPConnection) -> None:
    """Refuse requests of other pages.

    Browsers say where a request comes from in `Sec-Fetch-Site` (https://www.w3.org/TR/fetch-metadata/), which no script
    can set, except to plain HTTP beyond their own machine; then `Origin` counts, which requests that change something
    have, or a header that scripts of other origins would need to be allowed. `none` is the user: an address that was
    typed, or a download that goes on.
    """
    headers = request.headers
    host = headers.get("host", "")
    is_safe = request.scope.get("method") in _SAFE_METHODS  # a WebSocket has none
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        is_own = site == "same-origin" or (site == "none" and is_safe)
    elif origin is not None:
        is_own = is_same_address(origin, host)
    else:
        is_own = is_safe or headers.get("x-requested-by") == "page"
    if not is_own:
        raise ApiError(403, "other pages may not use this page: open it at its own address", code="origin")
    if not keys_of(request) and not is_local(host):
        raise ApiError(
            403,
            "without a key the page is open under local names and IP addresses only: set a key, or open it under one",
            code="host",
        )
