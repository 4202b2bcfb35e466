"""The page's first load: the browser is told at once of all modules that its view needs."""

from __future__ import annotations

import re
from pathlib import Path

from api.http.page_files import STATIC

INDEX = (STATIC / "index.html").read_text()
SCRIPTS = STATIC / "scripts"
PREFIX = "page/static/"


def imports(module: Path) -> set[Path]:
    """The modules that a module imports in any case, and not only on demand."""
    names = re.findall(r'^(?:import|export)\b[^;]*?\bfrom "(\.[^"]+)";', module.read_text(), re.MULTILINE)
    return {(module.parent / name).resolve() for name in names}


def needed(module: Path) -> set[Path]:
    """A module with all that it imports, directly or not."""
    found, waiting = {module}, [module]
    while waiting:
        new = imports(waiting.pop()) - found
        found |= new
        waiting += new
    return found


def addresses(view: str) -> set[str]:
    """Modules that a view needs beside the page's own."""
    return {address(path) for path in needed(SCRIPTS / view / "view.js") - needed(SCRIPTS / "main.js")}


def address(path: Path) -> str:
    return f"{PREFIX}{path.relative_to(STATIC)}"


def test_all_modules_of_the_page_and_its_first_view_are_asked_for_at_once() -> None:
    main = needed(SCRIPTS / "main.js") | needed(SCRIPTS / "early.js")
    preloaded = re.findall(r'<link rel="modulepreload" href="([^"]+)">', INDEX)
    scripts = re.findall(r'<script type="module"(?: async)? src="([^"]+)"></script>', INDEX)
    assert sorted(preloaded + scripts) == sorted(address(path) for path in main)
    for view in ("home", "editor"):
        listed = re.findall(rf'<link data-view="{view}" href="([^"]+)">', INDEX)
        assert sorted(listed) == sorted(addresses(view))


def test_a_view_is_loaded_on_demand() -> None:
    main = needed(SCRIPTS / "main.js") | needed(SCRIPTS / "early.js")
    assert not {SCRIPTS / view / "view.js" for view in ("home", "editor")} & main


def test_the_pages_files_exist() -> None:
    addresses = re.findall(rf'"({PREFIX}[^"]+)"', INDEX)
    assert len(addresses) > 20
    assert [address for address in addresses if not (STATIC / address.removeprefix(PREFIX)).is_file()] == []
