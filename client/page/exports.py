"""Exports a corrected transcript as txt, srt, vtt, json or docx.

As long as nothing was changed, subtitles are the worker's own, with their layout.
"""

from __future__ import annotations

import io
import itertools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from docx import Document
from docx.shared import Pt, RGBColor

from client.page.lines import Corrections, Segments, corrected, format_clock, has_changes, speaker_key
from client.page.subtitles import to_srt, to_vtt

_GREY = RGBColor(0x66, 0x66, 0x66)
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters not allowed in XML 1.0 (section 2.2)."""


@dataclass(frozen=True)
class ExportContent:
    """A transcript to export."""

    segments: Segments
    title: str
    """Heading of the document, such as the recording's name."""
    language: str
    """Language code of the texts."""
    options: Mapping[str, Any]
    """The job's options, for the line width of subtitles."""
    subtitles: Mapping[str, str] = field(default_factory=dict)
    """The worker's subtitles, by file suffix."""

    def corrected(self, corrections: Corrections) -> ExportContent:
        """Return a copy with corrections, and with names in place of speaker keys."""
        kept = {} if has_changes(self.segments, corrections) else self.subtitles
        return replace(self, segments=corrected(self.segments, corrections), subtitles=kept)


def _to_txt(content: ExportContent) -> str:
    """Return a line per segment; with speakers, a paragraph per turn."""
    paragraphs = []
    for speaker, turn in itertools.groupby(content.segments, key=speaker_key):
        texts = [_single_line(segment) for segment in turn]
        paragraphs.extend(texts if speaker is None else [f"{speaker}: {' '.join(texts)}\n"])
    return "".join(f"{paragraph}\n" for paragraph in paragraphs)


def _to_srt(content: ExportContent) -> str:
    return content.subtitles.get("srt") or to_srt(content.segments, content.options)


def _to_vtt(content: ExportContent) -> str:
    return content.subtitles.get("vtt") or to_vtt(content.segments, content.options)


def _to_json(content: ExportContent) -> str:
    text = "".join(str(segment["text"]) for segment in content.segments).strip()
    transcription = {"text": text, "language": content.language, "segments": list(content.segments)}
    return json.dumps(transcription, ensure_ascii=False, indent=2) + "\n"


def _to_docx(content: ExportContent) -> bytes:
    document = Document()
    document.add_heading(_replace_invalid_xml(content.title), level=1)
    for speaker, turn in itertools.groupby(content.segments, key=speaker_key):
        for number, segment in enumerate(turn):
            paragraph = document.add_paragraph()
            time = paragraph.add_run(f"{format_clock(float(segment['start']))}  ")
            time.font.size, time.font.color.rgb = Pt(9), _GREY
            if speaker is not None and number == 0:
                paragraph.add_run(_replace_invalid_xml(f"{speaker}: ")).bold = True
            paragraph.add_run(_replace_invalid_xml(_single_line(segment)))
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


WRITERS: dict[str, Callable[[ExportContent], str | bytes]] = {
    "txt": _to_txt,
    "srt": _to_srt,
    "vtt": _to_vtt,
    "json": _to_json,
    "docx": _to_docx,
}
"""By file suffix."""


def export(suffix: str, content: ExportContent) -> bytes:
    """Return the content of a file; text in UTF-8."""
    written = WRITERS[suffix](content)
    return written if isinstance(written, bytes) else written.encode("utf-8", "replace")


def _single_line(segment: Mapping[str, Any]) -> str:
    return " ".join(str(segment["text"]).split())


def _replace_invalid_xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
