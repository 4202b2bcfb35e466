"""Results as files in an S3 bucket, through the SDK's `rp_upload`: whose bucket, under which keys, behind which links.

What boto says of a failure holds URLs, signatures and access keys: none of it is passed on.
"""

from __future__ import annotations

import concurrent.futures
import io
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from threading import Thread
from typing import Any, TypeVar
from urllib.parse import urlsplit

from runpod.serverless.utils.rp_ssrf import SSRFError, resolve_and_validate

from src.errors import InvalidInput
from src.request.schema import _MOST_PREFIX
from src.settings import Settings, SettingsError

UPLOAD_TIMEOUT = 120.0
"""Seconds for all files of a job, and as many again for each `_SLOW_BYTES` of them."""

_SLOW_BYTES = 120 * 1_000_000

LINK_LIFETIME = 7 * 24 * 3600
"""Seconds that a link is good for: the longest that S3 signs, and what the SDK takes."""

_CONTENT_TYPES = {
    ".json": "application/json",
    ".txt": "text/plain; charset=utf-8",
    ".srt": "application/x-subrip; charset=utf-8",
    ".vtt": "text/vtt; charset=utf-8",
    ".tsv": "text/tab-separated-values; charset=utf-8",
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
}
_MOST_VALUE = 2048  # characters of one value of s3Config
_SERVER = "must be the http:// or https:// address of an S3 server, without user, query and fragment"

T = TypeVar("T")


class UploadFailed(Exception):
    """The bucket did not take the files; the message is fit for the caller: no address, no key, no signature."""


@dataclass(frozen=True)
class Bucket:
    """Where files go, and what opens it."""

    endpoint_url: str
    access_id: str = field(repr=False)
    access_secret: str = field(repr=False)
    name: str | None = None
    """None is month and year (`11-26`), as the SDK has it."""
    of_job: bool = False
    """Sent along with a job: a stranger's, for which only public addresses are dialled."""


def folder_of(prefix: str, job_id: str) -> str:
    """The folder of one job's files under a sound `prefix`; what an id may hold that a key may not becomes "_"."""
    return f"{prefix}/{re.sub(r'[^0-9A-Za-z-]', '_', job_id)[:_MOST_PREFIX] or '_'}"


def find_bucket(s3_config: Any, settings: Settings) -> Bucket | None:
    """The bucket of the job, else that of the endpoint, else None.

    Args:
        s3_config: what the job has as `s3Config`; RunPod may send it empty where the caller sent none.

    Raises:
        InvalidInput: naming the key of `s3Config` that is missing or wrong.
        SettingsError: as `check_bucket_settings`.
    """
    if s3_config is not None and not isinstance(s3_config, dict):
        raise InvalidInput("s3Config must be an object of accessId, accessSecret, bucketName and endpointUrl")
    if s3_config and any(s3_config.values()):
        return _bucket_of_job(s3_config)
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
    """For the start-up: BUCKET_* are all there, or none is.

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
        raise SettingsError(f"half a bucket in the environment: set {', '.join(missing)} too, or no BUCKET_* at all")
    if not _is_server(settings.bucket_endpoint_url or ""):
        raise SettingsError(f"BUCKET_ENDPOINT_URL {_SERVER}")


def upload(bucket: Bucket, prefix: str, files: Mapping[str, bytes | Path]) -> dict[str, str]:
    """Puts `files` at `prefix`/name and returns a link to each by its name, good for `LINK_LIFETIME`.

    Args:
        files: by their names; those on the disk are read as they are sent.

    Raises:
        UploadFailed: not all of them are there in `UPLOAD_TIMEOUT`.
    """
    size = sum(len(file) if isinstance(file, bytes) else file.stat().st_size for file in files.values())
    limit = UPLOAD_TIMEOUT * (1 + size / _SLOW_BYTES)
    try:
        return _within(limit, lambda: _put(bucket, prefix, files))
    except Exception as error:  # whatever it is, it must not cost the caller the transcript
        raise UploadFailed(_reason(error, limit)) from None


def _put(bucket: Bucket, prefix: str, files: Mapping[str, bytes | Path]) -> dict[str, str]:
    client, name = _client(bucket), bucket.name or time.strftime("%m-%y")
    links: dict[str, str] = {}
    for file, data in files.items():
        where = {"Bucket": name, "Key": f"{prefix}/{file}"}
        with io.BytesIO(data) if isinstance(data, bytes) else data.open("rb") as body:
            client.put_object(Body=body, ContentType=_content_type(file), **where)
        links[file] = client.generate_presigned_url("get_object", Params=where, ExpiresIn=LINK_LIFETIME)
    return links


def _client(bucket: Bucket) -> Any:
    """The SDK's client for `bucket`.

    Not the SDK's `upload_file_to_bucket`: it makes a client for each file, logs a progress bar, and takes the
    working directory for a bucket when it has no client.
    """
    from runpod.serverless.utils.rp_upload import get_boto_client

    client, _ = get_boto_client(
        {
            "endpointUrl": bucket.endpoint_url,
            "accessId": bucket.access_id,
            "accessSecret": bucket.access_secret,
        }
    )
    if client is None:
        raise UploadFailed("the worker has no boto3 to upload files with")
    # Since 1.36 boto frames every body with a checksum, which many servers other than Amazon's refuse.
    client.meta.config.request_checksum_calculation = "when_required"
    if bucket.of_job:
        client.meta.events.register("before-send.s3", _refuse_private)
    return client


def _refuse_private(request: Any, **_: Any) -> None:
    """Looks at the address that is dialled next: boto puts some buckets' names before the host, and follows regions.

    Raises:
        SSRFError: it is not public.
    """
    _check_public(request.url)


def _check_public(url: str) -> None:
    parts = urlsplit(url)
    resolve_and_validate(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))


def _bucket_of_job(s3_config: dict[str, Any]) -> Bucket:
    keys = ("accessId", "accessSecret", "bucketName", "endpointUrl")
    if missing := [key for key in keys if s3_config.get(key) in (None, "")]:
        raise InvalidInput(f"s3Config lacks {', '.join(missing)}: it needs {', '.join(keys)}")
    for key in keys:
        value = s3_config[key]
        if not isinstance(value, str) or not value.isascii() or not value.isprintable() or len(value) > _MOST_VALUE:
            raise InvalidInput(f"s3Config.{key} must be a string of at most {_MOST_VALUE} printable ASCII characters")
    # An ARN is a name too for boto, and makes it dial another host.
    if not re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z._-]{0,254}", s3_config["bucketName"]):
        raise InvalidInput('s3Config.bucketName must be the plain name of a bucket, letters, digits and "._-"')
    if not _is_server(s3_config["endpointUrl"]):
        raise InvalidInput(f"s3Config.endpointUrl {_SERVER}")
    try:
        _check_public(s3_config["endpointUrl"])
    except (SSRFError, UnicodeError):  # UnicodeError: a host that IDNA cannot encode
        raise InvalidInput("s3Config.endpointUrl must name a host that resolves to a public address") from None
    return Bucket(
        endpoint_url=s3_config["endpointUrl"],
        access_id=s3_config["accessId"],
        access_secret=s3_config["accessSecret"],
        name=s3_config["bucketName"],
        of_job=True,
    )


def _is_server(url: str) -> bool:
    try:
        parts = urlsplit(url)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an unclosed IPv6 bracket, a port that is no number
        return False
    return sound and url.isprintable() and " " not in url and not (set("?#") & set(url) or "@" in parts.netloc)


def _within(seconds: float, work: Callable[[], T]) -> T:
    """What `work` returns, or `concurrent.futures.TimeoutError` after `seconds`.

    A thread, because the SDK's client waits for 60 s, three times over, for each connection and each answer,
    and lets nobody say otherwise. One that is left behind can do no more than put the files where they belong.
    """
    outcome: concurrent.futures.Future[T] = concurrent.futures.Future()

    def run() -> None:
        try:
            outcome.set_result(work())
        except BaseException as error:
            outcome.set_exception(error)

    Thread(target=run, name="upload", daemon=True).start()
    return outcome.result(seconds)


def _reason(error: Exception, limit: float) -> str:
    """What went wrong, in words of our own; of the server's there is at most its error code."""
    if isinstance(error, UploadFailed):
        return str(error)
    if isinstance(error, concurrent.futures.TimeoutError):
        return f"the bucket did not take the files within {limit:.3g} s"
    if isinstance(error, SSRFError):
        return "the bucket is not at a public address"
    response = getattr(error, "response", None)  # of botocore's ClientError
    if isinstance(response, dict):
        code = str(response.get("Error", {}).get("Code", ""))
        return f"the bucket refused the files ({code if re.fullmatch('[0-9A-Za-z]{1,60}', code) else 'unknown error'})"
    return f"the files did not get to the bucket ({type(error).__name__})"


def _content_type(file: str) -> str:
    return _CONTENT_TYPES.get(PurePosixPath(file).suffix, "application/octet-stream")
