"""What the HTTP API asks of the part behind it: to run jobs, and to name its models and options.

The worker's transcriber runs a job in its own process, the client's on an endpoint.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

Answer = dict[str, Any]
"""A job's output as in docs/output.md: `transcription` (or `files`) and `metadata`, or `error` and `error_type`."""

Schema = dict[str, Any]
"""A JSON Schema."""

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Id of the HTTP request that this task works for, as in the header `x-request-id`: for logs."""


def _ignore(*_: Any) -> None:
    return


@dataclass(frozen=True)
class JobTrack:
    """A recording of one speaker in a conversation.

    Attributes:
        name: of the speaker, as `transcript.speaker_names` allows it.
        recording: a file on this machine that outlives the job, or a URL, which the worker fetches.
        offset: seconds after the earliest track at which it begins; None: not known.
    """

    name: str
    recording: Path | str
    offset: float | None = None


@dataclass(frozen=True)
class Job:
    """A job to run.

    Attributes:
        input: as in RunPod's `/run`; with `upload` or `tracks`, without `audio`.
        upload: the recording, a file on this machine that outlives the job.
        fields: what a caller of `/run` sends beside `input`, such as `policy`.
        resume: a folder that outlives this process, where finished parts of the job may be kept until it is run again;
            None: there is none.
        tracks: in place of `upload` the recordings of one conversation, each with a name of its own.
    """

    input: Mapping[str, Any]
    upload: Path | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    resume: Path | None = None
    tracks: Sequence[JobTrack] = ()


@dataclass(frozen=True)
class Listener:
    """Callbacks for a running job, called on the event loop; they must be quick.

    Attributes:
        on_segments: receives new final segments, in order; None: they are not requested.
        on_progress: receives the stage, and the fraction of the recording that is done, 0 to 1.
    """

    on_segments: Callable[[list[dict[str, Any]]], None] | None = None
    on_progress: Callable[[str, float], None] = _ignore


def find_seconds(answer: Answer, key: str) -> float:
    """A time of an answer's metadata in seconds; 0 if it has none that is a time: an endpoint may send anything."""
    metadata = answer.get("metadata")
    value = metadata.get(key) if isinstance(metadata, Mapping) else None
    return float(value) if isinstance(value, int | float) and 0 < value <= sys.float_info.max else 0.0


class Transcriber(Protocol):
    """Runs jobs."""

    async def run(self, job: Job, listener: Listener) -> Answer:
        """Run a job and return its answer, also if it fails; cancelling the coroutine cancels the job."""

    async def models(self, wanted: str | None = None) -> list[str]:
        """The names of the models that a job may ask for, the default first, as far as they are known.

        Args:
            wanted: the name in a request that needs to know them; None: nothing is to be started to find out.
        """

    def option_schemas(self) -> Mapping[str, Schema]:
        """The JSON Schema of each option of a job, by its name."""
