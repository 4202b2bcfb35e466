"""The address of an object in an S3 bucket: `s3://bucket/key`, as the tools of S3 write it."""

from __future__ import annotations

import re
from dataclasses import dataclass

SCHEME = "s3://"

_MAX_KEY_BYTES = 1024  # https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html


@dataclass(frozen=True)
class S3Address:
    """An object in a bucket."""

    bucket: str
    key: str


def is_s3_address(text: str) -> bool:
    """True if `text` begins with `s3://`."""
    return text[: len(SCHEME)].lower() == SCHEME


def is_bucket_name(name: str) -> bool:
    """True for the plain name of a bucket; boto also accepts an ARN, and then connects to another host."""
    return re.fullmatch(r"[0-9A-Za-z][0-9A-Za-z._-]{0,254}", name) is not None


def parse_s3_address(text: str) -> S3Address:
    """Split `s3://bucket/key`; the key is taken as it is written, without any decoding.

    Raises:
        ValueError: the correct form.
    """
    bucket, _, key = text[len(SCHEME) :].partition("/")
    if not is_bucket_name(bucket):
        raise ValueError('an s3:// address should be "s3://bucket/key", with letters, digits and "._-" in the bucket')
    if not key or key.endswith("/"):
        raise ValueError("an s3:// address should have the key of one object behind its bucket, not a folder")
    if len(key.encode()) > _MAX_KEY_BYTES:
        raise ValueError(f"the key of an s3:// address should have at most {_MAX_KEY_BYTES} bytes")
    # Servers and libraries resolve the two like folders, and so could leave the bucket.
    if re.search(r"[\x00-\x1f\x7f]", key) or {".", ".."} & set(key.split("/")):
        raise ValueError('the key of an s3:// address should be without control characters, "/./" and "/../"')
    return S3Address(bucket, key)
