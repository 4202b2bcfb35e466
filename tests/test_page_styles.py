"""The page's icons, and the classes and custom properties of its styles, have a use."""

from __future__ import annotations

import re

from api.http.page_files import STATIC

SCRIPTS = {path: path.read_text() for path in STATIC.rglob("*.js")}
STYLES = {
    path: re.sub(r"/\*.*?\*/|url\([^)]*\)", "", path.read_text(), flags=re.DOTALL) for path in STATIC.rglob("*.css")
}
INDEX = (STATIC / "index.html").read_text()

WITHOUT_ICONS = "".join(text for path, text in SCRIPTS.items() if path.name != "icons.js")


def names(text: str, name: str) -> bool:
    return re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", text) is not None


def test_each_icon_is_drawn() -> None:
    icons = re.findall(r"^  (\w+):", SCRIPTS[STATIC / "scripts" / "icons.js"], re.MULTILINE)
    assert len(icons) > 20
    assert [name for name in icons if f'"{name}"' not in WITHOUT_ICONS] == []


def test_each_class_of_the_styles_is_given_to_an_element() -> None:
    classes = {name for text in STYLES.values() for name in re.findall(r"\.([a-z][\w-]*)", text)}
    assert len(classes) > 50
    assert [name for name in sorted(classes) if not names(WITHOUT_ICONS + INDEX, name)] == []


def test_each_custom_property_is_used() -> None:
    everything = "".join(STYLES.values()) + WITHOUT_ICONS
    properties = {name for text in STYLES.values() for name in re.findall(r"(--[\w-]+)\s*:", text)}
    dynamic = re.compile(r"--speaker-\d")  # a number is put in by the script
    unused = [name for name in properties if not re.search(rf"{name}(?![\w-])(?!\s*:)", everything)]
    assert [name for name in unused if not dynamic.fullmatch(name)] == []
