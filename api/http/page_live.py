"""`/page/api/live`: live captions of a microphone.

The tab sends sound as binary messages, signed 16 bit little-endian samples, mono at 16 kHz, and commands as JSON:
`{"type": "pause"}` makes what was said final, `{"type": "stop"}` ends the transcript. Messages to the tab are JSON; the
types are:

- `ready`: the first one; bytes of sound that were `received`, `lines` that the tab has missed, and text that is
  `running`;
- `received`: bytes of sound so far, which the tab need not keep any longer;
- `running`: the text so far of an `utterance` that is not final;
- `lines`: the final lines of an `utterance`, in place of its running text;
- `speech`: whether somebody `speaks`;
- `warning`: a `message` about what was lost, ignored or changed;
- `ended`: the transcript is one like any other; with a `warning` if the visitor did not end it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

from api.http.loading_server import STOPPING
from api.http.page_access import API_PREFIX, owner_of, page_of
from api.http.page_requests import answer
from api.http.page_uploads import refusing
from api.http.uploads import receive_small_json
from api.json_text import from_json
from api.live.recognizer import LiveRefused
from api.openai.errors import ApiError
from api.page import edits, values
from api.page.live_recording import SAMPLE_BYTES
from api.page.live_session import LiveSession, Tab
from api.page.store import StoreFull

MAX_MESSAGE_BYTES = 1024**2
"""Of sound in one message: 33 s."""

IDLE_S = 3600.0
"""A tab that sends nothing for so long, such as one that is paused, is disconnected."""

CLOSED_NORMALLY, WRONG_MESSAGE, SERVER_STOPS = 1000, 1008, 1012
"""Codes of https://www.iana.org/assignments/websocket/websocket.xhtml."""

_MAX_BODY_BYTES = 4096
_MAX_LANGUAGE_CHARACTERS = 20


class WrongMessage(Exception):
    """The tab sent what is neither sound nor a command; with a sentence."""


async def begin(request: Request) -> Response:
    """`POST live`: begin a live transcript, which waits for its tab."""
    owner = owner_of(request)
    body = await receive_small_json(request, _MAX_BODY_BYTES)
    if not isinstance(body, Mapping):
        raise ApiError(400, "the body should be a JSON object")
    title = edits.parse_title(body.get("title", "")) or "Live captions"
    options = _parse_options(body.get("options", {}))
    page = page_of(request)
    try:
        with refusing():
            record = await page.live.open(owner, title, options)
    except LiveRefused as error:
        raise ApiError(400, error.message, code=error.code) from None
    except StoreFull as error:
        raise ApiError(409, str(error), code="too_many") from None
    return await answer(request, page.jobs.to_json(record), 201)


async def attach(socket: WebSocket) -> None:
    """The WebSocket `live/{id}`: sound in, text out. With `after`, lines up to the one of this id are not sent."""
    session = _find(socket)
    tab = Tab(socket.send_json, _parse_after(socket.query_params.get("after", "")))
    await socket.accept()
    with suppress(WebSocketDisconnect, WebSocketDisconnected):  # the latter where sending has failed before
        code = await _serve(socket, session, tab)
        await socket.close(code)


ROUTES: list[BaseRoute] = [
    Route(f"{API_PREFIX}live", begin, methods=["POST"]),
    WebSocketRoute(f"{API_PREFIX}live/{{id}}", attach),
]


def _find(socket: WebSocket) -> LiveSession:
    session = page_of(socket).live.find(socket.path_params["id"], owner_of(socket))
    if session is None:
        raise ApiError(409, "these live captions have ended: open the transcript", code="not_live")
    return session


async def _serve(socket: WebSocket, session: LiveSession, tab: Tab) -> int:
    """Listen to a tab until it leaves, the session ends or the server stops; returns the code to close with."""
    server_stops: asyncio.Event = socket.scope["state"].get(STOPPING) or asyncio.Event()
    listening = asyncio.create_task(_listen(socket, session, tab))
    over = asyncio.create_task(tab.is_over.wait())
    stopping = asyncio.create_task(server_stops.wait())
    tasks = (listening, over, stopping)
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        if listening.done():
            listening.result()
        elif stopping.done():
            await session.stop_with_server()
            return SERVER_STOPS
    except asyncio.TimeoutError:
        return CLOSED_NORMALLY
    except WrongMessage:
        return WRONG_MESSAGE
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        session.detach(tab)
    return CLOSED_NORMALLY


async def _listen(socket: WebSocket, session: LiveSession, tab: Tab) -> None:
    await session.attach(tab)
    while True:
        message = await asyncio.wait_for(socket.receive(), IDLE_S)
        if message["type"] == "websocket.disconnect":
            return
        sound = message.get("bytes")
        if sound is None:
            await _run_command(message.get("text") or "", session)
        elif len(sound) > MAX_MESSAGE_BYTES or len(sound) % SAMPLE_BYTES:
            raise WrongMessage(f"a message should have whole samples, at most {MAX_MESSAGE_BYTES} bytes")
        else:
            await session.append(sound)
            await socket.send_json({"type": "received", "bytes": session.size})


async def _run_command(text: str, session: LiveSession) -> None:
    """Run a command of a tab."""
    try:
        command = from_json(text[:_MAX_BODY_BYTES])
    except ValueError:
        command = None
    match command:
        case {"type": "pause"}:
            await session.pause()
        case {"type": "stop"}:
            await session.end()
        case _:
            raise WrongMessage('a command should be {"type": "pause"} or {"type": "stop"}')


def _parse_after(value: str) -> str:
    return values.parse_id(value, "after") if value else ""


def _parse_options(value: Any) -> dict[str, Any]:
    """The options of live captions, by the names that a job's have.

    Raises:
        ApiError: naming the wrong one and the correct form.
    """
    if not isinstance(value, Mapping) or set(value) - {"language", "diarize", "redact"}:
        raise ApiError(400, "options: should be an object with language, diarize, redact, or none", param="options")
    if not isinstance(value.get("diarize", False), bool):
        raise ApiError(400, "options.diarize: should be true or false", param="options")
    kinds = value.get("redact", [])
    if not isinstance(kinds, list) or not all(isinstance(kind, str) for kind in kinds):
        raise ApiError(400, "options.redact: should be a list of kinds of personal data", param="options")
    if "language" in value:
        values.parse_text(value["language"], "options.language", _MAX_LANGUAGE_CHARACTERS)
    return dict(value)
