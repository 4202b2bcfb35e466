"""Puts the tracks of a conversation on a common clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from media.track_clock import TrackClock, find_clocks, place_track
from src.audio.pcm import Pcm
from transcript.transcript import TrackTime


def align_tracks(
    tracks: Sequence[Pcm],
    speakers: Sequence[str],
    offsets: Sequence[float | None],
    folder: Path,
    check: Callable[[], None],
) -> tuple[list[Pcm], list[TrackTime]]:
    """Return the tracks on a common clock, and how they were put there.

    Tracks without an offset are compared with the others. Those that share no sound begin with the earliest track.

    Args:
        tracks: int16 [samples] each, as recorded.
        speakers: of each track.
        offsets: in seconds on the common clock; None: not known.
        folder: for the tracks that are moved.
        check: ends the work by an exception.
    """
    known = {number: offset for number, offset in enumerate(offsets) if offset is not None}
    clocks = find_clocks(tracks, known, check) if len(known) < len(tracks) else {}
    placed, times = [], []
    for number, (track, speaker) in enumerate(zip(tracks, speakers, strict=True)):
        clock = clocks.get(number) or TrackClock(known.get(number, 0.0))
        is_moved = clock.drift != 0 or round(clock.offset, 3) > 0
        placed.append(place_track(track, clock, folder / f"{number}.pcm", check) if is_moved else track)
        by_ear = number not in known and number in clocks and len(tracks) > 1
        times.append(TrackTime(speaker, clock.offset, clock.drift, by_ear and len(clocks) > 1))
    return placed, times


def describe_alignment(times: Sequence[TrackTime]) -> list[str]:
    """Return a sentence for each track that was moved by ear."""
    return [
        f"{time.speaker}: {TrackClock(time.offset, time.drift).describe()}"
        for time in times
        if time.by_ear and (time.offset or time.drift)
    ]
