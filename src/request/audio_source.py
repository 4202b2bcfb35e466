"""The audio of a job, or of a speaker's sample: a URL, base64, a file on the volume, or one that was received."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import Field, PrivateAttr, field_validator, model_validator

from src.errors import InvalidInput
from src.public_http import MALFORMED, clean_url, strip_invisible
from src.request.http_headers import Headers
from src.request.request_model import RequestModel
from src.request.s3_address import SCHEME, S3Address, is_s3_address, parse_s3_address

FORMS = 'give {"url": "https://..."}, {"base64": "..."} or {"volume": "in/talk.mp4"}'

_MAX_PATH_BYTES = 4096  # Linux's PATH_MAX
_MAX_NAME_BYTES = 255  # Linux's NAME_MAX

_BASE64_DIGITS = re.compile(r"[0-9A-Za-z+/_\-\s]{100,}=*")
"""The shortest recording has more of them; a path has a full stop or a colon at either end."""

_ON_YOUR_DISK = (
    "the worker cannot see your disk: send the file as base64, or use the client, or give an https:// URL; "
    'a file on its network volume is {"volume": "in/talk.mp4"}'
)
_OTHER_SCHEMES = {
    "file": _ON_YOUR_DISK,
    "gs": "the worker has no keys for gs:// addresses: give a signed https:// URL of the object",
    "volume": 'a file on the network volume is an object, {"volume": "in/talk.mp4"}',
    "blob": "a blob: URL exists only in the browser that made it: send the file as base64",
}
_ANY_SCHEME = "the worker downloads by http://, https:// and s3:// only: give such a URL, or send the file as base64"


class AudioSource(RequestModel):
    """A recording: exactly one of `url`, `base64` and `volume`."""

    url: str | None = Field(default=None, min_length=1, max_length=8192)
    """http(s), or the `s3://bucket/key` of an object."""
    base64: str | None = Field(default=None, min_length=1)
    volume: str | None = Field(default=None, min_length=1)
    """Path of a file on the mounted volume, from its top."""
    headers: Headers | None = Field(default=None, repr=False)
    """Sent with the request for `url`, and with redirects of it that stay at its origin."""
    _upload: Path | None = PrivateAttr(default=None)  # no field: JSON must not name a file of this machine

    @classmethod
    def of_upload(cls, upload: Path) -> AudioSource:
        """A recording that was received as a file."""
        source = cls.model_construct()
        source._upload = upload
        return source

    @property
    def upload(self) -> Path | None:
        """The file of `of_upload`, else None."""
        return self._upload

    @property
    def s3_address(self) -> S3Address | None:
        """The object that `url` names, if it is an s3:// address."""
        return parse_s3_address(self.url) if self.url is not None and is_s3_address(self.url) else None

    @model_validator(mode="before")
    @classmethod
    def _sort_forms(cls, raw: Any) -> Any:
        """Take a bare string, and base64 in `url`, for what they are; drop the form that is not set."""
        if isinstance(raw, str) and not _is_unset(raw):
            raw = {"url": raw}
        if isinstance(raw, cls):
            return raw
        if not isinstance(raw, dict):
            raise ValueError(FORMS)
        unset = [key for key in ("url", "base64", "volume") if key in raw and _is_unset(raw[key])]
        given = {key: value for key, value in raw.items() if key not in unset}
        if isinstance(given.get("url"), str) and _is_base64(given["url"]) and "base64" not in given:
            given["base64"] = given.pop("url")
        if given == {} and raw.get("base64") is not None:
            raise ValueError("the file is empty: send the base64 of its bytes")
        return given

    @field_validator("url")
    @classmethod
    def _clean_url(cls, url: str | None) -> str | None:
        if url is not None and is_s3_address(strip_invisible(url)):
            address = parse_s3_address(strip_invisible(url))
            return f"{SCHEME}{address.bucket}/{address.key}"
        try:
            return url and clean_audio_url(url)
        except InvalidInput as error:
            raise ValueError(str(error)) from None

    @field_validator("volume")
    @classmethod
    def _clean_volume_path(cls, path: str | None) -> str | None:
        return path and clean_volume_path(path)

    @model_validator(mode="after")
    def _check_combination(self) -> AudioSource:
        if self.upload is None and [self.url, self.base64, self.volume].count(None) != 2:
            raise ValueError('give exactly one of "url", "base64" and "volume"')
        if self.headers and (self.url is None or self.s3_address is not None):
            raise ValueError('"headers" go with an http(s) "url" only')
        names = [name.lower() for name in self.headers or {}]
        if "authorization" in names and "@" in urlsplit(self.url or "").netloc:
            raise ValueError('give either user and password in the URL, or the header "Authorization"')
        return self


def clean_audio_url(url: str) -> str:
    """The URL of a recording, without what copying leaves around it.

    Raises:
        InvalidInput: it is not http(s); says what it seems to be, and the remedy.
    """
    try:
        return clean_url(url)
    except InvalidInput:
        raise InvalidInput(_explain(strip_invisible(url))) from None


def clean_volume_path(path: str) -> str:
    """The path of a file on the volume, without empty parts and ".".

    Raises:
        ValueError: it could lead out of the volume, or no file has such a name.
    """
    parts = [part for part in path.split("/") if part not in ("", ".")]
    sizes = [len(part.encode()) for part in parts]
    is_inside = not path.startswith("/") and ".." not in parts and "\0" not in path
    if not (parts and is_inside and max(sizes) <= _MAX_NAME_BYTES and sum(sizes) + len(sizes) <= _MAX_PATH_BYTES):
        raise ValueError(
            'should be a path from the top of the volume such as "in/talk.mp4", without "/" at its start and "..", '
            f"in at most {_MAX_PATH_BYTES} bytes, {_MAX_NAME_BYTES} in each name"
        )
    return "/".join(parts)


def _explain(url: str) -> str:
    """Why a string that is no http(s) URL cannot be downloaded."""
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]{1,20}):", url)  # one letter is a drive of Windows
    if scheme is None or re.match(r"\d+(/|$)", url[scheme.end() :]):  # host:port is no scheme either
        return _ON_YOUR_DISK
    if scheme[1].lower() in ("http", "https"):
        return MALFORMED
    return _OTHER_SCHEMES.get(scheme[1].lower(), _ANY_SCHEME)


def _is_unset(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not strip_invisible(value))


def _is_base64(text: str) -> bool:
    ends = strip_invisible(text[:200]) + strip_invisible(text[-50:])
    return ends[:5].lower() == "data:" or _BASE64_DIGITS.fullmatch(ends) is not None


MAX_SAMPLE_SECONDS = 60.0

MAX_SAMPLE_BYTES = 20 * 2**20
"""Of a speaker's sample, as fetched and as decoded."""
