"""A web server of this machine for the jobs of a soak: recordings that break off on the way, a receiver of webhooks."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

URL_SECRET = "SITE-SIGNATURE"
"""Stands in every address; no log may hold it."""

SIGNING_KEY = "whsec_" + "c29hay1zb2FrLXNvYWstc29hay1zb2Fr"
_DRIP = 0.1  # seconds between two bytes of a recording that comes slowly


@dataclass(frozen=True)
class Hook:
    """A webhook as it came; `taken` is whether the receiver said so."""

    job: int
    taken: bool
    headers: dict[str, str]
    body: bytes

    @property
    def type(self) -> str:
        return str(json.loads(self.body)["type"])


class Site:
    """Runs from `__enter__` to `__exit__`.

    /sound/NAME is a recording, /slow/NAME comes a byte at a time, /dead and /missing never come, /hook takes webhooks.
    In the query `job` is the job's number, and `breaks` how many of its first requests go wrong.
    """

    def __init__(self, recordings: dict[str, bytes]) -> None:
        self.recordings = recordings
        self.hooks: list[Hook] = []
        self.broken = 0
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __enter__(self) -> Site:
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.site = self
        threading.Thread(target=self._server.serve_forever, name="site", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def url(self, path: str, job: int, breaks: int = 0) -> str:
        return f"http://127.0.0.1:{self._server.server_port}{path}?job={job}&breaks={breaks}&signature={URL_SECRET}"

    def hooks_of(self, job: int) -> list[Hook]:
        with self._lock:
            return [hook for hook in self.hooks if hook.job == job]

    def take(self, hook: Hook) -> None:
        with self._lock:
            self.hooks.append(hook)

    def breaks(self, kind: str, query: dict[str, list[str]]) -> int:
        """The number of failures of this request, this one included; 0 if this one is to succeed."""
        key = f"{kind}/{query['job'][0]}"
        with self._lock:
            self._seen[key] += 1
            wrong = self._seen[key] <= int(query["breaks"][0])
            self.broken += wrong
            return self._seen[key] if wrong else 0


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    site: Site

    def handle_error(self, *_: Any) -> None:
        """Silent: a client that hangs up is what cancelled jobs do."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        place, query = self._asked()
        if place[0] in ("sound", "slow"):
            data = self._site.recordings[place[1]]
            times = self._site.breaks("sound", query)
            if times and (times + int(query["job"][0])) % 2:
                self._refuse(500)
            else:
                self._send(data, slowly=place[0] == "slow", break_off=times > 0)
        elif place[0] == "dead":
            self._hang_up()
        else:
            self._refuse(404)

    def do_POST(self) -> None:
        _, query = self._asked()
        body = self.rfile.read(int(self.headers["Content-Length"]))
        kind = "progress" if b'"transcription.progress"' in body[:100] else "outcome"
        times = self._site.breaks(kind, query) if kind == "outcome" else 0
        headers = {key.lower(): value for key, value in self.headers.items()}
        self._site.take(Hook(int(query["job"][0]), not times, headers, body))
        if times == 1:
            self._refuse(503)
        elif times:
            self._hang_up()
        else:
            self._head(204, 0)

    def log_message(self, *_: Any) -> None:
        pass

    @property
    def _site(self) -> Site:
        assert isinstance(self.server, _Server)
        return self.server.site

    def _asked(self) -> tuple[list[str], dict[str, list[str]]]:
        parts = urlsplit(self.path)
        return parts.path.strip("/").split("/"), parse_qs(parts.query)

    def _send(self, data: bytes, *, slowly: bool, break_off: bool) -> None:
        start = self._range()
        if start:
            self._head(206, len(data) - start, {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"})
        else:
            self._head(200, len(data))
        rest = data[start:]
        if break_off:
            self.wfile.write(rest[: len(rest) // 2])
            self._hang_up()
        elif slowly:
            for place in range(len(rest)):
                self.wfile.write(rest[place : place + 1])
                time.sleep(_DRIP)
        else:
            self.wfile.write(rest)

    def _range(self) -> int:
        """The first byte that is asked for: those who go on from somewhere ask "bytes=123-"."""
        return int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))

    def _head(self, status: int, length: int, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(length), "ETag": '"one"', **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()

    def _refuse(self, status: int) -> None:
        self._head(status, 0)

    def _hang_up(self) -> None:
        self.wfile.flush()
        self.close_connection = True
