"""The voices that a job names: a sample of a voice, or its embedding, as an earlier job has answered with it."""

from __future__ import annotations

import math
from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, Field, field_validator

from src.errors import quote
from src.request.audio_source import AudioSource
from src.request.request_model import RequestModel

EMBEDDING_MODEL = "campplus_cn_en_common"
"""The network of speaker embeddings, by the name of its weights: only embeddings of the same one can be compared."""

EMBEDDING_SIZE = 192

MAX_LENGTH_ERROR = 0.01
"""Of an embedding, whose length is 1; that of the rounded numbers of an answer is within 0.001 of it."""

_FORM = f"should be the {EMBEDDING_SIZE} numbers of a speaker's embedding in an answer, whose length is 1"


class VoiceEmbedding(RequestModel):
    """A known voice by its embedding."""

    embedding: Annotated[list[float], Field(min_length=EMBEDDING_SIZE, max_length=EMBEDDING_SIZE, repr=False)]
    embedding_model: str | None = Field(default=None, max_length=200)
    """The network that has computed it; None: `EMBEDDING_MODEL`."""

    @field_validator("embedding", mode="before")
    @classmethod
    def _check_embedding(cls, value: Any) -> list[float]:
        """Check everything at once: pydantic would report each number."""
        if not isinstance(value, list) or len(value) != EMBEDDING_SIZE or not all(map(_is_component, value)):
            raise ValueError(_FORM)
        if abs(math.hypot(*value) - 1) > MAX_LENGTH_ERROR:
            raise ValueError(_FORM)
        return [float(number) for number in value]

    @field_validator("embedding_model")
    @classmethod
    def _check_model(cls, name: str | None) -> str | None:
        if name not in (None, EMBEDDING_MODEL):
            raise ValueError(
                f"should be {quote(EMBEDDING_MODEL)}: embeddings of other networks cannot be compared; take the "
                "voice's embedding again from an answer of this worker"
            )
        return name


def _is_component(number: Any) -> bool:
    """True for a number that a vector of length 1 can have; a comparison with NaN is false."""
    return isinstance(number, int | float) and not isinstance(number, bool) and abs(number) <= 1 + MAX_LENGTH_ERROR


def _parse_voice(raw: Any) -> Any:
    """Choose by the key, so that errors are those of one form."""
    if isinstance(raw, dict) and ("embedding" in raw or "embedding_model" in raw):
        if not raw.keys().isdisjoint(AudioSource.model_fields):
            raise ValueError('give either a sample or "embedding"')
        return VoiceEmbedding.model_validate(raw)
    return raw if isinstance(raw, VoiceEmbedding) else AudioSource.model_validate(raw)


KnownVoice: TypeAlias = Annotated[AudioSource | VoiceEmbedding, BeforeValidator(_parse_voice)]
