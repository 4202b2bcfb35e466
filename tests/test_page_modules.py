"""The page's modules by their text: none is missing or without a use, and the first view's are asked for at once."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from api.http.page_files import STATIC

INDEX = (STATIC / "index.html").read_text()
SCRIPTS = STATIC / "scripts"
PREFIX = "page/static/"
MODULES = {path: path.read_text() for path in STATIC.rglob("*.js")}
TESTS = "".join(path.read_text() for path in (Path(__file__).parent / "ui").glob("*.py"))

IMPORT = re.compile(r'^import (?:\{(?P<names>[^}]*)\}|\* as (?P<all>\w+)) from "(?P<path>\.[^"]+)";', re.MULTILINE)
ON_DEMAND = re.compile(r'(?:\bconst \{(?P<names>[^}]*)\} = await )?\bimport\("(?P<path>\.[^"]+)"\)(?=;|,)')
WORKER = re.compile(r'new URL\("(\.[^"]+)", import\.meta\.url\)')
EXPORT = re.compile(r"^export (?:async )?(?:function|class|const) (\w+)", re.MULTILINE)


def imports(module: Path) -> set[Path]:
    """The modules that a module imports in any case, and not only on demand."""
    return {(module.parent / found["path"]).resolve() for found in IMPORT.finditer(MODULES.get(module, ""))}


def imports_on_demand(module: Path) -> set[Path]:
    """The modules that a module imports when they are needed, or starts as workers."""
    text = MODULES.get(module, "")
    paths = [*(found["path"] for found in ON_DEMAND.finditer(text)), *WORKER.findall(text)]
    return {(module.parent / path).resolve() for path in paths}


def needed(*modules: Path, on_demand: bool = False) -> set[Path]:
    """Modules with all that they import, directly or not."""
    found, waiting = set(modules), list(modules)
    while waiting:
        module = waiting.pop()
        new = (imports(module) | (imports_on_demand(module) if on_demand else set())) - found
        waiting += new
        found |= new
    return found


def test_every_module_is_there_and_has_a_use() -> None:
    entries = [STATIC / name for name in re.findall(rf'<script[^>]* src="{PREFIX}([^"]+)"', INDEX)]
    assert needed(*entries, on_demand=True) == set(MODULES)


def test_imports_and_exports_have_the_forms_that_these_tests_read() -> None:
    """So that none is passed over."""
    other = r'^import (?!\{[^}]*\} from "|\* as \w+ from ").*|^export (?!(?:async )?(?:function|class|const) \w).*'
    assert [found for text in MODULES.values() for found in re.findall(other, text, re.MULTILINE)] == []


def test_what_is_exported_has_a_use_elsewhere() -> None:
    used: dict[Path, set[str]] = defaultdict(set)
    for module, text in MODULES.items():
        for found in (*IMPORT.finditer(text), *ON_DEMAND.finditer(text)):
            known = found.groupdict()
            names = {*re.findall(r"(\w+)(?: as \w+)?", known["names"] or "")}
            names |= {*re.findall(rf"\b{known['all']}\.(\w+)", text)} if known.get("all") else set()
            used[(module.parent / found["path"]).resolve()] |= names
    # The saver gets the module as an object, so that its tests can give another one.
    used[STATIC / "scripts/server/transcripts.js"] |= set(
        re.findall(r"\bserver\.(\w+)\(", MODULES[STATIC / "scripts/model/saver.js"])
    )
    for view in ("home", "editor", "live"):  # main.js takes `mount` of whichever view it has loaded
        used[SCRIPTS / view / "view.js"].add("mount")
    used_in_tests = set(re.findall(r"\bmodule\.(\w+)", TESTS))
    unused = {
        f"{module.relative_to(STATIC)}: {name}"
        for module, text in MODULES.items()
        for name in EXPORT.findall(text)
        if name not in used[module] | used_in_tests
    }
    assert unused == set()


def addresses(modules: set[Path]) -> list[str]:
    return sorted(f"{PREFIX}{path.relative_to(STATIC)}" for path in modules)


def test_all_modules_of_the_page_and_its_first_view_are_asked_for_at_once() -> None:
    main = needed(SCRIPTS / "main.js", SCRIPTS / "early.js")
    preloaded = re.findall(r'<link rel="modulepreload" href="([^"]+)">', INDEX)
    scripts = re.findall(r'<script type="module"(?: async)? src="([^"]+)"></script>', INDEX)
    assert sorted(preloaded + scripts) == addresses(main)
    for view in ("home", "editor", "live"):
        listed = re.findall(rf'<link data-view="{view}" href="([^"]+)">', INDEX)
        assert sorted(listed) == addresses(needed(SCRIPTS / view / "view.js") - main)


def test_a_view_is_loaded_on_demand() -> None:
    main = needed(SCRIPTS / "main.js", SCRIPTS / "early.js")
    assert main & {SCRIPTS / view / "view.js" for view in ("home", "editor", "live")} == set()


def test_the_pages_files_exist() -> None:
    addresses = re.findall(rf'"({PREFIX}[^"]+)"', INDEX)
    assert len(addresses) > 20
    assert [address for address in addresses if not (STATIC / address.removeprefix(PREFIX)).is_file()] == []
