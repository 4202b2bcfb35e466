"""`/page/api/events`: what happens to a visitor's transcripts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from api.http.loading_server import STOPPING
from api.http.page_access import API_PREFIX, owner_of, page_of
from api.page.events import Events, to_event

HEARTBEAT_S = 15.0


async def follow(request: Request) -> Response:
    """`GET events`: what happens to the visitor's transcripts, as server-sent events, until the server stops."""
    owner = owner_of(request)
    stopping: asyncio.Event = getattr(request.state, STOPPING, None) or asyncio.Event()
    return StreamingResponse(
        _stream(page_of(request).events, owner, stopping),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},  # nginx would hold them back
    )


async def _stream(events: Events, owner: str, stopping: asyncio.Event) -> AsyncIterator[bytes]:
    stream = events.open(owner)

    async def close_when_stopping() -> None:
        await stopping.wait()
        stream.close()

    closing = asyncio.create_task(close_when_stopping())
    try:
        yield to_event("hello", {})
        while sent := await stream.read(HEARTBEAT_S):
            yield sent
    finally:
        closing.cancel()
        events.forget(owner, stream)


ROUTES = [Route(f"{API_PREFIX}events", follow)]
