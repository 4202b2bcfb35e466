"""Requests of `/v1/audio/transcriptions` and `/v1/audio/translations`, as options of a job."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from api.transcriber import Schema

Task = Literal["transcribe", "translate"]


@dataclass(frozen=True)
class SpeechRequest:
    """A request for a text.

    Attributes:
        model: as named by the caller; see `api.openai.models.choose_model`.
        options: of the job, without `model`; `output_format` holds what `response_format` is made from.
        response_format: one of `RESPONSE_FORMATS`.
        granularities: of `verbose_json`: some of `segment` and `word`.
        logprobs: true if the log-probabilities of tokens are wanted.
        stream: true if events are wanted (`api.openai.events`).
        audio: the job's `audio`, of a request in JSON; None: the recording is the form's `file`.
        ignored: names of fields that have no effect here.
    """

    model: str
    options: Mapping[str, Any]
    response_format: str
    granularities: frozenset[str]
    logprobs: bool
    stream: bool
    audio: Mapping[str, Any] | None
    ignored: tuple[str, ...]


def parse_form(fields: Sequence[tuple[str, str]], task: Task, option_schemas: Mapping[str, Schema]) -> SpeechRequest:
    """Parse the fields of a multipart form, without the file.

    Args:
        fields: names and values in order; names may come more than once, as in `keywords[]`.
        task: by the route.
        option_schemas: of the worker's own options, which are accepted as further fields.

    Raises:
        ApiError: naming the wrong field and the correct form.
    """
    raise NotImplementedError


def parse_json(body: Any, task: Task, option_schemas: Mapping[str, Schema]) -> SpeechRequest:
    """Parse a request in JSON, in OpenRouter's dialect: `input_audio` with `data` and `format`, or a URL.

    Raises:
        ApiError: naming the wrong field and the correct form.
    """
    raise NotImplementedError
