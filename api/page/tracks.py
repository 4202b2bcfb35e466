"""Tracks of a conversation, a speaker on each: as a visitor gives them, and their mix, which the player plays."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import ffmpeg

from api.openai.errors import ApiError
from api.page.ffmpeg import MediaFailed, run_ffmpeg
from api.page.media import AUDIO_BITS, bounds_of, find_sound, read_header
from api.page.records import Track
from api.page.values import parse_text, parse_url
from api.transcriber import Answer
from media.sandbox import sandboxed_input
from transcript.speaker_names import MAX_NAME_CHARACTERS, clean_speaker_name

MAX_TRACKS = 16
"""Limit of the worker (a test compares them)."""

MAX_OFFSET_S = 12 * 3600.0
MAX_DRIFT_PPM = 1000.0
"""More is not measured: an endpoint may send anything."""

_RATE = 48_000
_FINE_RATE = 192_000
"""Samples a second of a track whose clock drifts: one more or less is 5 ppm."""

_LIMIT = 0.97
"""Of the mix, by full scale: voices that speak at once would be clipped."""

_MAX_ID_CHARACTERS = 200


@dataclass(frozen=True)
class GivenTrack:
    """A track as a visitor gives it.

    Attributes:
        upload: id of the upload; None: the track is at a URL.
        track: what else is given of it.
    """

    upload: str | None
    track: Track


@dataclass(frozen=True)
class Clock:
    """Where a track is on the clock of its conversation.

    Attributes:
        offset: seconds at which it begins.
        drift: seconds that its own clock loses in each second.
    """

    offset: float = 0.0
    drift: float = 0.0


def parse_tracks(value: Any) -> list[GivenTrack]:
    """Read the tracks of a request.

    Raises:
        ApiError: naming the wrong field and the correct form.
    """
    if not isinstance(value, list) or not 1 <= len(value) <= MAX_TRACKS:
        raise ApiError(400, f"tracks: should be a list of 1 to {MAX_TRACKS} tracks", param="tracks")
    tracks = [_parse_track(item, f"tracks.{number}") for number, item in enumerate(value)]
    places = [given.upload or given.track.url for given in tracks]
    for what, given in (("name", [given.track.name for given in tracks]), ("recording", places)):
        if len(set(given)) < len(given):
            raise ApiError(400, f"tracks: two have the same {what}: give each its own", param="tracks")
    return tracks


def _parse_track(value: Any, place: str) -> GivenTrack:
    if not isinstance(value, Mapping) or ("upload" in value) == ("url" in value):
        raise ApiError(400, f"{place}: should be an object with name and either upload or url", param=place)
    name = parse_text(value.get("name"), f"{place}.name", MAX_NAME_CHARACTERS)
    try:
        name = clean_speaker_name(" ".join(name.split()))
    except ValueError as error:
        raise ApiError(400, f"{place}.name: {error}", param=f"{place}.name") from None
    track = Track(
        name,
        parse_url(value["url"], f"{place}.url") if "url" in value else None,
        _parse_offset(value.get("offset"), f"{place}.offset"),
    )
    upload = parse_text(value["upload"], f"{place}.upload", _MAX_ID_CHARACTERS) if "upload" in value else None
    return GivenTrack(upload, track)


def _parse_offset(value: Any, place: str) -> float | None:
    if value is None:
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= MAX_OFFSET_S:
        raise ApiError(400, f"{place}: should be seconds from 0 to {MAX_OFFSET_S:.0f}, or left out", param=place)
    return float(value)


def track_file(folder: Path, number: int) -> Path:
    """Where a track is in its transcript's folder."""
    return folder / f"track-{number:02}"


def clocks_of(answer: Answer, count: int) -> list[Clock]:
    """The clocks of a job's tracks by its metadata (docs/output.md); tracks without one begin together."""
    metadata = answer.get("metadata")
    told = metadata.get("tracks") if isinstance(metadata, Mapping) else None
    if not isinstance(told, list) or len(told) != count:
        return [Clock()] * count
    return [_clock_of(track) for track in told]


def _clock_of(track: Any) -> Clock:
    told = track if isinstance(track, Mapping) else {}
    offset = _number(told.get("offset"), 0.0, MAX_OFFSET_S)
    return Clock(offset, _number(told.get("drift_ppm"), -MAX_DRIFT_PPM, MAX_DRIFT_PPM) / 1e6)


def _number(value: Any, least: float, most: float) -> float:
    return float(value) if isinstance(value, int | float) and least <= value <= most else 0.0


def write_mix(
    tracks: Mapping[str, Path],
    clocks: Sequence[Clock],
    target: Path,
    stop: Event,
    max_bytes: int,
    on_fraction: Callable[[float], None],
) -> None:
    """Write the first sound track of all recordings, on their common clock, as one recording that browsers play.

    Args:
        tracks: by the names of their speakers.
        clocks: of the tracks.
        target: is replaced once the mix is whole.
        stop: ends the work when set.
        max_bytes: of the mix.
        on_fraction: called with how much is done, 0 to 1.

    Raises:
        MediaFailed: a track cannot be decoded, or the mix has more than `max_bytes`; it names the track.
        Stopped: `stop` was set.
    """
    sounds, seconds = [], 0.0
    for (name, path), clock in zip(tracks.items(), clocks, strict=True):
        try:
            log = read_header(path)
            find_sound(log)
        except MediaFailed as error:
            raise MediaFailed(f"{name}: {error}") from None
        sounds.append(_on_clock(path, clock))
        seconds = max(seconds, clock.offset + log.duration)
    mix = ffmpeg.filter(sounds, "amix", inputs=len(sounds), duration="longest", normalize=0)
    mix = mix.filter("alimiter", limit=_LIMIT, level=0)
    part = target.with_name(f"{target.name}.part")
    options = {"format": "mp4", "movflags": "+faststart", "map_metadata": -1, "c:a": "aac", "b:a": AUDIO_BITS}
    try:
        done = run_ffmpeg(
            ffmpeg.output(mix, f"file:{part}", **options),
            bounds_of(seconds * len(sounds), max_bytes),
            stop,
            on_position=lambda position: on_fraction(min(1.0, position / seconds) if seconds else 0.0),
        )
        if done.status != 0:
            raise MediaFailed("the tracks cannot be mixed: convert them to a common format")
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def _on_clock(path: Path, clock: Clock) -> ffmpeg.nodes.FilterableStream:
    """A track's sound, with silence before it, and slower or faster by the drift of its clock."""
    rate = _FINE_RATE if clock.drift else _RATE
    # Sound that begins late or has a gap is preceded by silence, so that a sample's place is its time.
    sound = sandboxed_input(path)["a:0"].filter("aresample", rate, **{"async": 1, "first_pts": 0})
    sound = sound.filter("aformat", channel_layouts="mono")
    if clock.drift:
        sound = sound.filter("asetrate", round(rate / (1 + clock.drift))).filter("aresample", _RATE)
    return sound.filter("adelay", round(clock.offset * 1000)) if clock.offset else sound
