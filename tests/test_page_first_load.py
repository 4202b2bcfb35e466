"""The page's first load: the browser is told at once of all modules that the first view needs."""

from __future__ import annotations

import re
from pathlib import Path

from api.http.page_files import STATIC

INDEX = (STATIC / "index.html").read_text()
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


def test_all_modules_of_the_first_view_are_asked_for_at_once() -> None:
    listed = re.findall(r'<link rel="modulepreload" href="([^"]+)">', INDEX)
    main = STATIC / "scripts" / "main.js"
    assert sorted(listed) == sorted(f"{PREFIX}{path.relative_to(STATIC)}" for path in needed(main) - {main})
    assert len(listed) == len(set(listed))


def test_the_editor_is_loaded_on_demand() -> None:
    assert "editor/view.js" not in INDEX


def test_the_pages_files_exist() -> None:
    addresses = re.findall(rf'"({PREFIX}[^"]+)"', INDEX)
    assert len(addresses) > 20
    assert [address for address in addresses if not (STATIC / address.removeprefix(PREFIX)).is_file()] == []
