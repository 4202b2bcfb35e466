"""How far subtitles keep to the limits of their layout, as a broadcaster's style guide asks. Pure.

The layout keeps lines, widths and longest durations itself. It cannot keep a reading speed, a gap or a shortest
duration where people speak without a pause: only fewer words would.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from transcript.formats.cues import Cue, label, line_text
from transcript.formats.layout import Layout
from transcript.formats.line_breaks import display_width

MAX_LISTED = 10
"""Cues whose times are listed for each limit."""


def report_cues(cues: Sequence[Cue], layout: Layout) -> dict[str, Any]:
    """Return the number of cues, and for each limit of `layout` those that break it.

    Returns:
        `cues`, and `over_limits` by the name of the limit: the `limit`, the `count` of cues, the `worst` value, and
        the starts of the `first` cues in seconds. Limits that no cue breaks are left out.
    """
    found: dict[str, list[tuple[float, int]]] = {}
    for cue, following in zip(cues, [*cues[1:], None], strict=False):
        for name, value in _broken_limits(cue, following, layout):
            found.setdefault(name, []).append((value, cue.start))
    return {"cues": len(cues), "over_limits": {name: _sum_up(name, over, layout) for name, over in found.items()}}


def _sum_up(name: str, over: Sequence[tuple[float, int]], layout: Layout) -> dict[str, Any]:
    values = [value for value, _ in over]
    worst = min(values) if name.startswith("min_") else max(values)
    first = [start / 1000 for _, start in over[:MAX_LISTED]]
    return {"limit": getattr(layout, name), "count": len(over), "worst": round(worst, 3), "first": first}


def _broken_limits(cue: Cue, following: Cue | None, layout: Layout) -> Iterator[tuple[str, float]]:
    """Yield name and value of each limit that a cue breaks."""
    limits = layout.limits
    widths = [display_width(line_text(line)) for line in cue.lines]
    columns = sum(widths) + len(widths) - 1
    duration = cue.end - cue.start
    shown = [display_width(label(cue)) + widths[0], *widths[1:]]
    if max(shown) > limits.max_width:
        yield "max_line_width", max(shown)
    if len(shown) > limits.max_lines and layout.max_line_count:
        yield "max_line_count", len(shown)
    if duration < limits.min_ms:
        yield "min_cue_duration", duration / 1000
    if duration > limits.max_ms and layout.max_cue_duration:
        yield "max_cue_duration", duration / 1000
    if columns * limits.ms_per_column > duration:
        yield "max_chars_per_second", columns * 1000 / max(1, duration)
    if following is not None and 0 <= following.start - cue.end < limits.gap_ms:
        yield "min_cue_gap", (following.start - cue.end) / 1000
