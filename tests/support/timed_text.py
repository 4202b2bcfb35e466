"""Subtitles of broadcasters, read by `ttconv`, which converts between their formats."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import NamedTuple
from xml.etree import ElementTree

from ttconv import model
from ttconv.imsc import reader as imsc
from ttconv.stl import reader as stl


class ReadCue(NamedTuple):
    """A cue as the reader has it: times in seconds."""

    start: Fraction
    end: Fraction
    text: str
    """Its lines, with line breaks between them."""


def read_stl(content: bytes) -> list[ReadCue]:
    """Return the cues of a file of EBU STL; its timecodes are seconds from midnight."""
    return read_cues(stl.to_model(io.BytesIO(content)))


def parse_xml(text: str) -> ElementTree.Element:
    """Return the root of a document that a test has made."""
    return ElementTree.fromstring(text)  # noqa: S314


def read_ttml(text: str) -> list[ReadCue]:
    """Return the cues of a TTML document."""
    document = imsc.to_model(ElementTree.ElementTree(parse_xml(text)))
    assert document is not None
    return read_cues(document)


def read_cues(document: model.ContentDocument) -> list[ReadCue]:
    """Return the cues of a document that the reader has read."""
    body = document.get_body()
    found = []
    for element in body.dfs_iterator() if body is not None else ():
        if isinstance(element, model.P):
            begin, end = element.get_begin(), element.get_end()
            assert end is not None
            found.append(ReadCue(Fraction(begin or 0), Fraction(end), _text(element)))
    return found


def _text(element: model.ContentElement) -> str:
    if isinstance(element, model.Br):
        return "\n"
    if isinstance(element, model.Text):
        return element.get_text()
    return "".join(_text(child) for child in element)
