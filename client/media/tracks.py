"""Chooses the audio track of a local recording as the worker does, for a file of which only the audio is sent."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import ffmpeg

from client.errors import WrongUsage
from client.media.ffmpeg_process import run_ffmpeg
from media.sandbox import sandboxed_input

_STREAM = re.compile(r" +Stream #0:(\d+)(?:\[\w+\])?(?:\(([\w-]+)\))?.*?: (\w+): (\w*)(.*)")
_TITLE = re.compile(r"      title +: (.*)")
_MAX_CHARACTERS = 60


@dataclass(frozen=True)
class AudioTrack:
    """An audio track, as ffmpeg's log describes it."""

    number: int
    """From 1."""
    language: str = ""
    """Its tag, such as `eng`; empty if there is none."""
    title: str = ""
    codec: str = ""
    description: str = ""
    """The rest of the stream's line."""

    @property
    def channels(self) -> int:
        """Number of channels by the layout, such as `5.1.4` or `12 channels`; 0 if its name does not say it."""
        if found := re.search(r", (\d{1,5}) channels|, (\d+\.\d(?:\.\d)?)[,(]", self.description):
            return sum(int(count) for count in (found[1] or found[2]).split("."))
        names = {"mono": 1, "stereo": 2, "hexadecagonal": 16}
        return next((count for name, count in names.items() if f", {name}," in self.description), 0)

    @property
    def name(self) -> str:
        """The track for a message, without control characters: `track 2 (eng, "Commentary")`."""
        title = "".join(character for character in self.title if character.isprintable())[:_MAX_CHARACTERS]
        facts = [fact for fact in (self.language[:_MAX_CHARACTERS], f'"{title}"' if title else "") if fact]
        return f"track {self.number}" + (f" ({', '.join(facts)})" if facts else "")


def read_tracks(source: Path) -> list[AudioTrack]:
    """Return the audio tracks of `source`; none if it cannot be read, which its compression then reports."""
    output = ffmpeg.output(sandboxed_input(source), "-", format="null", map="0", c="copy", t=0)
    log = run_ffmpeg(output, file_bytes=0).log
    return parse_tracks(re.split(r"^(?:Stream mapping:|Output #0)", log, maxsplit=1, flags=re.MULTILINE)[0])


def parse_tracks(log: str) -> list[AudioTrack]:
    """Return the audio tracks of the header in ffmpeg's log, each once: those of several programs are listed again."""
    streams: dict[int, tuple[re.Match[str], str]] = {}
    index = -1
    for line in log.splitlines():
        if found := _STREAM.match(line):
            index = int(found[1])
            streams.setdefault(index, (found, ""))
        elif (found := _TITLE.match(line)) and index in streams and not streams[index][1]:
            streams[index] = (streams[index][0], found[1])
    audio = [streams[index] for index in sorted(streams) if streams[index][0][3] == "Audio"]
    return [
        AudioTrack(number, (found[2] or "").replace("und", ""), title, found[4], found[5])
        for number, (found, title) in enumerate(audio, start=1)
    ]


def choose_track(tracks: Sequence[AudioTrack], wanted: str | int | None) -> AudioTrack:
    """Return the wanted track; without a wish the first that is marked as default, else the first.

    Args:
        tracks: from `read_tracks`, at least one.
        wanted: its number, language as in the file, or title.

    Raises:
        WrongUsage: there is no such track; the message lists those that exist.
    """
    if wanted is None:
        known = [track for track in tracks if track.codec not in ("none", "unknown", "")] or tracks
        return next((track for track in known if "(default)" in track.description), known[0])
    name = str(wanted).strip().casefold()
    matching = (
        [track for track in tracks if str(track.number) == name]
        or [track for track in tracks if track.language.casefold() == name]
        or [track for track in tracks if track.title.casefold() == name]
        or [track for track in tracks if name and name in track.title.casefold()]
    )
    if not matching:
        names = ", ".join(track.name for track in tracks[:10])
        raise WrongUsage(f"the recording has no audio track {wanted!r:.80}, only {names}; give the number of one")
    return matching[0]
