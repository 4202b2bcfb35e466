"""Cues as ASS for one picture: what libass draws into it, and what ffmpeg makes timed text of.

The text is anybody's: nothing of it may be taken for an override.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from src.formats.cues import RIGHT_TO_LEFT, Cue
from src.formats.srt_vtt_tsv import steps
from src.formats.timed_words import Line, Piece


class Font(Protocol):
    """What ASS has to know of one."""

    @property
    def family(self) -> str: ...

    @property
    def line(self) -> float:
        """Height of a line by the font's size: what ASS calls its size is the former."""


Runs = Callable[[str], Iterable[tuple[Font, str]]]
"""The stretches of a text, each in the font that it is drawn in."""

_JOINER = "\u2060"  # takes no room, and parts what would be markup

_ALIGNMENTS = {"bottom": 2, "middle": 5, "top": 8}

_HEADER = """\
[Script Info]
ScriptType: v4.00+
PlayResX: {width}
PlayResY: {height}
WrapStyle: 0
ScaledBorderAndShadow: yes

[V4+ Styles]
Format: Name, Fontname, Fontsize, PrimaryColour, SecondaryColour, OutlineColour, BackColour, Bold, Italic, Underline, \
StrikeOut, ScaleX, ScaleY, Spacing, Angle, BorderStyle, Outline, Shadow, Alignment, MarginL, MarginR, MarginV, Encoding
Style: Default,{family},{size},{color},{color},{outline_color},{box_color},0,0,0,0,100,100,0,0,{border},{outline},\
{shadow},{alignment},{side},{side},{margin},{encoding}

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
"""


@dataclass(frozen=True)
class Style:
    """How captions look; colours are `#RRGGBB` or `#RRGGBBAA`."""

    size: float = 5.0
    """Of the font, in percent of the picture's shorter side."""
    position: Literal["top", "middle", "bottom"] = "bottom"
    color: str = "#FFFFFF"
    outline_color: str = "#000000"
    highlight_color: str = "#FFD400"
    """Of the word that is being spoken."""
    box_color: str | None = None
    """Behind the text; None: no box."""

    def pixels(self, picture: tuple[int, int]) -> float:
        """The font's size."""
        return self.size / 100 * min(picture)

    def columns(self, picture: tuple[int, int]) -> int:
        """How many fit into a line; one is half as wide as the font is large."""
        return max(1, int(0.9 * picture[0] / (0.5 * self.pixels(picture))))


def to_ass_overlay(
    cues: Sequence[Cue], style: Style, picture: tuple[int, int], runs: Runs, language: str, highlight: bool
) -> str:
    """ASS for a picture of that width and height.

    Args:
        runs: chooses the fonts.
        highlight: whether each word has the highlight's colour while it is spoken.
    """
    width, height = picture
    size = style.pixels(picture)
    header = _HEADER.format(
        width=width,
        height=height,
        family="Sans",
        size=f"{size:.2f}",
        color=_colour(style.color),
        outline_color=_colour(style.outline_color),
        box_color=_colour(style.box_color or "#00000000"),
        border=1 if style.box_color is None else 4,  # libass's own: one box behind all lines
        outline=f"{size / 14:.2f}",
        shadow=0 if style.box_color is None else f"{size / 4:.2f}",  # of a box, how far it reaches beyond the text
        alignment=_ALIGNMENTS[style.position],
        side=round(0.05 * width),
        margin=round(0.05 * height),
        encoding=-1 if language in RIGHT_TO_LEFT else 1,  # -1: the direction of a text is that of its letters
    )
    on = f"{{\\1c{_bgr(style.highlight_color)}}}"

    def drawn(text: str, is_spoken: bool) -> str:
        letters = "".join(
            f"{{\\fn{font.family}\\fs{size * font.line:.2f}}}{_unmarked(run)}" for font, run in runs(text)
        )
        return f"{on}{letters}{{\\1c}}" if is_spoken else letters

    return header + "".join(_events(cues, drawn, highlight))


def to_timed_text(cues: Sequence[Cue], highlight: bool) -> str:
    """ASS that ffmpeg turns into MP4's timed text; with `highlight`, each word is underlined while it is spoken."""

    def underlined(text: str, is_spoken: bool) -> str:
        plain = re.sub(r"\{(?=\\|$)|\\(?=[nN]|$)", rf"\g<0>{_JOINER}", text)
        return f"{{\\u1}}{plain}{{\\u0}}" if is_spoken else plain

    header = _HEADER.format(
        width=1920, height=1080, family="Sans", size=60, color="&HFFFFFF", outline_color="&H0", box_color="&H0",
        border=1, outline=1, shadow=0, alignment=2, side=0, margin=0, encoding=1,
    )  # fmt: skip
    return header + "".join(_events(cues, underlined, highlight))


def _events(cues: Sequence[Cue], drawn: Callable[[str, bool], str], highlight: bool) -> Iterator[str]:
    for cue in cues:
        for start, end, spoken in steps(cue) if highlight else [(cue.start, cue.end, None)]:
            if end // 10 > start // 10:
                text = r"\N".join(_line(line, spoken, drawn) for line in cue.lines)
                voice = drawn(f"{cue.voice}: ", False) if cue.voice else ""
                yield f"Dialogue: 0,{_time(start)},{_time(end)},Default,,0,0,0,,{voice}{text}\n"


def _line(line: Line, spoken: Piece | None, drawn: Callable[[str, bool], str]) -> str:
    first, *others = line
    whole = [first._replace(text=first.text.lstrip()), *others]
    text = ""
    for piece, shown in zip(line, whole, strict=True):
        word = shown.text.lstrip()
        text += drawn(shown.text[: len(shown.text) - len(word)], False) + drawn(word, piece is spoken)
    return text


def _unmarked(text: str) -> str:
    """What libass draws as `text`: it knows `\\{` and `\\}`, and no escape for a backslash itself."""
    parted = re.sub(r"\\(?=[nNh{}]|$)", rf"\\{_JOINER}", text)
    return re.sub(r"[{}]", r"\\\g<0>", parted)


def _colour(hexadecimal: str) -> str:
    """`#RRGGBB` or `#RRGGBBAA` in ASS's order, where 0 is opaque."""
    alpha = 255 - int(hexadecimal[7:9] or "FF", 16)
    return f"&H{alpha:02X}{_bgr(hexadecimal)[2:-1]}"


def _bgr(hexadecimal: str) -> str:
    """The colour without its opacity."""
    red, green, blue = hexadecimal[1:3], hexadecimal[3:5], hexadecimal[5:7]
    return f"&H{blue}{green}{red}&".upper()


def _time(milliseconds: int) -> str:
    seconds, hundredths = divmod(milliseconds // 10, 100)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}.{hundredths:02d}"
