"""How subtitles are to be shaped."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

EVER = 10**12
"""Milliseconds, or columns, that nothing reaches."""

LONGEST = 30_000
"""Milliseconds that a cue stays at most, where no other limit is given and segments give none."""


@dataclass(frozen=True)
class Layout:
    """How subtitles are shaped; widths in columns, times in seconds. None: as the segments are.

    The first four are openai-whisper's (`whisper/utils.py`): without both of the first two, each segment has cues of
    its own. A column holds a character; a full-width one takes two, as on the screen.
    """

    max_line_width: int | None = None
    max_line_count: int | None = None
    max_words_per_line: int | None = None
    highlight_words: bool = False
    min_cue_duration: float | None = None
    max_cue_duration: float | None = None
    min_cue_gap: float | None = None
    max_chars_per_second: float | None = None

    @property
    def needs_words(self) -> bool:
        """Whether it is more than the segments as they are, for which the times of words are needed."""
        return self != Layout()

    @property
    def keeps_segments(self) -> bool:
        """Whether no cue goes on over a segment's end."""
        return self.max_line_width is None or self.max_line_count is None

    @property
    def limits(self) -> Limits:
        longest = EVER if self.keeps_segments else LONGEST
        return Limits(
            width=self.max_line_width or EVER,
            lines=self.max_line_count or (EVER if self.max_line_width else 1),
            words=self.max_words_per_line or EVER,
            shortest=round(1000 * (self.min_cue_duration or 0.0)),
            longest=round(1000 * self.max_cue_duration) if self.max_cue_duration else longest,
            gap=round(1000 * (self.min_cue_gap or 0.0)),
            column_time=1000 / self.max_chars_per_second if self.max_chars_per_second else 0.0,
        )


class Limits(NamedTuple):
    """A layout's numbers, with one for each that it does not give; times in milliseconds."""

    width: int
    lines: int
    words: int
    shortest: int
    longest: int
    gap: int
    column_time: float

    def reading_time(self, columns: int) -> int:
        """How long a text of that many columns should stay."""
        return min(max(self.shortest, ceil(columns * self.column_time)), self.longest)


PRESETS: dict[str, Layout] = {
    "broadcast": Layout(
        max_line_width=42,
        max_line_count=2,
        min_cue_duration=0.83,
        max_cue_duration=7.0,
        min_cue_gap=0.08,
        max_chars_per_second=20.0,
    )
}
"""What broadcasters ask for (Netflix's Timed Text Style Guide: 42 characters, 2 lines, 5/6 to 7 s, 2 frames apart, 20
characters a second for English)."""
