"""Cues that people would ship: where lines and cues part, and how long each stays on the screen."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Layout:
    """How subtitles are shaped; widths in characters, times in seconds. None: as the segments are.

    The first four are openai-whisper's (`whisper/utils.py`).
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
