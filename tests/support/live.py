"""A scripted recognizer of live speech, and WebSocket connections to the API on loopback."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, get_args

import pydantic
from openai.types.beta import realtime as beta
from openai.types.realtime import RealtimeServerEvent
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from api.live.recognizer import (
    SAMPLE_RATE,
    Committed,
    Completed,
    Delta,
    LiveEvent,
    LiveOptions,
    LiveRefused,
    SpeechStarted,
    SpeechStopped,
)

SENTENCES = ("Good morning everybody.", "What is it?", "It is noon.")
"""What is said, over and over: one utterance each."""


@dataclass
class ScriptedLiveRecognizer:
    """Recognizes one sentence after the other, whatever the sound is.

    Attributes:
        max_sessions: limit of streams at once.
        seconds: length of each utterance; a word is sent after each equal part of it.
        refused: what `open` and `update` raise.
        held: while set, `append` does not return.
        streams: those that were opened.
    """

    max_sessions: int = 32
    seconds: float = 1.0
    refused: LiveRefused | None = None
    held: bool = False
    streams: list[ScriptedLiveStream] = field(default_factory=list)

    async def open(self, options: LiveOptions, on_event: Callable[[LiveEvent], None]) -> ScriptedLiveStream:
        if self.refused is not None:
            raise self.refused
        self.streams.append(ScriptedLiveStream(self, options, on_event))
        return self.streams[-1]


@dataclass
class ScriptedLiveStream:
    """A stream.

    Attributes:
        options: all that it had, in order.
        received: the sound.
        calls: names of what was called besides `append`.
    """

    recognizer: ScriptedLiveRecognizer
    first_options: LiveOptions
    on_event: Callable[[LiveEvent], None]
    received: bytearray = field(default_factory=bytearray)
    calls: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.options = [self.first_options]
        self._utterance = 0
        self._begin_ms = 0
        self._words_sent = 0

    @property
    def now_ms(self) -> int:
        return len(self.received) * 1000 // (2 * SAMPLE_RATE)

    async def append(self, pcm: bytes) -> None:
        assert len(pcm) % 2 == 0
        piece = 2 * SAMPLE_RATE // 50
        for start in range(0, len(pcm), piece):
            self.received += pcm[start : start + piece]
            self._advance()
        while self.recognizer.held:
            await asyncio.sleep(0.005)

    async def commit(self) -> bool:
        self.calls.append("commit")
        if self.now_ms - self._begin_ms < 100:
            return False
        self._end()
        return True

    async def clear(self) -> None:
        self.calls.append("clear")
        self._utterance += self._words_sent > 0
        self._begin_ms, self._words_sent = self.now_ms, 0

    async def update(self, options: LiveOptions) -> None:
        if self.recognizer.refused is not None:
            raise self.recognizer.refused
        self.options.append(options)

    async def finish(self) -> None:
        self.calls.append("finish")
        if self.now_ms > self._begin_ms:
            self._end()

    async def close(self) -> None:
        self.calls.append("close")

    @property
    def _words(self) -> list[str]:
        return SENTENCES[self._utterance % len(SENTENCES)].split()

    def _advance(self) -> None:
        """Send the words whose time has come, and the end of the utterance where it is found."""
        passed = (self.now_ms - self._begin_ms) / 1000 / self.recognizer.seconds
        turns = self.options[-1].turn_detection
        if passed > 0 and not self._words_sent and turns is not None:
            self.on_event(SpeechStarted(self._utterance, self._begin_ms))
        words = self._words
        while self._words_sent < min(len(words), int(passed * len(words)) + 1):
            self.on_event(Delta(self._utterance, f"{' ' if self._words_sent else ''}{words[self._words_sent]}"))
            self._words_sent += 1
        if passed >= 1 and turns is not None:
            self.on_event(SpeechStopped(self._utterance, self.now_ms))
            self._end()

    def _end(self) -> None:
        number, begin, end = self._utterance, self._begin_ms, self.now_ms
        self.on_event(Committed(number, begin, end))
        options, text = self.options[-1], SENTENCES[number % len(SENTENCES)]
        segment: dict[str, Any] = {
            "id": number, "seek": 0, "start": begin / 1000, "end": end / 1000, "text": f" {text}", "tokens": [50364],
            "temperature": 0.0, "avg_logprob": -0.2, "compression_ratio": 1.1, "no_speech_prob": 0.01,
        }  # fmt: skip
        if options.word_timestamps:
            words = [f" {word}" for word in text.split()]
            step = (end - begin) / 1000 / len(words)
            segment["words"] = [
                {
                    "word": word,
                    "start": begin / 1000 + at * step,
                    "end": begin / 1000 + (at + 1) * step,
                    "probability": 0.9,
                }
                for at, word in enumerate(words)
            ]
        if options.diarize:
            segment["speaker"] = f"SPEAKER_0{number % 2}"
        logprobs = [{"token": text, "logprob": -0.1, "bytes": list(text.encode())}] if options.logprobs else None
        self._utterance, self._begin_ms, self._words_sent = number + 1, end, 0
        self.on_event(Completed(number, [segment], text, "en", (end - begin) / 1000, begin, end, logprobs, []))


OUR_EVENTS = {"session.warning", "session.finished", "session.resumed"}


def _by_type(union: Any) -> dict[str, type[pydantic.BaseModel]]:
    models = get_args(get_args(union)[0])
    return {get_args(model.model_fields["type"].annotation)[0]: model for model in models}


_EVENTS = {"ga": _by_type(RealtimeServerEvent), "beta": _by_type(beta.RealtimeServerEvent)}


def assert_is_openais(event: dict[str, Any]) -> None:
    """Asserts that an event has the type of the installed `openai` package, in either layout, or is one of ours."""
    kind = event["type"]
    is_beta = kind == "conversation.item.created" or "input_audio_format" in event.get("session", {})
    if kind in OUR_EVENTS:
        return
    if kind.startswith("transcription_session."):
        updated = {**event, "type": "transcription_session.updated"}  # the package has no `created`
        session = {**event["session"], "client_secret": {"value": "", "expires_at": 0}}  # null over WebSocket
        beta.TranscriptionSessionUpdatedEvent.model_validate({**updated, "session": session}, strict=True)
        return
    if event.get("session", {}).get("audio", {}).get("input", {}).get("format", {}).get("rate") == 16000:
        event = json.loads(json.dumps(event).replace('"rate": 16000', '"rate": 24000'))  # all that OpenAI offers
    _EVENTS["beta" if is_beta else "ga"][kind].model_validate(event, strict=True)


class Caller:
    """A WebSocket connection to `/v1/realtime`; each event is checked."""

    def __init__(self, port: int, query: str = "intent=transcription", **options: Any) -> None:
        options = {"open_timeout": 20, "max_size": None, "compression": None, **options}
        self._opened = connect(f"ws://127.0.0.1:{port}/v1/realtime?{query}", **options)
        self.socket: ClientConnection = self._opened.__enter__()

    def __enter__(self) -> Caller:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.__exit__(None, None, None)

    def lose(self) -> None:
        """Cut the connection, without a close frame."""
        self.socket.socket.shutdown(socket.SHUT_RDWR)

    def close_code(self) -> int:
        """The code that the server closes with, after events that were not read."""
        try:
            while True:
                self.next()
        except ConnectionClosed as closed:
            assert closed.rcvd is not None
            return closed.rcvd.code

    def update(self, **fields: Any) -> dict[str, Any]:
        """Change the settings of `session.audio.input`; the answer."""
        self.send("session.update", session={"type": "transcription", "audio": {"input": fields}})
        return self.next("session.updated", "error")

    def append(self, sound: bytes) -> None:
        self.send("input_audio_buffer.append", audio=base64.b64encode(sound).decode())

    def send(self, type: str, **fields: Any) -> None:
        self.socket.send(json.dumps({"type": type, **fields}))

    def next(self, *types: str, timeout: float = 20.0) -> dict[str, Any]:
        """The next event, or the next of some types."""
        while True:
            event: dict[str, Any] = json.loads(self.socket.recv(timeout))
            assert_is_openais(event)
            if not types or event["type"] in types:
                return event

    def until(self, type: str) -> list[dict[str, Any]]:
        """All events up to the next of a type."""
        events = [self.next()]
        while events[-1]["type"] != type:
            events.append(self.next())
        return events
