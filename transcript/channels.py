"""Merges the transcripts of a recording's channels into one, in order of time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from transcript.transcript import Segment, Transcript


def merge_channels(channels: Sequence[Transcript]) -> Transcript:
    """Return one transcript whose segments carry their channel; a single channel comes back unchanged.

    Language and probabilities are those of the channel with the most speech in its segments.
    """
    if len(channels) == 1:
        return channels[0]
    main = max(channels, key=lambda channel: sum(segment.end - segment.start for segment in channel.segments))
    translations = [channel.translation for channel in channels if channel.translation is not None]
    speech = [channel.speech for channel in channels if channel.speech is not None]
    return replace(
        main,
        segments=_interleave(channels),
        translation=replace(translations[0], segments=_interleave(translations)) if translations else None,
        speech=sum(speech) if speech else None,
        uncovered=sorted(gap for channel in channels for gap in channel.uncovered),
        doubtful_speech=sorted(look for channel in channels for look in channel.doubtful_speech),
        repaired=sum(channel.repaired for channel in channels),
        dropped=sum((channel.dropped for channel in channels), Counter()),
        warnings=list(dict.fromkeys(warning for channel in channels for warning in channel.warnings)),
    )


def _interleave(channels: Sequence[Transcript]) -> list[Segment]:
    segments = [
        replace(segment, channel=number) for number, channel in enumerate(channels) for segment in channel.segments
    ]
    segments.sort(key=lambda segment: segment.start)
    return [replace(segment, id=number) for number, segment in enumerate(segments)]
