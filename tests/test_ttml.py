"""EBU-TT-D: read back by ttconv, and held against the elements and attributes of EBU Tech 3380."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ttconv.imsc import reader as imsc_reader
from ttconv.scc import reader as scc_reader
from ttconv.scc import writer as scc_writer
from ttconv.scc.config import SccWriterConfiguration

from tests.support.properties import examples
from tests.support.timed_text import parse_xml, read_cues, read_ttml
from transcript.formats.cues import Cue, line_text, mark_directions
from transcript.formats.timed_words import TimedWord
from transcript.formats.ttml import to_ttml

TT = "{http://www.w3.org/ns/ttml}"
TTP = "{http://www.w3.org/ns/ttml#parameter}"
TTS = "{http://www.w3.org/ns/ttml#styling}"
EBUTTS = "{urn:ebu:tt:style}"
XML = "{http://www.w3.org/XML/1998/namespace}"

ALLOWED = {
    "tt": {f"{TTP}timeBase", f"{TTP}cellResolution", f"{XML}lang"},
    "style": {
        f"{XML}id",
        f"{EBUTTS}linePadding",
        *(TTS + name for name in ("direction", "fontFamily", "fontSize", "lineHeight", "textAlign", "color")),
        *(TTS + name for name in ("backgroundColor", "unicodeBidi")),
    },
    "region": {f"{XML}id", f"{TTS}origin", f"{TTS}extent", f"{TTS}displayAlign"},
    "div": {"style"},
    "p": {f"{XML}id", "region", "begin", "end"},
    "span": {"style"},
}
"""Attributes of elements, as far as they are written (EBU-TT-D's XML Schema); other elements have none."""

CHILDREN = {
    "tt": ["head", "body"],
    "head": ["metadata", "styling", "layout"],
    "body": ["div"],
    "p": ["span"],
}
"""In their order."""


def cue(start: int, end: int, *lines: str, voice: str = "") -> Cue:
    return Cue(start, end, [[TimedWord(line, start, end)] for line in lines], voice)


def check_profile(text: str) -> None:
    root = parse_xml(text)
    identifiers = {element.get(f"{XML}id") for element in root.iter() if element.get(f"{XML}id")}
    for element in root.iter():
        name = element.tag.removeprefix(TT)
        if "}" in name:
            continue  # metadata
        assert set(element.attrib) <= ALLOWED.get(name, set())
        if name in CHILDREN:
            assert [child.tag.removeprefix(TT) for child in element] == CHILDREN[name]
        for reference in ("style", "region"):
            assert element.get(reference) in {*identifiers, None}
    times = [element.get(name) or "" for element in root.iter(f"{TT}p") for name in ("begin", "end")]
    assert all(re.fullmatch(r"\d{2,}:[0-5]\d:[0-5]\d\.\d{3}", time) for time in times)


def test_a_document_has_lines_times_and_language() -> None:
    text = to_ttml([cue(1000, 2500, "Fish & chips", "<twice>", voice="Ada"), cue(3_600_000, 3_601_000, "End")], "jw")
    check_profile(text)
    assert parse_xml(text).get(f"{XML}lang") == "jv"
    assert parse_xml(text).get(f"{TTP}timeBase") == "media"
    assert [(float(read.start), float(read.end), read.text) for read in read_ttml(text)] == [
        (1.0, 2.5, "Ada: Fish & chips\n<twice>"),
        (3600.0, 3601.0, "End"),
    ]


cues = st.lists(
    st.builds(
        lambda start, length, lines: cue(start, start + length, *lines),
        st.integers(0, 400_000_000),
        st.integers(1, 100_000),
        st.lists(st.text(max_size=40), min_size=1, max_size=3),
    ),
    max_size=4,
)


@given(cues)
@examples(200)
def test_any_text_and_any_times_are_read_back(made: list[Cue]) -> None:
    text = to_ttml(made, "en")
    if made:
        check_profile(text)
    read = read_ttml(text)
    assert [(found.start * 1000, found.end * 1000) for found in read] == [(each.start, each.end) for each in made]
    assert [found.text.count("\n") for found in read] == [len(each.lines) - 1 for each in made]
    lines = [" ".join(part for line in each.lines for part in line_text(line).splitlines()) for each in made]
    kept = [re.sub("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", each) for each in lines]
    assert ["".join(found.text.split()) for found in read] == ["".join(each.split()) for each in kept]


def test_right_to_left_text_has_its_direction() -> None:
    text = to_ttml(mark_directions([cue(0, 1000, "שלום.")], "he"), "he")
    check_profile(text)
    style = next(element for element in parse_xml(text).iter(f"{TT}style"))
    assert (style.get(f"{TTS}direction"), style.get(f"{TTS}unicodeBidi")) == ("rtl", "embed")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_without_cues_there_is_no_body(language: str) -> None:
    root = parse_xml(to_ttml([], language))
    assert [child.tag for child in root] == [f"{TT}head"]


def test_english_becomes_scc_by_another_program() -> None:
    """As docs/output.md says; SCC needs times before the first caption, to send its letters."""
    lines = ["The quick brown fox", "jumps over the lazy dog."]
    document = imsc_reader.to_model(ElementTree.ElementTree(parse_xml(to_ttml([cue(500, 3000, *lines)], "en"))))
    written = scc_writer.from_model(document, SccWriterConfiguration(start_tc="01:00:00;00"), lambda _: None)
    [(start, _, text)] = read_cues(scc_reader.to_model(written))
    assert abs(float(start) - 3600.5) < 0.1
    assert [line.strip() for line in text.splitlines()] == lines
