"""A live session over several connections: it is resumed, or begun again if the server has lost it."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from client.errors import BadAnswer, EndpointFailed, EndpointUnreachable, WrongUsage
from client.realtime.backlog import BYTES_PER_SECOND, Backlog, position_of
from client.realtime.connection import ConnectionLost, ConnectionRefused, SessionGone, host_of, open_connection
from client.realtime.utterances import Utterance, Utterances
from client.settings import EndpointSettings
from client.transport.answers import JsonObject, clean_line, is_number, parse_json

CHUNK_BYTES = BYTES_PER_SECOND // 10
"""Of one message."""

LISTENING = "listening"
"""The state while there is a connection; others say what is waited for."""


@dataclass(frozen=True)
class Timeouts:
    """How long a server is waited for, in seconds."""

    first_contact: float = 10.0
    """If nobody listens at an address that has never answered: it may be wrong."""
    failures: float = 300.0
    """If connections fail or break, one after another; a worker of an endpoint takes minutes to start."""
    answer: float = 300.0
    """For the next text once all sound is sent, or for the session's first event."""
    first_pause: float = 0.5
    """Between two attempts; each is twice as long as the one before."""
    longest_pause: float = 8.0
    steady: float = 20.0
    """A connection that has lasted so long does not count as a failure."""


@dataclass(frozen=True)
class Listener:
    """Receives what happens.

    Attributes:
        on_state: in a few words, such as `LISTENING`.
        on_change: the words of an unfinished utterance have changed.
        on_utterance: an utterance is finished; they come in order.
        on_note: a sentence about the text, such as that words were lost.
        on_retry: why there is no connection, once for each time that connections begin to fail.
    """

    on_state: Callable[[str], None] = lambda _: None
    on_change: Callable[[], None] = lambda: None
    on_utterance: Callable[[Utterance], None] = lambda _: None
    on_note: Callable[[str], None] = lambda _: None
    on_retry: Callable[[str], None] = lambda _: None


class LiveSession:
    """Sends a backlog of sound to a worker until it is complete, and receives the text.

    Args:
        server: address and key.
        settings: the `session` of OpenAI's `session.update`.
        backlog: the sound.
        listener: is called on the event loop.
        timeouts: how long the server is waited for.
    """

    def __init__(
        self,
        server: EndpointSettings,
        settings: JsonObject,
        backlog: Backlog,
        listener: Listener,
        timeouts: Timeouts | None = None,
    ) -> None:
        self.utterances = Utterances()
        self.is_ready = asyncio.Event()
        """Set once the server listens for the first time."""
        self._server, self._settings = server, settings
        self._backlog, self._listener = backlog, listener
        self._timeouts = timeouts or Timeouts()
        self._session_id: str | None = None
        self._last_event = ""
        self._origin = 0
        """Position in the backlog at which the session begins."""
        self._failing_since: float | None = None
        self._pause = self._timeouts.first_pause

    async def run(self) -> None:
        """Return when the text of all sound is there.

        Raises:
            EndpointFailed: the server cannot be reached any more, or refuses; the text so far is kept.
            WrongUsage: it refuses an option, or the address is malformed.
        """
        while True:
            try:
                await self._run_connection()
                break
            except SessionGone:
                self._begin_again()
            except ConnectionLost as loss:
                await self._wait_after(loss)
        for utterance in self.utterances.finish():
            self._listener.on_utterance(utterance)

    async def _run_connection(self) -> None:
        """Run the session over one connection, until it is finished."""
        self._listener.on_state(f"connecting to {host_of(self._server)}")
        connection = await open_connection(self._server, self._session_id, self._last_event)
        connected_at = time.monotonic()
        try:
            await self._start_session(connection)
            sending = asyncio.create_task(self._send(connection))
            try:
                while (event := await self._receive(connection)).get("type") != "session.finished":
                    self._take(event)
                if not self._has_all_sound(event):  # as of a server that stops
                    raise SessionGone("the server has ended the session")
            finally:
                sending.cancel()
                with suppress(asyncio.CancelledError):
                    await sending
        finally:
            if time.monotonic() - connected_at > self._timeouts.steady:
                self._failing_since, self._pause = None, self._timeouts.first_pause
            await connection.close()

    async def _start_session(self, connection: ClientConnection) -> None:
        """Begin a session and give it its options, or learn how much sound a resumed one has."""
        event = await self._receive(connection)
        if event.get("type") == "session.resumed":
            received = event.get("received_audio_bytes")
            if not is_number(received) or received < 0:
                raise BadAnswer(f"{host_of(self._server)} does not say how much sound it has")
            self._send_from(self._origin + int(received))
        elif event.get("type") == "session.created":
            session = event.get("session")
            session_id = session.get("id") if isinstance(session, dict) else None
            await self._configure(connection)
            self._session_id = session_id if isinstance(session_id, str) else None
            self._send_from(self._origin)
        else:
            raise BadAnswer(f"{host_of(self._server)} does not answer as OpenAI's Realtime API: check --server")
        self.is_ready.set()
        self._listener.on_state(LISTENING)

    async def _configure(self, connection: ClientConnection) -> None:
        with suppress(ConnectionClosed):  # `_receive` raises it, with the reason
            await connection.send(json.dumps({"type": "session.update", "session": self._settings}))
        while (event := await self._receive(connection)).get("type") != "session.updated":
            if event.get("type") == "error":
                raise WrongUsage(_message_of(event))
            self._take(event)

    def _send_from(self, position: int) -> None:
        self._backlog.send_from(position)
        if (lost := self._backlog.start - position) > 0:
            self._listener.on_note(f"{lost / BYTES_PER_SECOND:.1f} s of sound were lost while there was no connection")

    async def _send(self, connection: ClientConnection) -> None:
        """Send the sound as it comes, and at its end ask for the rest of the text."""
        with suppress(ConnectionClosed):  # `_receive` raises it
            while chunk := await self._backlog.next(CHUNK_BYTES):
                audio = base64.b64encode(chunk).decode()
                await connection.send(json.dumps({"type": "input_audio_buffer.append", "audio": audio}))
            await connection.send(json.dumps({"type": "session.finish"}))

    def _has_all_sound(self, finished: JsonObject) -> bool:
        """True if a session is finished because all sound was sent, and not because the server ends it."""
        received = finished.get("received_audio_bytes")
        position = self._origin + received if is_number(received) else self._backlog.sent
        return self._backlog.is_complete and position >= self._backlog.end

    async def _receive(self, connection: ClientConnection) -> JsonObject:
        """Return the next event.

        Raises:
            ConnectionLost: the connection is closed.
            EndpointFailed: all sound is sent, and there has been no event for long.
        """
        while True:
            try:
                message = await asyncio.wait_for(connection.recv(), self._timeouts.answer)
            except asyncio.TimeoutError:
                if self._backlog.is_complete or not self.is_ready.is_set():
                    seconds = f"{self._timeouts.answer:.0f} s"
                    raise EndpointFailed(f"{host_of(self._server)} has sent nothing for {seconds}") from None
                continue  # nobody speaks
            except ConnectionClosed as closed:
                reason = clean_line(closed.rcvd.reason if closed.rcvd else "", 200)
                raise ConnectionLost(f"the connection was closed{f': {reason}' if reason else ''}") from None
            try:
                event = parse_json(message)
            except ValueError:
                event = None
            if not isinstance(event, dict):
                raise BadAnswer(f"{host_of(self._server)} sends what is no event")
            if isinstance(event.get("event_id"), str):
                self._last_event = event["event_id"]
            return event

    def _take(self, event: JsonObject) -> None:
        if event.get("type") == "error":
            self._listener.on_note(_message_of(event))
        elif event.get("type") == "session.warning":
            self._listener.on_note(clean_line(str(event.get("message")), 500))
        for utterance in self.utterances.take(event):
            self._backlog.forget(position_of(self.utterances.covered))
            self._listener.on_utterance(utterance)
        self._listener.on_change()

    def _begin_again(self) -> None:
        """Begin a new session at the first sound whose text has not come."""
        self._origin = max(self._backlog.start, position_of(self.utterances.covered))
        if any(position_of(utterance.start) < self._origin for utterance in self.utterances.unfinished):
            seconds = self._origin / BYTES_PER_SECOND - self.utterances.covered
            self._listener.on_note(f"the server has lost the session, and with it words of {seconds:.1f} s")
        else:
            self._listener.on_note("the server has lost the session: the sound that has no text yet is sent again")
        self.utterances.restart(self._origin / BYTES_PER_SECOND)
        self._session_id, self._last_event = None, ""

    async def _wait_after(self, loss: ConnectionLost) -> None:
        """Wait before the next attempt.

        Raises:
            EndpointUnreachable: there were attempts enough.
        """
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
            self._listener.on_retry(f"{loss}; trying again")
        is_unknown = isinstance(loss, ConnectionRefused) and not self.is_ready.is_set()
        if now + self._pause - self._failing_since > (
            self._timeouts.first_contact if is_unknown else self._timeouts.failures
        ):
            raise EndpointUnreachable(str(loss))
        self._listener.on_state("waiting for the server")
        await asyncio.sleep(self._pause)
        self._pause = min(2 * self._pause, self._timeouts.longest_pause)


def _message_of(event: JsonObject) -> str:
    error = event.get("error")
    return clean_line(str(error.get("message") if isinstance(error, dict) else error), 500)
