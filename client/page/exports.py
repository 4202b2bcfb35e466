"""A corrected transcript as a file: txt, srt, vtt, json, docx.

Subtitles are the worker's own writers' (`src/formats.py`, which needs nothing but Python), so that a file from the page
and one from a job look alike.
"""

from __future__ import annotations

import io
import itertools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from docx import Document
from docx.shared import Pt, RGBColor

from client.page.lines import Segments, clock, voice_of
from src.formats import render
from src.subtitles import PRESETS, Layout
from src.transcript import Segment, Transcript, Word

_GREY = RGBColor(0x66, 0x66, 0x66)
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold (section 2.2)."""


def export(form: str, segments: Segments, *, title: str, language: str, options: Mapping[str, Any]) -> bytes:
    """The file's content, in UTF-8 where it is text.

    Args:
        form: one of `FORMS`.
        segments: with corrections made: see `lines.corrected`.
        title: heading of a document, such as the recording's name.
        language: code, as the worker told it.
        options: the job's, for the layout of its subtitles.
    """
    return _WRITERS[form](segments, title, language, options)


def _txt(segments: Segments, *_: Any) -> bytes:
    """A line for each segment; with voices, a paragraph for each turn."""
    return "".join(f"{text}\n" for text in _turns(segments)).encode()


def _srt(segments: Segments, _: str, language: str, options: Mapping[str, Any]) -> bytes:
    return _subtitles("srt", segments, language, options)


def _vtt(segments: Segments, _: str, language: str, options: Mapping[str, Any]) -> bytes:
    return _subtitles("vtt", segments, language, options)


def _json(segments: Segments, _: str, language: str, __: Mapping[str, Any]) -> bytes:
    text = "".join(str(segment["text"]) for segment in segments).strip()
    whole = {"text": text, "language": language, "segments": list(segments)}
    return json.dumps(whole, ensure_ascii=False, indent=2).encode()


def _docx(segments: Segments, title: str, *_: Any) -> bytes:
    document = Document()
    document.add_heading(_xml(title), level=1)
    for voice, turn in itertools.groupby(segments, key=voice_of):
        for number, segment in enumerate(turn):
            paragraph = document.add_paragraph()
            time = paragraph.add_run(f"{clock(float(segment['start']))}  ")
            time.font.size, time.font.color.rgb = Pt(9), _GREY
            if voice is not None and number == 0:
                paragraph.add_run(_xml(f"{voice}: ")).bold = True
            paragraph.add_run(_xml(" ".join(str(segment["text"]).split())))
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


_WRITERS: dict[str, Callable[[Segments, str, str, Mapping[str, Any]], bytes]] = {
    "txt": _txt,
    "srt": _srt,
    "vtt": _vtt,
    "json": _json,
    "docx": _docx,
}

FORMS: tuple[str, ...] = tuple(_WRITERS)


def _turns(segments: Segments) -> list[str]:
    """`Name: text` for each turn of a voice, or just the texts."""
    texts = []
    for voice, turn in itertools.groupby(segments, key=voice_of):
        said = [" ".join(str(segment["text"]).split()) for segment in turn]
        texts.extend(said if voice is None else [f"{voice}: {' '.join(said)}\n"])
    return texts


def _subtitles(form: str, segments: Segments, language: str, options: Mapping[str, Any]) -> bytes:
    shown = [_segment(number, segment) for number, segment in enumerate(_named(segments))]
    transcript = Transcript(language, 1.0, duration=max((one.end for one in shown), default=0.0), segments=shown)
    return str(render(transcript, [form], _layout(options))[form]).encode()


def _named(segments: Segments) -> list[dict[str, Any]]:
    """The segments; the first one of each turn begins with the name."""
    named = []
    for voice, turn in itertools.groupby(segments, key=voice_of):
        for number, segment in enumerate(turn):
            begins = voice is not None and number == 0
            named.append(_begun(f" {voice}:", segment) if begins else dict(segment))
    return named


def _begun(name: str, segment: Mapping[str, Any]) -> dict[str, Any]:
    changed = dict(segment) | {"text": f"{name} {str(segment['text']).strip()}"}
    if words := segment.get("words"):
        first = dict(words[0])
        changed["words"] = [first | {"word": f"{name} {str(first['word']).strip()}"}, *words[1:]]
    return changed


def _segment(number: int, plain: Mapping[str, Any]) -> Segment:
    """For the worker's writers, which look at times, text and words alone."""
    words = [
        Word(str(one["word"]), float(one["start"]), float(one["end"]), float(one.get("probability", 1.0)))
        for one in plain.get("words") or []
    ]
    return Segment(
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
    )


def _layout(options: Mapping[str, Any]) -> Layout:
    """What the job's options say of its subtitles."""
    given = {field.name: options[field.name] for field in fields(Layout) if options.get(field.name)}
    preset = PRESETS.get(str(options.get("subtitle_preset")), Layout())
    return Layout(**{field.name: given.get(field.name, getattr(preset, field.name)) for field in fields(Layout)})


def _xml(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
