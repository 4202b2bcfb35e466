"""Tracks of a conversation: recordings that were made at the same time, one speaker on each."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from client.errors import WrongUsage
from client.known_voices import clean_name
from client.remote_audio import is_remote

MAX_TRACKS = 16
MAX_OFFSET_S = 12 * 3600.0
"""Limits of the worker (a test compares them)."""


@dataclass(frozen=True)
class Track:
    """A recording of one speaker, in a conversation of several tracks."""

    name: str
    """Who speaks."""
    recording: str | Path
    """A file, or what the worker fetches itself, as for a single recording."""
    offset: float | None = None
    """Seconds between the start of the earliest track and of this one; None: not known."""


def check_tracks(tracks: Sequence[Track]) -> list[Track]:
    """Return the tracks with names as the worker takes them.

    Raises:
        WrongUsage: their number, a name or an offset is wrong.
    """
    if not 1 <= len(tracks) <= MAX_TRACKS:
        raise WrongUsage(f"give 1 to {MAX_TRACKS} tracks, not {len(tracks)}")
    named = [Track(clean_name(track.name), track.recording, track.offset) for track in tracks]
    [(name, count)] = Counter(track.name for track in named).most_common(1)
    if count > 1:
        raise WrongUsage(f"{name} is the name of {count} tracks: give each its own")
    for track in named:
        if track.offset is not None and not 0 <= track.offset <= MAX_OFFSET_S:
            raise WrongUsage(
                f"{track.name}: the offset should be 0 to {MAX_OFFSET_S:.0f} s, from the earliest track's start"
            )
    return named


def parse_tracks(tracks: Sequence[str], offsets: Sequence[str]) -> list[Track]:
    """Return the tracks for the values of `--track` and `--track-offset`; none without a flag.

    Raises:
        WrongUsage: naming the flag and the correct form.
    """
    pairs = [_pair("--track", text, "Ada=ada.wav or Ada=https://...") for text in tracks]
    times = dict(_pair("--track-offset", text, "Ben=2.5") for text in offsets)
    if unknown := sorted(times.keys() - {name for name, _ in pairs}):
        raise WrongUsage(f"--track-offset: there is no track {unknown[0]:.60}")
    if not pairs:
        return []
    return check_tracks([Track(name, source, _seconds(name, times.get(name))) for name, source in pairs])


def _pair(flag: str, text: str, example: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if not name.strip() or not value.strip():
        raise WrongUsage(f"{flag}: give each track a flag of its own, such as {example}")
    return name.strip(), value.strip()


def _seconds(name: str, text: str | None) -> float | None:
    if text is None:
        return None
    if not re.fullmatch(r"\d+(\.\d*)?", text):
        raise WrongUsage(f"--track-offset {name}: give seconds, such as 2.5")
    return float(text)


def conversation_path(tracks: Sequence[Track]) -> Path:
    """Return the path of a conversation's transcript without suffix: beside its first file."""
    files = [Path(track.recording) for track in tracks if not is_remote(str(track.recording))]
    return (files[0].parent if files else Path()) / "conversation"
