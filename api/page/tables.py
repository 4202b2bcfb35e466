"""The tables of the store, and what their rows hold."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from api.page import lines
from api.page.lines import Line
from api.page.records import Outcome, Record, Source, Track

FILE_NAME = "transcripts.sqlite3"

_LOCK_WAIT_S = 5.0
"""The previous server may be about to end."""

_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE transcripts (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, title TEXT NOT NULL, source TEXT NOT NULL, options TEXT NOT NULL,
    media TEXT NOT NULL, created REAL NOT NULL, updated REAL NOT NULL, state TEXT NOT NULL, attempts INTEGER NOT NULL,
    error TEXT NOT NULL, outcome TEXT NOT NULL, revision INTEGER NOT NULL, edited INTEGER NOT NULL,
    speakers TEXT NOT NULL, has_result INTEGER NOT NULL, preview TEXT NOT NULL, video TEXT NOT NULL
);
CREATE INDEX transcripts_by_owner ON transcripts (owner, created);
CREATE TABLE lines (
    transcript TEXT NOT NULL REFERENCES transcripts ON DELETE CASCADE, id TEXT NOT NULL, revision INTEGER NOT NULL,
    deleted INTEGER NOT NULL, start REAL NOT NULL, "end" REAL NOT NULL, speaker TEXT, words TEXT NOT NULL,
    PRIMARY KEY (transcript, id)
) WITHOUT ROWID;
"""

_JSON_COLUMNS = ("source", "options", "media", "error", "outcome", "speakers", "video")
_COLUMNS = (
    *("id", "owner", "title", "source", "options", "media", "created", "updated", "state", "attempts", "error"),
    *("outcome", "revision", "edited", "speakers", "has_result", "preview", "video"),
)
_LINE_COLUMNS = 'id, start, "end", speaker, words, revision'

SELECT_RECORDS = f"SELECT {', '.join(_COLUMNS)} FROM transcripts "  # noqa: S608
SELECT_LINES = f"SELECT {_LINE_COLUMNS}, deleted FROM lines "  # noqa: S608
PUT_RECORD = f"""
INSERT INTO transcripts ({", ".join(_COLUMNS)}) VALUES ({", ".join("?" * len(_COLUMNS))})
ON CONFLICT (id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _COLUMNS)}
"""  # noqa: S608
PUT_LINE = f"INSERT OR REPLACE INTO lines (transcript, deleted, {_LINE_COLUMNS}) VALUES (?, 0, ?, ?, ?, ?, ?, ?)"  # noqa: S608


class StoreUnusable(Exception):
    """The folder cannot be used; with a sentence."""


def open_tables(path: Path) -> sqlite3.Connection:
    """Open the file, which no other server may have open, and make its tables.

    Raises:
        StoreUnusable: another server has it open, or it cannot be read or written.
    """
    try:
        return _open(path)
    except (sqlite3.Error, ValueError, TypeError, LookupError) as error:  # a damaged file may hold anything
        if "locked" in str(error):  # Python 3.10 has no `sqlite_errorname`
            raise StoreUnusable(
                "another server uses the page's folder: end it, or give this one another folder"
            ) from None
        raise StoreUnusable(
            "the transcripts in the page's folder cannot be read or written: give the page another folder"
        ) from None


def _open(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=_LOCK_WAIT_S, isolation_level=None, check_same_thread=False)
    try:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("BEGIN IMMEDIATE")
        _bring_up_to_date(db)
        db.execute("COMMIT")
        for row in db.execute(SELECT_RECORDS):  # a damaged row is reported now, not in a later request
            to_record(row)
    except BaseException:
        db.close()
        raise
    return db


def _bring_up_to_date(db: sqlite3.Connection) -> None:
    version = db.execute("PRAGMA user_version").fetchone()[0]
    if version > _SCHEMA_VERSION:
        raise StoreUnusable(
            "the page's folder is of a newer version of this program: update it, or give another folder"
        )
    if version == 0:
        for statement in _SCHEMA.split(";"):
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")


def record_to_row(record: Record) -> list[Any]:
    """The values of a record's row."""
    return [_to_column(record, name) for name in _COLUMNS]


def _to_column(record: Record, name: str) -> Any:
    value = getattr(record, name)
    if name not in _JSON_COLUMNS:
        return value
    return json.dumps(asdict(value) if isinstance(value, Source | Outcome) else value)


def to_record(row: Sequence[Any]) -> Record:
    """The record of a row of `SELECT_RECORDS`."""
    values = dict(zip(_COLUMNS, row, strict=True))
    values.update((name, json.loads(values[name])) for name in _JSON_COLUMNS)
    return Record(
        **{
            **values,
            "edited": bool(values["edited"]),
            "has_result": bool(values["has_result"]),
            "source": _to_source(values["source"]),
            "outcome": Outcome(**values["outcome"]),
        }
    )


def _to_source(saved: dict[str, Any]) -> Source:
    return Source(**{**saved, "tracks": [Track(**track) for track in saved.get("tracks", [])]})


def to_line(row: Sequence[Any]) -> Line:
    """The line of a row of `SELECT_LINES`."""
    line_id, start, end, speaker, words, revision = row[:6]
    return Line(line_id, start, end, speaker, lines.words_from_json(words), revision)


def row_to_json(row: Sequence[Any]) -> str:
    """The same as JSON."""
    line_id, start, end, speaker, words, revision = row[:6]
    head = json.dumps({"id": line_id, "start": start, "end": end, "speaker": speaker, "revision": revision})
    return f'{head[:-1]}, "words": {words}}}'
