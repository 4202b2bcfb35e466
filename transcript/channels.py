"""Merges the transcripts of a recording's channels into one, in order of time."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import attrgetter

from transcript.transcript import Diarization, Segment, Speaker, Transcript


def merge_channels(channels: Sequence[Transcript]) -> Transcript:
    """Return one transcript whose segments carry their channel; a single channel comes back unchanged.

    Language and probabilities are those of the channel with the most speech in its segments.
    """
    if len(channels) == 1:
        return channels[0]
    main = max(channels, key=lambda channel: sum(segment.end - segment.start for segment in channel.segments))
    diarization = _merge_diarizations([channel.diarization for channel in channels if channel.diarization])
    translations = [channel.translation for channel in channels if channel.translation is not None]
    speech = [channel.speech for channel in channels if channel.speech is not None]
    return replace(
        main,
        segments=_interleave(channels),
        translation=replace(translations[0], segments=_interleave(translations), diarization=diarization)
        if translations
        else None,
        speech=sum(speech) if speech else None,
        uncovered=sorted(gap for channel in channels for gap in channel.uncovered),
        doubtful_speech=sorted(look for channel in channels for look in channel.doubtful_speech),
        repaired=sum(channel.repaired for channel in channels),
        dropped=sum((channel.dropped for channel in channels), Counter()),
        diarization=diarization,
        warnings=list(dict.fromkeys(warning for channel in channels for warning in channel.warnings)),
    )


def name_speakers_by_channel(transcript: Transcript, channel: int) -> None:
    """Put a channel's number before the labels of its speakers, in place: each channel has a `SPEAKER_00`.

    Names of known speakers stay.
    """

    def rename(label: str) -> str:
        return f"CHANNEL_{channel}_{label}" if re.fullmatch(r"SPEAKER_\d+", label) else label

    for text in filter(None, (transcript, transcript.translation)):
        text.segments = [_renamed(segment, rename) for segment in text.segments]
        if text.diarization is not None:
            text.diarization = Diarization(
                [turn._replace(speaker=rename(turn.speaker)) for turn in text.diarization.turns],
                [replace(speaker, label=rename(speaker.label)) for speaker in text.diarization.speakers],
            )


def _renamed(segment: Segment, rename: Callable[[str], str]) -> Segment:
    words = segment.words and [
        replace(
            word,
            speaker=word.speaker and rename(word.speaker),
            other_speakers=tuple(map(rename, word.other_speakers)),
        )
        for word in segment.words
    ]
    return replace(segment, speaker=segment.speaker and rename(segment.speaker), words=words)


def _merge_diarizations(channels: Sequence[Diarization]) -> Diarization | None:
    """Return the turns and speakers of all channels; a known speaker on several ones is one speaker."""
    if not channels:
        return None
    speakers: dict[str, Speaker] = {}
    for speaker in (speaker for channel in channels for speaker in channel.speakers):
        known = speakers.get(speaker.label)
        speakers[speaker.label] = _join(known, speaker) if known else speaker
    turns = sorted(turn for channel in channels for turn in channel.turns)
    return Diarization(turns, sorted(speakers.values(), key=attrgetter("start")))


def _join(one: Speaker, other: Speaker) -> Speaker:
    main = max(one, other, key=attrgetter("seconds"))
    return replace(
        main, seconds=one.seconds + other.seconds, turns=one.turns + other.turns, start=min(one.start, other.start)
    )


def _interleave(channels: Sequence[Transcript]) -> list[Segment]:
    segments = [
        replace(segment, channel=number) for number, channel in enumerate(channels) for segment in channel.segments
    ]
    segments.sort(key=lambda segment: segment.start)
    return [replace(segment, id=number) for number, segment in enumerate(segments)]
