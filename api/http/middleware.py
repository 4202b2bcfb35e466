"""What surrounds every request: an id, errors in one form, and an end for callers who read or write too slowly."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import traceback
import uuid
from contextlib import suppress
from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.openai.errors import SERVER_STOPS, ApiError
from api.transcriber import request_id

LINGER_SECONDS = 10.0
"""How long the rest of a refused body is read."""

_SANE_ID = re.compile(r"[\w.-]{1,128}", re.ASCII)
_log = logging.getLogger(__name__)


ANSWER_STARTS = frozenset({"http.response.start", "websocket.http.response.start", "websocket.accept"})
"""Messages with a status and headers; a handshake of WebSocket is accepted, or refused with an answer."""


class HttpMiddleware:
    """Middleware for requests alone: the application's start and end, of which ASGI tells too, pass by.

    Attributes:
        scopes: ASGI's types of what it handles: `http`, and `websocket` where a handshake is a request like any other.
    """

    scopes = frozenset({"http"})

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request."""
        await (self.handle if scope["type"] in self.scopes else self._app)(scope, receive, send)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it."""
        raise NotImplementedError


class GiveIds(HttpMiddleware):
    """Middleware that gives each request an id, the caller's if it is sane, and sends it as `x-request-id`."""

    scopes = frozenset({"http", "websocket"})

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        theirs = Headers(scope=scope).get("x-request-id", "")
        request_id.set(theirs if _SANE_ID.fullmatch(theirs) else f"req_{uuid.uuid4().hex}")

        async def send_with_id(message: Message) -> None:
            if message["type"] in ANSWER_STARTS:
                message.setdefault("headers", [])
                MutableHeaders(scope=message)["x-request-id"] = request_id.get() or ""
            await send(message)

        await self._app(scope, receive, send_with_id)


class AnswerErrors(HttpMiddleware):
    """Middleware that answers exceptions in OpenAI's form."""

    scopes = frozenset({"http", "websocket"})

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        has_started = False

        async def send_and_note(message: Message) -> None:
            nonlocal has_started
            has_started = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except ClientDisconnect:
            return
        except (Exception, asyncio.CancelledError) as error:  # cancelled: by the server, which ends
            answer = SERVER_STOPS if isinstance(error, asyncio.CancelledError) else to_api_error(error)
            if not has_started:  # else the server closes the connection, since the answer is incomplete
                await to_response(answer)(scope, receive, send)


class CloseGently(HttpMiddleware):
    """Middleware that lets callers read a refusal while they still send.

    A connection that is closed with unread bytes is reset, and the caller may lose the answer (RFC 9112, section 9.6):
    the rest of the body is read for some seconds before.
    """

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        headers = Headers(scope=scope)
        is_sending = headers.get("content-length", "0").strip("0") != "" or "transfer-encoding" in headers

        async def receive_and_note() -> Message:
            nonlocal is_sending
            message = await receive()
            is_sending = message.get("more_body", False)
            return message

        async def read_the_rest() -> None:
            while is_sending:
                await receive_and_note()

        async def send_gently(message: Message) -> None:
            if is_sending and message["type"] == "http.response.start":
                MutableHeaders(scope=message)["connection"] = "close"
            ends = message["type"] == "http.response.body" and not message.get("more_body", False)
            if not (ends and is_sending):
                await send(message)
                return
            await send({**message, "more_body": True})
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(read_the_rest(), LINGER_SECONDS)
            await send({"type": "http.response.body"})

        await self._app(scope, receive_and_note, send_gently)


def to_api_error(error: Exception) -> ApiError:
    """The error as it is answered; what is no `ApiError` is a bug, and logged without what it says."""
    if isinstance(error, ApiError):
        return error
    at = traceback.extract_tb(error.__traceback__)[-1]
    _log.error(
        "request %s failed: %s at %s:%s", request_id.get(), type(error).__name__, Path(at.filename).name, at.lineno
    )
    return ApiError(500, f"the server failed: its log has the request {request_id.get()}", type="server_error")


def to_response(error: ApiError) -> Response:
    """The answer for an error."""
    headers = {"x-should-retry": str(error.should_retry).lower()}
    if error.retry_after is not None:
        headers["retry-after"] = str(error.retry_after)
    if error.status == 401:
        headers["www-authenticate"] = "Bearer"
    return Response(json.dumps(error.body), error.status, headers, media_type="application/json")
