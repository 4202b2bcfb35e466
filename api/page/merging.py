"""Which of a visitor's changes are written: none of a line that has changed since the change of it began."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from api.page.edits import Edit
from api.page.lines import Line, speakers_of


@dataclass(frozen=True)
class StoredLine:
    """A line as it is stored; of a deleted one only the id and the revision count."""

    line: Line
    is_deleted: bool


@dataclass(frozen=True)
class Merge:
    """What becomes of the changed and deleted lines of an edit.

    Attributes:
        written: lines to write.
        removed: ids of lines to delete.
        conflicts: stored lines that are newer than the change of them.
        deleted: the revisions, by id, of changed lines that somebody else has deleted since.
    """

    written: list[Line]
    removed: list[str]
    conflicts: list[Line]
    deleted: dict[str, int]


def merge_lines(edit: Edit, stored: Mapping[str, StoredLine]) -> Merge:
    """Decide which lines of an edit are written.

    Args:
        edit: the changes.
        stored: those of the edit's lines that are stored, by id.
    """
    written = [line for line in edit.lines if not _is_newer(stored.get(line.id), line.revision)]
    removed = [id for id, based_on in edit.deleted.items() if id in stored and not _is_newer(stored[id], based_on)]
    taken = {line.id for line in written} | set(removed)
    newer = {id: known for id, known in stored.items() if id not in taken}
    return Merge(
        written,
        removed,
        [known.line for known in newer.values() if not known.is_deleted],
        {id: known.line.revision for id, known in newer.items() if known.is_deleted and id not in edit.deleted},
    )


def _is_newer(stored: StoredLine | None, based_on: int) -> bool:
    """True if a line has changed since a change of it began; a deleted line may be added again as a new one."""
    return stored is not None and stored.line.revision > based_on and not (stored.is_deleted and based_on == 0)


def merge_speakers(names: Mapping[str, str], edit: Edit, written: Iterable[Line]) -> dict[str, str]:
    """The speakers' names after an edit, with the new speakers of the lines that are written."""
    merged = dict(names)
    for key in speakers_of(written):
        merged.setdefault(key, "")
    for key, name in edit.speakers.items():
        if name is None:
            merged.pop(key, None)
        else:
            merged[key] = name
    return merged
