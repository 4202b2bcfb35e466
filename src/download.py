"""Fetches a job's audio into a file: from a URL, or decoded from base64.

URLs are requested through `src.public_http`, and so is each redirect: every host must have public addresses only, and
the body of a redirect is not read. An interrupted transfer is resumed, if the server confirms that the file is the
same.
"""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urljoin, urlsplit

import requests
from requests.utils import default_headers, get_environ_proxies, select_proxy

from src.deadline import DeadlineExceeded, run_within
from src.errors import DownloadFailed, InvalidInput, TooLarge, prefix_errors
from src.job_control import JobControl
from src.public_http import MALFORMED, Failure, NetworkError, RetryPolicy, check_url, network_errors, send
from src.request.audio_source import MAX_SAMPLE_BYTES, AudioSource

RETRY_POLICY = RetryPolicy(pauses=(0.5, 1.0, 2.0), timeouts=(10.0, 30.0))

_FILE_NAME = "media"  # whatever the URL calls it
_CHUNK_BYTES = 1 << 16
_MAX_REDIRECTS = 5
_SAMPLE_TIMEOUT_S = 60.0  # for the download of one speaker's sample

_TIMED_OUT = "the download took longer than its time limit"
_MESSAGES = {
    Failure.UNRESOLVED: "the host name of the URL cannot be resolved",
    Failure.REFUSED: "the URL is refused: it and its redirects must be http(s) at a public address, "
    f"with at most {_MAX_REDIRECTS} redirects",
    Failure.INSECURE: "no secure connection to the URL's host: check its TLS certificate",
    Failure.SILENT: "the URL's host does not answer, or stopped sending",
    Failure.BROKEN: "the connection to the URL's host failed",
}


class _Transient(Exception):
    """A failed attempt that may be repeated; the message is fit for the caller."""


def fetch(
    source: AudioSource, folder: Path, *, max_bytes: int, timeout: float, control: JobControl | None = None
) -> Path:
    """Write the audio of `source` to a file in `folder`: see `download` and `decode_base64`."""
    if source.url is None:
        return decode_base64(source.base64 or "", folder, max_bytes=max_bytes)
    return download(source.url, folder, max_bytes=max_bytes, timeout=timeout, control=control)


def fetch_samples(sources: Mapping[str, AudioSource], folder: Path, control: JobControl) -> dict[str, Path]:
    """Write each speaker's sample to a file in `folder`.

    Returns:
        The files by the speakers' names.

    Raises:
        WorkerError: naming the sample that cannot be fetched.
    """
    samples = {}
    for number, (name, source) in enumerate(sources.items()):
        sample_folder = folder / f"sample-{number}"
        sample_folder.mkdir()
        with prefix_errors(f"options.speakers.{name}"):
            samples[name] = fetch(
                source, sample_folder, max_bytes=MAX_SAMPLE_BYTES, timeout=_SAMPLE_TIMEOUT_S, control=control
            )
    return samples


def download(
    url: str,
    folder: Path,
    *,
    max_bytes: int,
    timeout: float,
    control: JobControl | None = None,
    policy: RetryPolicy = RETRY_POLICY,
) -> Path:
    """Download `url` into a file in `folder`, in at most `timeout` seconds, retries included.

    An error leaves no file behind.

    Returns:
        The file's path.

    Raises:
        InvalidInput: the URL is malformed.
        DownloadFailed: it did not give a file in time.
        TooLarge: the file has more than `max_bytes`.
        Cancelled: by `control`.
    """
    check_url(url)
    control = control or JobControl()
    target = folder / _FILE_NAME
    deadline = time.monotonic() + timeout
    try:
        with target.open("wb", buffering=0) as file:
            transfer = _Transfer(url, file, max_bytes, deadline, policy)
            run_within(timeout, transfer.run, name="download", on_cancel=control.on_cancel)
    except DeadlineExceeded:
        target.unlink(missing_ok=True)
        raise DownloadFailed(_TIMED_OUT) from None
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return target


def decode_base64(text: str, folder: Path, *, max_bytes: int) -> Path:
    """Decode `text` into a file in `folder`; an error leaves no file behind.

    Accepts the standard and the URL-safe alphabet, white space anywhere, a `data:…;base64,` prefix, and padding that is
    correct or absent.

    Returns:
        The file's path.

    Raises:
        InvalidInput: `text` is anything else.
        TooLarge: the file has more than `max_bytes`.
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
    return _write(folder / _FILE_NAME, data)


def _write(target: Path, data: bytes) -> Path:
    try:
        target.write_bytes(data)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return target


@dataclass
class _Transfer:
    """The download of one file: the bytes so far, and the validator that the rest must match."""

    url: str
    file: IO[bytes]
    max_bytes: int
    deadline: float
    """On the monotonic clock."""
    policy: RetryPolicy
    total: int | None = None
    """Bytes of the whole file, if the server declared them."""
    validator: str | None = None
    """For If-Range: a strong ETag or a date (RFC 9110, 13.1.5)."""

    def run(self) -> None:
        """Download the file, in several attempts if need be."""
        for attempt, pause in enumerate((*self.policy.pauses, None), 1):
            try:
                return self._attempt()
            except _Transient as failure:
                now = time.monotonic()
                if now >= self.deadline:
                    raise DownloadFailed(_TIMED_OUT) from None
                if pause is None or now + pause > self.deadline:
                    raise DownloadFailed(f"{failure} (attempt {attempt} of {self.policy.attempts})") from None
            self.policy.sleep(pause)
        return None

    def _attempt(self) -> None:
        """Download the missing bytes.

        Raises:
            _Transient: another attempt may succeed.
        """
        # Compressed bodies are declined: a few kilobytes of gzip can unpack to gigabytes.
        headers = {**default_headers(), "Accept-Encoding": "identity", **self._range_headers()}
        with _readable_errors():
            response = self._get(headers)
        with response:
            self._check_response(response)
            if self.total is not None and self.total > self.max_bytes:
                raise TooLarge(_too_large(self.max_bytes))
            for chunk in _body(response):
                if time.monotonic() > self.deadline:
                    raise DownloadFailed(_TIMED_OUT)
                if self.file.tell() + len(chunk) > self.max_bytes:
                    raise TooLarge(_too_large(self.max_bytes))
                self.file.write(chunk)
        if self.total is not None and self.file.tell() < self.total:
            raise _Transient("the connection to the URL's host broke off before the end of the file")
        if self.file.tell() == 0:
            raise DownloadFailed("the URL gives an empty file")

    def _get(self, headers: dict[str, str]) -> requests.Response:
        """Request the URL, following redirects.

        Raises:
            NetworkError: REFUSED also for too many redirects, or a target that is not http(s).
            ValueError: a redirect's target is malformed.
        """
        url = self.url
        for _ in range(_MAX_REDIRECTS + 1):
            # As the SDK does: a request that must go through a proxy is not sent past it.
            if select_proxy(url, get_environ_proxies(url)):
                raise NetworkError(Failure.REFUSED)
            request = requests.Request("GET", url, headers=headers)
            response = send(url, request.prepare, timeouts=self.policy.timeouts, deadline=self.deadline)
            if response.status_code not in (301, 302, 303, 307, 308):
                return response
            response.close()
            url = _redirect_target(url, response.headers.get("Location"))
        raise NetworkError(Failure.REFUSED)

    def _check_response(self, response: requests.Response) -> None:
        """Raise unless the body is the file (the bytes so far are dropped) or the rest of it."""
        status = response.status_code
        if status in (408, 416, 429) or status >= 500:
            if status == 416:
                self._restart()
            raise _Transient(f"the URL answers with HTTP status {status}")
        if status == 206 and self.file.tell():
            if not self._is_continued_by(response):
                self._restart()
                raise _Transient("the URL's host resumed the download at the wrong place")
        elif status == 200:
            self._restart(response)
        else:
            hint = "; if the link is signed, it may have expired" if status in (401, 403, 404, 410) else ""
            raise DownloadFailed(f"the URL answers with HTTP status {status}{hint}")
        if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity", "aws-chunked"):
            raise DownloadFailed("the URL gives a compressed body (Content-Encoding): serve the file as it is")

    def _range_headers(self) -> dict[str, str]:
        """The headers that ask for the missing bytes; none, for the whole file, if it cannot be resumed."""
        if not self.file.tell() or self.total is None:
            return {}
        condition = {"If-Range": self.validator} if self.validator else {}
        return {"Range": f"bytes={self.file.tell()}-", **condition}

    def _is_continued_by(self, response: requests.Response) -> bool:
        """True if `response` (206) begins at the end of the bytes so far, of a file of the same length."""
        last = (self.total or 0) - 1
        return response.headers.get("Content-Range", "") == f"bytes {self.file.tell()}-{last}/{self.total}"

    def _restart(self, response: requests.Response | None = None) -> None:
        """Drop the bytes so far; `response`, if given, brings the whole file."""
        self.file.seek(0)
        self.file.truncate()
        self.total = _declared_length(response) if response is not None else None
        self.validator = _validator(response) if response is not None else None


def _redirect_target(url: str, location: str | None) -> str:
    """The URL that `url` redirects to; a user and password in `url` are kept for paths of the same host only."""
    target = urljoin(url, location or "")
    parts = urlsplit(target)
    if not location or parts.scheme not in ("http", "https") or not parts.hostname:
        raise NetworkError(Failure.REFUSED)
    return target


def _body(response: requests.Response) -> Iterator[bytes]:
    """Yield the bytes as they arrive: waiting for full chunks would hide a server that sends byte by byte."""
    while True:
        with _readable_errors():
            chunk: bytes = response.raw.read1(_CHUNK_BYTES, decode_content=False)
        if not chunk:
            return
        yield chunk


@contextmanager
def _readable_errors() -> Iterator[None]:
    """Turn network exceptions into sentences without URLs and addresses."""
    try:
        with network_errors():
            yield
    except NetworkError as error:
        raise _to_exception(error.failure) from None
    except ValueError:  # of requests and urllib.parse, for a redirect's target
        raise InvalidInput(MALFORMED) from None


def _to_exception(failure: Failure) -> Exception:
    if failure is Failure.MALFORMED:
        return InvalidInput(MALFORMED)
    return _Transient(_MESSAGES[failure]) if failure.is_transient else DownloadFailed(_MESSAGES[failure])


def _declared_length(response: requests.Response) -> int | None:
    """Bytes of the body by Content-Length, which does not apply to a chunked body (RFC 9112, 6.3)."""
    declared = response.headers.get("Content-Length", "")
    if "Transfer-Encoding" in response.headers or not re.fullmatch("[0-9]{1,18}", declared):
        return None
    return int(declared)


def _validator(response: requests.Response) -> str | None:
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified")


def _too_large(max_bytes: int) -> str:
    return f"the file is larger than the limit of {max_bytes / 2**20:.4g} MiB"
