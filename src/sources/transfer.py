"""Downloads one file in several attempts: what arrived is kept, and the rest is asked for.

The file may be at a URL or in a bucket: a `Remote` sends the requests and knows their errors. Here are the limits that
hold for both: size, time, cancellation, and that the rest is of the same file.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Protocol

import requests

from src.deadline import DeadlineExceeded, run_within
from src.errors import DownloadFailed, explain_os_error
from src.job_control import JobControl
from src.public_http import (
    Failure,
    NetworkError,
    OpenSocket,
    RetryPolicy,
    TransientFailure,
    attempt_repeatedly,
    network_errors,
)
from src.sources.limits import TIMED_OUT, too_large

RETRY_POLICY = RetryPolicy(pauses=(0.5, 1.0, 2.0), timeouts=(10.0, 30.0))

REPLACED = 412
"""HTTP status of an answer to If-Match when the file is no longer the same."""

_CHUNK_BYTES = 1 << 16
_COMPRESSIONS = {"gzip", "x-gzip", "deflate", "br", "zstd", "compress", "x-compress"}


class Remote(Protocol):
    """A file on a server."""

    name: str
    """In sentences: what gives the file."""

    host: str
    """In sentences: what is connected to."""

    def request(
        self, headers: Mapping[str, str], policy: RetryPolicy, deadline: float, open_socket: OpenSocket
    ) -> requests.Response:
        """Request the file.

        Args:
            headers: of the transfer, in addition to the remote's own.
            policy: has the timeouts of the request.
            deadline: on the monotonic clock.
            open_socket: ends the request.

        Returns:
            An answer with status 200 or 206, one that `is_transient`, or `REPLACED`.

        Raises:
            DownloadFailed: it is refused.
            TransientFailure: another attempt may succeed.
        """

    def condition(self, validator: str) -> dict[str, str]:
        """The header by which the rest of the file is given only if the file is still the same.

        Args:
            validator: a strong ETag or a date (RFC 9110, 13.1.5).
        """

    def explain(self, error: NetworkError) -> Exception:
        """What to raise for a broken connection."""


def is_transient(status: int) -> bool:
    """True for an HTTP status after which another attempt may succeed."""
    return status in (408, 416, 429) or status >= 500


def transfer(
    remote: Remote,
    target: Path,
    *,
    max_bytes: int,
    timeout: float,
    control: JobControl,
    policy: RetryPolicy = RETRY_POLICY,
) -> None:
    """Download `remote` into the file `target`, in at most `timeout` seconds, retries included.

    Raises:
        DownloadFailed: it did not give a file in time.
        TooLarge: the file has more than `max_bytes`.
        OSError: the file cannot be written.
        Cancelled: by `control`.
    """
    open_socket = OpenSocket()
    with target.open("wb") as file:
        work = _Transfer(remote, file, max_bytes, time.monotonic() + timeout, policy, open_socket)
        try:
            run_within(timeout, work.run, name="download", interrupt=open_socket.end, on_cancel=control.on_cancel)
        except DeadlineExceeded:
            raise DownloadFailed(TIMED_OUT) from None
        except TransientFailure as failure:
            raise DownloadFailed(str(failure)) from None


@contextmanager
def removed_on_error(target: Path) -> Iterator[None]:
    """Remove the file if the block fails; name the worker's resource if it failed for want of one."""
    try:
        yield
    except OSError as error:
        target.unlink(missing_ok=True)
        raise explain_os_error(error) or error from None
    except BaseException:
        target.unlink(missing_ok=True)
        raise


class _Transfer:
    """The download of one file: the bytes so far, and the validator that the rest must match."""

    def __init__(
        self,
        remote: Remote,
        file: IO[bytes],
        max_bytes: int,
        deadline: float,
        policy: RetryPolicy,
        open_socket: OpenSocket,
    ) -> None:
        self._remote = remote
        self._file = file
        self._max_bytes = max_bytes
        self._deadline = deadline
        self._policy = policy
        self._open_socket = open_socket
        self._total: int | None = None
        """Bytes of the whole file, if the server declared them."""
        self._validator: str | None = None

    def run(self) -> None:
        """Download the file, in several attempts if need be."""
        attempt_repeatedly(self._attempt, self._policy, self._deadline, self._open_socket.ended)

    def _attempt(self) -> None:
        """Download the missing bytes.

        Raises:
            TransientFailure: another attempt may succeed.
        """
        headers = self._range_headers()
        with self._remote.request(headers, self._policy, self._deadline, self._open_socket) as response:
            self._check_response(response)
            if self._total is not None and self._total > self._max_bytes:
                raise too_large(self._max_bytes)
            for chunk in self._body(response):
                if time.monotonic() > self._deadline:
                    raise DownloadFailed(TIMED_OUT)
                if self._file.tell() + len(chunk) > self._max_bytes:
                    raise too_large(self._max_bytes)
                self._file.write(chunk)
        if self._total is not None and self._file.tell() < self._total:
            raise TransientFailure(f"the connection to {self._remote.host} broke off before the end of the file")
        if self._file.tell() == 0:
            raise DownloadFailed(f"{self._remote.name} gives an empty file")

    def _check_response(self, response: requests.Response) -> None:
        """Raise unless the body is the file (the bytes so far are dropped) or the rest of it."""
        status = response.status_code
        if is_transient(status):
            if status == 416:
                self._restart()
            raise TransientFailure(f"{self._remote.name} answers with HTTP status {status}")
        if status == REPLACED:
            self._restart()
            raise TransientFailure("the file was replaced while it was downloaded")
        # rclone's S3 server gives the rest of a file with status 200, and with the header of status 206.
        is_rest = status == 206 or "Content-Range" in response.headers
        if is_rest and self._file.tell():
            if not self._is_continued_by(response):
                self._restart()
                raise TransientFailure(f"{self._remote.host} resumed the download at the wrong place")
        elif status == 200:
            self._restart(response)
        else:
            raise DownloadFailed(f"{self._remote.name} answers with HTTP status {status}")
        # Some uploads set the header to what is no compression at all: base64, utf-8, none.
        codings = {coding.strip().lower() for coding in response.headers.get("Content-Encoding", "").split(",")}
        if codings & _COMPRESSIONS:
            raise DownloadFailed(
                f"{self._remote.name} gives a compressed body (Content-Encoding): serve the file as it is"
            )

    def _range_headers(self) -> dict[str, str]:
        """The headers that ask for the missing bytes; none, for the whole file, if it cannot be resumed."""
        if not self._file.tell() or self._total is None:
            return {}
        condition = self._remote.condition(self._validator) if self._validator else {}
        return {"Range": f"bytes={self._file.tell()}-", **condition}

    def _is_continued_by(self, response: requests.Response) -> bool:
        """True if `response`, the rest of a file, begins at the end of the bytes so far, and no ETag differs.

        Not every server heeds the condition of the request.
        """
        last = (self._total or 0) - 1
        tags = {tag for tag in (self._validator, response.headers.get("ETag")) if tag and tag.startswith('"')}
        in_place = response.headers.get("Content-Range", "") == f"bytes {self._file.tell()}-{last}/{self._total}"
        return in_place and len(tags) < 2

    def _restart(self, response: requests.Response | None = None) -> None:
        """Drop the bytes so far; `response`, if given, brings the whole file."""
        if self._file.tell():
            self._file.seek(0)
            self._file.truncate()
        self._total = _declared_length(response) if response is not None else None
        self._validator = _validator(response) if response is not None else None

    def _body(self, response: requests.Response) -> Iterator[bytes]:
        """Yield the bytes as they arrive: waiting for full chunks would hide a server that sends byte by byte."""
        while True:
            try:
                with network_errors():
                    chunk: bytes = response.raw.read1(_CHUNK_BYTES, decode_content=False)
            except NetworkError as error:
                raise self._remote.explain(error) from None
            except ValueError:  # of urllib3, for a body that another thread has shut down
                raise self._remote.explain(NetworkError(Failure.BROKEN)) from None
            if not chunk:
                return
            yield chunk


def _declared_length(response: requests.Response) -> int | None:
    """Bytes of the body by Content-Length, which does not apply to a chunked body (RFC 9112, 6.3)."""
    declared = response.headers.get("Content-Length", "")
    if "Transfer-Encoding" in response.headers or not re.fullmatch("[0-9]{1,18}", declared):
        return None
    return int(declared)


def _validator(response: requests.Response) -> str | None:
    tag = response.headers.get("ETag", "")
    return tag if tag.startswith('"') else response.headers.get("Last-Modified")
