"""Finds the recordings of a folder tree, and names what it leaves out."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path

from client.output import target_paths
from client.recognition import RECORDING_SUFFIXES, other_kind

_SYSTEM_FILES = ("thumbs.db", "desktop.ini")
_MAX_NAMES = 20


@dataclass(frozen=True)
class BatchItem:
    """A recording of the tree."""

    name: str
    """Its path relative to the tree."""
    source: Path
    targets: dict[str, Path]
    """The file of each format."""


@dataclass
class LeftOut:
    """What a tree contains besides recordings: names by kind, such as `hidden file`."""

    names: dict[str, list[str]] = field(default_factory=dict)

    def add(self, kind: str, name: str) -> None:
        """Add a file or folder."""
        self.names.setdefault(kind, []).append(name)

    def __str__(self) -> str:
        """Return `3 hidden files, 2 other files (notes.txt: text, cover.jpg: image/jpeg)`, or nothing."""
        return ", ".join(map(self._describe, sorted(self.names)))

    def _describe(self, kind: str) -> str:
        names = self.names[kind]
        counted = f"{len(names)} {kind}{'s' if len(names) > 1 else ''}"
        if kind.startswith("hidden"):
            return counted
        more = f", and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
        return f"{counted} ({', '.join(names[:_MAX_NAMES])}{more})"


def find_recordings(source: Path, target: Path, formats: Sequence[str]) -> tuple[list[BatchItem], LeftOut]:
    """Return the recordings under `source`, in order, and what is left out.

    Args:
        source: folder of the recordings.
        target: folder of the transcripts, which is not searched. They have the recordings' names without suffix, unless
            two recordings differ only in the suffix. No two have the same name in another case: not every disk can hold
            both.
        formats: of the transcripts.
    """
    left_out = LeftOut()
    files = list(_recordings(source, os.path.realpath(target), left_out))
    stems = Counter(_fold(path.with_suffix("")) for path in files)
    items: list[BatchItem] = []
    taken: set[str] = set()
    for path in files:
        relative = path.relative_to(source)
        short = [relative.with_suffix("")] if stems[_fold(path.with_suffix(""))] == 1 else []
        numbered = (relative.with_name(f"{relative.name} ({number})") for number in count(2))
        for base in chain(short, [relative], numbered):
            targets = target_paths(target / base, formats)
            names = set(map(_fold, targets.values()))
            if not names & taken:
                break
        taken |= names
        items.append(BatchItem(relative.as_posix(), path, targets))
    return items, left_out


def _recordings(source: Path, target: str, left_out: LeftOut) -> Iterator[Path]:
    """Yield the recordings, in order; links to folders are not followed, since they may lead in circles."""

    def name_of(path: str | Path) -> str:
        return Path(path).relative_to(source).as_posix()

    def report_error(error: OSError) -> None:
        left_out.add("unreadable folder", name_of(error.filename))

    for root, folder_names, file_names in os.walk(source, onerror=report_error):
        folders = [Path(root, name) for name in sorted(folder_names) if os.path.realpath(Path(root, name)) != target]
        for folder in folders:
            if folder.name.startswith("."):
                left_out.add("hidden folder", name_of(folder))
            elif folder.is_symlink():
                left_out.add("linked folder", name_of(folder))
        folder_names[:] = [path.name for path in folders if not (path.name.startswith(".") or path.is_symlink())]
        for path in (Path(root, name) for name in sorted(file_names)):
            if (kind := _reason_to_leave_out(path)) is None:
                yield path
            else:
                left_out.add(kind[0], name_of(path) + kind[1])


def _reason_to_leave_out(path: Path) -> tuple[str, str] | None:
    """Return the kind of a file that is no recording, and a detail to append to its name; None for a recording."""
    if path.name.startswith(".") or path.name.lower() in _SYSTEM_FILES:  # `._talk.mp3` is a Mac's, of no sound
        return "hidden file", ""
    if path.suffix.lower() in RECORDING_SUFFIXES and path.is_file():
        return None
    try:
        if not path.is_file():  # opening a pipe would wait for its other end
            return ("broken link" if path.is_symlink() else "device"), ""
        kind = other_kind(path)
    except OSError:
        return "unreadable file", ""
    return None if kind is None else ("other file", f": {kind}")


def _fold(path: Path) -> str:
    """Return the same text for names that a disk may take for one: in another case, or form of Unicode."""
    return unicodedata.normalize("NFC", str(path)).casefold()
