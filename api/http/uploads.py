"""Bodies of requests: forms, whose file is written to disk as it arrives, and JSON; every size and time is limited."""

from __future__ import annotations

import asyncio
import logging
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.types import Message

from api import json_text
from api.http.door import Door
from api.openai.errors import ApiError, to_error, too_busy

MIB = 1024**2

STALL_SECONDS = 30.0
"""A body that sends nothing for so long is given up."""

MAX_PARTS = 2500
"""Of a form; a vocabulary has one for each of up to 2000 terms."""

MAX_FIELD_BYTES = 12 * MIB
"""Of all of a form's fields but the file, which are held in memory: four voices of 10 s as data URLs fit."""

MAX_JSON_BYTES = 32 * MIB
MAX_JSON_VALUES = 100_000
"""Of a body; base64 is one."""

VALUE_BYTES = 128
"""In memory, once parsed, of each value: an object of 9 bytes takes some 200."""

MAX_HELD_BYTES = 512 * MIB
"""Of all bodies that are in memory at the same time: of fields, and of JSON."""

_MAX_HEADERS = 16
_MAX_HEADER_BYTES = 4096

logging.getLogger("python_multipart").setLevel(logging.ERROR)  # its warnings quote the body


@dataclass(frozen=True)
class Form:
    """A form.

    Attributes:
        fields: names and values, in order.
        file: the recording; None: the form has none.
    """

    fields: list[tuple[str, str]]
    file: Path | None


@asynccontextmanager
async def receive_form(request: Request, file_field: str = "file", reserved_bytes: int = 0) -> AsyncIterator[Form]:
    """Receive a form (`multipart/form-data`, RFC 7578); its file is deleted at the end of the block.

    Args:
        request: whose body has not been read.
        file_field: the name of the recording's part, which needs no file name then.
        reserved_bytes: left free before the recording, for a header.

    Raises:
        ApiError: the form is malformed, empty, too large or too slow, or there is no space for it.
        ClientDisconnect: the caller has hung up.
    """
    boundary = _boundary(request)
    door: Door = request.app.state.door
    with _temporary_folder(door.folder) as folder:
        with closing(_FormWriter(boundary, Path(folder, "upload"), file_field, reserved_bytes)) as writer:
            async for chunk in receive_chunks(request, door.settings.max_upload_bytes):
                await run_in_threadpool(writer.write, chunk)
                _hold(request, writer.field_bytes)
            form = writer.form()
        yield form


async def receive_json(request: Request, max_bytes: int = MAX_JSON_BYTES, max_values: int = MAX_JSON_VALUES) -> Any:
    """Receive a body in JSON, whatever its content type.

    Args:
        request: whose body has not been read.
        max_bytes: limit of the body, besides `max_upload_bytes`.
        max_values: limit of the values in it.

    Raises:
        ApiError: the body is no JSON, too large or too slow.
        ClientDisconnect: the caller has hung up.
    """
    body = bytearray()
    async for chunk in receive_chunks(request, min(max_bytes, request.app.state.door.settings.max_upload_bytes)):
        _hold(request, len(body) + len(chunk))
        body += chunk
    values = await run_in_threadpool(lambda: sum(body.count(mark) for mark in b"[{,"))
    if values > max_values:
        raise ApiError(400, f"the body has over {max_values} values")
    _hold(request, len(body) + values * VALUE_BYTES)
    return await run_in_threadpool(_parse_json, body)


async def receive_chunks(request: Request, max_bytes: int) -> AsyncIterator[bytes]:
    """Receive a body as it comes, within the limits of size and time.

    Args:
        request: whose body has not been read.
        max_bytes: limit of the body.

    Raises:
        ApiError: the body is compressed, too large or too slow.
        ClientDisconnect: the caller has hung up.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise ApiError(415, "the body is compressed: send it without content-encoding")
    if int(request.headers.get("content-length", 0)) > max_bytes:  # digits, as h11 makes sure
        raise _too_large(max_bytes)
    door: Door = request.app.state.door
    started = time.monotonic()
    received = 0
    more = True
    while more:
        message = await _next_message(request, started, door.settings.upload_seconds)
        chunk: bytes = message.get("body", b"")
        more = message.get("more_body", False)
        received += len(chunk)
        door.metrics.upload_bytes.inc(len(chunk))
        if received > max_bytes:
            raise _too_large(max_bytes)
        if chunk:
            yield chunk


async def receive_small_json(request: Request, max_bytes: int) -> Any:
    """Receive a body in JSON that is too small to be counted against the memory of all bodies.

    Args:
        request: whose body has not been read.
        max_bytes: limit of the body.

    Raises:
        ApiError: the body is no JSON, too large or too slow.
        ClientDisconnect: the caller has hung up.
    """
    return _parse_json(bytearray(b"".join([chunk async for chunk in receive_chunks(request, max_bytes)])))


def _parse_json(body: bytearray) -> Any:
    try:
        return json_text.from_json(body)
    except ValueError:
        raise ApiError(400, "the body is no valid JSON: send an object in UTF-8") from None


def held_bytes(request: Request) -> int:
    """Bytes in memory of a request's body that has been received."""
    return getattr(request.state, "held_bytes", 0)


def content_type_of(request: Request) -> str:
    """The content type without its parameters, in lower case; empty: none."""
    return parse_options_header(request.headers.get("content-type"))[0].decode("latin-1").lower()


def _hold(request: Request, size: int) -> None:
    """Count a request's bytes in memory until the request ends (see `Admission`).

    Raises:
        ApiError: there is no room for them.
    """
    door: Door = request.app.state.door
    more = size - held_bytes(request)
    if door.held_bytes + more > MAX_HELD_BYTES:
        raise too_busy(
            "the server has no memory left for this body: try again later, or send the recording as a file of a form"
        )
    door.held_bytes += more
    request.state.held_bytes = size


async def _next_message(request: Request, started: float, upload_seconds: float) -> Message:
    left = started + upload_seconds - time.monotonic()
    try:
        message = await asyncio.wait_for(request.receive(), min(STALL_SECONDS, left))
    except asyncio.TimeoutError:
        if left > STALL_SECONDS:
            raise ApiError(408, f"the body stalled for {STALL_SECONDS:g} seconds", should_retry=True) from None
        raise ApiError(408, f"the body took over {upload_seconds:g} seconds: send a smaller file") from None
    if message["type"] == "http.disconnect":
        raise ClientDisconnect
    return message


def _too_large(max_bytes: int) -> ApiError:
    return ApiError(413, f"the body is over {max_bytes} bytes: send a smaller or more compressed file", param="file")


def _boundary(request: Request) -> bytes:
    content_type, parameters = parse_options_header(request.headers.get("content-type"))
    if content_type.lower() != b"multipart/form-data":
        raise ApiError(415, "the content type should be multipart/form-data, or application/json")
    if not parameters.get(b"boundary"):
        raise ApiError(400, "the content type has no boundary: leave it to the HTTP library")
    return parameters[b"boundary"]


def _temporary_folder(folder: Path) -> tempfile.TemporaryDirectory[str]:
    try:
        return tempfile.TemporaryDirectory(dir=folder, prefix="upload-", ignore_cleanup_errors=True)
    except OSError as error:
        raise _no_space(error) from error


def _no_space(error: OSError) -> ApiError:
    logging.getLogger(__name__).error("an upload could not be stored: error %s", error.errno)
    return to_error({"error": "the server has no space for the upload: try again", "error_type": "OutOfResources"})


class _FormWriter:
    """Parses a form chunk by chunk; writes its file to disk, and keeps its fields.

    Attributes:
        field_bytes: of names and values so far.
    """

    def __init__(self, boundary: bytes, path: Path, file_field: str, reserved_bytes: int) -> None:
        self._path = path
        self._file_field = file_field
        self._reserved_bytes = reserved_bytes
        self._file: BinaryIO | None = None
        self._fields: list[tuple[str, str]] = []
        self.field_bytes = 0
        self._parts = 0
        self._headers: dict[bytes, bytes] = {}
        self._header_name = bytearray()
        self._header_value = bytearray()
        self._name = ""
        self._value = bytearray()
        self._in_file = False
        self._is_complete = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin_part,
                    "on_header_field": lambda data, start, end: self._header_name.extend(data[start:end]),
                    "on_header_value": lambda data, start, end: self._header_value.extend(data[start:end]),
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._end_headers,
                    "on_part_data": self._take_data,
                    "on_part_end": self._end_part,
                    "on_end": self._end,
                },
                max_header_count=_MAX_HEADERS,
                max_header_size=_MAX_HEADER_BYTES,
            )
        except FormParserError:
            raise ApiError(400, "the form's boundary is over 256 bytes: leave it to the HTTP library") from None

    def write(self, chunk: bytes) -> None:
        """Take the next bytes of the body.

        Raises:
            ApiError: the form is malformed or too large, or there is no space for it.
        """
        try:
            self._parser.write(chunk)
        except FormParserError:
            raise ApiError(400, "the body is no valid multipart/form-data") from None
        except OSError as error:
            raise _no_space(error) from error

    def form(self) -> Form:
        """The form, once its body has ended.

        Raises:
            ApiError: it has not ended with its closing boundary, or its file is empty.
        """
        if not self._is_complete:
            raise ApiError(400, "the form ends early: its closing boundary is missing")
        if self._file is None:
            return Form(self._fields, None)
        if not self._path.stat().st_size:
            raise ApiError(400, f"{self._file_field}: is empty, send a recording", param=self._file_field)
        return Form(self._fields, self._path)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()

    def _begin_part(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise ApiError(400, f"the form has over {MAX_PARTS} parts")
        self._headers = {}

    def _end_header(self) -> None:
        self._headers[bytes(self._header_name).lower()] = bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()

    def _end_headers(self) -> None:
        if self._headers.get(b"content-transfer-encoding", b"binary").lower() not in (b"binary", b"8bit", b"7bit"):
            raise ApiError(400, "a part of the form has a content-transfer-encoding: send its bytes as they are")
        _, parameters = parse_options_header(self._headers.get(b"content-disposition"))
        if b"name" not in parameters:
            raise ApiError(400, "a part of the form has no name")
        self._name = _decode(parameters[b"name"], "the name of a field")
        self._value.clear()
        self._in_file = b"filename" in parameters or self._name == self._file_field
        if self._in_file:
            if self._file is not None:
                raise ApiError(
                    400,
                    f"{self._file_field}: should be the form's only file: send other fields without a file name",
                    param=self._file_field,
                )
            self._file = self._path.open("wb", buffering=0)
            self._file.seek(self._reserved_bytes)
        else:
            self._count(len(self._name))

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        if self._in_file:
            assert self._file is not None
            rest = memoryview(data)[start:end]
            while rest:
                rest = rest[self._file.write(rest) :]
        else:
            self._count(end - start)
            self._value += data[start:end]

    def _count(self, size: int) -> None:
        self.field_bytes += size
        if self.field_bytes > MAX_FIELD_BYTES:
            raise ApiError(413, f"the fields of the form are over {MAX_FIELD_BYTES / MIB:g} MiB")

    def _end_part(self) -> None:
        if not self._in_file:
            self._fields.append((self._name, _decode(self._value, "a field of the form")))

    def _end(self) -> None:
        self._is_complete = True


def _decode(value: bytes | bytearray, what: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise ApiError(400, f"{what} is no UTF-8") from None
