"""A transcript as text: SRT, WebVTT and TSV, and the part of a job's output that carries them.

Everything here is pure. The forms are those of openai-whisper's writers (`whisper/utils.py`), with three
repairs: a segment's text always stays on one line, so that no blank line can end a cue early; a segment
without text makes no cue; and what would be markup in WebVTT is escaped.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from src.subtitles import Layout
from src.transcript import Segment, Transcript

PLAIN = Layout()
"""Subtitles as the segments are."""


class Cue(NamedTuple):
    """One line of text on the screen, with its times in milliseconds."""

    start: int
    end: int
    text: str


def cues(transcript: Transcript) -> Iterator[Cue]:
    """The segments that have text, in order."""
    for segment in transcript.segments:
        if text := single_line(segment.text):
            start, end = milliseconds(segment)
            yield Cue(start, end, text)


def single_line(text: str) -> str:
    """`text` without line breaks and outer blanks; blanks between words stay as they are.

    `str.splitlines` knows every character that some reader takes for a line break (\\v, \\f, U+0085, U+2028…).
    NUL becomes U+FFFD, as every WebVTT reader would make it (W3C WebVTT, section 6.1).
    """
    lines = (line.strip() for line in text.replace("\0", "\ufffd").splitlines())
    return " ".join(line for line in lines if line)


def milliseconds(segment: Segment) -> tuple[int, int]:
    """Start and end of `segment`, rounded to whole milliseconds; the end is never before the start."""
    start = round(segment.start * 1000)
    return start, max(start, round(segment.end * 1000))


def timestamp(time: int, decimal_mark: str) -> str:
    """`HH:MM:SS` and three decimals of `time` (ms); hours take more digits from 100 on."""
    seconds, thousandths = divmod(time, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{decimal_mark}{thousandths:03d}"


def to_text(transcript: Transcript) -> str:
    """The whole text in one piece, as openai-whisper's `text` key has it."""
    return transcript.text


def to_srt(transcript: Transcript) -> str:
    """SubRip: numbered cues, a blank line between them."""
    return "\n".join(_srt_cue(number, cue) for number, cue in enumerate(cues(transcript), start=1))


def _srt_cue(number: int, cue: Cue) -> str:
    # SubRip has no escapes, so the arrow must go; however long its shaft, or `--->` would leave a `-->`.
    text = re.sub("-{2,}>", "->", cue.text)
    return f"{number}\n{timestamp(cue.start, ',')} --> {timestamp(cue.end, ',')}\n{text}\n"


def to_vtt(transcript: Transcript) -> str:
    """WebVTT (W3C): a header, then cues without numbers, a blank line between them."""
    return "WEBVTT\n\n" + "\n".join(_vtt_cue(cue) for cue in cues(transcript))


def _vtt_cue(cue: Cue) -> str:
    # With `>` escaped, no text can be taken for the arrow of a timing line.
    text = html.escape(cue.text, quote=False)
    return f"{timestamp(cue.start, '.')} --> {timestamp(cue.end, '.')}\n{text}\n"


def to_tsv(transcript: Transcript) -> str:
    """Tab-separated values under a header: start and end in milliseconds, text without tabs and without quoting."""
    return "start\tend\ttext\n" + "".join(_tsv_row(cue) for cue in cues(transcript))


def _tsv_row(cue: Cue) -> str:
    text = cue.text.replace("\t", " ")
    return f"{cue.start}\t{cue.end}\t{text}\n"


def _language(transcript: Transcript) -> str:
    return transcript.language


def _segments(transcript: Transcript) -> list[dict[str, Any]]:
    return [segment.to_dict() for segment in transcript.segments]


_MAKERS: dict[str, Callable[[Transcript], Any]] = {
    "text": to_text,
    "language": _language,
    "segments": _segments,
    "srt": to_srt,
    "vtt": to_vtt,
    "tsv": to_tsv,
}

_KEYS: dict[str, tuple[str, ...]] = {
    "text": ("text",),
    "srt": ("text", "srt"),
    "vtt": ("text", "vtt"),
    "tsv": ("text", "tsv"),
    "json": ("text", "language", "segments"),
    "all": tuple(_MAKERS),
}

OUTPUT_FORMATS: tuple[str, ...] = tuple(_KEYS)
"""The names that a job may ask for; the schema and the README take them from here."""


def render(transcript: Transcript, output_formats: Sequence[str], layout: Layout = PLAIN) -> dict[str, Any]:
    """The `transcription` part of a job's output; the formats are some of `OUTPUT_FORMATS`."""
    keys = [key for one in output_formats for key in _KEYS[one]]
    return {key: _MAKERS[key](transcript) for key in dict.fromkeys(keys)}
