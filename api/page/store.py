"""The transcripts of all visitors, in one SQLite file; methods may be called on any thread.

The file is locked for as long as it is open: two servers would run the same jobs.
"""

from __future__ import annotations

import math
import re
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from api.openai.errors import ApiError
from api.page import lines, tables
from api.page.edits import MAX_SPEAKERS, Edit
from api.page.lines import Line
from api.page.merging import StoredLine, merge_lines, merge_speakers
from api.page.records import PREVIEW_CHARACTERS, UNFINISHED, Outcome, Record, State

MAX_TRANSCRIPTS, MAX_TRANSCRIPTS_OF_ONE = 20_000, 1000
"""Of all visitors, and of each."""

MAX_LINES = 100_000
"""Of a transcript, deleted ones included: twelve hours of quick speech have some 20,000."""

_LABEL = re.compile(r"(SPEAKER|CHANNEL)_\d+")


class StoreFull(Exception):
    """There is no room for another transcript, or line; with a sentence."""


class NotEditable(Exception):
    """The transcript is not done."""


class NotWritten(ApiError):
    """The disk is full, or fails; nothing was changed."""

    def __init__(self) -> None:
        super().__init__(
            507,
            "the server's disk is full or fails: free space on it, and try again",
            type="server_error",
            code="no_space",
            should_retry=True,
        )


@dataclass(frozen=True)
class Changes:
    """What changed after a revision.

    Attributes:
        record: the transcript.
        lines_json: changed and new lines, as a JSON list.
        deleted: ids of deleted ones.
    """

    record: Record
    lines_json: str
    deleted: list[str]


@dataclass(frozen=True)
class Edited:
    """What became of a visitor's changes.

    Attributes:
        record: the transcript afterwards.
        conflicts: stored lines that are newer than the change of them.
        deleted: the revisions, by id, of changed lines that somebody else has deleted since.
    """

    record: Record
    conflicts: list[Line] = field(default_factory=list)
    deleted: dict[str, int] = field(default_factory=dict)


class Store:
    """The transcripts.

    Args:
        folder: exists.

    Raises:
        StoreUnusable: another server uses the folder, or it cannot be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        self._db = tables.open_tables(folder / tables.FILE_NAME)

    def close(self) -> None:
        """Close the file; nothing else may be called afterwards."""
        with self._lock:
            self._db.close()

    def add(self, record: Record) -> None:
        """Add a transcript.

        Raises:
            StoreFull: its visitor, or all together, have too many.
        """
        with self._writing():
            count = self._db.execute(
                "SELECT count(*), count(CASE owner WHEN ? THEN 1 END) FROM transcripts", [record.owner]
            )
            total, theirs = count.fetchone()
            if theirs >= MAX_TRANSCRIPTS_OF_ONE:
                raise StoreFull(f"there are {theirs} transcripts: delete some first")
            if total >= MAX_TRANSCRIPTS:
                raise StoreFull("the server keeps as many transcripts as it can: try again later")
            self._write(record)

    def records_of(self, owner: str) -> list[Record]:
        """A visitor's transcripts, the newest first."""
        with self._lock:
            rows = self._db.execute(
                tables.SELECT_RECORDS + "WHERE owner = ? ORDER BY created DESC, id",
                [owner],
            ).fetchall()
        return [tables.to_record(row) for row in rows]

    def give(self, owner: str, heir: str) -> None:
        """Make all of a visitor's transcripts another one's."""
        with self._writing():
            self._db.execute("UPDATE transcripts SET owner = ? WHERE owner = ?", [heir, owner])

    def find(self, transcript_id: str, owner: str) -> Record | None:
        """A visitor's transcript; None: this visitor has none with this id."""
        record = self.get(transcript_id)
        return record if record is not None and record.owner == owner else None

    def get(self, transcript_id: str) -> Record | None:
        """The transcript with this id, of any visitor; None: there is none."""
        with self._lock:
            return self._read(transcript_id)

    def unfinished(self) -> list[Record]:
        """The transcripts whose jobs have not ended, the oldest first."""
        return self._in_states(*UNFINISHED)

    def live(self) -> list[Record]:
        """The live transcripts, also those of a previous server that was killed; the oldest first."""
        return self._in_states("live")

    def ids(self) -> set[str]:
        """The ids of all transcripts."""
        with self._lock:
            return {row[0] for row in self._db.execute("SELECT id FROM transcripts")}

    def update(self, transcript_id: str, **values: Any) -> Record | None:
        """Change fields of a record, but not its revision; None: the transcript is gone."""
        with self._writing():
            record = self._read(transcript_id)
            if record is None:
                return None
            return self._write(replace(record, updated=time.time(), **values))

    def begin_again(self, transcript_id: str, options: dict[str, Any] | None) -> Record | None:
        """Make a transcript wait for its job; None: it is gone, or its job has not ended.

        Args:
            transcript_id: of the transcript.
            options: of the job; None: as before.
        """
        with self._writing():
            record = self._read(transcript_id)
            if record is None or record.state in (*UNFINISHED, "live"):
                return None
            known = record.options if options is None else options
            return self._write(
                replace(record, updated=time.time(), state="waiting", error=None, attempts=0, options=known)
            )

    def begin_attempt(self, transcript_id: str) -> Record | None:
        """Count an attempt of a job that runs now; None: it was cancelled meanwhile, or the transcript is gone."""
        with self._writing():
            record = self._read(transcript_id)
            if record is None or record.state not in UNFINISHED:
                return None
            return self._write(replace(record, updated=time.time(), state="working", attempts=record.attempts + 1))

    def fail_videos(self) -> list[str]:
        """Mark captioned videos that the previous server did not finish as failed; return their transcripts' ids."""
        with self._writing():
            rows = self._db.execute(tables.SELECT_RECORDS + "WHERE video != 'null'").fetchall()
            failed = [record for record in map(tables.to_record, rows) if _is_making(record.video)]
            for record in failed:
                self._write(replace(record, video={**(record.video or {}), "state": "failed"}))
            return [record.id for record in failed]

    def remove(self, transcript_id: str) -> None:
        """Remove a transcript with its lines."""
        with self._writing():
            self._db.execute("DELETE FROM transcripts WHERE id = ?", [transcript_id])

    def finish(self, transcript_id: str, new_lines: Sequence[Line], outcome: Outcome) -> Record | None:
        """Replace all lines by a job's result; None: the transcript is gone.

        Args:
            transcript_id: of the transcript.
            new_lines: at most `MAX_LINES`.
            outcome: the job's other results.
        """
        with self._writing():
            record = self._read(transcript_id)
            if record is None:
                return None
            revision = record.revision + 1
            self._db.execute(
                "UPDATE lines SET deleted = 1, words = '[]', revision = ? WHERE transcript = ?",
                [revision, transcript_id],
            )
            self._put_lines(transcript_id, new_lines, revision)
            keys = dict.fromkeys(lines.speakers_of(new_lines))
            return self._write(
                replace(
                    record,
                    state="done",
                    attempts=0,
                    error=None,
                    outcome=outcome,
                    revision=revision,
                    edited=False,
                    has_result=True,
                    updated=time.time(),
                    speakers={key: _given_name(key) for key in list(keys)[:MAX_SPEAKERS]},
                    preview=self._preview(transcript_id),
                )
            )

    def append(self, transcript_id: str, new_lines: Sequence[Line]) -> Record | None:
        """Add lines to a live transcript; None: the transcript is gone.

        Raises:
            StoreFull: the transcript would have too many lines or speakers.
        """
        with self._writing():
            record = self._read(transcript_id)
            if record is None:
                return None
            revision = record.revision + 1
            self._put_lines(transcript_id, new_lines, revision)
            self._check_number(transcript_id)
            return self._write(
                replace(
                    record,
                    revision=revision,
                    updated=time.time(),
                    speakers=_merge_speakers(record, Edit(), new_lines),
                    preview=self._preview(transcript_id),
                )
            )

    def edit(self, transcript_id: str, edit: Edit) -> Edited | None:
        """Write a visitor's changes, except for lines that have changed since; None: the transcript is gone.

        Raises:
            NotEditable: lines or speakers would be changed while there is no result.
            StoreFull: the transcript would have too many lines or speakers.
        """
        with self._writing():
            record = self._read(transcript_id)
            if record is None:
                return None
            if edit.changes_document and record.state != "done":
                raise NotEditable
            revision = record.revision + 1
            stored = self._find_lines(transcript_id, [*(line.id for line in edit.lines), *edit.deleted])
            merge = merge_lines(edit, stored)
            self._put_lines(transcript_id, merge.written, revision)
            self._db.executemany(
                "UPDATE lines SET deleted = 1, words = '[]', revision = ? WHERE transcript = ? AND id = ?",
                [(revision, transcript_id, id) for id in merge.removed],
            )
            self._check_number(transcript_id)
            speakers = _merge_speakers(record, edit, merge.written)
            has_new_text = bool(merge.written or merge.removed)
            changed = replace(
                record,
                revision=revision,
                updated=time.time(),
                edited=record.edited or has_new_text or bool(edit.speakers),
                speakers=speakers,
                title=record.title if edit.title is None else edit.title,
                preview=self._preview(transcript_id) if has_new_text else record.preview,
            )
            return Edited(self._write(changed), merge.conflicts, merge.deleted)

    def changes(self, transcript_id: str, since: int) -> Changes | None:
        """What changed after a revision; None: the transcript is gone."""
        with self._lock:
            record = self._read(transcript_id)
            rows = self._db.execute(
                tables.SELECT_LINES + "WHERE transcript = ? AND revision > ? ORDER BY start, id",
                [transcript_id, since],
            ).fetchall()
        if record is None:
            return None
        return Changes(record, _to_json(row for row in rows if not row[-1]), [row[0] for row in rows if row[-1]])

    def lines_of(self, transcript_id: str, start: float = 0.0, end: float = math.inf) -> list[Line]:
        """The lines of a transcript, or those that are spoken between two times in seconds, in order."""
        return [tables.to_line(row) for row in self._rows(transcript_id, start, end)]

    def lines_as_json(self, transcript_id: str) -> str:
        """The same as a JSON list, without parsing the words of hours."""
        return _to_json(self._rows(transcript_id))

    def _in_states(self, *states: State) -> list[Record]:
        some = f"WHERE state IN ({', '.join('?' * len(states))}) ORDER BY created"
        with self._lock:
            rows = self._db.execute(tables.SELECT_RECORDS + some, states).fetchall()
        return [tables.to_record(row) for row in rows]

    def _rows(self, transcript_id: str, start: float = 0.0, end: float = math.inf) -> list[Any]:
        with self._lock:
            return self._db.execute(
                tables.SELECT_LINES
                + 'WHERE transcript = ? AND NOT deleted AND "end" >= ? AND start <= ? ORDER BY start, id',
                [transcript_id, start, end],
            ).fetchall()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """A transaction.

        Raises:
            NotWritten: the disk is full, or fails.
        """
        with self._lock:
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield
                self._db.execute("COMMIT")
            except BaseException as error:
                if self._db.in_transaction:  # SQLite has ended it itself where the disk is full
                    self._db.execute("ROLLBACK")
                if isinstance(error, sqlite3.OperationalError):
                    raise NotWritten from error
                raise

    def _read(self, transcript_id: str) -> Record | None:
        row = self._db.execute(
            tables.SELECT_RECORDS + "WHERE id = ?",
            [transcript_id],
        ).fetchone()
        return None if row is None else tables.to_record(row)

    def _write(self, record: Record) -> Record:
        self._db.execute(tables.PUT_RECORD, tables.record_to_row(record))
        return record

    def _put_lines(self, transcript_id: str, new_lines: Sequence[Line], revision: int) -> None:
        self._db.executemany(
            tables.PUT_LINE,
            (
                (transcript_id, line.id, line.start, line.end, line.speaker, lines.words_to_json(line.words), revision)
                for line in new_lines
            ),
        )

    def _find_lines(self, transcript_id: str, ids: Sequence[str]) -> dict[str, StoredLine]:
        found = {}
        for line_id in dict.fromkeys(ids):
            row = self._db.execute(
                tables.SELECT_LINES + "WHERE transcript = ? AND id = ?",
                [transcript_id, line_id],
            ).fetchone()
            if row is not None:
                found[line_id] = StoredLine(tables.to_line(row), bool(row[-1]))
        return found

    def _check_number(self, transcript_id: str) -> None:
        count = self._db.execute("SELECT count(*) FROM lines WHERE transcript = ?", [transcript_id]).fetchone()[0]
        if count > MAX_LINES:
            raise StoreFull(f"the transcript has over {MAX_LINES} lines, deleted ones included")

    def _preview(self, transcript_id: str) -> str:
        rows = self._db.execute(
            tables.SELECT_LINES + "WHERE transcript = ? AND NOT deleted ORDER BY start, id LIMIT 20",
            [transcript_id],
        )
        text = " ".join(" ".join(tables.to_line(row).text for row in rows).split())
        return text[:PREVIEW_CHARACTERS]


def _merge_speakers(record: Record, edit: Edit, written: Iterable[Line]) -> dict[str, str]:
    """The speakers' names after an edit, or after new lines.

    Raises:
        StoreFull: there are too many.
    """
    speakers = merge_speakers(record.speakers, edit, written)
    if len(speakers) > MAX_SPEAKERS:
        raise StoreFull(f"the transcript has over {MAX_SPEAKERS} speakers")
    return speakers


def _given_name(key: str) -> str:
    """The name of a known voice, which a job gives in place of a label; empty for a label."""
    return "" if _LABEL.fullmatch(key) else key


def _to_json(rows: Iterable[Sequence[Any]]) -> str:
    return "[" + ",".join(map(tables.row_to_json, rows)) + "]"


def _is_making(video: Mapping[str, Any] | None) -> bool:
    return video is not None and video["state"] == "working"
