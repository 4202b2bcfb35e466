"""Answers of `/v1/audio/transcriptions` and `/v1/audio/translations`, made from a job's output."""

from __future__ import annotations

from typing import NamedTuple

from api.openai.request import SpeechRequest
from api.transcriber import Answer


class Body(NamedTuple):
    """The body of an answer, and its content type."""

    content: str
    media_type: str


def to_body(answer: Answer, request: SpeechRequest) -> Body:
    """The body in the request's `response_format`, for a job's answer that is no error."""
    raise NotImplementedError
