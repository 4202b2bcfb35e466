"""Requests of HTTP, right ones that were damaged, for the HTTP API in front of a scripted transcriber."""

from __future__ import annotations

import base64
import json
import random
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

from api.http import middleware, uploads
from api.http.door import DoorSettings
from tests.support.http_api import BOUNDARY, Api, api_on_loopback, form, part, post

MAX_SECONDS = 5.0
MAX_BODY = 3_000_000

_HEADERS = (
    *("Content-Length: 5", "Content-Length: 0", "Transfer-Encoding: chunked", "Transfer-Encoding: gzip, chunked"),
    *("Expect: 100-continue", "Content-Encoding: gzip", "Connection: keep-alive", "Upgrade: websocket"),
    *("Content-Type: application/json", "Content-Type: multipart/form-data", "Host: <script>", "Origin: null"),
    *("Authorization: Bearer \xff", "x-request-id: a\tb", "X: " + "a" * 70_000, "Cookie: \x00", " folded"),
)
_PATHS = (
    "/v1/audio/transcriptions",
    "/run",
    "/runsync?wait=500",
    "/asr?output=srt",
    "/v1//audio",
    "/status/%2e%2e/%00",
)
_VALUES = (
    *("", "true", "nan", "1e999", "9" * 5000, "[" * 3000, "{}" * 3000, '{"a":' * 3000, "\ud800", "\x00", "a," * 30_000),
    *("[NaN]", '["word","word"]', "data:audio/wav;base64,UklG", "file:///etc/passwd", "http://127.0.0.1/", "é\r\nx: 1"),
)
_NAMES = (
    *("model", "language", "prompt", "response_format", "temperature", "stream", "include[]", "keywords[]", "url"),
    *("timestamp_granularities[]", "chunking_strategy", "chunking_strategy[threshold]", "known_speaker_names[]"),
    *("known_speaker_references[]", "hotwords", "custom_vocabulary", "file", "audio_file", "a[b][c]", "", "x" * 3000),
)


def draw_http(number: int, seed: int) -> tuple[str, dict[str, Any]]:
    """A description, and a request's bytes in base64."""
    dice = random.Random(f"{seed}/http/{number}")
    request = _form_request(dice) if dice.random() < 0.6 else _json_request(dice)
    damage = dice.choice(("whole", "a header more", "a byte changed", "cut off", "a piece twice"))
    at = dice.randrange(len(request))
    if damage == "a header more":
        request = request.replace(b"\r\n", f"\r\n{dice.choice(_HEADERS)}\r\n".encode("latin-1"), 1)
    elif damage == "a byte changed":
        request = request[:at] + dice.randbytes(1) + request[at + 1 :]
    elif damage == "cut off":
        request = request[:at]
    elif damage == "a piece twice":
        request = request[:at] + request[max(0, at - dice.randrange(3000)) :]
    return damage, {"request": base64.b64encode(request[:MAX_BODY]).decode()}


def http_faults(drawn: dict[str, Any]) -> list[str]:
    """Send a request: it is answered without a 5xx or refused in seconds, and nothing of it is left."""
    request = base64.b64decode(drawn["request"])
    with (
        tempfile.TemporaryDirectory() as folder,
        patch.multiple(middleware, LINGER_SECONDS=0.2),
        patch.multiple(uploads, STALL_SECONDS=0.5),
        api_on_loopback(settings=DoorSettings(upload_seconds=2.0)) as api,
    ):
        api.door.folder = Path(folder)
        started = time.monotonic()
        answer = _send(api, request)
        faults = [f"took {time.monotonic() - started:.1f} s"] if time.monotonic() - started > MAX_SECONDS else []
        statuses = [line[9:12] for line in answer.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
        if any(status >= b"500" for status in statuses):
            faults.append(f"was answered {answer[:300]!r}")
        if not _send(api, b"GET /health HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").startswith(b"HTTP/1.1 200"):
            faults.append("the next request was not answered")
        end = time.monotonic() + 2.0
        while (left := [api.door.requests, api.door.held_bytes, len([*Path(folder).iterdir()])]) != [0, 0, 0]:
            if time.monotonic() > end:
                return [*faults, f"requests, bytes in memory and uploads are left: {left}"]
            time.sleep(0.01)
    return faults


def _send(api: Api, request: bytes) -> bytes:
    """What is answered until the connection ends, or nothing comes for a second."""
    received = bytearray()
    with api.connect() as connection, suppress(OSError):
        connection.sendall(request)
        connection.settimeout(1.0)
        while chunk := connection.recv(65536):
            received += chunk
    return bytes(received)


def _form_request(dice: random.Random) -> bytes:
    fields = [part(dice.choice(_NAMES), _value(dice)) for _ in range(dice.randrange(8))]
    fields *= dice.choice((1, 1, 1, 1, 700))
    files = [part("file", dice.randbytes(dice.randrange(5000)), dice.choice((None, "a.wav", "../a", "é")))]
    parts = [*fields, *files * dice.choice((0, 1, 1, 1, 2))]
    dice.shuffle(parts)
    body = form(*parts)
    if dice.random() < 0.1:
        body = body.replace(BOUNDARY.encode(), dice.randbytes(10))
    return post(dice.choice(_PATHS), body[:MAX_BODY], chunked=dice.random() < 0.3)


def _json_request(dice: random.Random) -> bytes:
    fields = {dice.choice(_NAMES): dice.choice(_VALUES) for _ in range(dice.randrange(5))}
    body = {**fields, "input": {"audio": dice.choice(_VALUES)}, "input_audio": {"data": dice.choice(_VALUES)}}
    text = json.dumps(body).encode()
    request = post(dice.choice(_PATHS), text, chunked=dice.random() < 0.3)
    return request.replace(b"multipart/form-data", b"application/json")


def _value(dice: random.Random) -> bytes:
    return dice.choice(_VALUES).encode("utf-8", "surrogatepass") if dice.random() < 0.9 else dice.randbytes(50)
