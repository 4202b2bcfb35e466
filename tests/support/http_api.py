"""The HTTP API on loopback with a scripted transcriber, and requests as bytes."""

from __future__ import annotations

import asyncio
import base64
import platform
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from api.http.app import create_app
from api.http.connections import BoundedConnection
from api.http.door import Door, DoorSettings
from api.http.server import listen
from api.http.sockets import SOCKET_SETTINGS
from api.live.recognizer import LiveRecognizer
from api.page.services import PageServices
from api.page.settings import PageSettings
from api.transcriber import Answer, Job, Listener, Schema, request_id
from transcript.formats.cues import Cue
from transcript.formats.stl import to_stl
from transcript.formats.timed_words import TimedWord

platform.processor()  # starts a process, whose answer is kept: otherwise the SDK would start it in a test

SENTENCES = ("Good morning.", "What is it?", "It is noon.")

SEGMENTS: list[dict[str, Any]] = [
    {"id": number, "seek": 0, "start": 2.0 * number, "end": 2.0 * number + 1.5, "text": f" {sentence}",
     "tokens": [50364, 440], "temperature": 0.0, "avg_logprob": -0.2, "compression_ratio": 1.1, "no_speech_prob": 0.01,
     "speaker": f"SPEAKER_0{number % 2}",
     "words": [{"word": f" {sentence}", "start": 2.0 * number, "end": 2.0 * number + 1.5, "probability": 0.9}],
     "logprobs": [{"token": sentence, "logprob": -0.1, "bytes": list(sentence.encode())}]}
    for number, sentence in enumerate(SENTENCES)
]  # fmt: skip

STL = to_stl([Cue(0, 1500, [[TimedWord("Good morning.", 0, 1500)]])], "en", 25, "00:00:00:00", date(2026, 1, 1)).content
"""EBU STL; it has bytes that are no UTF-8."""

ANSWER: Answer = {
    "transcription": {
        "text": " ".join(SENTENCES),
        "language": "en",
        "segments": SEGMENTS,
        "verbose_json": {
            "task": "transcribe", "language": "english", "duration": 6.0, "text": " ".join(SENTENCES),
            "segments": SEGMENTS, "words": [{"word": "Good", "start": 0.0, "end": 0.5}],
        },
        "srt": "1\n00:00:00,000 --> 00:00:01,500\nGood morning.\n",
        "vtt": "WEBVTT\n\n00:00.000 --> 00:01.500\nGood morning.\n",
        "tsv": "start\tend\ttext\n0\t1500\tGood morning.\n",
        "ass": "[Script Info]\n",
        "lrc": "[00:00.00]Good morning.\n",
        "stl": base64.b64encode(STL).decode(),
    },
    "metadata": {
        "model": "turbo", "audio_duration": 6.0, "processing_time": 0.5, "language": "en", "language_probability": 0.99,
        "warnings": [],
    },
}  # fmt: skip


@dataclass
class ScriptedTranscriber:
    """Answers each job alike.

    Attributes:
        answer: what a job answers, or raises.
        seconds: what a job takes.
        progress: what it reports at its beginning.
        segments: what it then streams, one after the other.
        held: while true, jobs go on after that.
        jobs: those that began.
        uploads: their recordings; None: they had none.
        request_ids: those that they ran for.
        cancelled: number of jobs that were cancelled.
    """

    answer: Answer | BaseException = field(default_factory=lambda: ANSWER)
    seconds: float = 0.0
    progress: Sequence[tuple[str, float]] = (("inference", 0.0),)
    segments: Sequence[dict[str, Any]] = ()
    held: bool = False
    keep_uploads: bool = True
    jobs: list[Job] = field(default_factory=list)
    uploads: list[bytes | None] = field(default_factory=list)
    request_ids: list[str | None] = field(default_factory=list)
    cancelled: int = 0

    async def run(self, job: Job, listener: Listener) -> Answer:
        self.jobs.append(job)
        self.request_ids.append(request_id.get())
        self.uploads.append(job.upload.read_bytes() if job.upload and self.keep_uploads else None)
        for stage, fraction in self.progress:
            listener.on_progress(stage, fraction)
        try:
            for segment in self.segments if listener.on_segments else ():
                listener.on_segments([segment])
                await asyncio.sleep(0)
            await asyncio.sleep(self.seconds)
            while self.held:
                await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    async def models(self, wanted: str | None = None) -> list[str]:
        return ["turbo", "base"]

    def option_schemas(self) -> Mapping[str, Schema]:
        return {
            "diarize": {"type": "boolean"},
            "word_timestamps": {"type": "boolean"},
            "beam_size": {"type": "integer"},
            "custom_vocabulary": {"type": "array"},
            "vad_threshold": {"type": "number"},
        }


@dataclass(frozen=True)
class Api:
    """The HTTP API, as it runs in this process."""

    port: int
    transcriber: ScriptedTranscriber
    door: Door
    page: PageServices | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def connect(self, timeout: float = 20.0) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def send(self, request: bytes, timeout: float = 20.0) -> bytes:
        """All that is answered until the server closes the connection, as it is asked to."""
        with self.connect(timeout) as connection:
            connection.sendall(request)
            return read_all(connection)


@contextmanager
def api_on_loopback(
    transcriber: ScriptedTranscriber | None = None,
    settings: DoorSettings | None = None,
    page: PageSettings | None = None,
    live: LiveRecognizer | None = None,
) -> Iterator[Api]:
    """Serves the HTTP API on a free port.

    Args:
        transcriber: behind it.
        settings: of it.
        page: settings of the page; None: it has none.
        live: for live transcription; None: there is none.
    """
    transcriber = transcriber or ScriptedTranscriber()
    app = create_app(transcriber, settings or DoorSettings(), page=page, live=live)
    with served(app) as port:
        yield Api(port, transcriber, app.state.door, app.state.page)


@contextmanager
def served(app: ASGIApp) -> Iterator[int]:
    """Serves an app on a free port until the end of the block."""
    config = uvicorn.Config(
        app, log_config=None, http=BoundedConnection, loop="asyncio", timeout_graceful_shutdown=1, **SOCKET_SETTINGS
    )
    server = uvicorn.Server(config)
    with listen("127.0.0.1", 0, "the server") as listening:
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(10)
            assert not thread.is_alive()


def wait_until(condition: Callable[[], object], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"still not true after {seconds:.0f} s"
        time.sleep(0.005)


def read_all(connection: socket.socket) -> bytes:
    """Everything that comes until the other side closes the connection."""
    received = bytearray()
    while chunk := connection.recv(65536):
        received += chunk
    return bytes(received)


BOUNDARY = "a-boundary"


def part(name: str, value: bytes, file_name: str | None = None, extra: str = "") -> bytes:
    """A part of a form, with its opening boundary."""
    named = "" if file_name is None else f'; filename="{file_name}"'
    head = f'--{BOUNDARY}\r\ncontent-disposition: form-data; name="{name}"{named}\r\n{extra}\r\n'
    return head.encode() + value + b"\r\n"


def form(*parts: bytes) -> bytes:
    """A form with its closing boundary."""
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def post(path: str, body: bytes, *headers: str, length: int | None = None, chunked: bool = False) -> bytes:
    """A request with a form, after which the connection is closed.

    Args:
        path: of the request.
        body: of the request; with `chunked` as one chunk.
        headers: further lines.
        length: as declared; None: the true one.
        chunked: true: without a length.
    """
    size = "transfer-encoding: chunked" if chunked else f"content-length: {len(body) if length is None else length}"
    if chunked:
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    lines = (
        f"POST {path} HTTP/1.1",
        "host: localhost",
        "connection: close",
        f"content-type: multipart/form-data; boundary={BOUNDARY}",
        size,
        *headers,
    )
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body
