"""The input of a job as sent by its caller."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pydantic import Field, PrivateAttr, field_validator, model_validator

from src.errors import InvalidInput
from src.public_http import clean_url
from src.request.http_headers import Headers
from src.request.options import Options
from src.request.request_model import RequestModel
from src.request.tracks import Tracks

MAX_PREFIX_CHARACTERS = 200  # a key has at most 1024 bytes
MAX_REFERENCE_CHARACTERS = 200


class UploadRequest(RequestModel):
    """The job's `upload` field: store results as files."""

    prefix: str = Field(default="transcripts", description="Folder in the bucket.")

    @field_validator("prefix")
    @classmethod
    def _check_prefix(cls, prefix: str) -> str:
        return validate_prefix(prefix)


def validate_prefix(prefix: str) -> str:
    """`prefix` without a slash at its end.

    Raises:
        ValueError: some S3 servers would not accept it, or it leaves its folder with "..".
    """
    parts = prefix.removesuffix("/").split("/")
    # The characters that S3 calls safe, and "=" for folders such as "year=2026".
    is_valid = all(re.fullmatch(r"[0-9A-Za-z!_.*'()=-]+", part) and part.strip(".") for part in parts)
    if not is_valid or len(prefix) > MAX_PREFIX_CHARACTERS:
        raise ValueError(
            f'must be a folder such as "team/transcripts", in at most {MAX_PREFIX_CHARACTERS} characters: letters, '
            'digits and !_.*\'()=- between single slashes, without one at the start and without ".."'
        )
    return "/".join(parts)


class Webhook(RequestModel):
    """The job's `webhook` field: a URL for events."""

    url: str = Field(max_length=8192, repr=False)
    progress: bool = False
    headers: Headers | None = Field(default=None, repr=False)

    @model_validator(mode="before")
    @classmethod
    def _expand_string(cls, raw: Any) -> Any:
        """Take a bare string as the URL."""
        if isinstance(raw, str):
            return {"url": raw}
        if not isinstance(raw, (dict, cls)):
            raise ValueError('give a URL, or {"url": "https://...", "progress": true}')
        return raw

    @field_validator("url")
    @classmethod
    def _clean_url(cls, url: str) -> str:
        try:
            return clean_url(url)
        except InvalidInput as error:
            raise ValueError(str(error)) from None


class JobInput(RequestModel):
    """The `input` of a job."""

    audio: Tracks
    options: Options = Options()
    webhook: Webhook | None = None
    upload: UploadRequest | None = None
    reference: str | None = Field(default=None, max_length=MAX_REFERENCE_CHARACTERS)
    """The caller's own name for the job, in each event of its webhook."""

    _warnings: tuple[str, ...] = PrivateAttr(default=())

    @model_validator(mode="after")
    def _check_tracks(self) -> JobInput:
        options = self.options
        unfit = {
            "align": options.align,
            "diarize": options.diarize,
            "captions": options.captions,
            'channels "split"': options.channels == "split",
        }
        given = [name for name, is_given in unfit.items() if is_given]
        if self.has_tracks and given:
            raise ValueError(f"{given[0]} is for a single recording: leave it out, or send one")
        return self

    @model_validator(mode="after")
    def _check_rttm(self) -> JobInput:
        if "rttm" in self.options.output_format and not (self.options.diarize or self.has_tracks):
            raise ValueError("rttm needs diarize, or a track for each speaker")
        return self

    @property
    def has_tracks(self) -> bool:
        """True for tracks of a conversation, False for one recording."""
        return self.audio[0].name is not None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What of the input was read otherwise than it is written, or ignored."""
        return self._warnings

    def with_warnings(self, warnings: Iterable[str]) -> JobInput:
        """The same input with these warnings."""
        copy = self.model_copy()
        copy._warnings = tuple(warnings)
        return copy
