"""Server-sent events of a streamed transcription: deltas as segments become final, then the whole.

Each has an `event:` line besides `data:`, since some clients read no other; `transcript.text.done` has `segments`
besides OpenAI's fields, which others read.

All deltas together are the final text, if what was streamed is its beginning, as it nearly always is. It is not where
the worker changes segments after they were streamed: loops that it cuts over several of them, speech that only a second
decoding understands. The text of `transcript.text.done` is right in any case.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from api.openai.answers import (
    diarized_answer,
    diarized_text,
    find_languages,
    find_logprobs,
    find_rendered,
    find_usage,
    verbose_segments,
)
from api.openai.errors import ApiError
from api.openai.request import SpeechRequest
from api.transcriber import Answer

Event = dict[str, Any]
"""The JSON of an event, with its `type`."""


def segment_events(segments: Sequence[dict[str, Any]], request: SpeechRequest, sent: str = "") -> list[Event]:
    """The events for new final segments of a running job.

    There are none where the text has names of speakers or channels: only the whole recording tells who speaks.

    Args:
        segments: the worker's.
        request: what was asked for.
        sent: the text of all deltas before.
    """
    if request.options.get("diarize") or request.options.get("channels") == "split":
        return []
    events = []
    for segment in segments:
        text = segment["text"] if sent else segment["text"].lstrip()
        if text:
            sent += text
            events.append(_delta(text, find_logprobs([segment]) if request.logprobs else None))
    return events


def final_events(answer: Answer, request: SpeechRequest, sent: str | None = None) -> list[Event]:
    """The events for the end of a job, which is no error: speakers' segments, if requested, and the whole text.

    Args:
        answer: the job's.
        request: what was asked for.
        sent: the text of all deltas before, of which the rest is sent; None: no more deltas are.

    Raises:
        ApiError: 413, the text is too large for an answer, and was delivered as files.
    """
    done: Event = {"type": "transcript.text.done"}
    events: list[Event] = []
    if request.response_format == "diarized_json":
        segments = diarized_answer(answer, request)
        done["text"] = diarized_text(segments)
        done["segments"] = [{"type": "transcript.text.segment", **segment._asdict()} for segment in segments]
        events += done["segments"]
    else:
        rendered = find_rendered(answer, "segments")
        done["text"] = find_rendered(answer, "text")
        done["segments"] = verbose_segments(rendered)
        if request.logprobs:
            done["logprobs"] = find_logprobs(rendered)
    if sent is not None and done["text"].startswith(sent) and (rest := done["text"][len(sent) :]):
        events.insert(0, _delta(rest))
    return [*events, {**done, "usage": find_usage(answer), "languages": find_languages(answer)}]


def encode_event(event: Event) -> bytes:
    """An event as it is sent."""
    return f"event: {event['type']}\ndata: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


def encode_error(error: ApiError) -> bytes:
    """An error in the middle of a stream as it is sent; OpenAI's SDKs raise it."""
    return f"event: error\ndata: {json.dumps(error.body, ensure_ascii=False)}\n\n".encode()


def _delta(text: str, logprobs: list[dict[str, Any]] | None = None) -> Event:
    event: Event = {"type": "transcript.text.delta", "delta": text}
    return event if logprobs is None else {**event, "logprobs": logprobs}
