"""Chooses the fonts that draw a text, from those that fontconfig finds on this machine.

`python -m media.fonts` lists the scripts for which there are fonts.

libass has a fallback of its own, but it draws a box for a character without a font and does not report it; so the fonts
are chosen here.
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

SYSTEM_FONTS = (
    *(Path("/usr/share/fonts"), Path("/usr/local/share/fonts"), Path("~/.local/share/fonts").expanduser()),
    *(Path("/System/Library/Fonts"), Path("/Library/Fonts"), Path("~/Library/Fonts").expanduser()),
)
"""Of Linux and of macOS."""

_CJK = {"CJK", "Hiragana", "Katakana", "Hangul", "Bopomofo"}
_REGION = {"zh": "SC", "yue": "HK", "ja": "JP", "ko": "KR"}
"""Suffix of the Noto family with each language's shapes of Han characters."""

SCRIPTS = {
    "Latin": "Aßę",
    "Cyrillic": "Жї",
    "Greek": "Ωή",
    "Arabic": "عپ",
    "Chinese": "语語",
    "Japanese": "かナ",
    "Korean": "한",
}
"""The scripts of most captions, with sample letters of each."""

_REGULAR_WEIGHT = 80.0  # on fontconfig's scale


class NoFont(Exception):
    """No font has some letter; with a sentence that names the script, and the package to install."""


@dataclass(frozen=True)
class FontFace:
    """The face of a font family that is nearest to upright and regular."""

    family: str
    file: Path
    index: int
    """Index of the face in its file, which may hold several."""
    characters: Container[str]

    @property
    def line_height(self) -> float:
        """Height of a line in ems, as Windows and libass compute it: 1.5 for Latin, 2.2 for Arabic."""
        return _line_height(self.file, self.index)


@dataclass(frozen=True)
class FontFallback:
    """The faces for a text, in order of preference."""

    faces: list[FontFace]

    def split_by_font(self, text: str) -> Iterator[tuple[FontFace, str]]:
        """Yield runs of the text, each with its face; characters without a face are left out.

        Characters of no script, such as commas and spaces, stay in the run before them if its face has them.
        """
        placed: list[tuple[FontFace, str]] = []
        last_face = self.faces[0]
        for character in text:
            faces = [face for face in self.faces if _has_glyph(face, character)]
            if faces:
                stays = last_face in faces and regex.match(r"[\p{Common}\p{Inherited}]", character)
                last_face = last_face if stays else faces[0]
                placed.append((last_face, character))
        for face, run in groupby(placed, itemgetter(0)):
            yield face, "".join(character for _, character in run)


def choose_fonts(text: str, family: str | None, language: str, folders: tuple[Path, ...]) -> FontFallback:
    """Choose the faces that draw `text`: the requested family first, others for the letters that it lacks.

    Args:
        text: all characters that will be drawn.
        family: the requested family, if there is one.
        language: Whisper's code; decides the shapes of Han characters.
        folders: where fonts are looked for.

    Raises:
        NoFont: no font has some letter of the text; the error names the script and the package to install.
    """
    faces = sorted(find_faces(folders), key=lambda face: _rank(face.family, family, language))
    chosen: list[FontFace] = faces[:1]
    missing = ""
    for character in sorted(set(text), key=text.index):
        if any(_has_glyph(face, character) for face in chosen):
            continue
        if fallback := next((face for face in faces if _has_glyph(face, character)), None):
            chosen.append(fallback)
        elif unicodedata.category(character)[0] in "LMN":
            missing += character
    if missing or not faces:
        raise NoFont(_explain_missing_fonts(missing))
    return FontFallback(chosen)


@functools.lru_cache(maxsize=4)
def find_faces(folders: tuple[Path, ...]) -> list[FontFace]:
    """Return one face for each family in `folders`, sorted by family.

    Raises:
        NoFont: fontconfig is not installed; there is none for Windows.
    """
    try:
        from fontconfig import Config, ObjectSet, Pattern
    except ImportError:
        raise NoFont(
            "on this system captions cannot be drawn into the picture, for which fontconfig is needed: make a subtitle "
            "track instead, or use Linux or macOS"
        ) from None

    directories = "".join(f"<dir>{escape(str(folder.absolute()))}</dir>" for folder in folders if folder.is_dir())
    config = Config.create()
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".conf") as file:  # fontconfig-py reads files only
        file.write(f'<fontconfig>{directories}<cachedir prefix="xdg">fontconfig</cachedir></fontconfig>')
        file.flush()
        config.parse_and_load(file.name)
    config.build_fonts()
    properties = ObjectSet.create()
    for key in ("family", "file", "index", "charset", "weight", "width", "slant", "color", "scalable"):
        properties.add(key)
    nearest: dict[str, tuple[float, FontFace]] = {}
    for pattern in config.font_list(Pattern.create(), properties):
        face = _to_face(pattern)
        if face is not None and (face.family not in nearest or _distance(pattern) < nearest[face.family][0]):
            nearest[face.family] = _distance(pattern), face
    return [face for _, (_, face) in sorted(nearest.items())]


def _to_face(pattern: Any) -> FontFace | None:
    """Return a face of fontconfig's, or None if libass cannot draw it or ASS cannot name it."""
    family = str(_get(pattern, "family", ""))
    if _get(pattern, "color", False) or not _get(pattern, "scalable", True):
        return None
    if isinstance(_get(pattern, "weight", _REGULAR_WEIGHT), tuple):  # a variable font; its instances are listed too
        return None
    if not family or set("\\{},\n@") & set(family):
        return None
    index = int(_get(pattern, "index", 0)) & 0xFFFF  # the higher bits are the instance of a variable font
    return FontFace(family, Path(_get(pattern, "file", "")), index, _get(pattern, "charset", ()))


@functools.lru_cache(maxsize=100)
def _line_height(file: Path, index: int) -> float:
    from fontTools.ttLib import TTFont

    with TTFont(file, fontNumber=index, lazy=True) as font:
        sizes = font["OS/2"].usWinAscent + font["OS/2"].usWinDescent if "OS/2" in font else 0
        return float((sizes or font["hhea"].ascender - font["hhea"].descender) / font["head"].unitsPerEm) or 1.0


def _distance(pattern: Any) -> float:
    """Return the distance from an upright face of regular weight and width."""
    weight, width = float(_get(pattern, "weight", _REGULAR_WEIGHT)), float(_get(pattern, "width", 100.0))
    return abs(weight - _REGULAR_WEIGHT) + abs(width - 100.0) + 1000 * int(_get(pattern, "slant", 0))


def _get(pattern: Any, key: str, default: Any) -> Any:
    try:
        return pattern.get(key)
    except KeyError:
        return default


def _has_glyph(face: FontFace, character: str) -> bool:
    # Invisible characters need no glyph.
    return character in face.characters or character.isspace() or unicodedata.category(character) == "Cf"


def _rank(family: str, requested: str | None, language: str) -> tuple[int, str]:
    """Return the sort key of a family: the requested one, then Noto Sans for all scripts, then other screen fonts."""
    preferences = [
        family.lower() == (requested or "").lower(),
        family == "Noto Sans",
        family == f"Noto Sans CJK {_REGION.get(language, 'JP')}",
        family.startswith("Noto Sans ") and not family.startswith("Noto Sans Mono"),
        family in ("DejaVu Sans", "Liberation Sans"),
        "Sans" in family and "Mono" not in family,
    ]
    return next((rank for rank, applies in enumerate(preferences) if applies), len(preferences)), family


def _explain_missing_fonts(missing: str) -> str:
    """Return an error sentence for characters without a font; `missing` is empty if there are no fonts at all."""
    if not missing:
        return "there are no fonts: install some, such as Debian's fonts-noto-core and fonts-noto-cjk"
    scripts = {_script(character): character for character in reversed(missing)}
    names = " and ".join(f"{name} ('{character}')" for name, character in reversed(scripts.items()))
    package = "fonts-noto-cjk" if set(scripts) <= _CJK else "fonts-noto-core"
    package = package if not _CJK & set(scripts) or package == "fonts-noto-cjk" else f"{package} and fonts-noto-cjk"
    return f"there is no font for {names}: install one, such as Debian's {package}, or set FONT_DIR"


def _script(character: str) -> str:
    """Return the first word of the character's name: `Arabic`, `CJK`."""
    word = unicodedata.name(character, "unknown").partition(" ")[0]
    return word if word == "CJK" else word.title()


def main(folders: tuple[Path, ...] = SYSTEM_FONTS) -> int:
    """Print the font for each of `SCRIPTS`, and fill fontconfig's cache so that the first job need not wait for it.

    Returns:
        1 if a script has no font, else 0.
    """
    status = 0
    for name, letters in SCRIPTS.items():
        try:
            print(f"{name}: {choose_fonts(letters, None, 'en', folders).faces[-1].family}")
        except NoFont as error:
            status = 1
            print(f"{name}: {error}")
    return status


if __name__ == "__main__":
    sys.exit(main())
