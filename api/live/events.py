"""Events of a session for its caller, in OpenAI's form, from those of its stream."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from api.form_values import nameable
from api.live.config import Layout
from api.live.recognizer import (
    Committed,
    Completed,
    Delta,
    LiveEvent,
    SpeechStarted,
    SpeechStopped,
    Warned,
)
from api.openai.answers import verbose_segments
from api.openai.errors import ApiError, to_error

Json = dict[str, Any]

_TRANSCRIPTION = "conversation.item.input_audio_transcription"


class EventMaker:
    """Makes events from those of a stream.

    Attributes:
        layout: of OpenAI's events.

    Args:
        session: the session's id, which is in the ids of its items.
        layout: of OpenAI's events.
    """

    def __init__(self, session: str, layout: Layout) -> None:
        self.layout = layout
        self._prefix = f"item_{session.removeprefix('sess_')[:16]}"
        self._previous: str | None = None
        """The item that was committed last."""

    def make(self, event: LiveEvent) -> Iterator[Json]:
        """The caller's events for one of the stream."""
        if isinstance(event, Warned):
            yield warning(event.message)
            return
        item = f"{self._prefix}_{event.utterance}"
        if isinstance(event, SpeechStarted):
            yield {"type": "input_audio_buffer.speech_started", "audio_start_ms": event.at_ms, "item_id": item}
        elif isinstance(event, SpeechStopped):
            yield {"type": "input_audio_buffer.speech_stopped", "audio_end_ms": event.at_ms, "item_id": item}
        elif isinstance(event, Committed):
            yield from self._commit(item)
        elif isinstance(event, Delta):
            yield {"type": f"{_TRANSCRIPTION}.delta", "item_id": item, "content_index": 0, "delta": event.text}
        elif isinstance(event, Completed):
            yield from _complete(event, item)
        else:
            answer = {"error": event.message, "error_type": event.error_type}
            error = to_error(answer).body["error"]
            yield {"type": f"{_TRANSCRIPTION}.failed", "item_id": item, "content_index": 0, "error": error}

    def _commit(self, item: str) -> Iterator[Json]:
        before, self._previous = self._previous, item
        yield {"type": "input_audio_buffer.committed", "previous_item_id": before, "item_id": item}
        message = {
            "id": item,
            "object": "realtime.item",
            "type": "message",
            "status": "completed",
            "role": "user",
            "content": [{"type": "input_audio", "transcript": None}],
        }
        for kind in ("created",) if self.layout == "beta" else ("added", "done"):
            yield {"type": f"conversation.item.{kind}", "previous_item_id": before, "item": message}


def warning(message: str) -> Json:
    """The event for what was lost, ignored or changed; OpenAI has none."""
    return {"type": "session.warning", "message": message}


def error_event(error: ApiError, client_event: Any = None) -> Json:
    """The event for an error.

    Args:
        error: what is wrong.
        client_event: id of the caller's event that it is about.
    """
    caused_by = nameable([client_event])[0] if isinstance(client_event, str) else None
    return {"type": "error", "error": {**error.body["error"], "event_id": caused_by}}


def _complete(event: Completed, item: str) -> Iterator[Json]:
    of_item = {"item_id": item, "content_index": 0}
    for segment in event.segments:
        if "speaker" in segment:
            times = {key: segment[key] for key in ("start", "end")}
            yield {
                **{"type": f"{_TRANSCRIPTION}.segment", **of_item, "id": f"seg_{item}_{segment['id']}", **times},
                **{"text": segment["text"].strip(), "speaker": str(segment["speaker"])},
            }
    words = [word for segment in event.segments for word in segment.get("words", ())]
    segments = [
        {**verbose, **({"words": segment["words"]} if "words" in segment else {})}
        for verbose, segment in zip(verbose_segments(event.segments), event.segments, strict=True)
    ]
    yield {
        **{"type": f"{_TRANSCRIPTION}.completed", **of_item, "transcript": event.text},
        "usage": {"type": "duration", "seconds": event.seconds},
        "languages": [{"code": event.language}] if event.language else [],
        **({"logprobs": event.logprobs} if event.logprobs is not None else {}),
        **{"language": event.language, "audio_start_ms": event.start_ms, "audio_end_ms": event.end_ms},
        "segments": segments,
        **({"words": words} if words else {}),
        "warnings": event.warnings,
    }
