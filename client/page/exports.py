"""A corrected transcript as a file: txt, srt, vtt, json, docx.

Subtitles are laid out by the worker's own code (`src/subtitles`, which needs no torch), so that a file from the page
and one from a job are alike.
"""

from __future__ import annotations

import io
import itertools
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from html import escape
from typing import Any

from docx import Document
from docx.shared import Pt, RGBColor

from client.page.lines import Segments, clock, voice_of
from src.subtitles import PRESETS, Layout
from src.subtitles.cues import Cue, lay_out, plain_cues
from src.subtitles.writers import to_srt, to_vtt
from src.transcript import Segment, Word

_GREY = RGBColor(0x66, 0x66, 0x66)
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold (section 2.2)."""


@dataclass(frozen=True)
class Corrected:
    """What is to be written."""

    segments: Segments
    """With corrections made, and names in place of the keys of voices: see `lines.corrected`."""
    title: str
    """Heading of a document, such as the recording's name."""
    language: str
    """Code of the language that is written."""
    options: Mapping[str, Any]
    """The job's, for the layout of its subtitles."""


def _txt(whole: Corrected) -> str:
    """A line for each segment; with voices, a paragraph for each turn."""
    texts = []
    for voice, turn in itertools.groupby(whole.segments, key=voice_of):
        said = [_text(segment) for segment in turn]
        texts.extend(said if voice is None else [f"{voice}: {' '.join(said)}\n"])
    return "".join(f"{text}\n" for text in texts)


def _srt(whole: Corrected) -> str:
    return to_srt(_cues(whole), _layout(whole.options).highlight_words)


def _vtt(whole: Corrected) -> str:
    # A name is whatever somebody typed; the writer knows its own, which need no escape.
    cues = [cue._replace(voice=escape(cue.voice, quote=False)) for cue in _cues(whole)]
    return to_vtt(cues, _layout(whole.options).highlight_words)


def _json(whole: Corrected) -> str:
    text = "".join(str(segment["text"]) for segment in whole.segments).strip()
    said = {"text": text, "language": whole.language, "segments": list(whole.segments)}
    return json.dumps(said, ensure_ascii=False, indent=2) + "\n"


def _docx(whole: Corrected) -> bytes:
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


WRITERS: dict[str, Callable[[Corrected], str | bytes]] = {
    "txt": _txt,
    "srt": _srt,
    "vtt": _vtt,
    "json": _json,
    "docx": _docx,
}
"""By the file's ending."""


def export(form: str, whole: Corrected) -> bytes:
    """The file's content; text in UTF-8."""
    content = WRITERS[form](whole)
    return content if isinstance(content, bytes) else content.encode("utf-8", "replace")


@dataclass(slots=True)
class _Named(Segment):
    """A segment with the name of whose it is."""

    name: str = ""

    @property
    def voice(self) -> str:
        return self.name


def _cues(whole: Corrected) -> Sequence[Cue]:
    segments = [_segment(number, segment) for number, segment in enumerate(whole.segments)]
    layout = _layout(whole.options)
    written = "en" if whole.options.get("task") == "translate" else whole.language
    return plain_cues(segments) if layout == Layout() else lay_out(segments, layout, written)


def _segment(number: int, plain: Mapping[str, Any]) -> _Named:
    """For the worker's writers, which look at times, text, words and voice alone."""
    words = [
        Word(str(one["word"]), float(one["start"]), float(one["end"]), float(one.get("probability", 1.0)))
        for one in plain.get("words") or []
    ]
    return _Named(
        id=number,
        seek=0,
        start=float(plain["start"]),
        end=float(plain["end"]),
        text=str(plain["text"]),
        tokens=[],
        temperature=0.0,
        avg_logprob=0.0,
        compression_ratio=1.0,
        no_speech_prob=0.0,
        words=words or None,
        name=voice_of(plain) or "",
    )


def _layout(options: Mapping[str, Any]) -> Layout:
    """What the job's options say of its subtitles: the preset's, but for what is given beside it."""
    preset = PRESETS.get(str(options.get("subtitle_preset")), Layout())
    names = [field.name for field in fields(Layout)]
    return Layout(**{name: options.get(name) or getattr(preset, name) for name in names})


def _text(segment: Mapping[str, Any]) -> str:
    return " ".join(str(segment["text"]).split())


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
