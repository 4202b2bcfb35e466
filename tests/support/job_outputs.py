"""A job's output as the worker makes it, from segments instead of a recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from src.request.options import Options
from transcript.formats.render import render
from transcript.transcript import Diarization, GivenText, Segment, Transcript, Word

SAID = (" Good morning.", " How are", " you?", " Fine.")
"""Texts of the segments, each one second long."""

SECONDS = 6.2
"""Length of the recording."""


def segments(texts: Sequence[str] = SAID, speakers: Sequence[str | None] | None = None) -> list[Segment]:
    """A segment for each text, with one word in it, and with its speaker if they are given."""
    found = [
        Segment(
            number, 0, float(number), number + 1.0, text, [50364, 13], 0.0, -0.2, 1.1, 0.01,
            words=[Word(text, float(number), number + 0.5, 0.9)],
        )
        for number, text in enumerate(texts)
    ]  # fmt: skip
    for segment, speaker in zip(found, speakers or [], strict=bool(speakers)):
        segment.speaker = speaker
        for word in segment.words or []:
            word.speaker = speaker
    return found


def output(
    options: Mapping[str, Any],
    texts: Sequence[str] = SAID,
    speakers: Sequence[str | None] | None = None,
    warnings: Sequence[str] = (),
    not_said: Sequence[int] = (),
) -> dict[str, Any]:
    """The output of a job with these options, for a recording of `SECONDS`.

    With `align`, the texts with the numbers in `not_said` are not in the recording.
    """
    asked = Options.model_validate(dict(options))
    task = asked.task
    transcript = Transcript("de", 0.9 if texts else None, SECONDS, segments(texts, speakers), task=task)
    transcript.diarization = Diarization() if speakers else None
    if speakers:
        transcript.segments[0].words[0].other_speakers = (str(speakers[1]),)
    if asked.align is not None:
        transcript.given_text = GivenText(len(texts), [], [])
        for number in not_said:
            transcript.segments[number].words[0].said = False
    rendered = render(transcript, asked.output_format, asked.layout)
    metadata = {
        "model": "turbo",
        "processing_time": 0.5,
        "audio_duration": SECONDS,
        "language": "de",
        "language_probability": transcript.language_probability,
        "warnings": [*warnings],
    }
    return {"transcription": rendered, "metadata": metadata}
