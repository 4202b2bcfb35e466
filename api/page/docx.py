"""A transcript as a Word document: paragraphs, with their times and speakers, and with the unsure words marked."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from copy import deepcopy
from typing import Any, NamedTuple

from transcript.formats.cues import RIGHT_TO_LEFT
from transcript.formats.ttml import NOT_XML

_MAX_TITLE = 255
"""Characters of a property in python-docx."""

_GREY = "666666"
_SHADE = "FFE699"
"""Behind unsure words; black text on it has a contrast of 17 : 1."""


class Passage(NamedTuple):
    """A part of a paragraph's text.

    Attributes:
        text: with the blanks around it.
        is_unsure: whether it is marked.
    """

    text: str
    is_unsure: bool = False


class Paragraph(NamedTuple):
    """A paragraph of the document.

    Attributes:
        time: as it is shown; empty: none.
        speaker: the same.
        passages: the rest.
    """

    time: str
    speaker: str
    passages: Sequence[Passage]


def to_docx(
    title: str, paragraphs: Iterable[Paragraph], language: str | None, unsure_below: float | None = None
) -> bytes:
    """The document as a file.

    Args:
        title: its heading.
        paragraphs: in order.
        language: code of the text's language; None: unknown.
        unsure_below: the probability, 0 to 1, that marked words are below; None: none are marked.
    """
    from docx import Document  # 0.2 s, for few requests

    document = Document()
    about = document.core_properties
    about.title, about.language, about.author, about.comments = _to_xml(title)[:_MAX_TITLE], language or "", "", ""
    document.add_heading(_to_xml(title), level=1)
    if unsure_below is not None:
        _add_legend(document, unsure_below)
    pattern = _add_pattern(document, is_right_to_left=language in RIGHT_TO_LEFT)
    for paragraph in paragraphs:
        pattern.addprevious(_fill(pattern, paragraph))
    pattern.getparent().remove(pattern)
    file = io.BytesIO()
    document.save(file)
    return file.getvalue()


def _add_legend(document: Any, unsure_below: float) -> None:
    """Add a line that says what the marks mean."""
    legend = document.add_paragraph()
    _mark(legend.add_run("Marked words"))
    legend.add_run(f": Whisper was less than {100 * unsure_below:g}% sure of them.")
    for run in legend.runs:
        _make_small(run)


def _add_pattern(document: Any, *, is_right_to_left: bool) -> Any:
    """Add a paragraph with a run of each kind, of which the others are copies: ten hours have 10,000 of them."""
    from docx.oxml import OxmlElement

    paragraph = document.add_paragraph()
    time, speaker, _, unsure = runs = [paragraph.add_run(" ") for _ in range(4)]
    _make_small(time)
    speaker.bold = True
    _mark(unsure)
    if is_right_to_left:  # ECMA-376, 17.3.1.6 and 17.3.2.30
        paragraph._p.get_or_add_pPr().append(OxmlElement("w:bidi"))
        for run in runs:
            run.font.rtl = True
    return paragraph._p


def _make_small(run: Any) -> None:
    from docx.shared import Pt, RGBColor

    run.font.size, run.font.color.rgb = Pt(9), RGBColor.from_string(_GREY)


def _mark(run: Any) -> None:
    """Mark a run by a shade and, for those who do not see it or print in black, by dots below it."""
    from docx.enum.text import WD_UNDERLINE
    from docx.oxml import OxmlElement
    from docx.oxml.ns import qn

    run.font.underline = WD_UNDERLINE.DOTTED
    shade = OxmlElement("w:shd")  # ECMA-376, 17.3.2.32
    for name, value in (("val", "clear"), ("color", "auto"), ("fill", _SHADE)):
        shade.set(qn(f"w:{name}"), value)
    run._r.get_or_add_rPr().append(shade)


def _fill(pattern: Any, paragraph: Paragraph) -> Any:
    """A copy of the pattern with a paragraph's texts."""
    filled = deepcopy(pattern)
    time, speaker, sure, unsure = filled.r_lst
    for run in filled.r_lst:
        filled.remove(run)
    parts = [
        (time, paragraph.time and f"{paragraph.time}  "),
        (speaker, paragraph.speaker and f"{paragraph.speaker}: "),
        *((unsure if passage.is_unsure else sure, passage.text) for passage in paragraph.passages),
    ]
    for kind, text in parts:
        if text:
            run = deepcopy(kind)
            run.t_lst[0].text = _to_xml(text)
            filled.append(run)
    return filled


def _to_xml(text: str) -> str:
    return NOT_XML.sub("\ufffd", text)
