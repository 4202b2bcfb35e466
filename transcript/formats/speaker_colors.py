"""A colour and a place on the screen for each speaker. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from transcript.formats.cues import Cue

PALETTE = ("#FFFFFF", "#FFFF00", "#00FFFF", "#00FF00", "#FFA040", "#FF90FF", "#A0C8FF")
"""Colours of text on a dark picture, `#RRGGBB`, in their order of use.

The first four are those of the BBC's subtitle guidelines, in its order. Each has a contrast with black of at least 7:1
(WCAG 2, level AAA).
"""


def assign_colors(voices: Iterable[str]) -> dict[str, str]:
    """Return the colour of each voice; later ones repeat those of the first.

    Args:
        voices: in order of speech; a voice may occur again, and an empty one has no colour.
    """
    distinct = (voice for voice in dict.fromkeys(voices) if voice)
    return {voice: PALETTE[at % len(PALETTE)] for at, voice in enumerate(distinct)}


def find_raised(cues: Sequence[Cue]) -> list[bool]:
    """Return for each cue whether it is shown at the top, because somebody else's is at the bottom when it begins.

    Args:
        cues: in order of their start.
    """
    raised = []
    bottom_end = top_end = 0
    for cue in cues:
        is_raised = cue.start < bottom_end and cue.start >= top_end
        raised.append(is_raised)
        if is_raised:
            top_end = cue.end
        else:
            bottom_end = max(bottom_end, cue.end)
    return raised
