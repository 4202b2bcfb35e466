"""Merges the transcripts of tracks that were recorded at the same time, one speaker on each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import attrgetter

from transcript.channels import merge_channels
from transcript.transcript import Diarization, Segment, Speaker, Transcript, Turn

MAX_PAUSE_S = 1.0
"""Segments of a speaker with a shorter pause between them are one turn."""


def merge_tracks(tracks: Sequence[Transcript], speakers: Sequence[str]) -> Transcript:
    """Return one transcript in order of time, whose segments and words carry their track and its speaker.

    Args:
        tracks: on a common clock.
        speakers: of each track.
    """
    for number, (track, speaker) in enumerate(zip(tracks, speakers, strict=True)):
        for text in (track, track.translation):
            if text is not None:
                text.segments = [_spoken_by(speaker, number, segment) for segment in text.segments]
    merged = merge_channels(tracks)
    merged.duration = max(track.duration for track in tracks)
    merged.diarization = _diarization(tracks, speakers)
    if merged.translation is not None:
        merged.translation.duration, merged.translation.diarization = merged.duration, merged.diarization
    return merged


def _spoken_by(speaker: str, track: int, segment: Segment) -> Segment:
    words = segment.words and [replace(word, speaker=speaker) for word in segment.words]
    return replace(segment, speaker=speaker, channel=track, words=words)


def _diarization(tracks: Sequence[Transcript], speakers: Sequence[str]) -> Diarization:
    turns = [_turns(track.segments, speaker) for track, speaker in zip(tracks, speakers, strict=True)]
    found = [
        Speaker(its[0].speaker, sum(turn.end - turn.start for turn in its), len(its), its[0].start, embedding=())
        for its in turns
        if its
    ]
    return Diarization(sorted(turn for its in turns for turn in its), sorted(found, key=attrgetter("start")))


def _turns(segments: Sequence[Segment], speaker: str) -> list[Turn]:
    turns: list[Turn] = []
    for segment in segments:
        if turns and segment.start - turns[-1].end < MAX_PAUSE_S:
            turns[-1] = turns[-1]._replace(end=max(turns[-1].end, segment.end))
        else:
            turns.append(Turn(segment.start, segment.end, speaker))
    return turns
