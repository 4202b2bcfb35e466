"""Hostile servers for downloads, webhooks and buckets, and addresses that lead inside, where a listener counts."""

from __future__ import annotations

import gzip
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.fuzzing.trial import HOSTILE
from tests.support.servers import running

Send = Callable[[bytes], None]

_OK = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _OK + b"Transfer-Encoding: chunked\r\n\r\n"
_BLOCK = b"10000\r\n" + bytes(65_536) + b"\r\n"
_BOMB = gzip.compress(bytes(20_000_000))
MAX_SERVER_S = 150.0
"""A bucket is given two minutes."""

_SECONDS = 180.0
"""Longer than any job may take: a server that has ended would hide a thread that waits for it."""


def _once(answer: bytes) -> Callable[[Send], None]:
    return lambda send: send(answer)


def _endless(head: bytes, block: bytes, pause: float = 0.0) -> Callable[[Send], None]:
    def play(send: Send) -> None:
        send(head)
        end = time.monotonic() + _SECONDS
        while time.monotonic() < end:
            send(block)
            time.sleep(pause)

    return play


def _redirect(target: str, status: int = 302) -> Callable[[Send], None]:
    return _once(f"HTTP/1.1 {status} x\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode())


MISBEHAVIOURS: dict[str, Callable[[Send], None]] = {
    "headers that drip": _endless(_OK + b"X: ", b"a", 0.2),
    "headers without end": _endless(_OK, b"X: y\r\n" * 500),
    "a header without end": _endless(_OK + b"X: ", b"a" * 65_536),
    "a status line without end": _endless(b"HTTP/1.1 200 ", b"a" * 65_536),
    "100 Continue for ever": _endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2000),
    "a body without end": _endless(_OK + b"\r\n", bytes(65_536)),
    "chunks without end": _endless(_CHUNKED, _BLOCK),
    "chunks of one byte": _endless(_CHUNKED, b"1\r\na\r\n" * 1000),
    "a chunk extension without end": _endless(_CHUNKED + b"1;", b"a" * 65_536),
    "a body that drips": _endless(_OK + b"Content-Length: 100000\r\n\r\n", b"a", 0.2),
    "an error page without end": _endless(b"HTTP/1.1 403 x\r\nTransfer-Encoding: chunked\r\n\r\n", _BLOCK),
    "a redirect's body without end": _endless(
        b"HTTP/1.1 307 x\r\nLocation: /\r\nTransfer-Encoding: chunked\r\n\r\n", _BLOCK
    ),
    "a redirect to itself": _redirect("/a-redirect-to-itself"),
    "a redirect to a file": _redirect("file:///etc/passwd"),
    "a redirect to a service": _redirect("ftp://127.0.0.1/"),
    "a length that is negative": _once(_OK + b"Content-Length: -1\r\n\r\nok"),
    "a length of many digits": _once(_OK + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\nok"),
    "two lengths": _once(_OK + b"Content-Length: 2\r\nContent-Length: 100\r\n\r\nok"),
    "a length and chunks": _once(_OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    "a chunk of 2^80 bytes": _once(_CHUNKED + b"f" * 20 + b"\r\n"),
    "a gzip bomb": _once(_OK + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(_BOMB) + _BOMB),
    "a range nobody asked for": _once(b"HTTP/1.1 206 x\r\nContent-Range: bytes 5-6/7\r\nContent-Length: 2\r\n\r\nok"),
    "no HTTP": _once(b"\x16\x03\x01" + bytes(2000)),
    "nothing": _once(b""),
    "cookies by the thousand": _once(_OK + b"Set-Cookie: a=b\r\n" * 90 + b"Content-Length: 2\r\n\r\nok"),
    "a Retry-After of years": _once(b"HTTP/1.1 503 x\r\nRetry-After: 999999999\r\nContent-Length: 0\r\n\r\n"),
}
"""How a server may answer, by a description."""

SILENCE = "silence"
"""A server that does not answer, and waits until its client hangs up."""

ROLES = ("audio", "audio", "webhook", "bucket", "sample")
"""What a hostile server is for its job; its recording is twice as likely."""

_HOSTS = (
    *("127.0.0.1", "localhost", "LOCALHOST", "localhost.", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1"),
    *("0177.0.0.1", "017700000001", "0", "0.0.0.0", "[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]"),
    *("[::ffff:7f00:1]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]", "[64:ff9b::127.0.0.1]", "[64:ff9b:1::7f00:1]"),
    *("[2002:7f00:1::]", "[2001:0:7f00:1::]", "[fe80::1]", "[fe80::1%25lo]", "[fec0::1]", "user:pass@127.0.0.1"),
    *("example.com@127.0.0.1", "127.0.0.1\\@example.com", "example.com\\@127.0.0.1", "①②⑦.⓪.⓪.①", "127。0。0。1"),
    *("ⓛocalhost", "ip6-localhost", "127.0.0.1%00.example.com"),
)
"""Spellings of this machine; each must be refused."""


class HostileServer:
    """Answers a request for /NAME with a misbehaviour; any other path, 404. It runs from `__enter__` to `__exit__`."""

    def __enter__(self) -> HostileServer:
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=100)
        threading.Thread(target=self._accept, name=HOSTILE, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @property
    def address(self) -> str:
        """Scheme, host and port."""
        return f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def url(self, misbehaviour: str) -> str:
        """The address at which the server misbehaves in this way."""
        return self.address + _path(misbehaviour)

    def job(self, number: int, seed: int, recording: str) -> tuple[str, dict[str, Any]]:
        """A description, and a job in which the server plays a role; `recording` is a right one, in base64."""
        dice = random.Random(f"{seed}/server/{number}")
        misbehaviour, role = dice.choice([SILENCE, *sorted(MISBEHAVIOURS)]), dice.choice(ROLES)
        url = self.url(misbehaviour)
        right = {"audio": {"base64": recording}, "options": {"temperature": 0}}
        job: dict[str, Any] = {"id": f"server-{number}", "input": right}
        if role == "audio":
            job["input"] = right | {"audio": {"url": url}}
        elif role == "webhook":
            job["input"] = right | {"webhook": {"url": url, "progress": dice.random() < 0.5}}
        elif role == "sample":
            job["input"] = right | {"options": {"diarize": True, "speakers": {"Ada": {"url": url}}}}
        else:
            job["input"] = right | {"upload": {"prefix": "team"}}
            job["s3Config"] = {"accessId": "a", "accessSecret": "b", "bucketName": "bucket", "endpointUrl": url}
        return f"{role}: {misbehaviour}", job

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._answer, args=(connection,), name=HOSTILE, daemon=True).start()

    def _answer(self, connection: socket.socket) -> None:
        with connection, suppress(OSError, IndexError):
            path = connection.recv(65_536).split()[1].decode("latin-1")
            if path.startswith(f"/{SILENCE}"):
                while connection.recv(65_536):
                    pass
            elif names := [name for name in MISBEHAVIOURS if path.startswith(_path(name))]:
                MISBEHAVIOURS[max(names, key=len)](connection.sendall)
            else:
                connection.sendall(b"HTTP/1.1 404 x\r\nContent-Length: 0\r\n\r\n")


def _path(misbehaviour: str) -> str:
    return f"/{misbehaviour.replace(' ', '-')}"


class Inside:
    """A service of this machine that no job may reach; counts what arrives."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._arrived = 0

    def arrive(self) -> None:
        """Counts a request."""
        self._arrived += 1

    def faults(self) -> Iterator[str]:
        """What arrived since the last call."""
        arrived, self._arrived = self._arrived, 0
        if arrived:
            yield f"reached a service inside {arrived} times"

    def job(self, number: int, seed: int, recording: str) -> tuple[str, dict[str, Any]]:
        """A description, and a job with an address that leads inside; `recording` is a right one, in base64."""
        dice = random.Random(f"{seed}/inside/{number}")
        url = f"{dice.choice(['http', 'http', 'https'])}://{dice.choice(_HOSTS)}:{self._port}/a"
        role = dice.choice(["audio", "webhook", "bucket"])
        right = {"audio": {"base64": recording}, "options": {"temperature": 0}}
        job: dict[str, Any] = {"id": f"inside-{number}", "input": right}
        if role == "audio":
            job["input"] = {"audio": {"url": url}}
        elif role == "webhook":
            job["input"] = right | {"webhook": {"url": url}}
        else:
            job["input"] = right | {"upload": {"prefix": "team"}}
            job["s3Config"] = {"accessId": "a", "accessSecret": "b", "bucketName": "bucket", "endpointUrl": url}
        return f"{role}: {url}", job


@contextmanager
def inside() -> Iterator[Inside]:
    """Runs the service on all addresses of this machine until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def handle_one_request(self) -> None:
            service.arrive()
            self.close_connection = True

    with running(ThreadingHTTPServer(("0.0.0.0", 0), Handler)) as server:
        service = Inside(server.server_port)
        yield service
