"""The shape of subtitles: line width, lines in a cue, durations, gaps and reading speed."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import NamedTuple

UNLIMITED = 10**12
"""Stands for "no limit": more milliseconds, columns, lines or words than any cue has."""

MAX_CUE_MS = 30_000
"""The longest cue where neither the layout nor the segments limit it, or where words are highlighted."""

MAX_HIGHLIGHTED_LINES = 32
"""Lines of a cue whose words are highlighted: each word repeats the cue's text, so its size grows as the square."""


@dataclass(frozen=True)
class Layout:
    """The shape of subtitles as a job asks for it; None leaves it as it is in the segments.

    Widths are in columns, times in seconds. A column holds one character; a full-width character takes two, as on the
    screen. The first four fields are openai-whisper's (`whisper/utils.py`): unless both of the first two are given, no
    cue spans two segments.
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
        """True if the layout changes the segments, which takes word timestamps."""
        return self != Layout()

    @property
    def keeps_segments(self) -> bool:
        """True if no cue may span two segments."""
        return self.max_line_width is None or self.max_line_count is None

    @property
    def limits(self) -> CueLimits:
        """The layout as numbers, with defaults for the fields that are None."""
        max_ms = UNLIMITED if self.keeps_segments else MAX_CUE_MS
        max_ms = round(1000 * self.max_cue_duration) if self.max_cue_duration else max_ms
        max_lines = self.max_line_count or (UNLIMITED if self.max_line_width else 1)
        if self.highlight_words:
            max_ms, max_lines = min(max_ms, MAX_CUE_MS), min(max_lines, MAX_HIGHLIGHTED_LINES)
        return CueLimits(
            max_width=self.max_line_width or UNLIMITED,
            max_lines=max_lines,
            max_words=self.max_words_per_line or UNLIMITED,
            min_ms=round(1000 * (self.min_cue_duration or 0.0)),
            max_ms=max_ms,
            gap_ms=round(1000 * (self.min_cue_gap or 0.0)),
            ms_per_column=1000 / self.max_chars_per_second if self.max_chars_per_second else 0.0,
        )


class CueLimits(NamedTuple):
    """The limits of a cue and its lines: widths in columns, times in milliseconds."""

    max_width: int
    max_lines: int
    max_words: int
    """Words in a line."""
    min_ms: int
    max_ms: int
    gap_ms: int
    ms_per_column: float

    def reading_ms(self, columns: int) -> int:
        """Return the time for which a text of that width should stay on the screen."""
        return min(max(self.min_ms, ceil(columns * self.ms_per_column)), self.max_ms)


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
"""The layouts that `subtitle_preset` names.

`broadcast` follows Netflix's Timed Text Style Guide: 42 characters, 2 lines, 5/6 to 7 s, a gap of 2 frames, 20
characters per second for English.
"""
