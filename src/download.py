"""A caller's audio → a file: fetched from a URL, or decoded from base64.

URLs go through `src.public_http`, redirects too: each target is a request of its own, to a public address or not at
all, and what comes along with a redirect is not read. A transfer that breaks goes on where it stopped, if the server
vouches that the file is the same.
"""

import base64
import binascii
import concurrent.futures
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import IO
from urllib.parse import urljoin, urlsplit

import requests
from requests.utils import default_headers, get_environ_proxies, select_proxy

from src.errors import DownloadFailed, InvalidInput, TooLarge, prefix_errors
from src.job_control import JobControl
from src.public_http import MALFORMED, Failure, NetworkError, check_url, network_errors, send
from src.request.audio_source import MAX_BYTES, AudioSource

_NAME = "media"  # of the file, whatever the URL calls it
_CHUNK = 1 << 16  # bytes
_TIMEOUTS = (10.0, 30.0)  # seconds to connect, and to wait for the next bytes
_ATTEMPTS = 4
_BACKOFF = 0.5  # seconds before the second attempt, doubled before each further one
_REDIRECTS = 5
_SAMPLE_TIMEOUT = 60.0  # seconds that the download of a speaker's sample may take

_LATE = "the download took longer than its time limit"
_WORDS = {
    Failure.UNRESOLVED: "the host name of the URL cannot be resolved",
    Failure.REFUSED: "the URL is refused: it, and what it redirects to, must be http(s) at a public address, "
    f"in {_REDIRECTS} redirects at most",
    Failure.INSECURE: "no secure connection to the URL's host: check its TLS certificate",
    Failure.SILENT: "the URL's host does not answer, or fell silent",
    Failure.BROKEN: "the connection to the URL's host failed",
}


class _Broken(Exception):
    """An attempt failed in a way that the next one may not; the message is fit for the caller."""


def fetch(
    source: AudioSource, folder: Path, *, max_bytes: int, timeout: float, control: JobControl | None = None
) -> Path:
    """The sound of a job as a file in `folder`: see `download` and `decode_base64`."""
    if source.url is None:
        return decode_base64(source.base64 or "", folder, max_bytes=max_bytes)
    return download(source.url, folder, max_bytes=max_bytes, timeout=timeout, control=control)


def fetch_samples(sources: Mapping[str, AudioSource], folder: Path, control: JobControl) -> dict[str, Path]:
    """Each sample as a file in `folder`.

    Raises:
        WorkerError: naming the sample that cannot be had.
    """
    samples = {}
    for number, (name, source) in enumerate(sources.items()):
        own = folder / f"sample-{number}"
        own.mkdir()
        with prefix_errors(f"options.speakers.{name}"):
            samples[name] = fetch(source, own, max_bytes=MAX_BYTES, timeout=_SAMPLE_TIMEOUT, control=control)
    return samples


def download(url: str, folder: Path, *, max_bytes: int, timeout: float, control: JobControl | None = None) -> Path:
    """Fetch `url` into a file in `folder` and return its path.

    `timeout` is the time for everything in seconds, retries included. Raises InvalidInput for a malformed
    URL, DownloadFailed for one that does not give a file in time, TooLarge for more than `max_bytes`, and
    Cancelled when `control` stops the job; none of them leaves a file behind.
    """
    check_url(url)
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
            now = time.monotonic()
            if now >= deadline:
                raise DownloadFailed(_LATE) from None
            if attempt == _ATTEMPTS or now + pause > deadline:
                raise DownloadFailed(f"{broken} (attempt {attempt} of {_ATTEMPTS})") from None
        time.sleep(pause)
        pause *= 2
    return None


def _attempt(url: str, part: _Part, max_bytes: int, deadline: float) -> None:
    """Download what is missing of `part`. Raises _Broken when another attempt may do better."""
    # Compressed bodies are declined: a few kilobytes of gzip can unpack to gigabytes.
    headers = {**default_headers(), "Accept-Encoding": "identity", **part.range_headers()}
    with _failures_in_words():
        response = _get(url, headers, deadline)
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


def _get(url: str, headers: dict[str, str], deadline: float) -> requests.Response:
    """What `url` answers at the end of its redirects.

    Raises NetworkError, REFUSED also for too many redirects or a target that is not http(s), and ValueError for a
    target that is malformed.
    """
    for _ in range(_REDIRECTS + 1):
        if select_proxy(url, get_environ_proxies(url)):  # as the SDK: what must go by a proxy does not go past it
            raise NetworkError(Failure.REFUSED)
        request = requests.Request("GET", url, headers=headers)
        response = send(url, request.prepare, timeouts=_TIMEOUTS, deadline=deadline)
        if response.status_code not in (301, 302, 303, 307, 308):
            return response
        response.close()
        url = _target(url, response.headers.get("Location"))
    raise NetworkError(Failure.REFUSED)


def _target(url: str, location: str | None) -> str:
    """Where a redirect of `url` leads; a user and password in `url` go along to paths of the same host only."""
    target = urljoin(url, location or "")
    parts = urlsplit(target)
    if not location or parts.scheme not in ("http", "https") or not parts.hostname:
        raise NetworkError(Failure.REFUSED)
    return target


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
        with _failures_in_words():
            chunk: bytes = response.raw.read1(_CHUNK, decode_content=False)
        if not chunk:
            return
        yield chunk


@contextmanager
def _failures_in_words() -> Iterator[None]:
    """Tell what can go wrong on the network in words that hold no URL and no address."""
    try:
        with network_errors():
            yield
    except NetworkError as error:
        raise _in_words(error.failure) from None
    except ValueError:  # of requests and urllib.parse, for what the URL redirects to
        raise InvalidInput(MALFORMED) from None


def _in_words(failure: Failure) -> Exception:
    if failure is Failure.MALFORMED:
        return InvalidInput(MALFORMED)
    return _Broken(_WORDS[failure]) if failure.passing else DownloadFailed(_WORDS[failure])


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
