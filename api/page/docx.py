"""A transcript as a Word document: paragraphs, with their times and speakers."""

from __future__ import annotations

import io
from collections.abc import Iterable
from copy import deepcopy
from typing import Any, NamedTuple

from transcript.formats.cues import RIGHT_TO_LEFT
from transcript.formats.ttml import NOT_XML

_MAX_TITLE = 255
"""Characters of a property in python-docx."""


class Paragraph(NamedTuple):
    """A paragraph of the document.

    Attributes:
        time: as it is shown; empty: none.
        speaker: the same.
        text: the rest.
    """

    time: str
    speaker: str
    text: str


def to_docx(title: str, paragraphs: Iterable[Paragraph], language: str | None) -> bytes:
    """The document as a file.

    Args:
        title: its heading.
        paragraphs: in order.
        language: code of the text's language; None: unknown.
    """
    from docx import Document  # 0.2 s, for few requests

    document = Document()
    about = document.core_properties
    about.title, about.language, about.author, about.comments = _to_xml(title)[:_MAX_TITLE], language or "", "", ""
    document.add_heading(_to_xml(title), level=1)
    pattern = _add_pattern(document, is_right_to_left=language in RIGHT_TO_LEFT)
    for time, speaker, text in paragraphs:
        texts = [time and f"{time}  ", speaker and f"{speaker}: ", text]
        pattern.addprevious(_fill(pattern, texts))
    pattern.getparent().remove(pattern)
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def _add_pattern(document: Any, *, is_right_to_left: bool) -> Any:
    """Add a paragraph with the runs of a turn, of which the others are copies: ten hours have 10,000 of them."""
    from docx.oxml import OxmlElement
    from docx.shared import Pt, RGBColor

    paragraph = document.add_paragraph()
    time, speaker, _ = runs = [paragraph.add_run(" ") for _ in range(3)]
    time.font.size, time.font.color.rgb = Pt(9), RGBColor(0x66, 0x66, 0x66)
    speaker.bold = True
    if is_right_to_left:  # ECMA-376, 17.3.1.6 and 17.3.2.30
        paragraph._p.get_or_add_pPr().append(OxmlElement("w:bidi"))
        for run in runs:
            run.font.rtl = True
    return paragraph._p


def _fill(pattern: Any, texts: Iterable[str]) -> Any:
    """A copy of a paragraph with a text in each run, and without the runs of empty texts."""
    paragraph = deepcopy(pattern)
    for run, text in zip(paragraph.r_lst, texts, strict=True):
        if text:
            run.t_lst[0].text = _to_xml(text)
        else:
            paragraph.remove(run)
    return paragraph


def _to_xml(text: str) -> str:
    return NOT_XML.sub("\ufffd", text)
