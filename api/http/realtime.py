"""`/v1/realtime`: OpenAI's Realtime transcription sessions over WebSocket (https://developers.openai.com/api/docs/guides/realtime-transcription).

The route exists without `/v1` too, since clients differ in whether an address includes it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

from api.http.access import CALLER
from api.http.door import Door
from api.http.loading_server import STOPPING
from api.live.config import Layout
from api.live.events import error_event, warning
from api.live.log import Reader, read_event_id, render
from api.live.session import Session
from api.live.sessions import LiveSessions
from api.openai.errors import ApiError
from api.openai.models import choose_model

SUBPROTOCOL = "realtime"
"""Of browsers, which offer it beside their key."""

STOP_SECONDS = 10.0
"""For the text of the sound so far, once the server stops. Then the session is finished, which is no error: clients
would report one instead of connecting again, to the next server."""

LAST_SECONDS = 5.0
"""For a caller to read the last event."""

CLOSED, RESTARTS, TOO_SLOW, TAKEN_OVER = 1000, 1012, 1008, 4000
"""Codes of a close (RFC 6455, section 7.4; from 4000 on they are an application's own)."""

_LEFT = (1000, 1001, 1005)
"""Codes of callers who have left: the usual one, a page that was closed, and none."""

_BETA_SUBPROTOCOL = "openai-beta.realtime-v1"


async def serve_session(websocket: WebSocket) -> None:
    """`/v1/realtime`.

    Raises:
        ApiError: the handshake is refused.
    """
    door: Door = websocket.app.state.door
    sessions = door.live
    assert sessions is not None
    wanted = websocket.query_params.get("session_id")
    if wanted is None:
        session, reader = await _open(websocket, door, sessions), Reader(0)
    else:
        session, reader = _find(websocket, sessions, wanted)
    code: int | None = None
    try:
        await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in websocket.scope["subprotocols"] else None)
        if wanted is None:
            session.begin(reader)
        else:
            for text in session.resume(reader):
                await websocket.send_text(text)
        code = await _connect(websocket, session, reader)
    except (WebSocketDisconnect, WebSocketDisconnected, OSError):  # the second where sending has failed before
        pass
    finally:
        sessions.leave(session, reader, is_left=code in _LEFT)
        if code in (RESTARTS, TOO_SLOW):
            sessions.end(session)


ROUTES = [WebSocketRoute(f"{prefix}/realtime", serve_session) for prefix in ("/v1", "")]


async def _open(websocket: WebSocket, door: Door, sessions: LiveSessions) -> Session:
    query = websocket.query_params
    intent, model = query.get("intent"), query.get("model", "")
    if intent not in (None, "transcription") or (intent is None and not model):
        raise ApiError(
            400,
            "intent: should be transcription, as in /v1/realtime?intent=transcription: there are no conversations here",
            param="intent",
        )
    choose_model(model, await door.transcriber.models(model))
    return await sessions.open(_layout_of(websocket), model, websocket.scope["state"].get(CALLER))


def _layout_of(websocket: WebSocket) -> Layout:
    is_beta = websocket.headers.get("openai-beta", "").strip().lower() == "realtime=v1"
    return "beta" if is_beta or _BETA_SUBPROTOCOL in websocket.scope["subprotocols"] else "ga"


def _find(websocket: WebSocket, sessions: LiveSessions, wanted: str) -> tuple[Session, Reader]:
    after = read_event_id(websocket.query_params.get("after", ""))
    session = sessions.find(wanted, websocket.scope["state"].get(CALLER))
    if session is None:
        raise ApiError(404, "there is no such session, or no longer: open another one", code="no_such_session")
    if after is None or after > session.log.last:
        raise ApiError(400, "after: should be the id of an event of this session, or empty", param="after")
    sessions.stay(session)
    return session, Reader(after)


async def _connect(websocket: WebSocket, session: Session, reader: Reader) -> int:
    """Pass events in both directions until one side ends.

    Returns:
        The code of the close.
    """
    stopping: asyncio.Event = websocket.scope["state"].get(STOPPING) or asyncio.Event()
    receiving = asyncio.create_task(_receive(websocket, session, reader))
    sending = asyncio.create_task(_send(websocket, session, reader))
    ends = {
        asyncio.create_task(event.wait()): code
        for event, code in ((reader.replaced, TAKEN_OVER), (reader.is_too_slow, TOO_SLOW), (stopping, RESTARTS))
    }
    try:
        await asyncio.wait({receiving, sending, *ends}, return_when=asyncio.FIRST_COMPLETED)
        if receiving.done():
            return receiving.result()
        code = next((code for ended, code in ends.items() if ended.done()), CLOSED)
        receiving.cancel()
        if code == RESTARTS:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(session.finish(), STOP_SECONDS)
        if code in (CLOSED, RESTARTS):
            await asyncio.wait({sending}, timeout=LAST_SECONDS)
        sending.cancel()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(_close(websocket, session, code), LAST_SECONDS)
        return code
    finally:
        await _cancel({receiving, sending, *ends})


async def _receive(websocket: WebSocket, session: Session, reader: Reader) -> int:
    while (message := await websocket.receive())["type"] == "websocket.receive":
        content: str | bytes | None = message.get("text")
        await session.handle(message["bytes"] if content is None else content, reader)
    return int(message["code"])


async def _send(websocket: WebSocket, session: Session, reader: Reader) -> None:
    while (text := await session.log.next(reader)) is not None:
        await websocket.send_text(text)


async def _close(websocket: WebSocket, session: Session, code: int) -> None:
    """Tell why the session ends, if it does, and close the connection."""
    if code == TOO_SLOW:
        message = "the events were not read in time: the session has ended"
        error = ApiError(400, message, type="rate_limit_error", code="reader_too_slow")
        await websocket.send_text(render(error_event(error), session.log.last + 1))
    if code == RESTARTS and not session.is_finished:
        message = "the server stops before all sound has become text: send it again in a new session"
        await websocket.send_text(render(warning(message), session.log.last + 1))
    await websocket.close(code)


async def _cancel(tasks: set[asyncio.Task[object]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
