"""LRC: song lyrics with a time for each line, or for each word."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate

from transcript.checks import Check, checked, never
from transcript.formats.cues import MIN_CUE_MS, Cue, line_text
from transcript.formats.timed_words import Line


def to_lrc(cues: Sequence[Cue], duration: float, karaoke: bool, check: Check = never) -> str:
    """Return LRC, with a time for each line of a cue.

    Args:
        cues: in order of their start.
        duration: length of the recording in seconds.
        karaoke: if true, each word has a time too ("enhanced" LRC, `<mm:ss.xx>`).
        check: ends the work by an exception.
    """
    lines = [line for cue in cues for line in cue.lines]
    # Players treat lines with the same time as translations of each other.
    starts = accumulate((line[0].start for line in lines), lambda last, start: max(start, last + MIN_CUE_MS))
    minutes, seconds = divmod(round(duration), 60)
    return f"[length:{minutes:02d}:{seconds:02d}]\n" + "".join(
        f"[{_format_time(start)}]{_format_words(line, start) if karaoke else _escape(line_text(line))}\n"
        for line, start in checked(zip(lines, starts, strict=True), check)
    )


def _format_words(line: Line, start: int) -> str:
    """Return each word after its start, and the end of the last word."""
    words = "".join(
        f"{word.text[: -len(letters)]}<{_format_time(max(start, word.start))}>{_escape(letters)}"
        for word in line
        for letters in [word.text.lstrip()]
    )
    return f"{words.strip()}<{_format_time(max(start, line[-1].end))}>"


def _format_time(time_ms: int) -> str:
    seconds, hundredths = divmod(time_ms // 10, 100)
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes:02d}:{seconds:02d}.{hundredths:02d}"


def _escape(text: str) -> str:
    """Put text that looks like a time into round brackets: LRC has no escapes."""
    return re.sub(r"[\[<](\d+:[\d.:]+)[\]>]", r"(\1)", text)
