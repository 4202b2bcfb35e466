"""A visitor's changes of a transcript, as the page sends them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from api.openai.errors import ApiError
from api.page.lines import DECIMALS_OF_PROBABILITY, MAX_OTHER_SPEAKERS, MAX_SPEAKER_CHARACTERS, Line, Word
from api.page.values import parse_id, parse_revision, parse_seconds, parse_text

MAX_LINES = 500
"""Changed or deleted at once; the page sends more in several requests."""

MAX_WORDS = 1000
"""Of a line; Whisper writes at most 224 tokens."""
MAX_WORD_CHARACTERS = 1000
"""Of a word: a script without spaces may have a whole line in one."""
MAX_LINE_CHARACTERS = 20_000
"""Of a line: some twenty minutes of speech."""

MAX_SPEAKERS = 200
MAX_NAME_CHARACTERS = 100
MAX_TITLE_CHARACTERS = 200
MAX_EDITOR_CHARACTERS = 64


@dataclass(frozen=True)
class Edit:
    """Changes of a transcript.

    Attributes:
        editor: id of the tab, by which it knows its own changes.
        lines: changed and new ones; `revision` is that which the change was based on, 0 for a new one.
        deleted: ids, and the revision that the deletion was based on.
        speakers: names by key; None: the speaker is removed.
        title: None: unchanged.
    """

    editor: str = ""
    lines: tuple[Line, ...] = ()
    deleted: Mapping[str, int] = field(default_factory=dict)
    speakers: Mapping[str, str | None] = field(default_factory=dict)
    title: str | None = None

    @property
    def changes_document(self) -> bool:
        """True unless it is a new title alone."""
        return bool(self.lines or self.deleted or self.speakers)


def parse_edit(body: Any) -> Edit:
    """Read the body of a request.

    Raises:
        ApiError: naming the wrong field and the correct form.
    """
    if not isinstance(body, Mapping):
        raise ApiError(400, "the body should be a JSON object")
    changed = _list_of(body, "lines")
    deleted = _list_of(body, "deleted")
    return Edit(
        parse_text(body.get("editor", ""), "editor", MAX_EDITOR_CHARACTERS),
        tuple(parse_line(line, f"lines.{number}") for number, line in enumerate(changed)),
        dict(_parse_deletion(item, f"deleted.{number}") for number, item in enumerate(deleted)),
        _parse_speakers(body.get("speakers", {})),
        None if body.get("title") is None else parse_title(body["title"]),
    )


def parse_title(value: Any) -> str:
    """A title, without spaces around it.

    Raises:
        ApiError: the value is not a string, or is too long.
    """
    return parse_text(value, "title", MAX_TITLE_CHARACTERS).strip()


def parse_line(value: Any, place: str = "lines") -> Line:
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


def _list_of(body: Mapping[str, Any], field: str) -> list[Any]:
    value = body.get(field, [])
    if not isinstance(value, list) or len(value) > MAX_LINES:
        raise ApiError(400, f"{field}: should be a list of at most {MAX_LINES}", param=field)
    return value


def _parse_deletion(value: Any, place: str) -> tuple[str, int]:
    if not isinstance(value, Mapping):
        raise ApiError(400, f"{place}: should be an object with id and based_on", param=place)
    revision = parse_revision(value.get("based_on"), f"{place}.based_on")
    return parse_id(value.get("id"), f"{place}.id"), revision


def _parse_speakers(value: Any) -> dict[str, str | None]:
    if not isinstance(value, Mapping) or len(value) > MAX_SPEAKERS:
        raise ApiError(400, f"speakers: should be an object of at most {MAX_SPEAKERS} names", param="speakers")
    return {
        parse_text(key, "speakers", MAX_SPEAKER_CHARACTERS): None
        if name is None
        else parse_text(name, "speakers", MAX_NAME_CHARACTERS).strip()
        for key, name in value.items()
    }


def _parse_speaker(value: Any, place: str) -> str | None:
    return None if value is None else parse_text(value, place, MAX_SPEAKER_CHARACTERS)


def _parse_word(value: Any, place: str) -> Word:
    if not isinstance(value, list) or len(value) not in (4, 5):
        sentence = "a word should be [text, start, end, probability], and may have a list of other speakers"
        raise ApiError(400, f"{place}: {sentence}", param=place)
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
        None if probability is None else round(float(probability), DECIMALS_OF_PROBABILITY),
        _parse_others(value[4], place) if value[4:] else (),
    )


def _parse_others(value: Any, place: str) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_OTHER_SPEAKERS:
        raise ApiError(400, f"{place}: other speakers should be a list of at most {MAX_OTHER_SPEAKERS}", param=place)
    return tuple(parse_text(key, place, MAX_SPEAKER_CHARACTERS) for key in value)
