"""Cues as SRT, WebVTT and TSV, in the forms of openai-whisper's writers (`whisper/utils.py`)."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Sequence

from src.formats.cues import Cue
from src.formats.timed_words import Piece


def to_srt(cues: Sequence[Cue], highlight_words: bool = False) -> str:
    """SubRip: numbered cues, a blank line between them."""
    blocks = []
    for number, (start, end, text, voice) in enumerate(_shown(cues, highlight_words, str), start=1):
        # SubRip has no escapes, so the arrow must go; however long its shaft, or `--->` would leave a `-->`.
        text = re.sub("-{2,}>", "->", f"{voice}: {text}" if voice else text)
        blocks.append(f"{number}\n{timestamp(start, ',')} --> {timestamp(end, ',')}\n{text}\n")
    return "\n".join(blocks)


def to_vtt(cues: Sequence[Cue], highlight_words: bool = False) -> str:
    """WebVTT (W3C): a header, then cues without numbers, a blank line between them."""
    blocks = [
        f"{timestamp(start, '.')} --> {timestamp(end, '.')}\n{f'<v {voice}>' if voice else ''}{text}\n"
        for start, end, text, voice in _shown(cues, highlight_words, _escaped)
    ]
    return "WEBVTT\n\n" + "\n".join(blocks)


def to_tsv(cues: Sequence[Cue]) -> str:
    """Tab-separated values under a header: start and end in milliseconds, text without tabs and without quoting.

    Where voices are told apart, a column `speaker` comes before the text.
    """
    spoken = any(cue.voice for cue in cues)
    rows = ["start\tend\tspeaker\ttext\n" if spoken else "start\tend\ttext\n"]
    for cue in cues:
        voice = f"{cue.voice}\t" if spoken else ""
        rows.append(f"{cue.start}\t{cue.end}\t{voice}{cue.text.replace(chr(9), ' ')}\n")
    return "".join(rows)


def _escaped(text: str) -> str:
    # With `>` escaped, no text can be taken for the arrow of a timing line.
    return html.escape(text, quote=False)


def timestamp(time: int, decimal_mark: str) -> str:
    """`HH:MM:SS` and three decimals of `time` (ms); hours take more digits from 100 on."""
    seconds, thousandths = divmod(time, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{decimal_mark}{thousandths:03d}"


def _shown(
    cues: Sequence[Cue], highlight_words: bool, escaped: Callable[[str], str]
) -> Iterator[tuple[int, int, str, str]]:
    """From when to when something is on the screen, the text, and whose it is.

    Each cue, or each as often as the word that is underlined in it changes.
    """
    for cue in cues:
        for start, end, spoken in steps(cue) if highlight_words else [(cue.start, cue.end, None)]:
            lines = ("".join(_marked(piece, piece is spoken, escaped) for piece in line) for line in cue.lines)
            yield start, end, "\n".join(line.strip() for line in lines), cue.voice


def steps(cue: Cue) -> Iterator[tuple[int, int, Piece | None]]:
    """Who is being spoken when: a word, or none in a pause."""
    shown = cue.start
    for piece in (piece for line in cue.lines for piece in line if piece.end > piece.start):
        if shown < piece.start:
            yield shown, piece.start, None
        yield piece.start, piece.end, piece
        shown = piece.end
    if shown < cue.end:
        yield shown, cue.end, None


def _marked(piece: Piece, is_spoken: bool, escaped: Callable[[str], str]) -> str:
    if not is_spoken:
        return escaped(piece.text)
    word = piece.text.lstrip()
    return f"{piece.text[: -len(word)]}<u>{escaped(word)}</u>"
