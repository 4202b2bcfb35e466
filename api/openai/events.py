"""Server-sent events of a streamed transcription: deltas as segments become final, then the whole.

Each has an `event:` line besides `data:`, since some clients read no other; `transcript.text.done` has `segments`
besides OpenAI's fields, which others read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from api.openai.errors import ApiError
from api.openai.request import SpeechRequest
from api.transcriber import Answer

Event = dict[str, Any]
"""The JSON of an event, with its `type`."""


def segment_events(segments: Sequence[dict[str, Any]], request: SpeechRequest) -> list[Event]:
    """The events for new final segments of a running job."""
    raise NotImplementedError


def final_events(answer: Answer, request: SpeechRequest) -> list[Event]:
    """The events for the end of a job, which is no error: speakers' segments, if requested, and the whole text."""
    raise NotImplementedError


def encode_event(event: Event) -> bytes:
    """An event as it is sent."""
    raise NotImplementedError


def encode_error(error: ApiError) -> bytes:
    """An error in the middle of a stream as it is sent; OpenAI's SDKs raise it."""
    raise NotImplementedError
