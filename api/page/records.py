"""What is known of a transcript besides its lines."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

State = Literal["live", "waiting", "working", "done", "failed", "cancelled"]
"""Of a transcript; `live`: it is made while a microphone records."""

UNFINISHED: tuple[State, ...] = ("waiting", "working")
"""Those of a job that has not ended."""

PREVIEW_CHARACTERS = 160

_LONG = ("align",)
"""Options that the page has no use for, and that would make the list of transcripts long."""

_PRIVATE = ("owner", "attempts", "outcome", "has_result")


@dataclass(frozen=True)
class Track:
    """A track of a conversation.

    Attributes:
        name: of the speaker.
        url: None: it is a file on this machine.
        offset: seconds after the earliest track at which it begins; None: not known.
    """

    name: str
    url: str | None = None
    offset: float | None = None


@dataclass(frozen=True)
class Source:
    """Where a recording comes from.

    Attributes:
        name: of the file on the visitor's machine.
        size: in bytes; None: unknown.
        url: None: it is a file on this machine.
        tracks: of a conversation; empty: it is one recording.
    """

    kind: Literal["file", "microphone", "url", "tracks"]
    name: str
    size: int | None = None
    url: str | None = None
    tracks: list[Track] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """The results of a finished job besides its lines.

    Attributes:
        duration: of the recording in seconds.
        processing_time: in seconds.
    """

    duration: float | None = None
    language: str | None = None
    model: str | None = None
    processing_time: float | None = None
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Record:
    """A transcript without its lines.

    Attributes:
        owner: the visitor, by a hash.
        created: in Unix seconds.
        updated: the same, of the last change.
        attempts: how often the job has begun without ending.
        error: of the last job, with `type` and `message`; None: it did not fail.
        media: `kind` and whether browsers play it as it is; None: there is no file on this machine.
        options: of the job, as the visitor gave them.
        revision: raised by each change of lines, speakers or title.
        edited: whether the visitor has changed lines or speakers since the job.
        speakers: names by key, in order of first speech; empty: not named.
        has_result: whether a job has ended with a transcript.
        preview: the beginning of the text.
        video: state of the captioned video; None: there is none.
    """

    id: str
    owner: str
    title: str
    source: Source
    options: dict[str, Any]
    media: dict[str, Any] | None = None
    created: float = field(default_factory=time.time)
    updated: float = field(default_factory=time.time)
    state: State = "waiting"
    attempts: int = 0
    error: dict[str, str] | None = None
    outcome: Outcome = field(default_factory=Outcome)
    revision: int = 0
    edited: bool = False
    speakers: dict[str, str] = field(default_factory=dict)
    has_result: bool = False
    preview: str = ""
    video: dict[str, Any] | None = None


@dataclass(frozen=True)
class Progress:
    """How far a running job is.

    Attributes:
        stage: such as `transcribing`; empty: it has not begun.
        fraction: 0 to 1.
        seconds_left: None: unknown.
    """

    state: State = "waiting"
    stage: str = ""
    fraction: float = 0.0
    seconds_left: float | None = None


def to_json(record: Record, progress: Progress | None) -> dict[str, Any]:
    """A record as the page reads it, with the progress of its job while there is one."""
    known = {key: value for key, value in asdict(record).items() if key not in _PRIVATE}
    known["options"] = {name: value for name, value in record.options.items() if name not in _LONG}
    ended = Progress(record.state, fraction=float(record.state == "done"))
    return {**known, **asdict(record.outcome), **asdict(progress or ended)}
