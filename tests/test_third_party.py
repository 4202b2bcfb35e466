"""THIRD_PARTY.md: the licences of all that the image contains."""

from __future__ import annotations

import re
from importlib.metadata import version
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from builder.third_party import IMAGE, THIRD_PARTY, package_row, packages, requirements

ROOT = Path(__file__).resolve().parents[1]
LISTED = THIRD_PARTY.read_text()


def of_the_image(requirement: Requirement) -> bool:
    return requirement.marker is None or requirement.marker.evaluate(dict(IMAGE))


def test_each_package_of_the_image_is_listed_and_no_other() -> None:
    table = LISTED.partition("## Python packages")[2]
    assert re.findall(r"(?m)^\| ([a-z0-9-]+) \| [A-Z]", table) == packages(), "run builder/write_tables.py"


def test_licences_and_sources_are_those_of_the_packages() -> None:
    """Of the versions in the image: for an older Python, some are others."""
    installed = [one.name for one in requirements() if of_the_image(one) and version(one.name) in one.specifier]
    assert len(installed) > 60
    assert not [row for row in map(package_row, installed) if row not in LISTED], "run builder/write_tables.py"


def test_what_the_image_installs_from_debian_is_listed() -> None:
    [installed] = re.findall(r"apt-get install((?:[^&]|\\\n)*)&&", (ROOT / "Dockerfile").read_text())
    packages = {word for word in installed.split() if re.match("[a-z]", word)}
    assert "ffmpeg" in packages
    assert not {package for package in packages if f"`{package}`" not in LISTED}


def test_sources_are_pages_of_projects_and_no_changelogs() -> None:
    sources = re.findall(r"<(\S+)>", LISTED)
    assert len(sources) > 60
    assert not [source for source in sources if "change" in source.lower()]


def test_the_names_of_all_licences_are_spdx_expressions() -> None:
    names = re.findall(r"(?m)^\| [^|]+ \| ([^|]+) \| <", LISTED)
    parts = {part for name in names for part in re.split(" (?:AND|OR|WITH) ", name)}
    assert parts - {"NVIDIA's own"} <= {
        *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "CNRI-Python", "FTL", "GPL-2.0-or-later"),
        *("LGPL-2.1-only", "LGPL-2.1-or-later", "LLVM-exception", "MIT", "MIT-0", "MPL-2.0", "OFL-1.1", "PSF-2.0"),
        *("Unicode-3.0", "Zlib"),
    }


def test_a_package_without_a_licence_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "nameless-1.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: nameless\nVersion: 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError, match=r"^nameless names no licence: add it to builder/third_party\.py$"):
        package_row("nameless")


def test_the_image_contains_the_list() -> None:
    assert "COPY THIRD_PARTY.md LICENSE /" in (ROOT / "Dockerfile").read_text()
