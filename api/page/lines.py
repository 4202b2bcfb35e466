"""The lines of a transcript, as the page edits them; times are seconds from the recording's start.

A line comes from one segment of a job's output (`transcript/transcript.py`). Its text is that of its words, each with
the space before it that Whisper writes.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from api.openai.errors import ApiError
from transcript import transcript

MAX_SECONDS = 1e6
MAX_WORDS = 1000
"""Of a line; Whisper writes at most 224 tokens."""
MAX_WORD_CHARACTERS = 1000
"""Of a word: a script without spaces may have a whole line in one."""
MAX_LINE_CHARACTERS = 20_000
MAX_SPEAKER_CHARACTERS = 100
MAX_REVISION = 2**53 - 1
"""The largest integer that JavaScript counts to."""

_ID = re.compile(r"[0-9a-z.]{1,64}")
_WORD = re.compile(r"\s*\S+")
_MILLISECOND = 3


class Word(NamedTuple):
    """A word.

    Attributes:
        text: with the space before it.
        probability: that Whisper gave it, 0 to 1; None: unknown.
    """

    text: str
    start: float
    end: float
    probability: float | None


@dataclass(frozen=True)
class Line:
    """A line of the transcript.

    Attributes:
        id: of 8 digits, by order, if a job wrote it.
        speaker: key of the speaker or channel; None: they are not told apart.
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


def lines_of(output: Mapping[str, Any]) -> list[Line]:
    """The lines of a job's output (docs/output.md); it may be an endpoint's, which can send anything.

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
        ValueError, LookupError, TypeError: a segment has not the known form.
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
    rounded = None if probability is None else round(float(probability), 3)
    return Word(clean_text(word["word"]), start, _clamp(word["end"], start), rounded)


def _clamp(value: Any, least: float) -> float:
    """A time of an output, rounded to milliseconds, not before `least`."""
    return max(least, round(min(float(value), MAX_SECONDS), _MILLISECOND))


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
        words.append(Word(spelling, round(begin, _MILLISECOND), round(finish, _MILLISECOND), None))
    return words


def clean_text(text: Any) -> str:
    """A text whose control characters and line breaks are spaces: it is shown, and written to files, on one line.

    Raises:
        TypeError: it is no text.
    """
    if not isinstance(text, str):
        raise TypeError("not a text")
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
        "words": [list(word) for word in line.words],
    }


def words_to_json(words: Sequence[Word]) -> str:
    """Words as compact JSON."""
    return json.dumps(words, ensure_ascii=False, separators=(",", ":"))


def words_from_json(text: str) -> tuple[Word, ...]:
    """Words from the JSON that `words_to_json` makes."""
    return tuple(Word(*word) for word in json.loads(text))


def from_json(value: Any, place: str = "lines") -> Line:
    """A line as the page sends it; its revision is that which it was based on, `based_on`.

    Args:
        value: any JSON.
        place: the field that it stands in, for messages.

    Raises:
        ApiError: naming the wrong field and the correct form.
    """
    if not isinstance(value, Mapping):
        raise ApiError(400, f"{place}: should be an object", param=place)
    start = parse_seconds(value.get("start"), f"{place}.start")
    end = parse_seconds(value.get("end"), f"{place}.end")
    words = value.get("words")
    if end < start:
        raise ApiError(400, f"{place}.end: should not be before start", param=f"{place}.end")
    if not isinstance(words, list) or len(words) > MAX_WORDS:
        raise ApiError(400, f"{place}.words: should be a list of at most {MAX_WORDS} words", param=f"{place}.words")
    line = Line(
        parse_id(value.get("id"), f"{place}.id"),
        start,
        end,
        _parse_speaker(value.get("speaker"), f"{place}.speaker"),
        tuple(_parse_word(word, f"{place}.words") for word in words),
        parse_revision(value.get("based_on", 0), f"{place}.based_on"),
    )
    if sum(len(word.text) for word in line.words) > MAX_LINE_CHARACTERS:
        raise ApiError(400, f"{place}.words: should have at most {MAX_LINE_CHARACTERS} characters", param=place)
    return line


def parse_id(value: Any, place: str) -> str:
    """A line's id.

    Raises:
        ApiError: it is none.
    """
    if not isinstance(value, str) or not _ID.fullmatch(value):
        raise ApiError(400, f"{place}: should be 1 to 64 digits, small letters and dots", param=place)
    return value


def parse_revision(value: Any, place: str) -> int:
    """A revision.

    Raises:
        ApiError: it is none.
    """
    if type(value) is not int or not 0 <= value <= MAX_REVISION:
        raise ApiError(400, f"{place}: should be a revision, a number from 0", param=place)
    return value


def parse_seconds(value: Any, place: str) -> float:
    """A time in seconds, rounded to milliseconds.

    Raises:
        ApiError: it is none.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= MAX_SECONDS:
        raise ApiError(400, f"{place}: should be seconds, from 0 to {MAX_SECONDS:.0f}", param=place)
    return round(float(value), _MILLISECOND)


def parse_text(value: Any, place: str, max_characters: int) -> str:
    """A text of one line; control characters become spaces.

    Raises:
        ApiError: it is no text, or too long.
    """
    if not isinstance(value, str) or len(value) > max_characters:
        raise ApiError(400, f"{place}: should be a text of at most {max_characters} characters", param=place)
    return clean_text(value)


def _parse_speaker(value: Any, place: str) -> str | None:
    return None if value is None else parse_text(value, place, MAX_SPEAKER_CHARACTERS)


def _parse_word(value: Any, place: str) -> Word:
    if not isinstance(value, list) or len(value) != 4:
        raise ApiError(400, f"{place}: a word should be [text, start, end, probability]", param=place)
    start, end = parse_seconds(value[1], place), parse_seconds(value[2], place)
    probability = value[3]
    if end < start:
        raise ApiError(400, f"{place}: a word should not end before it starts", param=place)
    is_number = isinstance(probability, int | float) and not isinstance(probability, bool)
    if probability is not None and not (is_number and 0 <= probability <= 1):
        raise ApiError(400, f"{place}: a probability should be 0 to 1, or null", param=place)
    return Word(
        parse_text(value[0], place, MAX_WORD_CHARACTERS),
        start,
        end,
        None if probability is None else round(float(probability), 3),
    )


def to_transcript(
    lines: Sequence[Line], speakers: Mapping[str, str], language: str | None, duration: float | None
) -> transcript.Transcript:
    """The lines as a transcript that the subtitle writers take.

    Args:
        lines: in order.
        speakers: names by key; an empty name leaves the key.
        language: code of the text's language; None: unknown.
        duration: of the recording in seconds; None: unknown.
    """
    segments = [_to_segment(number, line, speakers) for number, line in enumerate(lines)]
    length = max([duration or 0.0, *(line.end for line in lines)])
    return transcript.Transcript(language or "", None, length, segments)


def _to_segment(number: int, line: Line, speakers: Mapping[str, str]) -> transcript.Segment:
    voice = None if line.speaker is None else speakers.get(line.speaker) or line.speaker
    return transcript.Segment(
        id=number,
        seek=0,
        start=line.start,
        end=line.end,
        text="".join(word.text for word in line.words),
        tokens=[],
        temperature=0.0,
        avg_logprob=0.0,
        compression_ratio=1.0,
        no_speech_prob=0.0,
        words=[_to_word(word, voice) for word in line.words],
        speaker=voice,
    )


def _to_word(word: Word, voice: str | None) -> transcript.Word:
    probability = 1.0 if word.probability is None else word.probability
    return transcript.Word(word.text, word.start, word.end, probability, voice)
