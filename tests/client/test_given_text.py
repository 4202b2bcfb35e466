"""The text of `--align`: files of text and subtitles, and the text itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from client.errors import WrongUsage
from client.given_text import find_given_text, strip_times
from client.option_values import check_options, parse_options

SRT = """\ufeff1
00:00:01,000 --> 00:00:02,500
<i>Hello, <font color="#ff0000">world</font></i>
and all.

2
00:00:03,000 --> 00:00:04,000
{\\an8}3
- 1 < 2

3
00:00:05,000 --> 00:00:06,000

"""

VTT = """WEBVTT - title

NOTE
not said

STYLE
::cue { color: red }

intro
00:01.000 --> 00:02.000 align:start position:0%
<v Ada>Hello, <00:01.500><c.yellow>world</c></v>

00:00:03.000 --> 00:00:04.000
R&amp;B &lt;3
"""

LRC = """[ar:Somebody]
[00:01.00][00:20.00]First line
[00:05.50] Second line
"""


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (SRT, "Hello, world and all.\n3 - 1 < 2"),
        (SRT.replace("\n", "\r\n"), "Hello, world and all.\n3 - 1 < 2"),
        (VTT, "Hello, world\nR&B <3"),
        (LRC, "First line\nSecond line"),
        ("One: 1 < 2.\n\n  Two\n", "One: 1 < 2.\n\n  Two\n"),
        ("It began at 00:01 --> that late.", "It began at 00:01 --> that late."),
    ],
)
def test_times_and_markup_are_removed_from_subtitles(content: str, text: str) -> None:
    assert strip_times(content) == text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("form", ["{}", "@{}"])
def test_a_file_is_read(tmp_path: Path, encoding: str, form: str) -> None:
    path = tmp_path / "script.txt"
    path.write_text("Grüße,\nWelt", encoding=encoding)
    assert parse_options({"align": form.format(path)}) == {"align": "Grüße,\nWelt"}


def test_the_library_takes_a_path_or_a_text(tmp_path: Path) -> None:
    path = tmp_path / "script"
    path.write_text(SRT, encoding="utf-8")
    assert check_options({"align": path}) == {"align": "Hello, world and all.\n3 - 1 < 2"}
    assert check_options({"align": "The text."}) == {"align": "The text."}


@pytest.mark.parametrize("text", ["The text itself.", "Two\nlines.txt", "word " * 1000, "a/b"])
def test_a_text_is_taken_as_it_is(text: str) -> None:
    assert parse_options({"align": text}) == {"align": text}


@pytest.mark.parametrize(
    ("texts", "found"),
    [
        (["talk.txt"], "talk.txt"),
        (["talk.txt", "talk.mp3.srt"], "talk.mp3.srt"),
        (["talk.lrc", "other.txt"], "talk.lrc"),
        (["talk.txt", "talk.vtt"], "several texts of it: talk.txt, talk.vtt"),
        (["talks.txt"], r"no text of it: deep/talk\.txt is missing"),
    ],
)
def test_the_text_of_a_recording_of_a_batch_has_its_name(tmp_path: Path, texts: list[str], found: str) -> None:
    (tmp_path / "deep").mkdir()
    for name in texts:
        (tmp_path / "deep" / name).touch()
    if found in texts:
        assert find_given_text(tmp_path, Path("deep/talk.mp3")) == tmp_path / "deep" / found
    else:
        with pytest.raises(WrongUsage, match=found):
            find_given_text(tmp_path, Path("deep/talk.mp3"))


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match=r"--align: there is no file missing\.srt"):
        parse_options({"align": "missing.srt"})
    path = tmp_path / "script.txt"
    path.write_text("1\n00:00:01,000 --> 00:00:02,000\n\n")
    with pytest.raises(WrongUsage, match=r"script\.txt has no text"):
        parse_options({"align": str(path)})
    path.write_text("...")
    with pytest.raises(WrongUsage, match=r"script\.txt has no text"):
        parse_options({"align": str(path)})
    path.write_bytes(b"\xff\x00\xff")
    with pytest.raises(WrongUsage, match="neither UTF-8 nor UTF-16"):
        parse_options({"align": str(path)})
