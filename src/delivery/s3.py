"""Stores results as files in an S3 bucket, through the SDK's `rp_upload`: choice of bucket, keys, signed links.

Exceptions of boto quote URLs, signatures and access keys: their text is never passed on.
"""

from __future__ import annotations

import io
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from runpod.serverless.utils.rp_ssrf import SSRFError

from src.deadline import DeadlineExceeded, run_within
from src.errors import InvalidInput
from src.public_http import is_http_url, public_addresses
from src.request.schema import MAX_PREFIX_CHARACTERS
from src.settings import Settings, SettingsError

UPLOAD_TIMEOUT_S = 120.0
"""For all files of a job; extended by as much again for each `_EXTENSION_BYTES` of them."""

_EXTENSION_BYTES = 120 * 1_000_000

LINK_LIFETIME_S = 7 * 24 * 3600
"""The longest that S3 signs links for, and the SDK's own choice."""

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


def find_bucket(s3_config: Any, settings: Settings) -> Bucket | None:
    """The job's bucket, else the endpoint's, else None.

    Args:
        settings: of the endpoint.
        s3_config: the job's `s3Config`; RunPod may send an empty one if the caller sent none.

    Raises:
        InvalidInput: naming the key of `s3Config` that is missing or wrong.
        SettingsError: see `check_bucket_settings`.
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
    bucket: Bucket, prefix: str, files: Mapping[str, bytes | Path], timeout: float = UPLOAD_TIMEOUT_S
) -> dict[str, str]:
    """Upload `files` as `prefix`/name.

    Args:
        bucket: where to.
        prefix: folder in the bucket.
        files: by name; files on disk are streamed.
        timeout: see `UPLOAD_TIMEOUT_S`.

    Returns:
        A link to each file by its name, valid for `LINK_LIFETIME_S`.

    Raises:
        UploadFailed: not all of them were uploaded in time.
    """
    size = sum(len(file) if isinstance(file, bytes) else file.stat().st_size for file in files.values())
    limit = timeout * (1 + size / _EXTENSION_BYTES)
    try:
        # The SDK's client waits up to 60 s, three times, for each connection and each answer, and cannot be configured.
        # A thread left behind can only finish the upload.
        return run_within(limit, lambda: _put(bucket, prefix, files), name="upload")
    except Exception as error:  # no failure of the upload may cost the caller the transcript
        raise UploadFailed(_reason(error, limit)) from None


def _put(bucket: Bucket, prefix: str, files: Mapping[str, bytes | Path]) -> dict[str, str]:
    client, name = _client(bucket), bucket.name or time.strftime("%m-%y")
    links: dict[str, str] = {}
    for file, data in files.items():
        location = {"Bucket": name, "Key": f"{prefix}/{file}"}
        with io.BytesIO(data) if isinstance(data, bytes) else data.open("rb") as body:
            client.put_object(Body=body, ContentType=_content_type(file), **location)
        links[file] = client.generate_presigned_url("get_object", Params=location, ExpiresIn=LINK_LIFETIME_S)
    return links


def _client(bucket: Bucket) -> Any:
    """The SDK's client for `bucket`.

    The SDK's `upload_file_to_bucket` is not used: it makes a client for each file, logs a progress bar, and without a
    client it copies the files into the working directory.
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
    # Since 1.36 boto wraps every body with a checksum, which many servers other than Amazon's reject.
    client.meta.config.request_checksum_calculation = "when_required"
    if bucket.of_job:
        client.meta.events.register("before-send.s3", _refuse_private)
    return client


def _refuse_private(request: Any, **_: Any) -> None:
    """Check the host of the next connection: boto prefixes it with some buckets' names, and follows regions.

    Raises:
        SSRFError: its addresses are not public.
    """
    public_addresses(request.url)


def _bucket_of_job(s3_config: dict[str, Any]) -> Bucket:
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
    try:
        public_addresses(s3_config["endpointUrl"])
    except (SSRFError, UnicodeError):  # UnicodeError: a host that IDNA cannot encode
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


def _reason(error: Exception, limit: float) -> str:
    """The failure in our own words, with at most the server's error code."""
    if isinstance(error, UploadFailed):
        return str(error)
    if isinstance(error, DeadlineExceeded):
        return f"the bucket did not accept the files within {limit:.3g} s"
    if isinstance(error, SSRFError):
        return "the bucket is not at a public address"
    response = getattr(error, "response", None)  # of botocore's ClientError
    if isinstance(response, dict):
        code = str(response.get("Error", {}).get("Code", ""))
        return f"the bucket refused the files ({code if re.fullmatch('[0-9A-Za-z]{1,60}', code) else 'unknown error'})"
    return f"the files did not reach the bucket ({type(error).__name__})"


def _content_type(file: str) -> str:
    return _CONTENT_TYPES.get(PurePosixPath(file).suffix, "application/octet-stream")
