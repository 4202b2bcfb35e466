"""A job's input as it comes over the wire."""

from __future__ import annotations

import re
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from src.errors import InvalidInput
from src.public_http import check_url
from src.request.audio_source import AudioSource
from src.request.options import Options

MAX_PREFIX_CHARACTERS = 200  # characters; a key has room for 1024 bytes


class UploadRequest(BaseModel):
    """A caller's wish for files."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    prefix: str = Field(default="transcripts", description="Folder in the bucket.")

    @field_validator("prefix")
    @classmethod
    def _checked(cls, prefix: str) -> str:
        return validate_prefix(prefix)


def validate_prefix(prefix: str) -> str:
    """`prefix` without a slash at its end.

    Raises:
        ValueError: it cannot be the beginning of a key in every S3 server, or climbs out of its folder.
    """
    parts = prefix.removesuffix("/").split("/")
    # The characters that S3 calls safe, and "=" for folders such as "year=2026".
    sound = all(re.fullmatch(r"[0-9A-Za-z!_.*'()=-]+", part) and part.strip(".") for part in parts)
    if not sound or len(prefix) > MAX_PREFIX_CHARACTERS:
        raise ValueError(
            f'must be a folder such as "team/transcripts", in at most {MAX_PREFIX_CHARACTERS} characters: letters, '
            'digits and !_.*\'()=- between single slashes, without one at the start and without ".."'
        )
    return "/".join(parts)


class Webhook(BaseModel):
    """Where a job's events go."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    url: str = Field(max_length=8192, repr=False)
    progress: bool = False

    @field_validator("url")
    @classmethod
    def _sound(cls, url: str) -> str:
        try:
            check_url(url)
        except InvalidInput as error:
            raise ValueError(str(error)) from None
        return url


class JobInput(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    audio: AudioSource
    options: Options = Options()
    webhook: Webhook | None = None
    upload: UploadRequest | None = None

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, raw: Any) -> Any:
        """`options: null` is no options."""
        if isinstance(raw, dict) and raw.get("options", {}) is None:
            return {key: value for key, value in raw.items() if key != "options"}
        return raw
