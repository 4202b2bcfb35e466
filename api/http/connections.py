"""Connections with an end: uvicorn's own wait for ever for the head of a request."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

HEAD_SECONDS = 20.0
"""From a connection's beginning, or a request's first byte, to the end of its head; also for what is left of a body
that was answered early."""

READ_SECONDS = 60.0
"""A caller who reads nothing of an answer for so long is given up."""

MAX_CONNECTIONS = 768
"""Beyond these the oldest expendable one is closed for each new one: each holds a file descriptor, of which a process
may have 1024."""

ADMITTED = "is_admitted"
"""Key of a request's ASGI state: true while the application counts the request against a limit of its own, which is
below `MAX_CONNECTIONS`."""


class BoundedConnection(H11Protocol):
    """uvicorn's connection on h11, which bounds the size of a head to 16 KB, with a limit of time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.began = self.loop.time()
        self._head = _Timer(self.loop, HEAD_SECONDS, self.abort)
        self._unread = UnreadLimit(self.loop, self.abort)

    @property
    def is_idle(self) -> bool:
        """True if no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def is_expendable(self) -> bool:
        """True unless a request is being answered that was admitted: without a key one can wait, and not read, too."""
        return self.is_idle or not self.cycle.scope["state"].get(ADMITTED)

    def abort(self) -> None:
        """Close at once."""
        self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wait for a request; of too many connections close one."""
        super().connection_made(transport)
        self._head.start()
        if len(self.connections) > MAX_CONNECTIONS:
            others: list[Any] = [each for each in self.connections if each is not self]
            expendable = (other for other in others if other.is_expendable)
            min(expendable, key=lambda other: other.began, default=self).abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._head.stop()
        self._unread.stop()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Wait for the caller to read."""
        super().pause_writing()
        self._unread.start(self.transport)

    def resume_writing(self) -> None:
        """Go on, since the caller has read."""
        self._unread.stop()
        super().resume_writing()

    def data_received(self, data: bytes) -> None:
        """Take a part of a request; the time of a body is the application's to limit."""
        super().data_received(data)
        if not self.is_idle:
            self._head.stop()
        elif not self.transport.is_closing() and self.transport.get_protocol() is self:
            self._head.start()

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """Hand the connection over to a WebSocket (`api/http/sockets.py`), which has its own limits."""
        self._head.stop()
        super().handle_websocket_upgrade(event)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, unless an answer has begun; the application is told that its caller is gone."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()


class UnreadLimit:
    """Calls `give_up` if the other end of a connection reads nothing for `READ_SECONDS`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, give_up: Callable[[], None]) -> None:
        self._timer = _Timer(loop, READ_SECONDS, self._expect_less)
        self._give_up = give_up
        self._bytes = 0

    def start(self, transport: asyncio.Transport) -> None:
        """Watch a transport that has more to send than it should."""
        self._transport = transport
        self._bytes = transport.get_write_buffer_size()
        self._timer.start()

    def stop(self) -> None:
        """Watch no longer."""
        self._timer.stop()

    def _expect_less(self) -> None:
        unread_bytes = self._transport.get_write_buffer_size()
        if unread_bytes >= self._bytes:
            self._give_up()
            return
        self._bytes = unread_bytes
        self._timer.start()


class _Timer:
    """Calls `expired` unless it is stopped in time; `start` leaves a running one as it is."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float, expired: Callable[[], None]) -> None:
        self._loop, self._seconds, self._expired = loop, seconds, expired
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        if self._handle is None:
            self._handle = self._loop.call_later(self._seconds, self._expire)

    def _expire(self) -> None:
        self._handle = None
        self._expired()

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
