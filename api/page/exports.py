"""A transcript as files: text, subtitles, data, a Word document, and all of them in one archive."""

from __future__ import annotations

import base64
import io
import json
import re
import zipfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import groupby, islice
from pathlib import Path
from typing import Any, NamedTuple

from api.page.document import Document
from api.page.docx import Paragraph, Passage, to_docx
from api.page.lines import Line, Word
from transcript.checks import Check, checked, never
from transcript.formats.layout import Layout
from transcript.formats.render import StlOptions, render
from transcript.paragraphs import Piece, find_paragraphs
from transcript.transcript import Diarization, Turn

_BLOCK_BYTES = 1 << 20

MAX_NAME_BYTES = 180
"""Of a file's name without its suffix: systems allow 255 (143 in an encrypted folder of Linux keeps whole names)."""

_UNSAFE = re.compile(r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]')
"""Characters that Windows forbids, control characters, and those that turn the direction of a name."""

_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE | re.ASCII)
"""Names of devices, which Windows forbids with any suffix."""


@dataclass(frozen=True)
class Wanted:
    """What a file should have.

    Attributes:
        layout: of subtitles.
        names: whether speakers are named.
        colors: whether named speakers have colours, in SRT and ASS.
        times: whether text has times; None: as is usual for the format.
        stl: the frame rate and the start of EBU STL.
        unsure_below: the probability, 0 to 1, below which a Word document marks words; None: it marks none.
    """

    layout: Layout = field(default_factory=Layout)
    names: bool = True
    colors: bool = False
    times: bool | None = None
    stl: StlOptions = StlOptions()
    unsure_below: float | None = None


MEDIA_TYPES = {
    "txt": "text/plain; charset=utf-8",
    "docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "srt": "application/x-subrip; charset=utf-8",
    "vtt": "text/vtt; charset=utf-8",
    "ass": "text/x-ssa; charset=utf-8",
    "ttml": "application/ttml+xml; charset=utf-8",
    "stl": "application/octet-stream",
    "lrc": "text/plain; charset=utf-8",
    "tsv": "text/tab-separated-values; charset=utf-8",
    "json": "application/json",
    "rttm": "text/plain; charset=utf-8",
}
"""By file suffix."""

_LAID_OUT = ("srt", "vtt", "ass", "ttml", "stl", "lrc", "tsv")
"""Formats that share the layout of their cues."""


class Exported(NamedTuple):
    """The content of files by their names, and sentences on what the formats cannot hold."""

    files: dict[str, bytes]
    warnings: list[str]


def export(names: Collection[str], document: Document, wanted: Wanted, check: Check = never) -> Exported:
    """Write files; text is in UTF-8.

    Args:
        names: some of `MEDIA_TYPES`.
        document: the transcript.
        wanted: what the files should have.
        check: ends the work by an exception.
    """
    laid_out = [name for name in names if name in _LAID_OUT]
    written: dict[str, str | bytes] = {}
    warnings: list[str] = []
    if laid_out:
        transcript = document.to_transcript(names=wanted.names)
        rendered = render(
            transcript,
            laid_out,
            wanted.layout,
            stl=wanted.stl,
            warn=warnings.append,
            speaker_colors=wanted.colors,
            check=check,
        )
        written.update(rendered)
    if "stl" in written:
        written["stl"] = base64.b64decode(written["stl"])
    written.update((name, _WRITERS[name](document, wanted, check)) for name in names if name in _WRITERS)
    return Exported({name: _to_bytes(written[name]) for name in names}, warnings)


def _to_bytes(content: str | bytes) -> bytes:
    return content if isinstance(content, bytes) else content.encode("utf-8", "replace")


def to_zip(stem: str, files: Mapping[str, bytes], video: Path | None = None, suffix: str = "") -> Iterator[bytes]:
    """Files in a zip archive, piece by piece, so that a video need not be in memory.

    Args:
        stem: of their names.
        files: by their suffix.
        video: the captioned one, if there is one.
        suffix: of the video's name.
    """
    pieces = _Pieces()
    # Zip has no times before 1980, which a clock that was never set shows.
    now = max(datetime.now(), datetime(1980, 1, 1)).timetuple()[:6]
    with zipfile.ZipFile(pieces, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(f"{stem}.{name}", now)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)
            yield pieces.take()
        if video is not None:
            entry = zipfile.ZipInfo(f"{stem}.captioned{suffix}", now)
            with video.open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                while block := source.read(_BLOCK_BYTES):
                    target.write(block)
                    yield pieces.take()
    yield pieces.take()


class _Pieces(io.RawIOBase):
    """A write-only file that hands out what has been written to it."""

    def __init__(self) -> None:
        super().__init__()
        self._written: list[bytes] = []

    def write(self, content: Any, /) -> int:
        self._written.append(bytes(content))
        return len(content)

    def take(self) -> bytes:
        """What was written since the last call."""
        taken = b"".join(self._written)
        self._written.clear()
        return taken


def file_stem(title: str) -> str:
    """The title as a file name, without a suffix, that every system accepts."""
    name = " ".join(_UNSAFE.sub(" ", title).split())
    name = name.encode("utf-8", "ignore")[:MAX_NAME_BYTES].decode("utf-8", "ignore").strip(" .")
    if not name:
        return "transcript"
    return f"{name}_" if _RESERVED.fullmatch(name) else name


def _to_txt(document: Document, wanted: Wanted, check: Check) -> str:
    """A paragraph for each turn of a speaker; without speakers, a line for each line."""
    blocks = [
        f"{f'{time}  ' if time else ''}{f'{speaker}: ' if speaker else ''}{text}"
        for time, speaker, text in _turns(document, wanted, check, times=bool(wanted.times))
    ]
    separator = "\n\n" if wanted.names and document.voices else "\n"
    return "".join(f"{block}{separator}" for block in blocks).rstrip("\n") + "\n"


def _to_word(document: Document, wanted: Wanted, check: Check) -> bytes:
    paragraphs = _word_paragraphs(document, wanted, check)
    return to_docx(document.title, paragraphs, document.language, wanted.unsure_below)


def _word_paragraphs(document: Document, wanted: Wanted, check: Check) -> Iterator[Paragraph]:
    """The paragraphs that readers expect: at pauses, other speakers, and where one is long."""
    voices = document.voices if wanted.names else {}
    lines = [line for line in checked(document.lines, check) if line.text]
    pieces = (
        Piece(line.start, line.end, "".join(word.text for word in line.words), voices.get(line.speaker or "", ""))
        for line in lines
    )
    rest, voice = iter(lines), ""
    for pieces_of_one in find_paragraphs(pieces):
        first = pieces_of_one[0]
        time = "" if wanted.times is False else format_clock(first.start)
        passages = _passages(islice(rest, len(pieces_of_one)), wanted.unsure_below or 0.0)
        yield Paragraph(time, first.voice if first.voice != voice else "", passages)
        voice = first.voice


def _passages(lines: Iterable[Line], unsure_below: float) -> list[Passage]:
    """The text of lines, divided where unsure words begin and end; the blanks between words are never marked."""
    text: list[Passage] = []
    for word in (word for line in lines for word in line.words):
        if text and word.text[:1].isspace():
            text.append(Passage(" "))
        text.append(Passage(" ".join(word.text.split()), _is_unsure(word, unsure_below)))
    return [
        Passage("".join(passage.text for passage in alike), is_unsure)
        for is_unsure, alike in groupby(text, key=lambda passage: passage.is_unsure)
    ]


def _is_unsure(word: Word, unsure_below: float) -> bool:
    return word.probability is not None and word.probability < unsure_below


def _turns(document: Document, wanted: Wanted, check: Check, *, times: bool) -> Iterator[tuple[str, str, str]]:
    """Time, speaker and text of the turns: neighbouring lines of one speaker; without speakers, each line."""
    voices = document.voices if wanted.names else {}
    spoken = (line for line in checked(document.lines, check) if line.text)
    for (_, speaker), turn in groupby(
        spoken, key=lambda line: (None if line.speaker in voices else line.id, line.speaker if voices else None)
    ):
        lines = list(turn)
        text = " ".join("".join(word.text for line in lines for word in line.words).split())
        yield format_clock(lines[0].start) if times else "", voices.get(speaker or "", ""), text


def format_clock(seconds: float) -> str:
    """`1:02:03`, `2:03` or `0:03`."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _to_json(document: Document, wanted: Wanted, check: Check) -> str:
    """The lines as segments, with the keys of openai-whisper that are known of them."""
    voices = document.voices if wanted.names else {}
    content = {
        "title": document.title,
        "language": document.language,
        "duration": document.duration,
        "text": " ".join("".join(word.text for line in document.lines for word in line.words).split()),
        "segments": [
            {
                "id": number,
                "start": line.start,
                "end": line.end,
                **({"speaker": voices[line.speaker]} if line.speaker in voices else {}),
                "text": line.text,
                "words": [_without_none(word._asdict()) for word in line.words],
            }
            for number, line in enumerate(checked(document.lines, check))
        ],
    }
    return json.dumps(content, ensure_ascii=False, indent=1) + "\n"


def _without_none(word: Mapping[str, Any]) -> dict[str, Any]:
    named = {"word" if key == "text" else key: value for key, value in word.items()}
    return {key: value for key, value in named.items() if value is not None}


def _to_rttm(document: Document, _: Wanted, check: Check) -> str:
    transcript = document.to_transcript()
    turns = [Turn(segment.start, segment.end, segment.voice) for segment in transcript.segments if segment.voice]
    named = replace(transcript, diarization=Diarization(_joined(turns)))
    text: str = render(named, ["rttm"], check=check)["rttm"]
    return text


def _joined(turns: Iterable[Turn]) -> list[Turn]:
    """The turns; adjoining ones of one speaker become one."""
    joined: list[Turn] = []
    for turn in turns:
        if joined and joined[-1].speaker == turn.speaker and turn.start <= joined[-1].end:
            joined[-1] = joined[-1]._replace(end=max(joined[-1].end, turn.end))
        else:
            joined.append(turn)
    return joined


_WRITERS: dict[str, Callable[[Document, Wanted, Check], str | bytes]] = {
    "txt": _to_txt,
    "docx": _to_word,
    "json": _to_json,
    "rttm": _to_rttm,
}
"""Of the other formats."""
