"""Stores results as files in an S3 bucket.

boto makes the signed URLs and sends nothing itself: it would resolve the bucket's name once more, follow redirects, and
read a whole answer into memory. The files go through `src.public_http`.

Exceptions of boto quote URLs, signatures and access keys: their text is never passed on.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import requests

from src.deadline import DeadlineExceeded, OnCancel, run_within
from src.errors import Cancelled, InvalidInput, WorkerError
from src.public_http import (
    USER_AGENT,
    Failure,
    NetworkError,
    OpenSocket,
    RetryPolicy,
    TransientFailure,
    attempt_repeatedly,
    is_http_url,
    network_errors,
    resolve,
    send,
)
from src.request.schema import MAX_PREFIX_CHARACTERS
from src.settings import Settings, SettingsError

UPLOAD_TIMEOUT_S = 120.0
"""For all files of a job; extended by as much again for each `_EXTENSION_BYTES` of them."""

_EXTENSION_BYTES = 120 * 1_000_000

LOOKUP_TIMEOUT_S = 10.0
"""For the host of a job's bucket, before the job begins."""

LINK_LIFETIME_S = 7 * 24 * 3600
"""The longest that S3 signs links for, and the SDK's own choice."""

RETRY_POLICY = RetryPolicy(pauses=(0.5, 1.0, 2.0), timeouts=(10.0, 60.0))

_ERROR_BYTES = 4096
"""Of an answer that refuses a file: its beginning has the error's code."""

_MESSAGES = {
    Failure.UNRESOLVED: "the host name of the bucket cannot be resolved",
    Failure.REFUSED: "the bucket is not at a public address",
    Failure.MALFORMED: "the bucket's address is malformed",
    Failure.INSECURE: "no secure connection to the bucket: check its TLS certificate",
    Failure.SILENT: "the bucket does not answer, or stopped reading",
    Failure.CLOSED: "the bucket's host refuses connections",
    Failure.BROKEN: "the connection to the bucket failed",
}
_PUT_LIFETIME_S = 3600
_CONTENT_TYPES = {
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
    ".srt": "application/x-subrip; charset=utf-8",
    ".vtt": "text/vtt; charset=utf-8",
    ".tsv": "text/tab-separated-values; charset=utf-8",
    ".ttml": "application/ttml+xml; charset=utf-8",
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
}
_MAX_VALUE_CHARACTERS = 2048  # of one value of s3Config
_ENDPOINT_RULE = "must be the http:// or https:// address of an S3 server, without user, query and fragment"


class UploadFailed(Exception):
    """The bucket did not accept the files; the message is fit for the caller: no address, no key, no signature."""


@dataclass(frozen=True)
class Bucket:
    """A bucket with its server and credentials."""

    endpoint_url: str
    access_id: str = field(repr=False)
    access_secret: str = field(repr=False)
    name: str | None = None
    """None: month and year (`11-26`), as in the SDK."""
    of_job: bool = False
    """Sent with a job, hence not trusted: only public addresses are connected to."""


def folder_of(prefix: str, job_id: str) -> str:
    """The folder of one job's files under a valid `prefix`; characters that are not safe in a key become "_"."""
    return f"{prefix}/{re.sub(r'[^0-9A-Za-z-]', '_', job_id)[:MAX_PREFIX_CHARACTERS] or '_'}"


def find_bucket(s3_config: Any, settings: Settings, on_cancel: OnCancel | None = None) -> Bucket | None:
    """The job's bucket, else the endpoint's, else None.

    Args:
        settings: of the endpoint.
        on_cancel: ends the lookup of the bucket's host when the job is cancelled.
        s3_config: the job's `s3Config`; RunPod may send an empty one if the caller sent none.

    Raises:
        InvalidInput: naming the key of `s3Config` that is missing or wrong.
        SettingsError: see `check_bucket_settings`.
    """
    if s3_config is not None and not isinstance(s3_config, dict):
        raise InvalidInput("s3Config must be an object of accessId, accessSecret, bucketName and endpointUrl")
    if s3_config and any(s3_config.values()):
        return _bucket_of_job(s3_config, on_cancel)
    check_bucket_settings(settings)
    secret = settings.bucket_secret_access_key
    if not (settings.bucket_endpoint_url and settings.bucket_access_key_id and secret):
        return None
    return Bucket(
        endpoint_url=settings.bucket_endpoint_url,
        access_id=settings.bucket_access_key_id,
        access_secret=secret.get_secret_value(),
        name=settings.bucket_name or None,
    )


def check_bucket_settings(settings: Settings) -> None:
    """Check at start-up that all BUCKET_* variables are set, or none.

    Raises:
        SettingsError: naming each variable that is missing or wrong.
    """
    secret = settings.bucket_secret_access_key
    needed = {
        "BUCKET_ENDPOINT_URL": settings.bucket_endpoint_url,
        "BUCKET_ACCESS_KEY_ID": settings.bucket_access_key_id,
        "BUCKET_SECRET_ACCESS_KEY": secret and secret.get_secret_value(),
    }
    if not any(needed.values()) and not settings.bucket_name:
        return
    if missing := [variable for variable, value in needed.items() if not value]:
        raise SettingsError(f"the bucket is only half configured: set {', '.join(missing)} too, or no BUCKET_* at all")
    if not _is_endpoint(settings.bucket_endpoint_url or ""):
        raise SettingsError(f"BUCKET_ENDPOINT_URL {_ENDPOINT_RULE}")


def upload_files(
    bucket: Bucket,
    prefix: str,
    files: Mapping[str, bytes | Path],
    timeout: float = UPLOAD_TIMEOUT_S,
    *,
    on_cancel: OnCancel | None = None,
    policy: RetryPolicy = RETRY_POLICY,
) -> dict[str, str]:
    """Upload `files` as `prefix`/name.

    Args:
        bucket: where to.
        prefix: folder in the bucket.
        files: by name; files on disk are streamed.
        timeout: see `UPLOAD_TIMEOUT_S`.
        on_cancel: ends the upload when the job is cancelled.
        policy: timing of the attempts at one file.

    Returns:
        A link to each file by its name, valid for `LINK_LIFETIME_S`.

    Raises:
        UploadFailed: not all of them were uploaded in time.
        Cancelled: by `on_cancel`.
    """
    size = sum(len(file) if isinstance(file, bytes) else file.stat().st_size for file in files.values())
    limit = timeout * (1 + size / _EXTENSION_BYTES)
    upload = _Upload(bucket, time.monotonic() + limit, policy)
    try:
        return run_within(
            limit,
            lambda: upload.run(prefix, files),
            name="upload",
            interrupt=upload.open_socket.end,
            on_cancel=on_cancel,
        )
    except (UploadFailed, Cancelled):
        raise
    except DeadlineExceeded:
        raise UploadFailed(f"the bucket did not accept the files within {limit:.3g} s") from None
    except (TransientFailure, WorkerError) as error:
        raise UploadFailed(str(error)) from None
    except Exception as error:  # no failure of the upload may cost the caller the transcript
        raise UploadFailed(f"the files did not reach the bucket ({type(error).__name__})") from None


class _WrongRegion(Exception):
    """S3 wants the URL signed for another region."""

    def __init__(self, region: str) -> None:
        super().__init__()
        self.region = region


class _Upload:
    """The upload of one job's files."""

    def __init__(self, bucket: Bucket, deadline: float, policy: RetryPolicy) -> None:
        self.open_socket = OpenSocket()
        self._bucket = bucket
        self._deadline = deadline
        self._policy = policy

    def run(self, prefix: str, files: Mapping[str, bytes | Path]) -> dict[str, str]:
        """Send the files one after the other, and return their links."""
        client, name = _client(self._bucket), self._bucket.name or time.strftime("%m-%y")
        links: dict[str, str] = {}
        for file, data in files.items():
            location = {"Bucket": name, "Key": f"{prefix}/{file}"}
            try:
                self._put(client, location, data)
            except _WrongRegion as answer:
                client = _client(self._bucket, answer.region)
                try:
                    self._put(client, location, data)
                except _WrongRegion:
                    raise UploadFailed("the bucket refused the files: it names one region after the other") from None
            links[file] = client.generate_presigned_url("get_object", Params=location, ExpiresIn=LINK_LIFETIME_S)
        return links

    def _put(self, client: Any, location: dict[str, str], data: bytes | Path) -> None:
        """Send one file, in several attempts if need be."""
        content_type = _content_type(location["Key"])
        wanted = location | {"ContentType": content_type}
        url = client.generate_presigned_url("put_object", Params=wanted, ExpiresIn=_PUT_LIFETIME_S)
        attempt = partial(self._put_once, url, {"Content-Type": content_type, "User-Agent": USER_AGENT}, data)
        attempt_repeatedly(attempt, self._policy, self._deadline, self.open_socket.ended)

    def _put_once(self, url: str, headers: dict[str, str], data: bytes | Path) -> None:
        """Send one file once.

        Raises:
            UploadFailed: it was refused.
            _WrongRegion: it was refused, and S3 names the right region.
            TransientFailure: another attempt may succeed.
        """
        # Bytes too are sent as a file, in blocks: a socket's timeout applies to each.
        with io.BytesIO(data) if isinstance(data, bytes) else data.open("rb") as body:

            def request() -> requests.PreparedRequest:
                is_empty = not body.seek(0, io.SEEK_END)  # a stream without bytes would be sent in chunks
                body.seek(0)
                return requests.Request("PUT", url, headers=headers, data=b"" if is_empty else body).prepare()

            try:
                with (
                    network_errors(),
                    send(
                        url,
                        request,
                        timeouts=self._policy.timeouts,
                        deadline=self._deadline,
                        open_socket=self.open_socket,
                        trusted=not self._bucket.of_job,
                    ) as response,
                ):
                    if 200 <= response.status_code < 300:
                        return
                    status, answer = response.status_code, _read_beginning(response)
            except NetworkError as error:
                reason = _MESSAGES[error.failure]
                raise (TransientFailure(reason) if error.failure.is_transient else UploadFailed(reason)) from None
        if region := re.search(rb"<Region>([0-9A-Za-z-]{1,40})</Region>", answer):
            raise _WrongRegion(region[1].decode())
        code = re.search(rb"<Code>([0-9A-Za-z]{1,60})</Code>", answer)
        remedy = ": give the endpoint of the bucket's region" if status == 301 else ""
        refusal = f"the bucket refused the files ({code[1].decode() if code else f'HTTP status {status}'}){remedy}"
        raise TransientFailure(refusal) if status in (408, 429) or status >= 500 else UploadFailed(refusal)


def _read_beginning(response: requests.Response) -> bytes:
    beginning = b""
    while len(beginning) < _ERROR_BYTES and (chunk := response.raw.read1(_ERROR_BYTES, decode_content=False)):
        beginning += chunk
    return beginning


def _client(bucket: Bucket, region: str | None = None) -> Any:
    """A client of boto that signs for `bucket`; without a region, for the one in its endpoint's URL."""
    try:
        import boto3
        from botocore.config import Config  # type: ignore[import-untyped]
    except ImportError:
        raise UploadFailed("the worker has no boto3 to upload files with") from None
    from runpod.serverless.utils.rp_upload import extract_region_from_url

    return boto3.session.Session().client(
        "s3",
        endpoint_url=bucket.endpoint_url,
        aws_access_key_id=bucket.access_id,
        aws_secret_access_key=bucket.access_secret,
        region_name=region or extract_region_from_url(bucket.endpoint_url),
        # Since 1.36 boto asks for a checksum with every body, which many servers other than Amazon's reject.
        config=Config(signature_version="s3v4", request_checksum_calculation="when_required"),
    )


def _bucket_of_job(s3_config: dict[str, Any], on_cancel: OnCancel | None) -> Bucket:
    keys = ("accessId", "accessSecret", "bucketName", "endpointUrl")
    if missing := [key for key in keys if s3_config.get(key) in (None, "")]:
        raise InvalidInput(f"s3Config lacks {', '.join(missing)}: it needs {', '.join(keys)}")
    for key in keys:
        value = s3_config[key]
        if not isinstance(value, str) or not re.fullmatch(rf"[ -~]{{1,{_MAX_VALUE_CHARACTERS}}}", value):
            raise InvalidInput(
                f"s3Config.{key} must be a string of at most {_MAX_VALUE_CHARACTERS} printable ASCII characters"
            )
    # boto also accepts an ARN as a name, and then connects to another host.
    if not re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z._-]{0,254}", s3_config["bucketName"]):
        raise InvalidInput('s3Config.bucketName must be the plain name of a bucket, letters, digits and "._-"')
    if not _is_endpoint(s3_config["endpointUrl"]):
        raise InvalidInput(f"s3Config.endpointUrl {_ENDPOINT_RULE}")
    lookup = partial(resolve, s3_config["endpointUrl"], time.monotonic() + LOOKUP_TIMEOUT_S)
    try:
        with network_errors():
            run_within(LOOKUP_TIMEOUT_S, lookup, name="lookup", interrupt=lambda: None, on_cancel=on_cancel)
    except (NetworkError, DeadlineExceeded):
        raise InvalidInput("s3Config.endpointUrl must name a host that resolves to a public address") from None
    return Bucket(
        endpoint_url=s3_config["endpointUrl"],
        access_id=s3_config["accessId"],
        access_secret=s3_config["accessSecret"],
        name=s3_config["bucketName"],
        of_job=True,
    )


def _is_endpoint(url: str) -> bool:
    return is_http_url(url) and not set(" ?#") & set(url) and "@" not in urlsplit(url).netloc


def _content_type(file: str) -> str:
    return _CONTENT_TYPES.get(PurePosixPath(file).suffix, "application/octet-stream")
