"""`/v1/realtime` for requests that are no WebSocket, and for servers without live transcription."""

from __future__ import annotations

from typing import NoReturn

from starlette.requests import HTTPConnection, Request
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from api.http.door import Door
from api.openai.errors import ApiError


async def refuse_request(request: Request) -> NoReturn:
    """Refuse a request that opens no WebSocket, as a proxy makes of one that does."""
    _refuse(request)


async def refuse_websocket(websocket: WebSocket) -> NoReturn:
    """Refuse a WebSocket."""
    _refuse(websocket)


ROUTES = [
    route
    for prefix in ("/v1", "")
    for route in (Route(f"{prefix}/realtime", refuse_request), WebSocketRoute(f"{prefix}/realtime", refuse_websocket))
]


def _refuse(connection: HTTPConnection) -> NoReturn:
    door: Door = connection.app.state.door
    if door.live is not None:
        raise ApiError(426, "this path takes WebSockets: connect to wss://, not to https://", code="upgrade_required")
    raise ApiError(
        404,
        "there is no live transcription here: it needs a worker in HTTP mode, with LIVE_SESSIONS of at least 1",
        code="no_live_transcription",
    )
