"""The codes and names of Whisper's languages, from langcodes and from the locale data of Babel (Unicode's CLDR).

The worker has them as a table: Babel is 30 MB, and its import and that of langcodes cost a cold start time.
"""

from __future__ import annotations

import itertools
import json
from string import ascii_lowercase

import langcodes
from babel import Locale
from langcodes.tag_parser import LanguageTagError
from whisper.tokenizer import LANGUAGES, TO_LANGUAGE_CODE

_CLDR_CODES = {"jw": "jv", "tl": "fil"}
"""Of Whisper's languages whose code is another in the CLDR."""

_WHISPER_CODES = {"jv": "jw", "fil": "tl", "nb": "no"}

_FURTHER_NAMES = {
    "zh": ["Mandarin Chinese", "Standard Chinese", "汉语", "漢語", "普通话", "普通話", "國語"],
    "yue": ["廣東話", "广东话", "粤语"],
    "fa": ["Farsi"],
    "id": ["Bahasa Indonesia"],
    "ms": ["Bahasa Melayu"],
    "es": ["castellano"],
    "ca": ["valencià"],
    "eu": ["euskera"],
    "sl": ["Slovene"],
    "az": ["Azeri"],
}
"""Names in use that are in neither source."""


def language_table() -> str:
    """Return JSON: for each of Whisper's languages, and for Chinese in each script, its other codes and its names."""
    codes, names = _other_codes(), _names()
    entries = {tag: {"codes": codes.get(tag, []), "names": names[tag]} for tag in names}
    lines = (f"  {json.dumps(tag)}: {json.dumps(entry, ensure_ascii=False)}" for tag, entry in entries.items())
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _other_codes() -> dict[str, list[str]]:
    """The codes of ISO 639, old ones and parts of macrolanguages included, that mean a language of Whisper's."""
    codes: dict[str, list[str]] = {}
    for length in (2, 3):
        for letters in itertools.product(ascii_lowercase, repeat=length):
            code = "".join(letters)
            meant = code if code in LANGUAGES else _meaning(code)
            if meant is not None and meant != code:
                codes.setdefault(meant, []).append(code)
    return codes


def _meaning(code: str) -> str | None:
    try:
        language = langcodes.Language.get(code)
    except LanguageTagError:
        return None
    found = (str(one.language) for one in (language, language.prefer_macrolanguage()))
    return next((known for one in found if (known := _WHISPER_CODES.get(one, one)) in LANGUAGES), None)


def _names() -> dict[str, list[str]]:
    """Names in English and in the language itself, with those of its regional forms ("Brazilian Portuguese")."""
    names: dict[str, dict[str, None]] = {code: {english.title(): None} for code, english in LANGUAGES.items()}
    names |= {"zh-Hans": {}, "zh-Hant": {}}
    for english, code in TO_LANGUAGE_CODE.items():
        names[code][english.title()] = None
    for code in LANGUAGES:
        own = _CLDR_CODES.get(code, code)
        forms = {own, "nb"} if code == "no" else {own}
        for locale in (Locale("en"), Locale.parse(own), *([Locale.parse("zh_Hant")] if code == "zh" else [])):
            for form, name in sorted(locale.languages.items()):
                language, _, variant = form.partition("_")
                if language in forms:
                    names[f"zh-{variant}" if f"zh-{variant}" in names and code == "zh" else code][name] = None
        names[code] |= dict.fromkeys(_FURTHER_NAMES.get(code, []))
    return {code: list(found) for code, found in names.items()}
