"""The audio of a job, or of a speaker's sample: a URL or base64."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from src.request.request_model import RequestModel


class AudioSource(RequestModel):
    """A recording: exactly one of `url` and `base64`."""

    url: str | None = Field(default=None, min_length=1, max_length=8192)
    base64: str | None = Field(default=None, min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _expand_string(cls, raw: Any) -> Any:
        """Expand a bare string: a data URI is base64, anything else a URL."""
        if not isinstance(raw, str):
            return raw
        return {"base64" if raw.lstrip()[:5].lower() == "data:" else "url": raw}

    @model_validator(mode="after")
    def _check_exactly_one(self) -> AudioSource:
        if (self.url is None) == (self.base64 is None):
            raise ValueError('give exactly one of "url" and "base64"')
        return self


MAX_SAMPLE_SECONDS = 60.0

MAX_SAMPLE_BYTES = 20 * 2**20
"""Of a speaker's sample, as fetched and as decoded."""
