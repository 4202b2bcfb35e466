"""Fetches a job's audio into a file: from a URL, decoded from base64, or as it was received.

URLs are requested through `src.public_http`, and so is each redirect: every host must have public addresses only, and
the body of a redirect is not read. An interrupted transfer is resumed, if the server confirms that the file is the
same. Share links of known file hosts are replaced by the direct download. A file that is no recording, such as a web
page, is named as what it is.
"""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO
from urllib.parse import urljoin, urlsplit

import requests
from requests.cookies import RequestsCookieJar
from requests.structures import CaseInsensitiveDict
from requests.utils import get_auth_from_url, get_environ_proxies, select_proxy, urldefragauth

from src.deadline import DeadlineExceeded, run_within
from src.errors import DownloadFailed, InvalidInput, TooLarge, UnsupportedMedia, explain_os_error, prefix_errors
from src.file_kind import name_other_kind
from src.job_control import JobControl
from src.public_http import (
    ALLOW_PRIVATE,
    MALFORMED,
    USER_AGENT,
    Failure,
    NetworkError,
    OpenSocket,
    RetryPolicy,
    TransientFailure,
    attempt_repeatedly,
    clean_url,
    network_errors,
    send,
    strip_invisible,
)
from src.request.audio_source import MAX_SAMPLE_BYTES, AudioSource, clean_audio_url
from src.share_links import to_direct_link

RETRY_POLICY = RetryPolicy(pauses=(0.5, 1.0, 2.0), timeouts=(10.0, 30.0))

_FILE_NAME = "media"  # whatever the URL calls it
_CHUNK_BYTES = 1 << 16
_MAX_REDIRECTS = 5
_SAMPLE_TIMEOUT_S = 60.0  # for the download of one speaker's sample
_COMPRESSIONS = {"gzip", "x-gzip", "deflate", "br", "zstd", "compress", "x-compress"}

_TIMED_OUT = "the download took longer than its time limit"
_MESSAGES = {
    Failure.REFUSED: "the URL, or a redirect of it, does not lead to a public address: use a public URL, "
    f"or on a worker of your own set {ALLOW_PRIVATE}=true",
    Failure.INSECURE: "no secure connection to the URL's host: check its TLS certificate",
    Failure.SILENT: "the URL's host does not answer, or stopped sending",
    Failure.CLOSED: "the URL's host refuses connections: check its port, and that its server runs",
    Failure.BROKEN: "the connection to the URL's host failed",
}


def fetch(
    source: AudioSource, folder: Path, *, max_bytes: int, timeout: float, control: JobControl | None = None
) -> Path:
    """The audio of `source` as a file, in `folder` unless it is an upload: see `download` and `decode_base64`."""
    if source.upload is not None:
        return check_upload(source.upload, max_bytes=max_bytes)
    if source.url is None:
        return decode_base64(source.base64 or "", folder, max_bytes=max_bytes)
    return download(source.url, folder, headers=source.headers, max_bytes=max_bytes, timeout=timeout, control=control)


def fetch_tracks(
    sources: Sequence[AudioSource], folder: Path, *, max_bytes: int, timeout: float, control: JobControl
) -> list[Path]:
    """The recordings of a job as files, each in a folder of its own; together they have at most `max_bytes`.

    Raises:
        WorkerError: of several ones, naming the one that cannot be fetched.
    """
    if len(sources) == 1:
        return [fetch(sources[0], folder, max_bytes=max_bytes, timeout=timeout, control=control)]
    tracks: list[Path] = []
    for number, source in enumerate(sources):
        track_folder = folder / f"track-{number}"
        track_folder.mkdir()
        left = max_bytes - sum(track.stat().st_size for track in tracks)
        with prefix_errors(f"audio.{number}"):
            tracks.append(fetch(source, track_folder, max_bytes=left, timeout=timeout, control=control))
    return tracks


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
    headers: Mapping[str, str] | None = None,
    control: JobControl | None = None,
    policy: RetryPolicy = RETRY_POLICY,
) -> Path:
    """Download `url` into a file in `folder`, in at most `timeout` seconds, retries included.

    An error leaves no file behind.

    Args:
        url: http(s).
        folder: an existing one.
        max_bytes: of the file.
        timeout: in seconds.
        headers: valid ones; sent to the URL's own origin only.
        control: ends the download when the job is cancelled.
        policy: timing of the attempts.

    Returns:
        The file's path.

    Raises:
        InvalidInput: the URL is malformed.
        DownloadFailed: it did not give a file in time.
        UnsupportedMedia: the file is no recording.
        TooLarge: the file has more than `max_bytes`.
        OutOfResources: the worker has no disk space or no socket left.
        Cancelled: by `control`.
    """
    url = clean_audio_url(url)
    control = control or JobControl()
    target = folder / _FILE_NAME
    open_socket = OpenSocket()
    deadline = time.monotonic() + timeout
    with _removed_on_error(target):
        try:
            with target.open("wb") as file:
                transfer = _Transfer(url, file, max_bytes, deadline, policy, open_socket, dict(headers or {}))
                run_within(
                    timeout, transfer.run, name="download", interrupt=open_socket.end, on_cancel=control.on_cancel
                )
        except DeadlineExceeded:
            raise DownloadFailed(_TIMED_OUT) from None
        except TransientFailure as failure:
            raise DownloadFailed(str(failure)) from None
        if kind := name_other_kind(target, downloaded=True):
            raise UnsupportedMedia(f"the URL leads to {kind}")
    return target


def decode_base64(text: str, folder: Path, *, max_bytes: int) -> Path:
    """Decode `text` into a file in `folder`; an error leaves no file behind.

    Accepts the standard and the URL-safe alphabet, white space anywhere, blanks where a form has decoded "+", a
    `data:…;base64,` prefix, and padding that is correct or absent.

    Returns:
        The file's path.

    Raises:
        InvalidInput: `text` is anything else.
        UnsupportedMedia: the file is no recording.
        TooLarge: the file has more than `max_bytes`.
        OutOfResources: the worker has no disk space left.
    """
    text = strip_invisible(text)
    prefix = re.match(r"data:.{0,500}?;base64,", text, re.IGNORECASE | re.DOTALL)
    try:
        encoded = text[prefix.end() if prefix else 0 :].strip().encode("ascii")
        encoded = _without_blanks(encoded.translate(bytes.maketrans(b"-_", b"+/")))
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
        raise InvalidInput("the file is empty: send the base64 of its bytes")
    target = folder / _FILE_NAME
    with _removed_on_error(target):
        target.write_bytes(data)
        if kind := name_other_kind(target, downloaded=False):
            raise UnsupportedMedia(f"the file is {kind}")
    return target


def check_upload(upload: Path, *, max_bytes: int) -> Path:
    """Check a file that was received as it is; it stays where it is.

    Raises:
        InvalidInput: it is empty.
        UnsupportedMedia: it is no recording.
        TooLarge: it has more than `max_bytes`.
    """
    size = upload.stat().st_size
    if not size:
        raise InvalidInput("the file is empty: send its bytes")
    if size > max_bytes:
        raise TooLarge(_too_large(max_bytes))
    if kind := name_other_kind(upload, downloaded=False):
        raise UnsupportedMedia(f"the file is {kind}")
    return upload


def _without_blanks(encoded: bytes) -> bytes:
    """Base64 without white space; blanks that a decoder of forms made of "+" become "+" again.

    Blanks beside other white space are layout. The rest is either all layout or all "+": the length tells if there is
    padding or a single blank, and otherwise blanks at equal distances are layout.
    """
    encoded = re.sub(rb"\s+", lambda run: run[0] if not run[0].strip(b" ") else b"", encoded)
    blanks, every = encoded.count(b" "), encoded.find(b" ") + 1
    joined, restored = encoded.replace(b" ", b""), encoded.replace(b" ", b"+")
    if encoded.endswith(b"=") or blanks == 1:
        if len(joined) % 4 and len(restored) % 4 == 0:
            return restored
        if len(restored) % 4 and len(joined) % 4 == 0:
            return joined
    return joined if every and encoded[every - 1 :: every] == b" " * blanks else restored


@contextmanager
def _removed_on_error(target: Path) -> Iterator[None]:
    """Remove the file if the block fails; name the worker's resource if it failed for want of one."""
    try:
        yield
    except OSError as error:
        target.unlink(missing_ok=True)
        raise explain_os_error(error) or error from None
    except BaseException:
        target.unlink(missing_ok=True)
        raise


@dataclass
class _Transfer:
    """The download of one file: the bytes so far, and the validator that the rest must match."""

    url: str
    file: IO[bytes]
    max_bytes: int
    deadline: float
    """On the monotonic clock."""
    policy: RetryPolicy
    open_socket: OpenSocket
    headers: dict[str, str] = field(repr=False)
    """The caller's, for the URL's own origin until a redirect leaves it."""
    total: int | None = None
    """Bytes of the whole file, if the server declared them."""
    validator: str | None = None
    """For If-Range: a strong ETag or a date (RFC 9110, 13.1.5)."""

    def run(self) -> None:
        """Download the file, in several attempts if need be."""
        attempt_repeatedly(self._attempt, self.policy, self.deadline, self.open_socket.ended)

    def _attempt(self) -> None:
        """Download the missing bytes.

        Raises:
            TransientFailure: another attempt may succeed.
        """
        with self._get() as response:
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
            raise TransientFailure("the connection to the URL's host broke off before the end of the file")
        if self.file.tell() == 0:
            raise DownloadFailed("the URL gives an empty file")

    def _get(self) -> requests.Response:
        """Request the URL, following redirects; cookies are kept for this chain and each for its host.

        Raises:
            DownloadFailed: there are too many redirects, or one of them leads where none is followed.
            TransientFailure: another attempt may succeed.
        """
        url = to_direct_link(self.url)
        jars: dict[str, RequestsCookieJar] = {}
        is_home = True
        for _ in range(_MAX_REDIRECTS + 1):
            # As the SDK does: a request that must go through a proxy is not sent past it.
            if select_proxy(url, get_environ_proxies(url)):
                raise DownloadFailed("the URL is refused: the worker would need a proxy for it, and uses none")
            cookies = jars.setdefault(urlsplit(url).hostname or "", RequestsCookieJar())
            is_home = is_home and _origin(url) == _origin(self.url)  # another origin may choose no path for the headers
            with _readable_errors(url if is_home else ""):  # where a redirect leads is not the caller's
                response = send(
                    url,
                    partial(self._request, url, cookies, self.headers if is_home else {}),
                    timeouts=self.policy.timeouts,
                    deadline=self.deadline,
                    open_socket=self.open_socket,
                )
            if response.status_code not in (301, 302, 303, 307, 308):
                return response
            response.close()
            cookies.update(response.cookies)
            url = to_direct_link(_redirect_target(url, response.headers.get("Location")))
        raise DownloadFailed(f"the URL is redirected more than {_MAX_REDIRECTS} times: use the file's direct link")

    def _request(self, url: str, cookies: RequestsCookieJar, callers: Mapping[str, str]) -> requests.PreparedRequest:
        headers = CaseInsensitiveDict({"User-Agent": USER_AGENT, "Accept": "*/*", **callers})
        # Compressed bodies are declined: a few kilobytes of gzip can unpack to gigabytes.
        headers.update({"Accept-Encoding": "identity", **self._range_headers()})
        user = get_auth_from_url(url)  # http.cookiejar would take it for a part of the host
        auth = user if any(user) else None
        return requests.Request("GET", urldefragauth(url), headers=dict(headers), auth=auth, cookies=cookies).prepare()

    def _check_response(self, response: requests.Response) -> None:
        """Raise unless the body is the file (the bytes so far are dropped) or the rest of it."""
        status = response.status_code
        if status in (408, 416, 429) or status >= 500:
            if status == 416:
                self._restart()
            raise TransientFailure(f"the URL answers with HTTP status {status}")
        if status == 206 and self.file.tell():
            if not self._is_continued_by(response):
                self._restart()
                raise TransientFailure("the URL's host resumed the download at the wrong place")
        elif status == 200:
            self._restart(response)
        else:
            expired = "; if the link is signed, it may have expired" if status in (401, 403, 404, 410) else ""
            login = ", and if the host wants a login, give headers beside the url" if status in (401, 403) else ""
            raise DownloadFailed(f"the URL answers with HTTP status {status}{expired}{login}")
        # Some uploads set the header to what is no compression at all: base64, utf-8, none.
        codings = {coding.strip().lower() for coding in response.headers.get("Content-Encoding", "").split(",")}
        if codings & _COMPRESSIONS:
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
        if self.file.tell():
            self.file.seek(0)
            self.file.truncate()
        self.total = _declared_length(response) if response is not None else None
        self.validator = _validator(response) if response is not None else None


def _redirect_target(url: str, location: str | None) -> str:
    """The URL that `url` redirects to; a user and password in `url` are kept for paths of the same host only.

    Raises:
        DownloadFailed: it is not http(s).
    """
    try:
        location = (location or "").encode("latin-1").decode("utf-8")  # http.client decodes headers as Latin-1
        if not location.isprintable() or "\\" in location:  # urljoin would drop some of it
            raise ValueError
        return clean_url(urljoin(url, location) if location else "")
    except (ValueError, InvalidInput):  # ValueError also: an unclosed IPv6 bracket, or a text that is not UTF-8
        raise DownloadFailed("the URL is redirected to what is no http:// or https:// URL") from None


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _body(response: requests.Response) -> Iterator[bytes]:
    """Yield the bytes as they arrive: waiting for full chunks would hide a server that sends byte by byte."""
    while True:
        with _readable_errors():
            chunk: bytes = response.raw.read1(_CHUNK_BYTES, decode_content=False)
        if not chunk:
            return
        yield chunk


@contextmanager
def _readable_errors(url: str = "") -> Iterator[None]:
    """Turn network exceptions into sentences without URLs and addresses."""
    try:
        with network_errors():
            yield
    except NetworkError as error:
        raise _to_exception(error.failure, url) from None
    except ValueError:  # of requests, for a URL that its own parser refuses
        raise InvalidInput(MALFORMED) from None


def _to_exception(failure: Failure, url: str) -> Exception:
    if failure is Failure.MALFORMED:
        return InvalidInput(MALFORMED)
    if failure is Failure.UNRESOLVED:
        name = re.fullmatch(r"[0-9a-z.-]{1,100}", urlsplit(url).hostname or "")
        return TransientFailure(f"the URL's host {name[0] + ' ' if name else ''}cannot be resolved: check its spelling")
    return TransientFailure(_MESSAGES[failure]) if failure.is_transient else DownloadFailed(_MESSAGES[failure])


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
