"""Server-sent events of a streamed transcription: deltas as segments become final, then the whole.

Each has an `event:` line besides `data:`, and `transcript.text.done` has `segments` besides OpenAI's fields: Subtitle
Edit needs both.

All deltas together are the final text, if what was streamed is its beginning, as it nearly always is. It is not where
the worker changes segments after they were streamed: loops that it cuts over several of them, speech that only a second
decoding understands. The text of `transcript.text.done` is right in any case.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

from api.json_text import to_json
from api.openai.answers import (
    diarized_answer,
    find_extras,
    find_languages,
    find_logprobs,
    find_rendered,
    find_usage,
    verbose_segments,
    with_labels,
)
from api.openai.errors import ApiError
from api.openai.request import SpeechRequest
from api.transcriber import Answer

Event = dict[str, Any]
"""The JSON of an event, with its `type`."""


def segment_events(segments: Sequence[dict[str, Any]], request: SpeechRequest, sent: str) -> list[Event]:
    """The events for new final segments of a running job.

    There are none where the text has names of speakers or channels, or paragraphs: only the whole recording tells who
    speaks, and only the next segment whether a paragraph ends.

    Args:
        segments: the worker's.
        request: what was asked for.
        sent: the text of all deltas before.
    """
    is_split = str(request.options.get("channels")).strip().lower() == "split"
    if request.options.get("diarize") or request.options.get("paragraphs") or is_split:
        return []
    events = []
    for segment in segments:
        text = segment["text"] if sent else segment["text"].lstrip()
        if text:
            sent += text
            events.append(_delta(text, segments=[segment] if request.logprobs else None))
    return events


def final_events(answer: Answer, request: SpeechRequest, sent: str) -> list[Event]:
    """The events for the end of a job, which is no error: what of the text was not sent yet, and the whole.

    Args:
        answer: the job's.
        request: what was asked for.
        sent: the text of all deltas before.

    Raises:
        ApiError: 413, the text is too large for an answer, and was delivered as files.
    """
    if request.response_format == "diarized_json":
        return _diarized_events(answer, request)
    text = find_rendered(answer, "text")
    rest = text[len(sent) :] if text.startswith(sent) else ""
    segments = answer["transcription"].get("segments")  # an extra: a text too large for the answer lacks them
    done: Event = {"type": "transcript.text.done", "text": text}
    if request.logprobs:
        done["logprobs"] = find_logprobs(segments or [])
    if segments is not None:
        done["segments"] = verbose_segments(segments)
    if "word" in request.granularities:
        done["words"] = find_rendered(answer, "verbose_json").get("words", [])
    logprobs = segments if request.logprobs and not sent else None
    return [*([_delta(rest, segments=logprobs)] if rest else []), {**done, **_about(answer)}]


def encode_event(event: Event) -> bytes:
    """An event as it is sent: in ASCII, since some clients take U+2028 for the end of a line."""
    return f"event: {event['type']}\ndata: {to_json(event, ascii_only=True)}\n\n".encode()


def encode_error(error: ApiError) -> bytes:
    """An error in the middle of a stream as it is sent; OpenAI's SDKs raise it."""
    return encode_event({"type": "error", **error.body})


def _diarized_events(answer: Answer, request: SpeechRequest) -> list[Event]:
    segments = diarized_answer(answer, request)
    as_events = [segment.to_json() for segment in segments]
    deltas = [_delta(text) | {"segment_id": segment.id} for segment, text in with_labels(segments)]
    text = "".join(event["delta"] for event in deltas)
    done = {"type": "transcript.text.done", "text": text, "segments": as_events, **_about(answer)}
    return [*chain.from_iterable(zip(deltas, as_events, strict=True)), done]


def _delta(text: str, segments: Sequence[dict[str, Any]] | None = None) -> Event:
    """A delta, with the log-probabilities of its segments if they are given."""
    event: Event = {"type": "transcript.text.delta", "delta": text}
    return event if segments is None else {**event, "logprobs": find_logprobs(segments)}


def _about(answer: Answer) -> Event:
    """What `transcript.text.done` says of the whole.

    OpenAI's type of `usage` has tokens alone, and programs read these numbers: none is counted here.
    """
    tokens = {"type": "tokens", "input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    details = {"input_token_details": {"audio_tokens": 0, "text_tokens": 0}}
    usage = {**tokens, **details, "seconds": find_usage(answer)["seconds"]}
    return {"usage": usage, "languages": find_languages(answer), **find_extras(answer)}
