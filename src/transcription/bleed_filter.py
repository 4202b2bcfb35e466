"""Removes from a track's transcript what was said into another microphone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from src.audio.bleed import is_bleed
from src.audio.pcm import Pcm
from transcript.checks import Check, checked
from transcript.transcript import Segment, Transcript


def drop_bleed(transcripts: Sequence[Transcript], tracks: Sequence[Pcm], check: Check) -> int:
    """Remove words whose voice bleeds in from another track, from transcripts and translations, in place.

    A segment that loses some of its words has no `tokens` and no `logprobs`, which are those of the whole.

    Args:
        transcripts: with word times, one for each track.
        tracks: int16 [samples] each, on a common clock.
        check: ends the work by an exception.

    Returns:
        The number of removed words.
    """
    dropped = 0
    for number, transcript in enumerate(transcripts):
        kept = [_without_bleed(segment, tracks, number) for segment in checked(transcript.segments, check)]
        dropped += sum(_count(segment) for segment in transcript.segments) - sum(map(_count, filter(None, kept)))
        transcript.segments = [segment for segment in kept if segment is not None]
        if transcript.translation is not None:
            transcript.translation.segments = [
                segment
                for segment in checked(transcript.translation.segments, check)
                if not is_bleed(tracks, number, segment.start, segment.end)
            ]
    return dropped


def _without_bleed(segment: Segment, tracks: Sequence[Pcm], number: int) -> Segment | None:
    words = segment.words or []
    if not words:
        return None if is_bleed(tracks, number, segment.start, segment.end) else segment
    own = [word for word in words if not is_bleed(tracks, number, word.start, word.end)]
    if len(own) == len(words):
        return segment
    if not own:
        return None
    text = "".join(word.word for word in own)
    return replace(
        segment, start=own[0].start, end=own[-1].end, text=text, words=own, tokens=[], logprobs=segment.logprobs and []
    )


def _count(segment: Segment) -> int:
    return len(segment.words or segment.text.split())
