"""Colours and places of speakers in SubRip and SubStation Alpha, as ffmpeg reads them and libass draws them."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pysubs2
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.support.media import encode
from transcript.formats.render import render
from transcript.formats.speaker_colors import PALETTE, assign_colors
from transcript.transcript import Segment, Transcript


def segment(number: int, start: float, end: float, text: str, speaker: str | None) -> Segment:
    return Segment(number, 0, start, end, text, [], 0.0, -0.1, 1.0, 0.0, speaker=speaker)


def transcript(*segments: Segment, language: str = "en") -> Transcript:
    return Transcript(language, 1.0, 10.0, list(segments))


TALK = transcript(
    segment(0, 0.0, 2.0, "Good morning.", "Ada"),
    segment(1, 1.0, 3.0, "Hello --> there.", "Ben"),
    segment(2, 3.0, 4.0, "And I.", "Ada"),
)
SRT = """\
1
00:00:00,000 --> 00:00:02,000
<font color="#FFFFFF">Ada: Good morning.</font>

2
00:00:01,000 --> 00:00:03,000
{\\an8}<font color="#FFFF00">Ben: Hello -> there.</font>

3
00:00:03,000 --> 00:00:04,000
<font color="#FFFFFF">Ada: And I.</font>
"""


def luminance(color: str) -> float:
    """WCAG 2's relative luminance."""
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_every_colour_is_read_on_black_and_told_from_the_others() -> None:
    assert all((luminance(color) + 0.05) / 0.05 >= 7 for color in PALETTE)
    channels = [[int(color[at : at + 2], 16) for at in (1, 3, 5)] for color in PALETTE]
    assert min(max(map(abs, np.subtract(*pair))) for pair in combinations(channels, 2)) >= 90


def test_more_speakers_than_colours_share_them() -> None:
    voices = [f"SPEAKER_{number:02}" for number in range(9)]
    colors = assign_colors(["", *voices, voices[1]])
    assert [colors[voice] for voice in voices] == [*PALETTE, *PALETTE[:2]]
    assert "" not in colors


def test_speakers_have_colours_and_one_who_speaks_meanwhile_is_at_the_top() -> None:
    assert render(TALK, ["srt"], speaker_colors=True)["srt"] == SRT
    plain = render(TALK, ["srt", "ass"])
    assert "<font" not in plain["srt"]
    assert "\\" not in plain["ass"].partition("[Events]")[2]


def test_without_speakers_there_are_no_colours() -> None:
    nobody = transcript(segment(0, 0.0, 1.0, "Hello.", None))
    assert render(nobody, ["srt"], speaker_colors=True) == render(nobody, ["srt"])


@pytest.mark.process
def test_ffmpeg_reads_colours_and_places_of_subrip(tmp_path: Path) -> None:
    (tmp_path / "talk.srt").write_text(render(TALK, ["srt"], speaker_colors=True)["srt"], encoding="utf-8")
    encode("-i", str(tmp_path / "talk.srt"), str(tmp_path / "read.ass"))
    first, second, third = pysubs2.load(str(tmp_path / "read.ass"))
    assert [event.plaintext for event in (first, second, third)] == [
        "Ada: Good morning.",
        "Ben: Hello -> there.",
        "Ada: And I.",
    ]
    assert "\\an8" in second.text
    assert "\\an8" not in first.text + third.text
    assert "\\c&HFFFF&" in second.text


@pytest.mark.process
@pytest.mark.parametrize("name", ["srt", "ass"])
def test_libass_draws_them(name: str, tmp_path: Path) -> None:
    (tmp_path / f"talk.{name}").write_text(render(TALK, [name], speaker_colors=True)[name], encoding="utf-8")
    picture = draw(tmp_path / f"talk.{name}", tmp_path / "frame.png")
    top, bottom = np.array_split(picture, 2)
    assert (count(top, "#FFFF00") > 100, count(top, "#FFFFFF")) == (True, 0)
    assert (count(bottom, "#FFFFFF") > 100, count(bottom, "#FFFF00")) == (True, 0)


def draw(subtitles: Path, frame: Path) -> NDArray[np.uint8]:
    """The picture at 1.5 s [rows, columns, colours]: the subtitles on black."""
    black = ["-f", "lavfi", "-i", "color=black:size=960x540:rate=2:duration=4,format=rgb24"]
    encode(*black, "-vf", f"subtitles={subtitles}", "-ss", "1.5", "-frames:v", "1", str(frame))
    return np.asarray(Image.open(frame).convert("RGB"))


def count(picture: NDArray[np.uint8], color: str) -> int:
    """Pixels of a colour, as far as video's smaller range of levels leaves it."""
    wanted = [int(color[at : at + 2], 16) for at in (1, 3, 5)]
    return int((np.abs(picture.astype(int) - wanted) <= 24).all(axis=2).sum())
