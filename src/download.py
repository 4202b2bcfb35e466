"""A caller's audio → a file: fetched from a URL, or decoded from base64.

URLs go through the SDK's `safe_get`, which dials public addresses only and checks every redirect anew. Its
messages, like those of requests, hold the URL, and with it signatures and resolved addresses: none of them
is passed on. A transfer that breaks goes on where it stopped, if the server vouches that the file is the same.
"""

import base64
import binascii
import concurrent.futures
import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from threading import Thread
from typing import IO
from urllib.parse import urlsplit

import requests
from runpod.serverless.utils.rp_ssrf import SSRFError, safe_get
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as SocketTimeout

from src.errors import DownloadFailed, InvalidInput, TooLarge
from src.job_control import JobControl

_NAME = "media"  # of the file, whatever the URL calls it
_CHUNK = 1 << 16  # bytes
_TIMEOUTS = (10.0, 30.0)  # seconds to connect, and to wait for the next bytes
_ATTEMPTS = 4
_BACKOFF = 0.5  # seconds before the second attempt, doubled before each further one
_NO_LIMIT = 1 << 62  # bytes; `safe_get` has a limit of its own, with an error that cannot be told from a refusal

_MALFORMED = "the URL is malformed: it must be http:// or https:// and name a host"
_LATE = "the download took longer than its time limit"


class _Broken(Exception):
    """An attempt failed in a way that the next one may not; the message is fit for the caller."""


def download(url: str, folder: Path, *, max_bytes: int, timeout: float, control: JobControl | None = None) -> Path:
    """Fetch `url` into a file in `folder` and return its path.

    `timeout` is the time for everything in seconds, retries included. Raises InvalidInput for a malformed
    URL, DownloadFailed for one that does not give a file in time, TooLarge for more than `max_bytes`, and
    Cancelled when `control` stops the job; none of them leaves a file behind.
    """
    _check_url(url)
    target = folder / _NAME
    deadline = time.monotonic() + timeout
    try:
        with target.open("wb", buffering=0) as file:
            _within(timeout, lambda: _fetch(url, file, max_bytes, deadline), control or JobControl())
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return target


def decode_base64(text: str, folder: Path, *, max_bytes: int) -> Path:
    """Decode `text` into a file in `folder` and return its path.

    Takes the standard and the URL-safe alphabet, white space anywhere, a `data:…;base64,` prefix, and padding
    that is right or left out. Raises InvalidInput for anything else, TooLarge for more than `max_bytes`.
    """
    prefix = re.match(r"\s*data:[^,]{0,200};base64,", text, re.IGNORECASE)
    try:
        encoded = text[prefix.end() if prefix else 0 :].encode("ascii")
        encoded = encoded.translate(bytes.maketrans(b"-_", b"+/"), delete=b" \t\r\n\f\v")
        digits = encoded.rstrip(b"=")
        if len(digits) * 3 // 4 > max_bytes:
            raise TooLarge(_too_large(max_bytes))
        padded = digits + b"=" * (-len(digits) % 4)
        if encoded not in (digits, padded):  # Python's own strictness about padding differs by version
            raise binascii.Error
        data = base64.b64decode(padded, validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise InvalidInput("the audio is not valid base64: encode the file's bytes by RFC 4648") from None
    if not data:
        raise InvalidInput("the audio is empty: encode the file's bytes as base64")
    return _write(folder / _NAME, data)


def _write(target: Path, data: bytes) -> Path:
    try:
        target.write_bytes(data)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return target


def _check_url(url: str) -> None:
    """Raise InvalidInput unless `url` is an absolute http or https URL."""
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an unclosed IPv6 bracket, a port that is no number
        sound = False
    if not sound or not url.isprintable():
        raise InvalidInput(_MALFORMED)


def _within(seconds: float, work: Callable[[], None], control: JobControl) -> None:
    """Run `work`, and stop waiting for it when `control` stops the job, or after `seconds` with DownloadFailed.

    A thread, because a socket's time limit holds for one read: a server that drips its headers byte by byte
    keeps http.client busy for days. A thread left behind ends at its next look at the clock.
    """
    outcome: concurrent.futures.Future[None] = concurrent.futures.Future()

    def settle(error: BaseException | None) -> None:
        with suppress(concurrent.futures.InvalidStateError):  # whichever comes first
            outcome.set_exception(error) if error else outcome.set_result(None)

    def run() -> None:
        try:
            work()
        except BaseException as error:
            settle(error)
        else:
            settle(None)

    Thread(target=run, name="download", daemon=True).start()
    try:
        with control.ending(lambda: settle(None)):
            outcome.result(seconds)
    except concurrent.futures.TimeoutError:
        raise DownloadFailed(_LATE) from None


@dataclass
class _Part:
    """What has been downloaded so far, and what tells that the rest belongs to the same file."""

    file: IO[bytes]
    total: int | None = None  # bytes of the whole file, when the server declared them
    validator: str | None = None  # for If-Range: a strong ETag or a date (RFC 9110, 13.1.5)

    def range_headers(self) -> dict[str, str]:
        """The headers that ask for the missing rest, or for all when there is nothing to go on from."""
        if not self.file.tell() or self.total is None:
            return {}
        condition = {"If-Range": self.validator} if self.validator else {}
        return {"Range": f"bytes={self.file.tell()}-", **condition}

    def continues(self, response: requests.Response) -> bool:
        """Whether `response` (206) starts where this part ends and is of a file of the same length."""
        return response.headers.get("Content-Range", "") == f"bytes {self.file.tell()}-{_last(self.total)}/{self.total}"

    def restart(self, response: requests.Response | None = None) -> None:
        """Drop what is there; `response`, when given, now brings the whole file."""
        self.file.seek(0)
        self.file.truncate()
        self.total = _declared_length(response) if response is not None else None
        self.validator = _validator(response) if response is not None else None


def _fetch(url: str, file: IO[bytes], max_bytes: int, deadline: float) -> None:
    """Download `url` into `file` in a few attempts; `deadline` is on the monotonic clock."""
    part = _Part(file)
    pause = _BACKOFF
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _attempt(url, part, max_bytes, deadline)
        except _Broken as broken:
            if attempt == _ATTEMPTS or time.monotonic() + pause > deadline:
                raise DownloadFailed(f"{broken} (attempt {attempt} of {_ATTEMPTS})") from None
        time.sleep(pause)
        pause *= 2
    return None


def _attempt(url: str, part: _Part, max_bytes: int, deadline: float) -> None:
    """Download what is missing of `part`. Raises _Broken when another attempt may do better."""
    # Compressed bodies are declined: a few kilobytes of gzip can unpack to gigabytes.
    headers = {"Accept-Encoding": "identity", **part.range_headers()}
    with _network_errors():
        response = safe_get(url, headers=headers, timeout=_TIMEOUTS, max_bytes=_NO_LIMIT)
    with response:
        _check_response(response, part)
        if part.total is not None and part.total > max_bytes:
            raise TooLarge(_too_large(max_bytes))
        for chunk in _body(response):
            if time.monotonic() > deadline:
                raise DownloadFailed(_LATE)
            if part.file.tell() + len(chunk) > max_bytes:
                raise TooLarge(_too_large(max_bytes))
            part.file.write(chunk)
    if part.total is not None and part.file.tell() < part.total:
        raise _Broken("the connection to the URL's host broke off before the end of the file")
    if part.file.tell() == 0:
        raise DownloadFailed("the URL gives an empty file")


def _check_response(response: requests.Response, part: _Part) -> None:
    """Raise unless the body that follows is the file (`part` is emptied for it) or the rest of `part`."""
    status = response.status_code
    if status in (408, 416, 429) or status >= 500:
        if status == 416:
            part.restart()
        raise _Broken(f"the URL answers with HTTP status {status}")
    if status == 206 and part.file.tell():
        if not part.continues(response):
            part.restart()
            raise _Broken("the URL's host resumed the download at the wrong place")
    elif status == 200:
        part.restart(response)
    else:
        hint = "; if the link is signed, it may have expired" if status in (401, 403, 404, 410) else ""
        raise DownloadFailed(f"the URL answers with HTTP status {status}{hint}")
    if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity", "aws-chunked"):
        raise DownloadFailed("the URL gives a compressed body (Content-Encoding): serve the file as it is")


def _body(response: requests.Response) -> Iterator[bytes]:
    """The bytes on the wire, as they come: waiting for full chunks would hide a server that drips."""
    while True:
        with _network_errors():
            chunk: bytes = response.raw.read1(_CHUNK, decode_content=False)
        if not chunk:
            return
        yield chunk


@contextmanager
def _network_errors() -> Iterator[None]:
    """Tell what can go wrong on the network in words that hold no URL and no address."""
    try:
        yield
    except SSRFError as error:
        if isinstance(error.__cause__, socket.gaierror):
            raise _Broken("the host name of the URL cannot be resolved") from None
        raise DownloadFailed(
            "the URL is refused: it, and what it redirects to, must be http(s) at a public address, "
            "in 5 redirects at most"
        ) from None
    except requests.exceptions.SSLError:
        raise DownloadFailed("no secure connection to the URL's host: check its TLS certificate") from None
    except ValueError:  # of requests and urllib.parse, for the URL or what it redirects to
        raise InvalidInput(_MALFORMED) from None
    except (requests.Timeout, SocketTimeout):
        raise _Broken("the URL's host does not answer, or fell silent") from None
    except (requests.RequestException, HTTPError, HTTPException, OSError):
        raise _Broken("the connection to the URL's host failed") from None


def _declared_length(response: requests.Response) -> int | None:
    """Bytes of the body by Content-Length, which has no say over a chunked one (RFC 9112, 6.3)."""
    declared = response.headers.get("Content-Length", "")
    if "Transfer-Encoding" in response.headers or not re.fullmatch("[0-9]{1,18}", declared):
        return None
    return int(declared)


def _validator(response: requests.Response) -> str | None:
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified")


def _last(total: int | None) -> int:
    """The position of the last byte of a file of `total` bytes."""
    return (total or 0) - 1


def _too_large(max_bytes: int) -> str:
    return f"the file is larger than the limit of {max_bytes / 2**20:.4g} MiB"
