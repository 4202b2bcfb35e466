"""The lines of a transcript, as the page edits them; times are seconds from the recording's start.

A line comes from one segment of a job's output (`job_lines.py`). Its text is that of its words, each with the space
before it that Whisper writes.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

MAX_SECONDS = 1e6
"""Of any time: eleven days."""

MAX_SPEAKER_CHARACTERS = 100
"""Of a speaker's key: a name that a job was given, or one of `SPEAKER_00` and so on."""

MAX_OTHER_SPEAKERS = 10
"""Of a word; more cannot be told apart."""

DECIMALS_OF_SECONDS, DECIMALS_OF_PROBABILITY = 3, 3


class Word(NamedTuple):
    """A word.

    Attributes:
        text: with the space before it.
        probability: that Whisper gave it, 0 to 1; 0: of a given text, and not said; None: unknown.
        other_speakers: keys of those who speak at the same time.
    """

    text: str
    start: float
    end: float
    probability: float | None
    other_speakers: tuple[str, ...] = ()

    @property
    def said(self) -> bool:
        """False if it is only in the given text, and not in the recording."""
        return self.probability != 0


@dataclass(frozen=True)
class Line:
    """A line of the transcript.

    Attributes:
        id: of 8 digits, by order, if a job wrote it.
        speaker: key of the speaker or channel; None: speakers were not told apart.
        revision: that of the transcript when the line was last changed.
    """

    id: str
    start: float
    end: float
    speaker: str | None
    words: tuple[Word, ...]
    revision: int = 0

    @property
    def text(self) -> str:
        """The text, without spaces around it."""
        return "".join(word.text for word in self.words).strip()

    @property
    def said(self) -> bool:
        """False if none of its words was said."""
        return not self.words or any(word.said for word in self.words)


def clean_text(text: Any) -> str:
    """A text whose control characters and line breaks are spaces: it is shown, and written to files, on one line.

    Raises:
        TypeError: it is not a string.
    """
    if not isinstance(text, str):
        raise TypeError("not a string")
    if text.isprintable():
        return text
    return "".join(" " if unicodedata.category(mark) in _BREAKING else mark for mark in text)


_BREAKING = ("Cc", "Cs", "Zl", "Zp")
"""Control characters, halves of characters, and separators of lines and paragraphs."""


def to_json(line: Line) -> dict[str, Any]:
    """A line as the page reads it."""
    return {
        "id": line.id,
        "start": line.start,
        "end": line.end,
        "speaker": line.speaker,
        "revision": line.revision,
        "words": [_to_list(word) for word in line.words],
    }


def _to_list(word: Word) -> list[Any]:
    """A word as JSON has it: with `other_speakers` only where there are some."""
    return list(word if word.other_speakers else word[:4])


def speakers_of(lines: Iterable[Line]) -> Iterator[str]:
    """The keys of those who speak in lines, some of them several times, in the order in which they begin."""
    for line in lines:
        if line.speaker is not None:
            yield line.speaker
        for word in line.words:
            yield from word.other_speakers


def words_to_json(words: Sequence[Word]) -> str:
    """Words as compact JSON."""
    return json.dumps([_to_list(word) for word in words], ensure_ascii=False, separators=(",", ":"))


def words_from_json(text: str) -> tuple[Word, ...]:
    """Words from the JSON that `words_to_json` makes."""
    return tuple(
        Word(spelling, start, end, probability, tuple(*others))
        for spelling, start, end, probability, *others in json.loads(text)
    )
