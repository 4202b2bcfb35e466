"""The lines of a job's output (docs/output.md), which may come from an endpoint, which can send anything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from api.page.lines import (
    DECIMALS_OF_PROBABILITY,
    DECIMALS_OF_SECONDS,
    MAX_OTHER_SPEAKERS,
    MAX_SECONDS,
    MAX_SPEAKER_CHARACTERS,
    Line,
    Word,
    clean_text,
)

_WORD = re.compile(r"\s*\S+")


def lines_of(output: Mapping[str, Any]) -> list[Line]:
    """The lines of a job's output.

    Raises:
        ValueError: it has no segments of the known form.
    """
    try:
        return lines_of_segments(output["transcription"]["segments"])
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError("the output has no segments of the known form") from error


def lines_of_segments(segments: Iterable[Mapping[str, Any]], first: int = 0) -> list[Line]:
    """The lines of segments, of which the first one is number `first` of the transcript.

    Raises:
        ValueError, LookupError, TypeError: a segment has an unknown form.
    """
    return [_line_of(segment, f"{number:08}") for number, segment in enumerate(segments, first)]


def _line_of(segment: Mapping[str, Any], line_id: str) -> Line:
    start = _clamp(segment["start"], 0.0)
    end = _clamp(segment["end"], start)
    text = clean_text(segment["text"])
    words = [_word_of(word, start) for word in segment.get("words") or []]
    if "".join(word.text for word in words).split() != text.split():
        words = spread_words(text, start, end)
    return Line(line_id, start, end, _speaker_of(segment), tuple(words))


def _word_of(word: Mapping[str, Any], line_start: float) -> Word:
    start = _clamp(word["start"], 0.0) if word.get("start") is not None else line_start
    probability = word.get("probability")
    if not isinstance(probability, int | float) or not 0 <= probability <= 1:
        probability = None
    if word.get("not_said"):
        rounded: float | None = 0.0
    elif probability is None:
        rounded = None
    else:  # 0 stands for a word that was not said
        rounded = max(10.0**-DECIMALS_OF_PROBABILITY, round(float(probability), DECIMALS_OF_PROBABILITY))
    others = tuple(clean_text(key)[:MAX_SPEAKER_CHARACTERS] for key in word.get("other_speakers") or ())
    return Word(clean_text(word["word"]), start, _clamp(word["end"], start), rounded, others[:MAX_OTHER_SPEAKERS])


def _clamp(value: Any, least: float) -> float:
    """A time of an output, rounded to milliseconds, not before `least`."""
    return max(least, round(min(float(value), MAX_SECONDS), DECIMALS_OF_SECONDS))


def _speaker_of(segment: Mapping[str, Any]) -> str | None:
    if segment.get("speaker") is not None:
        return clean_text(segment["speaker"])[:MAX_SPEAKER_CHARACTERS]
    return None if segment.get("channel") is None else f"CHANNEL_{int(segment['channel'])}"


def spread_words(text: str, start: float, end: float) -> list[Word]:
    """The words of a text whose times are not known: each gets a time by its length."""
    spellings = _WORD.findall(text)
    per_character = (end - start) / max(sum(map(len, spellings)), 1)
    words, position = [], 0
    for spelling in spellings:
        begin = start + position * per_character
        position += len(spelling)
        finish = start + position * per_character
        words.append(Word(spelling, round(begin, DECIMALS_OF_SECONDS), round(finish, DECIMALS_OF_SECONDS), None))
    return words
