"""Checks, before anything is transcribed, that there are fonts to draw a job's captions."""

from __future__ import annotations

from pathlib import Path

from media.fonts import NoFont, choose_fonts, find_faces
from src.errors import InvalidInput, suggest

LETTERS = {
    **{"Arab": "ع", "Armn": "ա", "Beng": "ক", "Cyrl": "Ж", "Deva": "क", "Ethi": "አ", "Geor": "ა", "Grek": "Ω"},
    **{"Gujr": "ક", "Guru": "ਕ", "Hans": "语", "Hant": "語", "Hebr": "א", "Jpan": "か", "Khmr": "ក", "Knda": "ಕ"},
    **{"Kore": "한", "Laoo": "ກ", "Latn": "A", "Mlym": "ക", "Mymr": "က", "Sinh": "ක", "Taml": "க", "Telu": "క"},
    **{"Thai": "ก", "Tibt": "ཀ"},
}
"""A letter of the script of each of Whisper's languages, by its code of ISO 15924."""


def check_family(family: str, folders: tuple[Path, ...]) -> None:
    """Check that there is a font family of that name, in any case.

    Raises:
        InvalidInput: there is none; the error names the nearest one.
    """
    families = {face.family.lower(): face.family for face in find_faces(folders)}
    if family.lower() not in families:
        hint = suggest(family, families.values(), ": leave it out, and one that fits is chosen")
        raise InvalidInput(f"options.caption_font: the worker has no font of that name{hint}")


def check_language(language: str, folders: tuple[Path, ...]) -> None:
    """Check that there is a font for the script of a language.

    Args:
        language: Whisper's code.
        folders: where fonts are looked for.

    Raises:
        InvalidInput: there is none; the error names the package to install.
    """
    import langcodes  # 0.4 s of tables

    try:
        choose_fonts(LETTERS[langcodes.get(language).maximize().script or "Latn"], None, language, folders)
    except NoFont as error:
        raise InvalidInput(f"captions: {error}; or leave captions out") from None
