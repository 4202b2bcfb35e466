"""The transcripts of a recording's channels as one, in the order of what was said."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from src.transcript.transcript import Segment, Transcript


def merged(channels: Sequence[Transcript]) -> Transcript:
    """One transcript, whose segments tell their channel; that of a single channel as it is.

    Language and probabilities are those of the channel that says the most.
    """
    if len(channels) == 1:
        return channels[0]
    main = max(channels, key=lambda one: sum(segment.end - segment.start for segment in one.segments))
    translations = [one.translation for one in channels if one.translation is not None]
    heard = [one.speech for one in channels if one.speech is not None]
    return replace(
        main,
        segments=_in_order(channels),
        translation=replace(translations[0], segments=_in_order(translations)) if translations else None,
        speech=sum(heard) if heard else None,
        uncovered=sorted(gap for one in channels for gap in one.uncovered),
        repaired=sum(one.repaired for one in channels),
        dropped=sum((one.dropped for one in channels), Counter()),
        warnings=list(dict.fromkeys(warning for one in channels for warning in one.warnings)),
    )


def _in_order(channels: Sequence[Transcript]) -> list[Segment]:
    told = [replace(segment, channel=number) for number, one in enumerate(channels) for segment in one.segments]
    return [replace(one, id=number) for number, one in enumerate(sorted(told, key=lambda one: one.start))]
