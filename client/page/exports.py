"""A corrected transcript as a file: txt, srt, vtt, json, docx.

Subtitles are the worker's own as long as nothing of them is changed, so that their layout holds.
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

from client.page.lines import Corrections, Segments, changed, clock, corrected, voice_of
from client.page.subtitles import to_srt, to_vtt

_GREY = RGBColor(0x66, 0x66, 0x66)
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold (section 2.2)."""


@dataclass(frozen=True)
class Written:
    """What is to be written."""

    segments: Segments
    title: str
    """Heading of a document, such as the recording's name."""
    language: str
    """Code of the language that is written."""
    options: Mapping[str, Any]
    """The job's, for the lines of its subtitles."""
    subtitles: Mapping[str, str] = field(default_factory=dict)
    """The worker's own, by the file's ending."""

    def corrected(self, corrections: Corrections) -> Written:
        """With corrections made, and names in place of the keys of voices."""
        kept = {} if changed(self.segments, corrections) else self.subtitles
        return replace(self, segments=corrected(self.segments, corrections), subtitles=kept)


def _txt(whole: Written) -> str:
    """A line for each segment; with voices, a paragraph for each turn."""
    texts = []
    for voice, turn in itertools.groupby(whole.segments, key=voice_of):
        said = [_text(segment) for segment in turn]
        texts.extend(said if voice is None else [f"{voice}: {' '.join(said)}\n"])
    return "".join(f"{text}\n" for text in texts)


def _srt(whole: Written) -> str:
    return whole.subtitles.get("srt") or to_srt(whole.segments, whole.options)


def _vtt(whole: Written) -> str:
    return whole.subtitles.get("vtt") or to_vtt(whole.segments, whole.options)


def _json(whole: Written) -> str:
    text = "".join(str(segment["text"]) for segment in whole.segments).strip()
    said = {"text": text, "language": whole.language, "segments": list(whole.segments)}
    return json.dumps(said, ensure_ascii=False, indent=2) + "\n"


def _docx(whole: Written) -> bytes:
    document = Document()
    document.add_heading(_xml(whole.title), level=1)
    for voice, turn in itertools.groupby(whole.segments, key=voice_of):
        for number, segment in enumerate(turn):
            paragraph = document.add_paragraph()
            time = paragraph.add_run(f"{clock(float(segment['start']))}  ")
            time.font.size, time.font.color.rgb = Pt(9), _GREY
            if voice is not None and number == 0:
                paragraph.add_run(_xml(f"{voice}: ")).bold = True
            paragraph.add_run(_xml(_text(segment)))
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


WRITERS: dict[str, Callable[[Written], str | bytes]] = {
    "txt": _txt,
    "srt": _srt,
    "vtt": _vtt,
    "json": _json,
    "docx": _docx,
}
"""By the file's ending."""


def export(form: str, whole: Written) -> bytes:
    """The file's content; text in UTF-8."""
    content = WRITERS[form](whole)
    return content if isinstance(content, bytes) else content.encode("utf-8", "replace")


def _text(segment: Mapping[str, Any]) -> str:
    return " ".join(str(segment["text"]).split())


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
