"""A visitor's changes of a transcript, as the page sends them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from api.openai.errors import ApiError
from api.page import lines
from api.page.lines import Line

MAX_LINES = 500
"""Changed or deleted at once; the page sends more in several requests."""

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
        lines.parse_text(body.get("editor", ""), "editor", MAX_EDITOR_CHARACTERS),
        tuple(lines.from_json(line, f"lines.{number}") for number, line in enumerate(changed)),
        dict(_parse_deletion(item, f"deleted.{number}") for number, item in enumerate(deleted)),
        _parse_speakers(body.get("speakers", {})),
        None if body.get("title") is None else parse_title(body["title"]),
    )


def parse_title(value: Any) -> str:
    """A title, without spaces around it.

    Raises:
        ApiError: it is no text, or too long.
    """
    return lines.parse_text(value, "title", MAX_TITLE_CHARACTERS).strip()


def _list_of(body: Mapping[str, Any], field: str) -> list[Any]:
    value = body.get(field, [])
    if not isinstance(value, list) or len(value) > MAX_LINES:
        raise ApiError(400, f"{field}: should be a list of at most {MAX_LINES}", param=field)
    return value


def _parse_deletion(value: Any, place: str) -> tuple[str, int]:
    if not isinstance(value, Mapping):
        raise ApiError(400, f"{place}: should be an object with id and based_on", param=place)
    revision = lines.parse_revision(value.get("based_on"), f"{place}.based_on")
    return lines.parse_id(value.get("id"), f"{place}.id"), revision


def _parse_speakers(value: Any) -> dict[str, str | None]:
    if not isinstance(value, Mapping) or len(value) > MAX_SPEAKERS:
        raise ApiError(400, f"speakers: should be an object of at most {MAX_SPEAKERS} names", param="speakers")
    return {
        lines.parse_text(key, "speakers", lines.MAX_SPEAKER_CHARACTERS): None
        if name is None
        else lines.parse_text(name, "speakers", MAX_NAME_CHARACTERS).strip()
        for key, name in value.items()
    }
