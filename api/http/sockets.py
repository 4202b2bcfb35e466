"""WebSocket connections with limits of time and memory, which uvicorn's own do not have."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from api.http.connections import ADMITTED, UnreadLimit

if TYPE_CHECKING:
    import asyncio

    from websockets.frames import Frame

MAX_MESSAGE_BYTES = 22 * 2**20
"""15 MiB in base64, OpenAI's limit for the sound of one event, and JSON around it."""

READ_BYTES = 8 * 1024
"""Read at once, instead of asyncio's 256 KiB: as many frames as fit are handled before anything else is, and 1300
empty ones take some 30 ms."""

PING_SECONDS = 20.0
"""After which a silent caller is sent a ping, and for which its pong is awaited."""

CLOSE_SECONDS = 10.0
"""Which the other end may take to close, too."""

SHUTDOWN_SECONDS = 20.0
"""After the server's signal to stop: which an application may take to end a connection."""

_log = logging.getLogger(__name__)
_log.setLevel(logging.WARNING)  # at lower levels uvicorn writes addresses with their queries


class BoundedSocket(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket with bounds: of the parts of a message, of what waits to be read, and of its end."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _log
        self.close_timeout = CLOSE_SECONDS
        self.began = self.loop.time()
        self._unread = UnreadLimit(self.loop, self.abort)
        self._end: asyncio.TimerHandle | None = None

    @property
    def is_expendable(self) -> bool:
        """True unless the application has admitted the caller."""
        return not (self.handshake_initiated and hasattr(self, "scope") and self.scope["state"].get(ADMITTED))

    def abort(self) -> None:
        """Close at once."""
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over a connection."""
        super().connection_made(transport)
        self.transport.max_size = READ_BYTES  # type: ignore[attr-defined]

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting; one without a close frame has the code 1006 (RFC 6455, section 7.1.5)."""
        self._unread.stop()
        if self._end is not None:
            self._end.cancel()
        self.queue.put_nowait({"type": "websocket.disconnect", "code": 1006})
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
        """Take data; a handshake that cannot be read is refused, which uvicorn would forget to send."""
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    def handle_cont(self, event: Frame) -> None:
        """Append a part to the message in one piece of memory: of tiny parts, objects would need 60 times as much."""
        (begun,) = self.frames
        self.frames = [begun if isinstance(begun, bytearray) else bytearray(begun)]  # type: ignore[list-item]
        self.frames[0] += event.data
        if event.fin:
            self.send_receive_event_to_app()

    def send_receive_event_to_app(self) -> None:
        """Pass a message on, and read no further until the application has taken it."""
        (data,) = self.frames
        self.frames = []
        if self.close_sent:
            return
        if self.curr_msg_data_type == "bytes":
            self.queue.put_nowait({"type": "websocket.receive", "bytes": bytes(data)})
        else:
            try:
                self.queue.put_nowait({"type": "websocket.receive", "text": data.decode()})
            except UnicodeDecodeError:
                self.conn.fail(1007, "a text should be UTF-8")
                self.handle_parser_exception()
                return
        if not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()

    def handle_ping(self) -> None:
        """Answer a ping; not while answers wait to be read, of which there would be more and more."""
        answer = b"".join(self.conn.data_to_send())
        if self.writable.is_set():
            self.transport.write(answer)

    def keepalive_timeout(self) -> None:
        """Give up a caller that answers no ping; while nothing is read, its pong may be unread."""
        if self.read_paused or not self.writable.is_set():
            self.pong_timer = self.loop.call_later(PING_SECONDS, self.keepalive_timeout)
            return
        super().keepalive_timeout()
        self._abort_later(CLOSE_SECONDS)

    async def send(self, message: Any) -> None:
        """Send a message; a handshake that is answered by one of HTTP is complete too, which uvicorn would report.

        Raises:
            ClientDisconnected: the connection is lost, which uvicorn sees later: an application that has thousands of
                messages would write them all, each with a line of asyncio's log.
        """
        if self.transport.is_closing() and not self.close_sent:
            raise ClientDisconnected
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body"):
            self.handshake_complete = True

    def shutdown(self) -> None:
        """Leave an admitted connection to the application, which ends it; after `SHUTDOWN_SECONDS` abort it here."""
        if self.is_expendable or self.close_sent:
            super().shutdown()
            return
        self._abort_later(SHUTDOWN_SECONDS)

    def _abort_later(self, seconds: float) -> None:
        if self._end is None:
            self._end = self.loop.call_later(seconds, self.abort)


SOCKET_SETTINGS: dict[str, Any] = {
    "ws": BoundedSocket,
    "ws_max_size": MAX_MESSAGE_BYTES,
    "ws_ping_interval": PING_SECONDS,
    "ws_ping_timeout": PING_SECONDS,
    "ws_per_message_deflate": False,  # sound does not get smaller, and each connection would hold tables
}
"""Of uvicorn's `Config`."""
