"""The API of whisper-asr-webservice as data: `/asr` and `/detect-language`. Pure; it knows of no server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.openai.answers import Body
from api.transcriber import Answer


@dataclass(frozen=True)
class AsrRequest:
    """A request for a text.

    Attributes:
        options: of the job.
        output: `txt`, `vtt`, `srt`, `tsv` or `json`.
        is_raw: true if the upload is 16-bit little-endian PCM at 16 kHz, mono, without a header (`encode=false`).
        ignored: names of parameters that have no effect here.
    """

    options: Mapping[str, Any]
    output: str
    is_raw: bool
    ignored: tuple[str, ...]


def parse_asr(query: Mapping[str, str], option_schemas: Mapping[str, Any]) -> AsrRequest:
    """Parse the query of `/asr`.

    Raises:
        ApiError: naming the wrong parameter and the correct form.
    """
    raise NotImplementedError


def parse_detection(query: Mapping[str, str]) -> AsrRequest:
    """Parse the query of `/detect-language`.

    Raises:
        ApiError: naming the wrong parameter and the correct form.
    """
    raise NotImplementedError


def to_asr_body(answer: Answer, request: AsrRequest) -> Body:
    """The body of `/asr`, for a job's answer that is no error."""
    raise NotImplementedError


def to_detected_language(answer: Answer) -> dict[str, Any]:
    """The answer of `/detect-language`: `detected_language`, `language_code` and `confidence`."""
    raise NotImplementedError
