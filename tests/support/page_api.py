"""Requests to the page as a browser sends them, and as others do."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from hashlib import sha256
from http.client import HTTPConnection
from types import MappingProxyType
from typing import Any

from api.http.page_session import PIECE_BYTES

NO_HEADERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Response:
    """An answer of the page.

    Attributes:
        status: of HTTP.
        headers: all of them.
        body: as it was sent.
    """

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """Of the error."""
        code: str | None = self.json["error"]["code"]
        return code


@dataclass
class Browser:
    """A browser with one page open: same origin, and the cookie that it was given.

    Attributes:
        port: of the server.
        cookie: name and value; empty: none.
    """

    port: int
    cookie: str = ""
    session: Response = field(init=False)

    def __post_init__(self) -> None:
        self.session = self.get("/page/api/session")

    def get(self, path: str, **headers: str) -> Response:
        return self.ask("GET", path, headers=headers)

    def post(self, path: str, content: Any) -> Response:
        return self.ask("POST", path, json.dumps(content).encode())

    def upload(self, content: bytes, name: str) -> str:
        """The id of a finished upload."""
        about = {"name": name, "size": len(content), "fingerprint": sha256(content).hexdigest()}
        upload_id: str = self.post("/page/api/uploads", about).json["id"]
        for offset in range(0, len(content), PIECE_BYTES):
            piece = content[offset : offset + PIECE_BYTES]
            assert self.ask("PUT", f"/page/api/uploads/{upload_id}?offset={offset}", piece).status == 200
        return upload_id

    def log_in(self, password: str) -> Response:
        return self.post("/page/api/session", {"password": password})

    def ask(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] = NO_HEADERS) -> Response:
        own = {
            "sec-fetch-site": "same-origin",
            "x-requested-by": "page",
            **({"cookie": self.cookie} if self.cookie else {}),
        }
        response = ask(self.port, method, path, body, {**own, **headers})
        if set_cookie := response.headers["set-cookie"]:
            self.cookie = set_cookie.partition(";")[0]
        return response


def ask(port: int, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] = NO_HEADERS) -> Response:
    """Send a request with these headers and no others but `Host` and the length."""
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.putrequest(method, path, skip_host="host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.putheader("content-length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return Response(answer.status, answer.headers, answer.read())
    finally:
        connection.close()
