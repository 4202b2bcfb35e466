"""The transcript of a live session, in the forms of a recording's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from client.transport.answers import JsonObject
from transcript.formats.render import render
from transcript.transcript import Segment, Transcript, Word

FORMATS = ("srt", "vtt", "text", "json")


def to_output(segments: Sequence[JsonObject], language: str, seconds: float, warnings: Sequence[str]) -> JsonObject:
    """Return a transcript as a job's output, with the keys of all `FORMATS`.

    Args:
        segments: with a text and times, in order.
        language: in which most is said; empty if unknown.
        seconds: length of the sound.
        warnings: one sentence each.
    """
    transcript = Transcript(
        language=language,
        language_probability=None,
        duration=seconds,
        segments=[_to_segment(number, segment) for number, segment in enumerate(segments)],
    )
    metadata = {"language": language, "audio_duration": round(seconds, 3), "warnings": list(dict.fromkeys(warnings))}
    return {"transcription": render(transcript, FORMATS), "metadata": metadata}


def _to_segment(number: int, fields: JsonObject) -> Segment:
    """Return a segment; what a server has not sent of it is zero, since few programs read it."""

    def value(name: str) -> float:
        found = fields.get(name)
        return float(found) if isinstance(found, int | float) else 0.0

    tokens = fields.get("tokens")
    words = fields.get("words")
    return Segment(
        id=number,
        seek=round(100 * fields["start"]),
        start=fields["start"],
        end=fields["end"],
        text=fields["text"],
        tokens=tokens if isinstance(tokens, list) else [],
        temperature=value("temperature"),
        avg_logprob=value("avg_logprob"),
        compression_ratio=value("compression_ratio"),
        no_speech_prob=value("no_speech_prob"),
        words=[_to_word(word) for word in words] if words else None,
        language=_text(fields.get("language")),
        speaker=_text(fields.get("speaker")),
    )


def _to_word(fields: JsonObject) -> Word:
    probability = fields.get("probability")
    return Word(
        word=fields["word"],
        start=fields["start"],
        end=fields["end"],
        probability=float(probability) if isinstance(probability, int | float) else 0.0,
        speaker=_text(fields.get("speaker")),
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
