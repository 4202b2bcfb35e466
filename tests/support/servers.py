"""HTTP servers on loopback: one that serves a folder, and one that plays a script of answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from email.message import Message
from functools import partial
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

ServerT = TypeVar("ServerT", bound=ThreadingHTTPServer)


def free_port() -> int:
    """A port of the loopback interface at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def running(server: ServerT) -> Iterator[ServerT]:
    """Runs a server in a thread until the end of the block."""
    with server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


@contextmanager
def serve_folder(folder: Path) -> Iterator[str]:
    """Serves the files of a folder; yields the server's URL."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(folder))
    with running(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}"


class ScriptedHandler(BaseHTTPRequestHandler):
    """Answers each request with the next function of the server's script."""

    protocol_version = "HTTP/1.1"
    server: ScriptedServer

    def do_GET(self) -> None:
        self._play()

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        self._play(body if len(body) == length else None)

    def answer(self, status: int = 200, body: bytes = b"", /, **headers: str | None) -> None:
        """Sends a whole answer.

        Args:
            status: The HTTP status.
            body: The body, whose length is sent unless `headers` has another.
            headers: Headers, with `_` for `-`; None leaves a header out.
        """
        self.send_response(status)
        lines = {"Content-Length": str(len(body)), **{name.replace("_", "-"): line for name, line in headers.items()}}
        for name, value in lines.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass

    def _play(self, body: bytes | None = b"") -> None:
        """Plays the next answer; a request whose body is incomplete (None) gets none."""
        self.close_connection = True
        self.server.requests.append(self.headers)
        self.server.paths.append(self.path)
        if body is None:
            return
        self.server.received.append((self.headers, body))
        script = self.server.script
        with suppress(BrokenPipeError, ConnectionResetError):  # the client closed the connection
            (script.pop(0) if len(script) > 1 else script[0])(self)


class ScriptedServer(ThreadingHTTPServer):
    """Plays a script: one function per request, the last function for all later requests.

    Attributes:
        script: The functions that are still to be played.
        requests: Headers of all requests.
        paths: Paths of all requests, with their queries.
        received: Headers and bodies of the requests that arrived whole.
    """

    daemon_threads = True

    def __init__(self, *script: Callable[[Any], object]) -> None:
        super().__init__(("127.0.0.1", 0), ScriptedHandler)
        self.script = list(script)
        self.requests: list[Message] = []
        self.paths: list[str] = []
        self.received: list[tuple[Message, bytes]] = []
