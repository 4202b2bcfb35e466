"""The colours of speakers in joined parts: each part has given them in its own order. Pure."""

from __future__ import annotations

import re

from transcript.formats.ass import to_bgr
from transcript.formats.speaker_colors import assign_colors

_SRT_SPEAKER = re.compile(r'( --> .*\n(?:\{\\an8\})?<font color=")#[0-9A-F]{6}(">\u200f?)([^:\n]+)(?=: )')
_ASS_SPEAKER = re.compile(
    r"^(Dialogue: \d+,[^,]*,[^,]*,[^,]*,)([^,]+)(,0,0,0,,(?:\{\\an8\})?\{\\1c)&H[0-9A-F]{6}&", re.MULTILINE
)


def recolor_srt(text: str) -> str:
    """Return coloured SubRip with one colour for each speaker, as in a single job."""
    colors = assign_colors(found[3] for found in _SRT_SPEAKER.finditer(text))
    return _SRT_SPEAKER.sub(lambda found: f"{found[1]}{colors[found[3]]}{found[2]}{found[3]}", text)


def recolor_ass(text: str) -> str:
    """Return coloured SubStation Alpha with one colour for each speaker, as in a single job."""
    colors = assign_colors(found[2] for found in _ASS_SPEAKER.finditer(text))
    return _ASS_SPEAKER.sub(lambda found: f"{found[1]}{found[2]}{found[3]}{to_bgr(colors[found[2]])}", text)
