"""Which font draws which character, of those on this machine (fontconfig's, through the package of that name).

`python -m src.captions.fonts` tells of which scripts there are fonts.

libass falls back by itself, but to a box where it finds nothing, and never tells: so the choice is made here.
"""

from __future__ import annotations

import functools
import sys
import tempfile
import unicodedata
from collections.abc import Container, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import regex

from src.errors import CaptionsFailed, InvalidInput, suggest

SYSTEM_FONTS = (Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), Path("~/.local/share/fonts").expanduser())

_CJK = {"CJK", "Hiragana", "Katakana", "Hangul", "Bopomofo"}
_REGION = {"zh": "SC", "yue": "HK", "ja": "JP", "ko": "KR"}
"""Whose shapes a Han character takes, as Noto's families are called."""

SCRIPTS = {
    "Latin": "Aßę",
    "Cyrillic": "Жї",
    "Greek": "Ωή",
    "Arabic": "عپ",
    "Chinese": "语語",
    "Japanese": "かナ",
    "Korean": "한",
}
"""Those that most captions are in, and letters of each."""

_REGULAR = 80.0  # fontconfig's weight of a regular face


@dataclass(frozen=True)
class Face:
    """An upright face of regular weight, or the nearest to it in its family."""

    family: str
    file: Path
    index: int
    """Its number in the file, which may hold several."""
    characters: Container[str]

    @property
    def line(self) -> float:
        """Height of a line, in the font's sizes (ems), as Windows and libass take it: 1.5 of Latin, 2.2 of Arabic."""
        return _line(self.file, self.index)


@dataclass(frozen=True)
class Lettering:
    """The faces for a text, in the order in which they are asked."""

    faces: list[Face]

    def runs(self, text: str) -> Iterator[tuple[Face, str]]:
        """Each stretch in one face; characters that none has are left out.

        What belongs to no script, such as a comma or a blank, goes with what is before it.
        """
        placed: list[tuple[Face, str]] = []
        before = self.faces[0]
        for character in text:
            drawing = [face for face in self.faces if _draws(face, character)]
            if drawing:
                stays = before in drawing and regex.match(r"[\p{Common}\p{Inherited}]", character)
                before = before if stays else drawing[0]
                placed.append((before, character))
        for face, run in groupby(placed, itemgetter(0)):
            yield face, "".join(character for _, character in run)


def check_family(family: str, folders: tuple[Path, ...]) -> None:
    """
    Raises:
        InvalidInput: there is no such font; it names the nearest one.
    """
    families = {face.family.lower(): face.family for face in find_faces(folders)}
    if family.lower() not in families:
        hint = suggest(family, families.values(), ": leave it out, and one that fits is chosen")
        raise InvalidInput(f"caption_font: the worker has no font of that name{hint}")


def lettering_for(text: str, family: str | None, language: str, folders: tuple[Path, ...]) -> Lettering:
    """The faces that draw `text`: the one that is asked for, and others for what it has not.

    Args:
        language: whose shapes Han characters take.

    Raises:
        CaptionsFailed: no font has some letter of the text; it names the script and what to install.
    """
    faces = sorted(find_faces(folders), key=lambda face: _rank(face.family, family, language))
    chosen: list[Face] = faces[:1]
    missing = ""
    for character in sorted(set(text), key=text.index):
        if any(_draws(face, character) for face in chosen):
            continue
        if fitting := next((face for face in faces if _draws(face, character)), None):
            chosen.append(fitting)
        elif unicodedata.category(character)[0] in "LMN":
            missing += character
    if missing or not faces:
        raise CaptionsFailed(_lacking(missing))
    return Lettering(chosen)


@functools.lru_cache(maxsize=4)
def find_faces(folders: tuple[Path, ...]) -> list[Face]:
    """One face for each family in `folders`."""
    from fontconfig import Config, ObjectSet, Pattern

    where = "".join(f"<dir>{escape(str(folder.absolute()))}</dir>" for folder in folders if folder.is_dir())
    config = Config.create()
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:  # a text in memory, fontconfig-py takes for a name
        file.write(f'<fontconfig>{where}<cachedir prefix="xdg">fontconfig</cachedir></fontconfig>')
        file.flush()
        config.parse_and_load(file.name)
    config.build_fonts()
    wanted = ObjectSet.create()
    for key in ("family", "file", "index", "charset", "weight", "width", "slant", "color", "scalable"):
        wanted.add(key)
    best: dict[str, tuple[float, Face]] = {}
    for pattern in config.font_list(Pattern.create(), wanted):
        face = _face(pattern)
        if face is not None and (face.family not in best or _distance(pattern) < best[face.family][0]):
            best[face.family] = _distance(pattern), face
    return [face for _, (_, face) in sorted(best.items())]


def _face(pattern: Any) -> Face | None:
    """None for what libass cannot draw, or what ASS cannot name."""
    family = str(_of(pattern, "family", ""))
    if _of(pattern, "color", False) or not _of(pattern, "scalable", True):
        return None
    if isinstance(_of(pattern, "weight", _REGULAR), tuple):  # a range; its instances come by themselves
        return None
    if not family or set("\\{},\n@") & set(family):
        return None
    index = int(_of(pattern, "index", 0)) & 0xFFFF  # above it, the number of a variable font's instance
    return Face(family, Path(_of(pattern, "file", "")), index, _of(pattern, "charset", ()))


@functools.lru_cache(maxsize=100)
def _line(file: Path, index: int) -> float:
    from fontTools.ttLib import TTFont

    with TTFont(file, fontNumber=index, lazy=True) as font:
        sizes = font["OS/2"].usWinAscent + font["OS/2"].usWinDescent if "OS/2" in font else 0
        return float((sizes or font["hhea"].ascender - font["hhea"].descender) / font["head"].unitsPerEm) or 1.0


def _distance(pattern: Any) -> float:
    """How far from upright, of regular weight and width."""
    weight, width = float(_of(pattern, "weight", _REGULAR)), float(_of(pattern, "width", 100.0))
    return abs(weight - _REGULAR) + abs(width - 100.0) + 1000 * int(_of(pattern, "slant", 0))


def _of(pattern: Any, key: str, default: Any) -> Any:
    try:
        return pattern.get(key)
    except KeyError:
        return default


def _draws(face: Face, character: str) -> bool:
    # What is not seen needs no glyph.
    return character in face.characters or character.isspace() or unicodedata.category(character) == "Cf"


def _rank(family: str, asked: str | None, language: str) -> tuple[int, str]:
    """What is asked for first, then one design for all scripts, then others that are made for screens."""
    firsts = [
        family.lower() == (asked or "").lower(),
        family == "Noto Sans",
        family == f"Noto Sans CJK {_REGION.get(language, 'JP')}",
        family.startswith("Noto Sans ") and not family.startswith("Noto Sans Mono"),
        family in ("DejaVu Sans", "Liberation Sans"),
        "Sans" in family and "Mono" not in family,
    ]
    return next((rank for rank, fits in enumerate(firsts) if fits), len(firsts)), family


def _lacking(missing: str) -> str:
    if not missing:
        return "the worker has no fonts: install some, such as Debian's fonts-noto-core and fonts-noto-cjk"
    scripts = {_script(character): character for character in reversed(missing)}
    names = " and ".join(f"{name} ('{one}')" for name, one in reversed(scripts.items()))
    package = "fonts-noto-cjk" if set(scripts) <= _CJK else "fonts-noto-core"
    package = package if not _CJK & set(scripts) or package == "fonts-noto-cjk" else f"{package} and fonts-noto-cjk"
    return f"the worker has no font for {names}: install one, such as Debian's {package}, or set FONT_DIR"


def _script(character: str) -> str:
    """The first word of its name: `Arabic`, `CJK`."""
    word = unicodedata.name(character, "unknown").partition(" ")[0]
    return word if word == "CJK" else word.title()


def main(folders: tuple[Path, ...] = SYSTEM_FONTS) -> int:
    """Tells which font draws each of the scripts that most captions are in; 1 where one has none.

    Besides, it fills fontconfig's cache, so that the first job need not wait for that.
    """
    lacking = 0
    for name, letters in SCRIPTS.items():
        try:
            print(f"{name}: {lettering_for(letters, None, 'en', folders).faces[-1].family}")
        except CaptionsFailed as error:
            lacking = 1
            print(f"{name}: {error}")
    return lacking


if __name__ == "__main__":
    sys.exit(main())
