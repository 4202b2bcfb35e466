"""The recordings of a job: one, or several tracks that were recorded at the same time, one microphone each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema

from src.errors import quote
from src.request.audio_source import AudioSource
from src.request.option_values import SpeakerName

MAX_TRACKS = 16
MAX_OFFSET_S = 12 * 3600.0


class TrackSource(AudioSource):
    """A recording: exactly one of `url`, `base64` and `volume`; a track has the name of who speaks."""

    name: SpeakerName | None = None
    offset: float | None = Field(default=None, ge=0, le=MAX_OFFSET_S)
    """Seconds between the start of the earliest track and of this one; None: found by sound that the tracks share."""


@dataclass(frozen=True)
class TrackFile:
    """A track as a file.

    Attributes:
        path: of the recording.
        speaker: who speaks on the track.
        offset: seconds of the common clock at which the track begins; None: not known.
    """

    path: Path
    speaker: str
    offset: float | None = None


def track_place(number: int, name: str | None) -> str:
    """Name a track in an error, as in `audio.1 (Ben)`."""
    return f"audio.{number} ({name})"


def to_track_files(sources: Sequence[TrackSource], paths: Sequence[Path]) -> list[TrackFile]:
    """The tracks of a job, fetched to `paths`."""
    return [TrackFile(path, source.name or "", source.offset) for source, path in zip(sources, paths, strict=True)]


def _as_list(raw: Any) -> Any:
    """Return a list; a recording that is not in one is no track."""
    if isinstance(raw, dict) and not raw.keys().isdisjoint({"name", "offset"}):
        raise ValueError('"name" and "offset" are for tracks: give a list of them')
    return raw if isinstance(raw, list) else [raw]


def _check_tracks(tracks: list[TrackSource]) -> list[TrackSource]:
    """Give each track a name, unless there is one recording alone, without a name."""
    if len(tracks) == 1 and tracks[0].name is None and not tracks[0].offset:
        return tracks
    named = [
        track.model_copy(update={"name": track.name or f"SPEAKER_{number:02}"}) for number, track in enumerate(tracks)
    ]
    [(name, count)] = Counter(track.name for track in named).most_common(1)
    if count > 1:
        raise ValueError(f"{quote(str(name))} is the name of {count} tracks: give each its own")
    return named


class _OneOrMore:
    """Describes a list that may also be given as its only item."""

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        many = handler(core)
        return {"anyOf": [many["items"], many]}


Tracks = Annotated[
    list[TrackSource],
    Field(min_length=1, max_length=MAX_TRACKS),
    BeforeValidator(_as_list),
    AfterValidator(_check_tracks),
    _OneOrMore(),
]
"""At least one; all have different names, or the only one has none and is no track."""
