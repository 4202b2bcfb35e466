"""`/page/api/session` makes a browser a visitor of the page, and checks the password; `owner` makes it the folder's."""

from __future__ import annotations

import asyncio
import secrets

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from api.http.door import Door
from api.http.page_access import (
    API_PREFIX,
    SESSION_PATH,
    cookie_name,
    find_key,
    is_https,
    keys_of,
    make_proof,
    owner_by_token,
    owner_of,
    page_of,
    proven_key,
    token_of,
)
from api.http.uploads import receive_small_json
from api.openai.errors import ApiError, too_busy

PIECE_BYTES = 8 * 1024**2
"""Of an upload, at most in one request."""

COOKIE_SECONDS = 400 * 24 * 3600
"""The longest that browsers keep a cookie (https://httpwg.org/http-extensions/draft-ietf-httpbis-rfc6265bis.html)."""

MAX_LOGINS = 4
"""Passwords that are checked at once, of all visitors."""

WRONG_PASSWORD_SECONDS = 1.0
"""Until a wrong password is answered: guessing goes no faster than `MAX_LOGINS` in this time."""

_MAX_BODY_BYTES = 4096


async def show_session(request: Request) -> Response:
    """`GET`: whether the visitor is admitted; a browser without a cookie gets one, any other has it renewed."""
    return _answer(request, proven_key(request))


async def log_in(request: Request) -> Response:
    """`POST`: check the password; the browser stays the visitor that it was."""
    body = await receive_small_json(request, _MAX_BODY_BYTES)
    password = body.get("password") if isinstance(body, dict) else None
    if not isinstance(password, str):
        raise ApiError(400, 'the body should be {"password": "..."}', param="password")
    return _answer(request, await _check_password(request, password.strip()) if keys_of(request) else None)


async def become_owner(request: Request) -> Response:
    """`POST /page/api/owner`: by the code of the server's link, become the folder's own visitor.

    What the browser's visitor had is the owner's afterwards, so that nothing is out of reach.
    """
    body = await receive_small_json(request, _MAX_BODY_BYTES)
    code = body.get("code") if isinstance(body, dict) else None
    page = page_of(request)
    if not isinstance(code, str) or not page.own_visitor.redeem(code):
        raise ApiError(403, "the link works once: the server prints a new one when it starts", code="wrong_code")
    token = page.own_visitor.token
    await page.give(owner_of(request), owner_by_token(token))
    return _answer(request, proven_key(request), token)


async def log_out(request: Request) -> Response:
    """`DELETE`: forget the password; the browser stays the visitor that it was, for when it logs in again."""
    return _answer(request, None)


ROUTES = [
    Route(SESSION_PATH, show_session, methods=["GET"]),
    Route(SESSION_PATH, log_in, methods=["POST"]),
    Route(SESSION_PATH, log_out, methods=["DELETE"]),
    Route(f"{API_PREFIX}owner", become_owner, methods=["POST"]),
]


async def _check_password(request: Request, password: str) -> str:
    """The key that the password is.

    A caller who hangs up does not shorten the wait, and a right password is not answered where a wrong one would be
    refused unseen: else either would let guessing go on faster.

    Raises:
        ApiError: the password is wrong, or too many are being checked.
    """
    door: Door = request.app.state.door
    if door.logins >= MAX_LOGINS:
        raise too_busy("too many passwords are being tried: try again in a moment", retry_after=1)
    door.logins += 1
    try:
        key = find_key(password, keys_of(request))
        if key is None:
            await asyncio.sleep(WRONG_PASSWORD_SECONDS)
            raise ApiError(401, "the password is wrong: it is one of the server's API keys", code="wrong_password")
        return key
    finally:
        door.logins -= 1


def _answer(request: Request, key: str | None, token: str | None = None) -> Response:
    """The session of a visitor who knows the key, with their cookie; the token is the browser's unless given."""
    door: Door = request.app.state.door
    has_password = bool(keys_of(request))
    session = {
        "admitted": key is not None or not has_password,
        "needs_password": has_password,
        "limits": {
            "upload_bytes": door.settings.max_upload_bytes,
            "piece_bytes": min(PIECE_BYTES, door.settings.max_upload_bytes),
        },
        "home": page_of(request).settings.home,
    }
    response = JSONResponse(session)
    token = token or token_of(request) or secrets.token_urlsafe(32)
    response.set_cookie(
        cookie_name(request),
        token if key is None else f"{token}.{make_proof(key, token)}",
        max_age=COOKIE_SECONDS,
        path=None,  # the page's API, whatever path a proxy puts before it: the folder of this request (RFC 6265, 5.1.4)
        secure=is_https(request),
        httponly=True,
        samesite="strict",
    )
    return response
