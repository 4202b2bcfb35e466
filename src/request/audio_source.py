"""Where a job says that its sound is."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator


class AudioSource(BaseModel):
    """Where the recording is: exactly one of a URL and base64 text."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    url: str | None = Field(default=None, min_length=1, max_length=8192)
    base64: str | None = Field(default=None, min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _spell_out(cls, raw: Any) -> Any:
        """A bare string is a URL, or audio itself as a data URI."""
        if not isinstance(raw, str):
            return raw
        return {"base64" if raw.lstrip()[:5].lower() == "data:" else "url": raw}

    @model_validator(mode="after")
    def _one_of_both(self) -> AudioSource:
        if (self.url is None) == (self.base64 is None):
            raise ValueError('give exactly one of "url" and "base64"')
        return self


MAX_SECONDS = 60.0


MAX_BYTES = 20 * 2**20
"""As it comes, and as decoded."""
