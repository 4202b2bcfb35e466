"""The utterances of a live session, from its events, in the order of speech."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from client.transport.answers import JsonObject, check_segments, clean_line, is_number

_MAX_WAITING = 100
"""Utterances behind an unfinished one; finals of so many are never on their way at once, so it will not come."""


@dataclass
class Utterance:
    """What is said between two pauses; times in seconds of the whole sound."""

    item_id: str
    start: float
    end: float
    words: str = ""
    """The words so far; what is final is in `segments`."""
    segments: list[JsonObject] = field(default_factory=list)
    language: str | None = None
    warnings: list[str] = field(default_factory=list)
    error: str | None = None
    """Why there is no text."""
    is_done: bool = False

    @property
    def draft(self) -> list[JsonObject]:
        """The words so far as a segment, for one that will not be finished."""
        text = self.words.strip()
        return [{"start": self.start, "end": self.end, "text": f" {text}"}] if text else []


class Utterances:
    """The utterances that are not handed on yet."""

    def __init__(self) -> None:
        self.covered = 0.0
        """End of the last utterance that was handed on, in seconds of the whole sound: earlier sound has its text."""
        self.languages: defaultdict[str, float] = defaultdict(float)
        """Seconds of speech by language."""
        self._offset = 0.0
        self._open: dict[str, Utterance] = {}

    @property
    def unfinished(self) -> list[Utterance]:
        """Utterances that are being spoken or wait for their final text, in order."""
        return list(self._open.values())

    def restart(self, offset: float) -> None:
        """Forget what is unfinished: a new session hears it again.

        Args:
            offset: seconds of the whole sound at which the new session begins.
        """
        self._offset = offset
        self._open.clear()

    def take(self, event: JsonObject) -> list[Utterance]:
        """Take in an event of the session.

        Returns:
            The utterances that are finished by it, in order.
        """
        item_id = event.get("item_id")
        change = _CHANGES.get(str(event.get("type")).removeprefix("conversation.item.input_audio_transcription."))
        if change is None or not isinstance(item_id, str):
            return []
        utterance = self._open.setdefault(item_id, Utterance(item_id, self.covered, self.covered))
        change(utterance, event, self._offset)
        return self._release()

    def finish(self) -> list[Utterance]:
        """Return those whose final text the session has not sent by its end, with the words so far."""
        for utterance in self._open.values():
            if not utterance.is_done:
                _give_up(utterance)
        return self._release()

    def _release(self) -> list[Utterance]:
        first = next(iter(self._open.values()), None)
        if first and not first.is_done and len(self._open) > _MAX_WAITING:
            _give_up(first)
        done = []
        while self._open and (utterance := next(iter(self._open.values()))).is_done:
            done.append(self._open.pop(utterance.item_id))
            self.covered = max(self.covered, utterance.end)
            if utterance.language:
                self.languages[utterance.language] += utterance.end - utterance.start
        return done


# --- what events say of an utterance


def _start(utterance: Utterance, event: JsonObject, offset: float) -> None:
    utterance.start = offset + _seconds(event.get("audio_start_ms"), 0.001)
    utterance.end = max(utterance.end, utterance.start)


def _stop(utterance: Utterance, event: JsonObject, offset: float) -> None:
    utterance.end = max(utterance.start, offset + _seconds(event.get("audio_end_ms"), 0.001))


def _commit(_utterance: Utterance, _event: JsonObject, _offset: float) -> None:
    """The utterance has its place in the order."""


def _add_words(utterance: Utterance, event: JsonObject, _offset: float) -> None:
    utterance.words += str(event.get("delta") or "")


def _complete(utterance: Utterance, event: JsonObject, offset: float) -> None:
    utterance.words = str(event.get("transcript") or "").strip()
    # The worker's own fields: an utterance that was cut for its length has no other times.
    if is_number(event.get("audio_start_ms")):
        _start(utterance, event, offset)
    if is_number(event.get("audio_end_ms")):
        _stop(utterance, event, offset)
    # Other servers send the text alone.
    utterance.segments = [
        shift(segment, offset) for segment in check_segments(event.get("segments"))
    ] or utterance.draft
    utterance.language = event["language"] if isinstance(event.get("language"), str) else None
    warnings = event.get("warnings")
    utterance.warnings = [clean_line(str(warning)) for warning in warnings] if isinstance(warnings, list) else []
    utterance.is_done = True


def _fail(utterance: Utterance, event: JsonObject, _offset: float) -> None:
    error = event.get("error")
    utterance.error = clean_line(str(error.get("message") if isinstance(error, dict) else error), 300)
    utterance.is_done = True


def _give_up(utterance: Utterance) -> None:
    utterance.segments, utterance.error = utterance.draft, "the server has not sent its final text"
    utterance.is_done = True


_CHANGES: dict[str, Any] = {
    "input_audio_buffer.speech_started": _start,
    "input_audio_buffer.speech_stopped": _stop,
    "input_audio_buffer.committed": _commit,
    "delta": _add_words,
    "completed": _complete,
    "failed": _fail,
}


def shift(span: JsonObject, offset: float) -> JsonObject:
    """Return a segment or word `offset` seconds later."""
    words = {"words": [shift(word, offset) for word in span["words"]]} if span.get("words") else {}
    return {**span, "start": round(span["start"] + offset, 3), "end": round(span["end"] + offset, 3), **words}


def _seconds(value: Any, unit: float) -> float:
    return value * unit if is_number(value) else 0.0
