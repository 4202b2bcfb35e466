"""A server of live sessions without a model: it hears numbers, which are the values of the sound's samples.

So a text shows whether sound was lost, doubled or moved. Connections break where a test wants it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import threading
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from client.settings import EndpointSettings

UNIT_BYTES = 3200
"""A tenth of a second: the shortest sound that is heard."""

PAUSE_UNITS = 3
"""Silence that ends an utterance."""

Event = dict[str, Any]


def sound(*numbers: int) -> bytes:
    """A tenth of a second for each number; 0 is silence."""
    return b"".join(number.to_bytes(2, "little") * (UNIT_BYTES // 2) for number in numbers)


class HearingSession:
    """One session: what it has received, and the events that it has sent."""

    def __init__(self, number: int) -> None:
        self.id = f"sess_{number}"
        self.failure = ""
        self.settings: Event = {}
        self.received = 0
        self.events: list[Event] = []
        self._rest = b""
        self._units = 0
        self._items = 0
        self._words: list[tuple[int, int]] = []
        """Numbers and positions, in units, of the utterance that is being heard."""

    def send(self, kind: str, **fields: Any) -> None:
        self.events.append({"event_id": f"event_{len(self.events)}", "type": kind, **fields})

    def after(self, event_id: str) -> list[Event]:
        ids = [event["event_id"] for event in self.events]
        return self.events[ids.index(event_id) + 1 :] if event_id else list(self.events)

    def hear(self, pcm: bytes) -> None:
        self.received += len(pcm)
        pcm = self._rest + pcm
        whole = len(pcm) // UNIT_BYTES * UNIT_BYTES
        self._rest = pcm[whole:]
        for start in range(0, whole, UNIT_BYTES):
            self._hear_unit(int.from_bytes(pcm[start : start + 2], "little"))

    def end_utterance(self) -> None:
        if not self._words:
            return
        item = f"item_{self._items}"
        start, end = self._words[0][1], self._words[-1][1] + 1
        text = " ".join(str(number) for number, _ in self._words)
        self.send("input_audio_buffer.speech_stopped", item_id=item, audio_end_ms=100 * end)
        self.send("input_audio_buffer.committed", item_id=item)
        segments = [{"id": 0, "start": start / 10, "end": end / 10, "text": f" {text}"}]
        answer = {"transcript": text, "language": "en", "segments": segments, "warnings": []}
        kind, fields = ("failed", {"error": {"message": self.failure}}) if self.failure else ("completed", answer)
        self.send(f"conversation.item.input_audio_transcription.{kind}", item_id=item, **fields)
        self._items += 1
        self._words = []

    def _hear_unit(self, number: int) -> None:
        position, self._units = self._units, self._units + 1
        if number:
            if not self._words:
                self.send(
                    "input_audio_buffer.speech_started", item_id=f"item_{self._items}", audio_start_ms=100 * position
                )
            self._words.append((number, position))
            self.send(
                "conversation.item.input_audio_transcription.delta", item_id=f"item_{self._items}", delta=f" {number}"
            )
        elif self._words and position - self._words[-1][1] >= PAUSE_UNITS:
            self.end_utterance()


class HearingServer:
    """Serves live sessions on loopback while its context is open.

    Args:
        breaks: positions in bytes of the sound of a session: when so much of it has come, the connection breaks.
        tells_first: whether the caller has all events when a connection breaks.
        stops: positions at which the server tells the text so far, and ends the session as one that stops does.
        forgets: whether a session is lost with its connection.
        refusals: answers to the first connections, in place of a session: status and body.
    """

    def __init__(
        self,
        breaks: Sequence[int] = (),
        *,
        tells_first: bool = False,
        stops: Sequence[int] = (),
        forgets: bool = False,
        refusals: Sequence[tuple[int, Event]] = (),
    ) -> None:
        self.breaks, self.stops, self.forgets, self.refusals = list(breaks), list(stops), forgets, list(refusals)
        self.tells_first = tells_first
        self.sessions: list[HearingSession] = []
        self.connections = 0
        self.headers: dict[str, str] = {}
        self.is_mute = False
        """If true, what is heard is not answered."""
        self.was_asked_to_finish = False
        self.option_error = ""
        """A message with which the options are refused."""
        self.failure = ""
        """A message in place of each final text."""
        self.refusals_after_break: list[tuple[int, Event]] = []
        """Answers to the connections after the first break."""
        self.url = ""
        self._known: dict[str, HearingSession] = {}
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[self._serve()])

    @property
    def settings(self) -> EndpointSettings:
        return EndpointSettings(self.url, None, "key")

    def __enter__(self) -> HearingServer:
        self._thread.start()
        assert self._started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(10)
        self._loop.close()

    async def _serve(self) -> None:
        async with serve(self._talk, "127.0.0.1", 0, process_request=self._admit, close_timeout=0.5) as server:
            self.url = f"http://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
            self._started.set()
            await self._closing.wait()

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        self.connections += 1
        self.headers = dict(request.headers.raw_items())
        if self.refusals:
            status, body = self.refusals.pop(0)
            return connection.respond(HTTPStatus(status), json.dumps(body))
        wanted = _query(request).get("session_id")
        if wanted is not None and wanted not in self._known:
            body = {"error": {"message": "no such session", "code": "no_such_session"}}
            return connection.respond(HTTPStatus.NOT_FOUND, json.dumps(body))
        return None

    async def _talk(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        query = _query(connection.request)
        assert query["intent"] == "transcription"
        if "session_id" in query:
            session = self._known[query["session_id"]]
            after = query.get("after", "")
            greeting = {"received_audio_bytes": session.received, "after": after, "session": {"id": session.id}}
            await connection.send(json.dumps({"type": "session.resumed", **greeting}))
            sent = len(session.events) - len(session.after(after))
        else:
            session, sent = HearingSession(len(self.sessions)), 0
            session.failure = self.failure
            self.sessions.append(session)
            self._known[session.id] = session
            session.send("session.created", session={"id": session.id})
        try:
            while True:
                sent = await _tell(connection, session, sent)
                if session.events[-1]["type"] == "session.finished":
                    return
                self._answer(session, json.loads(await connection.recv()))
                if self.stops and session.received >= self.stops[0]:
                    self.stops.pop(0)
                    del self._known[session.id]
                    session.end_utterance()
                    session.send("session.finished", received_audio_bytes=session.received)
                if self.breaks and session.received >= self.breaks[0]:
                    self.breaks.pop(0)
                    self.refusals += self.refusals_after_break
                    if self.tells_first:
                        sent = await _tell(connection, session, sent)
                        await (await connection.ping())
                    if self.forgets:
                        del self._known[session.id]
                    connection.transport.abort()
        except ConnectionClosed:
            return

    def _answer(self, session: HearingSession, event: Event) -> None:
        if event["type"] == "session.update":
            session.settings = event["session"]
            if self.option_error:
                session.send("error", error={"type": "invalid_request_error", "message": self.option_error})
            else:
                session.send("session.updated", session={"id": session.id})
        elif event["type"] == "input_audio_buffer.append" and not self.is_mute:
            session.hear(base64.b64decode(event["audio"]))
        elif event["type"] == "session.finish":
            self.was_asked_to_finish = True
            if self.is_mute:
                return
            session.end_utterance()
            session.send("session.finished", received_audio_bytes=session.received)


async def _tell(connection: ServerConnection, session: HearingSession, sent: int) -> int:
    """Send the events that are not sent yet; returns how many are."""
    while sent < len(session.events):
        await connection.send(json.dumps(session.events[sent]))
        sent += 1
    return sent


def _query(request: Request) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(request.path).query, keep_blank_values=True).items()}
