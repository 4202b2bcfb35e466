"""EBU STL: read back by ttconv, and its blocks by their fields (EBU Tech 3264)."""

from __future__ import annotations

import base64
import struct
import unicodedata
from datetime import date
from itertools import accumulate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from ttconv.stl import iso6937

from tests.support.properties import examples
from tests.support.timed_text import read_stl
from transcript.formats import stl
from transcript.formats.cues import Cue
from transcript.formats.layout import Layout
from transcript.formats.render import StlOptions, render
from transcript.formats.stl import parse_timecode, to_stl
from transcript.formats.stl import read_stl as read_back
from transcript.formats.stl_text import TABLES, choose_table, decode, encode
from transcript.formats.timed_words import TimedWord
from transcript.transcript import Segment, Transcript

DAY = date(2026, 11, 30)
CODECS = {"01": "iso8859_5", "02": "iso8859_6", "03": "iso8859_7", "04": "iso8859_8"}


def latin_letters() -> list[str]:
    """What another reader knows of ISO 6937, without spaces, the soft hyphen and accents that stand alone."""
    alone = [bytes([code]) for code in range(0x21, 0x100) if not (0x7F <= code <= 0xA0 or 0xC1 <= code <= 0xCF)]
    pairs = [bytes([accent, letter]) for accent in range(0xC1, 0xD0) for letter in b"%s" % bytes(range(0x41, 0x7B))]
    letters = (iso6937.decode(code, errors="ignore")[0] for code in [*alone, *pairs])
    return sorted(
        {unicodedata.normalize("NFC", letter) for letter in letters if letter not in ("\ufffd", "\u00ad", "")}
    )


LATIN = latin_letters()


def cue(start: int, end: int, *lines: str, voice: str = "") -> Cue:
    return Cue(start, end, [[TimedWord(line, start, end)] for line in lines], voice)


def write(*cues: Cue, language: str = "en", rate: int = 25, start: str = "00:00:00:00") -> tuple[bytes, list[str]]:
    written = to_stl(cues, language, rate, start, DAY)
    return written.content, written.warnings


def blocks(content: bytes) -> list[tuple[int, int, int, bytes]]:
    """Number, extension, vertical position and text of each block."""
    read = struct.iter_unpack("<BHBB4s4sBBB112s", content[1024:])
    return [(number, extension, row, text) for _, number, extension, _, _, _, row, _, _, text in read]


def timecodes(content: bytes, rate: int) -> list[tuple[float, float]]:
    """Start and end of each subtitle in seconds."""
    clocks = [content[at + first : at + first + 4] for at in range(1024, len(content), 128) for first in (5, 9)]
    seconds = [hours * 3600 + minutes * 60 + second + frame / rate for hours, minutes, second, frame in clocks]
    return list(zip(seconds[::2], seconds[1::2], strict=True))


def header(content: bytes) -> dict[str, str]:
    places = {
        "code page": (0, 3),
        "format": (3, 11),
        "display": (11, 12),
        "table": (12, 14),
        "language": (14, 16),
        "created": (224, 230),
        "blocks": (238, 243),
        "subtitles": (243, 248),
        "columns": (251, 253),
        "rows": (253, 255),
        "start": (256, 264),
        "first": (264, 272),
    }
    return {name: content[first:end].decode("ascii") for name, (first, end) in places.items()}


def test_the_header_says_how_the_file_is_to_be_read() -> None:
    content, _ = write(cue(1000, 2040, "Hello"), cue(3000, 4000, "a" * 50), language="de", start="10:00:00:00")
    assert header(content) == {
        "code page": "850",
        "format": "STL25.01",
        "display": "0",
        "table": "00",
        "language": "08",
        "created": "261130",
        "blocks": "00002",
        "subtitles": "00002",
        "columns": "50",
        "rows": "23",
        "start": "10000000",
        "first": "10000100",
    }
    assert len(content) == 1024 + 2 * 128


def test_a_block_has_the_timecodes_and_the_text() -> None:
    content, warnings = write(cue(3_723_040, 3_725_960, "Größe", "und mehr"), start="10:00:00:00")
    block = content[1024:]
    assert block[:5] == bytes([0, 1, 0, 0xFF, 0])  # group, number, last block, not cumulative
    assert block[5:13] == bytes([11, 2, 3, 1, 11, 2, 5, 24])
    assert block[13:16] == bytes([21, 2, 0])  # row, centred, no comment
    assert block[16:].rstrip(b"\x8f") == b"Gr\xc8o\xfbe\x8aund mehr"
    assert warnings == []


@pytest.mark.parametrize("rate", [25, 30])
@given(times=st.lists(st.integers(34, 10_000_000), max_size=12))
@examples(100)
def test_any_times_are_read_back_within_a_frame(rate: int, times: list[int]) -> None:
    """Pauses and cues of any length from a frame on, in turns."""
    clock = list(accumulate(times))
    spans = list(zip(clock[::2], clock[1::2], strict=False))
    content, warnings = write(*(cue(start, end, "x") for start, end in spans), rate=rate)
    read = timecodes(content, rate)
    assert warnings == []
    assert len(read) == len(spans)
    for (first, last), (start, end) in zip(read, spans, strict=True):
        assert abs(first - start / 1000) <= 0.51 / rate
        assert abs(last - end / 1000) <= 1 / rate
        assert last > first
    if rate == 25:  # ttconv takes STL30.01 for drop frames at 29.97
        found = [(float(cue.start), float(cue.end)) for cue in read_stl(content)]
        assert found == [pytest.approx(times) for times in read]


def test_subtitles_that_overlap_are_shown_one_after_the_other() -> None:
    content, warnings = write(
        cue(0, 2000, "One", voice="A"), cue(1000, 3000, "Two", voice="B"), cue(1010, 1500, "Three", voice="C")
    )
    assert len(warnings) == 1
    assert warnings[0].startswith("stl shows one subtitle at a time: 2 subtitles begin before the one before has ended")
    assert [(float(read.start), float(read.end), read.text) for read in read_stl(content)] == [
        (0.0, 1.0, "A: One"),
        (1.0, 3.0, "B: Two\nC: Three"),
    ]


@given(st.lists(st.text(st.sampled_from([*LATIN, " ", "e", "n"]), min_size=1, max_size=40), min_size=1, max_size=3))
@examples(200)
def test_every_latin_letter_is_read_back(lines: list[str]) -> None:
    lines = [" ".join(line.split()) or "x" for line in lines]
    content, warnings = write(cue(0, 1000, *lines))
    assert warnings == []
    assert header(content)["table"] == "00"
    assert unicodedata.normalize("NFC", read_stl(content)[0].text) == "\n".join(lines)


@pytest.mark.parametrize("table", CODECS)
def test_every_letter_of_another_table_is_read_back(table: str) -> None:
    codes = [code for code in range(0xA1, 0x100) if not (table == "03" and code in (0xA4, 0xA5, 0xAA))]
    letters = bytes(codes).decode(CODECS[table], "ignore").replace("\u00ad", "")
    letters = "".join(letter for letter in letters if unicodedata.category(letter) != "Cf")
    letters = unicodedata.normalize("NFC", letters)
    content, warnings = write(cue(0, 1000, letters))
    assert warnings == []
    assert header(content)["table"] == table
    assert "".join(read_stl(content)[0].text.split()) == "".join(letters.split())


@given(st.lists(st.text(max_size=60), min_size=1, max_size=4))
@examples(200)
def test_any_text_makes_a_file_that_is_read_and_no_letter_is_lost_silently(texts: list[str]) -> None:
    content, warnings = write(*(cue(1000 * at, 1000 * at + 900, text) for at, text in enumerate(texts)))
    read = read_stl(content)
    assert [found.start for found in read] == list(range(len(texts)))
    assert "\ufffd" not in "".join(found.text for found in read)
    if all(character.isalnum() or character == " " for text in texts for character in text) and not warnings:
        normal = [unicodedata.normalize("NFC", " ".join(text.split())) for text in texts]
        assert [unicodedata.normalize("NFC", found.text) for found in read] == [
            "".join(str(unicodedata.decimal(c)) if c.isdecimal() else c for c in text) for text in normal
        ]


@given(st.text(max_size=30), st.sampled_from(TABLES))
@example("¯", "00")  # decomposes into a space and an accent
@examples(200)
def test_what_is_not_reported_is_decoded_again(text: str, table: str) -> None:
    encoded = encode(text, table)
    decoded = decode(encoded.content, table)
    assert "\ufffd" not in decoded
    assert encode(decoded, table).content == encoded.content
    assert not encode(decoded, table).replaced


@pytest.mark.parametrize(
    ("text", "table"),
    [
        ("Ça va, naïve Zürcher?", "00"),
        ("Příliš žluťoučký kůň", "00"),
        ("Доброе утро, «Москва»", "01"),
        ("صباح الخير", "02"),
        ("Καλημέρα κόσμε", "03"),
        ("בוקר טוב", "04"),
        ("The word мир is Russian, as in Größe and déjà-vu", "00"),
    ],
)
def test_the_table_is_the_one_with_the_text_s_letters(text: str, table: str) -> None:
    assert choose_table([text]) == table


@pytest.mark.parametrize(
    ("text", "shown", "warned"),
    [
        ("“Quoted” – and so on…", "“Quoted” - and so on...", []),
        ("5 € is 5 £", "5 EUR is 5 £", []),
        ("Hello 你好", "Hello ??", ["for 2 characters", "are replaced (你 好)"]),
        ("Tiếng Việt", "Tieng Viet", ["for 2 characters"]),
        ("שלום \u200f", "שלום", []),
        ("a\u0332", "a", ["for 1 character of the text, which is replaced"]),
    ],
)
def test_signs_have_substitutes_and_lost_letters_are_reported(text: str, shown: str, warned: list[str]) -> None:
    content, warnings = write(cue(0, 1000, text))
    assert read_stl(content)[0].text == shown
    assert len(warnings) == bool(warned)
    assert all(part in warnings[0] for part in warned)


def test_a_long_subtitle_goes_on_in_extension_blocks_that_split_no_letter() -> None:
    text = "n" * 111 + "é" * 200
    content, _ = write(cue(0, 1000, "first"), cue(2000, 3000, text))
    found = blocks(content)
    assert [(number, extension) for number, extension, _, _ in found] == [
        *[(1, 0xFF), (2, 0), (2, 1), (2, 2), (2, 3), (2, 0xFF)]
    ]
    assert all(not field.rstrip(b"\x8f").endswith(b"\xc2") for *_, field in found)
    assert [read.text for read in read_stl(content)] == ["first", text]


def test_what_the_format_cannot_count_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    _, warnings = write(cue(86_300_000, 86_500_000, "late"))
    assert warnings == ["stl has timecodes up to 24 hours: after that, they begin again at 00:00:00:00"]
    content, warnings = write(cue(0, 1000, "x" * 40_000))
    assert len(warnings) == 1
    assert "cut" in warnings[0]
    assert len(blocks(content)) == 241
    monkeypatch.setattr(stl, "_MAX_NUMBER", 1)
    content, warnings = write(*(cue(1000 * at, 1000 * at + 500, "x") for at in range(2)))
    assert warnings == ["stl counts at most 1 subtitles: the numbers of later ones begin again"]
    assert [number for number, *_ in blocks(content)] == [1, 0]


def test_timecodes_go_on_after_midnight() -> None:
    content, warnings = write(cue(0, 1000, "before"), cue(3_600_000, 3_601_000, "after"), start="23:30:00:00")
    assert warnings == ["stl has timecodes up to 24 hours: after that, they begin again at 00:00:00:00"]
    assert [subtitle.start for subtitle in read_back(content).subtitles] == [0, 3600 * 25]


@pytest.mark.parametrize(
    "timecode", ["", "10:00:00", "24:00:00:00", "00:60:00:00", "00:00:00:25", "1:00:00:00", "٠٠:00:00:00"]
)
def test_what_is_no_timecode_is_refused(timecode: str) -> None:
    with pytest.raises(ValueError, match="should be a timecode"):
        parse_timecode(timecode, 25)


def test_a_transcript_is_laid_out_for_the_screen_and_comes_as_base64() -> None:
    text = " ".join(["These are more words than two lines of a screen can hold."] * 4)
    segment = Segment(0, 0, 0.0, 12.0, text, [], 0.0, -0.1, 1.0, 0.0, speaker="SPEAKER_00")
    transcript = Transcript("en", 1.0, 12.0, [segment])
    warned: list[str] = []
    rendered = render(transcript, ["stl"], stl=StlOptions(30, "01:00:00:00"), warn=warned.append)
    content = base64.b64decode(rendered["stl"], validate=True)
    read = read_stl(content)
    assert len(read) > 1
    assert header(content)["format"] == "STL30.01"
    assert header(content)["start"] == "01000000"
    assert read[0].text.startswith("SPEAKER_00: These are")
    assert all(len(line) <= 42 for found in read for line in found.text.split("\n"))
    assert warned == []
    narrow = render(transcript, ["stl"], Layout(max_line_width=20, max_line_count=1))
    assert len(read_stl(base64.b64decode(narrow["stl"]))) > len(read)
    assert rendered["cue_report"]["cues"] == len(read)


def test_letters_that_a_job_loses_are_a_warning() -> None:
    segment = Segment(0, 0, 0.0, 2.0, "你好", [], 0.0, -0.1, 1.0, 0.0)
    warned: list[str] = []
    render(Transcript("zh", 1.0, 2.0, [segment]), ["stl", "srt"], warn=warned.append)
    assert len(warned) == 1
    assert "你 好" in warned[0]
