"""LRC, lyrics with times, plain or with the time of each word."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate

from src.formats.cues import SHORTEST, Cue, line_text
from src.formats.timed_words import Line


def to_lrc(cues: Sequence[Cue], duration: float, karaoke: bool) -> str:
    """LRC, each line of a cue with its time; with `karaoke`, each word too ("enhanced", `<mm:ss.xx>`).

    Args:
        duration: of the recording, in seconds.
    """
    lines = [line for cue in cues for line in cue.lines]
    # Players take lines of one time for translations of each other.
    starts = accumulate((line[0].start for line in lines), lambda last, start: max(start, last + SHORTEST))
    minutes, seconds = divmod(round(duration), 60)
    return f"[length:{minutes:02d}:{seconds:02d}]\n" + "".join(
        f"[{_lrc_time(start)}]{_lrc_words(line, start) if karaoke else _lrc_text(line_text(line))}\n"
        for line, start in zip(lines, starts, strict=True)
    )


def _lrc_words(line: Line, start: int) -> str:
    """The words, each after its time, and after the last one the time at which it ends."""
    words = "".join(
        f"{piece.text[: -len(word)]}<{_lrc_time(max(start, piece.start))}>{_lrc_text(word)}"
        for piece in line
        for word in [piece.text.lstrip()]
    )
    return f"{words.strip()}<{_lrc_time(max(start, line[-1].end))}>"


def _lrc_time(time: int) -> str:
    seconds, hundredths = divmod(time // 10, 100)
    minutes, seconds = divmod(seconds, 60)
    return f"{minutes:02d}:{seconds:02d}.{hundredths:02d}"


def _lrc_text(text: str) -> str:
    """LRC has no escapes: what it would take for a time gets round brackets."""
    return re.sub(r"[\[<](\d+:[\d.:]+)[\]>]", r"(\1)", text)
