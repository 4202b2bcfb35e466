"""The S3 bucket of a job or of the endpoint: its settings, its signatures, and its refusals.

boto makes the signed URLs and sends nothing itself: it would resolve the bucket's name once more, follow redirects, and
read a whole answer into memory. The requests go through `src.public_http`.

Exceptions of boto quote URLs, signatures and access keys: their text is never passed on.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit

import requests

from src.deadline import DeadlineExceeded, OnCancel, run_within
from src.errors import InvalidInput
from src.public_http import Failure, NetworkError, is_http_url, network_errors, resolve
from src.request.s3_address import S3Address, is_bucket_name
from src.settings import Settings, SettingsError

LOOKUP_TIMEOUT_S = 10.0
"""For the host of a job's bucket, before the job begins."""

BUCKET_REMEDY = (
    "set BUCKET_ENDPOINT_URL, BUCKET_ACCESS_KEY_ID and BUCKET_SECRET_ACCESS_KEY at the endpoint, "
    "or send s3Config with the job"
)
"""The end of messages about a missing bucket."""

_ERROR_BYTES = 4096
"""Of an answer that refuses a request: its beginning has the error's code."""

_MESSAGES = {
    Failure.UNRESOLVED: "the host name of the bucket cannot be resolved",
    Failure.REFUSED: "the bucket is not at a public address",
    Failure.MALFORMED: "the bucket's address is malformed",
    Failure.INSECURE: "no secure connection to the bucket: check its TLS certificate",
    Failure.SILENT: "the bucket does not answer, or not to the end",
    Failure.CLOSED: "the bucket's host refuses connections",
    Failure.BROKEN: "the connection to the bucket failed",
}
_MAX_VALUE_CHARACTERS = 2048  # of one value of s3Config
_ENDPOINT_RULE = "must be the http:// or https:// address of an S3 server, without user, query and fragment"


_NO_BOTO = "the worker has no boto3, which signs the requests to buckets"


class NoBoto(Exception):
    """boto3 is not installed; the message is fit for the caller."""


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
    readable: frozenset[str] | None = None
    """Names of the buckets that jobs may read from with these credentials; None: all."""

    def may_read(self, name: str) -> bool:
        """True if jobs may read from the bucket `name`."""
        return self.readable is None or name in self.readable


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
        readable=settings.readable_buckets,
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
    if not any(needed.values()) and not settings.bucket_name and not settings.audio_buckets:
        return
    if missing := [variable for variable, value in needed.items() if not value]:
        raise SettingsError(f"the bucket is only half configured: set {', '.join(missing)} too, or no BUCKET_* at all")
    if not _is_endpoint(settings.bucket_endpoint_url or ""):
        raise SettingsError(f"BUCKET_ENDPOINT_URL {_ENDPOINT_RULE}")
    if not all(map(is_bucket_name, settings.readable_buckets or ())):
        raise SettingsError('AUDIO_BUCKETS must be plain names of buckets with commas between them, or "*"')


@dataclass(frozen=True)
class Refusal:
    """An answer of a bucket that is no success; holds no address and no signature."""

    status: int
    code: str | None
    """S3's name of the error, such as `NoSuchKey`."""
    region: str | None
    """The region to sign for, if the signature was for another one."""

    @property
    def reason(self) -> str:
        """The error's name, or its HTTP status."""
        return self.code or f"HTTP status {self.status}"


def read_refusal(response: requests.Response) -> Refusal:
    """Read the beginning of a bucket's answer.

    Raises:
        NetworkError: it does not arrive.
    """
    with network_errors():
        answer = _read_beginning(response)
    code = re.search(rb"<Code>([0-9A-Za-z]{1,60})</Code>", answer)
    region = re.search(rb"<Region>([0-9A-Za-z-]{1,40})</Region>", answer)
    return Refusal(response.status_code, code and code[1].decode(), region and region[1].decode())


def explain_failure(failure: Failure) -> str:
    """A sentence for a bucket's caller, without its address."""
    return _MESSAGES[failure]


def sign_get(bucket: Bucket, address: S3Address, region: str | None, seconds: int) -> str:
    """A signed URL of an object, at the bucket's own server.

    No client of boto is made: that takes 0.3 s of CPU time, and takes some names for those of other servers.

    Args:
        bucket: its server and credentials.
        address: of the object.
        region: as the bucket has named it; None: the one in its endpoint's URL.
        seconds: the URL is valid for.

    Raises:
        NoBoto: botocore is not installed.
    """
    try:
        from botocore.auth import S3SigV4QueryAuth  # type: ignore[import-untyped]
        from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]
        from botocore.credentials import Credentials  # type: ignore[import-untyped]
    except ImportError:
        raise NoBoto(_NO_BOTO) from None
    path = f"{address.bucket}/{quote(address.key, safe='/~')}"
    request = AWSRequest("GET", f"{bucket.endpoint_url.rstrip('/')}/{path}")
    region = region or _region_of(bucket) or "us-east-1"
    S3SigV4QueryAuth(Credentials(bucket.access_id, bucket.access_secret), "s3", region, seconds).add_auth(request)
    url: str = request.url
    return url


def signing_client(bucket: Bucket, region: str | None = None) -> Any:
    """A client of boto that signs for `bucket`; without a region, for the one in its endpoint's URL.

    Raises:
        NoBoto: boto3 is not installed.
    """
    try:
        import boto3
        from botocore.config import Config  # type: ignore[import-untyped]
    except ImportError:
        raise NoBoto(_NO_BOTO) from None
    return boto3.session.Session().client(
        "s3",
        endpoint_url=bucket.endpoint_url,
        aws_access_key_id=bucket.access_id,
        aws_secret_access_key=bucket.access_secret,
        region_name=region or _region_of(bucket),
        # Since 1.36 boto asks for a checksum with every body, which many servers other than Amazon's reject.
        config=Config(signature_version="s3v4", request_checksum_calculation="when_required"),
    )


def _region_of(bucket: Bucket) -> str | None:
    from runpod.serverless.utils.rp_upload import extract_region_from_url

    region: str | None = extract_region_from_url(bucket.endpoint_url)
    return region


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
    if not is_bucket_name(s3_config["bucketName"]):
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


def _read_beginning(response: requests.Response) -> bytes:
    beginning = b""
    while len(beginning) < _ERROR_BYTES and (chunk := response.raw.read1(_ERROR_BYTES, decode_content=False)):
        beginning += chunk
    return beginning
