"""CHANGELOG.md: its unreleased part becomes a version's, and a version's part becomes the notes of a GitHub release.

python builder/changelog.py 0.2.0    # prints the notes of 0.2.0; needs nothing but Python
"""

from __future__ import annotations

import argparse
import re
import sys
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from builder import repository  # noqa: E402

CHANGELOG = ROOT / "CHANGELOG.md"
UNRELEASED = "Unreleased"

_DEFINITION = re.compile(r"^\[(.+)\]: \S+$", re.MULTILINE)
"""A link at the end of the file, from a heading to the version's changes on GitHub."""

_CONTINUATION = re.compile(r"\n +(?![-*] )(?=\S)")
_RELATIVE_LINK = re.compile(r"\]\((?![a-z]+:|#)([^)\s]+)\)")


def entries(changelog: str, version: str) -> str:
    """Return what the changelog says about a version, or below *Unreleased*; empty if it lists nothing.

    Raises:
        ValueError: it has no such heading.
    """
    heading = re.compile(rf"^## \[{re.escape(version)}\][^\n]*\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    match = heading.search(changelog)
    if match is None:
        raise ValueError(f"CHANGELOG.md has no heading ## [{version}]")
    text = _DEFINITION.sub("", match[1]).strip()
    return text if re.search(r"^- ", text, re.MULTILINE) else ""


def with_release(changelog: str, version: str, day: date, previous: str | None, url: str) -> str:
    """Return the changelog with its unreleased entries as those of a version.

    Args:
        day: the day of the release.
        previous: the version of the last tag; None if there is no tag.
        url: the repository's address, for the links to what has changed.

    Raises:
        ValueError: nothing is unreleased.
    """
    if not entries(changelog, UNRELEASED):
        raise ValueError("nothing is listed under Unreleased in CHANGELOG.md")
    heading = f"## [{UNRELEASED}]\n"
    text = changelog.replace(heading, f"{heading}\n## [{version}] - {day.isoformat()}\n", 1)
    changes = f"compare/v{previous}...v{version}" if previous else f"releases/tag/v{version}"
    links = [f"[{UNRELEASED}]: {url}/compare/v{version}...HEAD", f"[{version}]: {url}/{changes}"]
    links += [match[0] for match in _DEFINITION.finditer(text) if match[1] != UNRELEASED]
    return _DEFINITION.sub("", text).rstrip() + "\n\n" + "\n".join(links) + "\n"


def release_notes(changelog: str, version: str, url: str) -> str:
    """Return a version's entries as GitHub's page of the release shows them rightly.

    That page breaks a line wherever the source does, and knows no relative links: entries become one line each, and
    links lead to the files as they were at the version.

    Raises:
        ValueError: the changelog lists nothing for the version.
    """
    text = entries(changelog, version)
    if not text:
        raise ValueError(f"CHANGELOG.md lists nothing for {version}")
    text = _CONTINUATION.sub(" ", text)
    return _RELATIVE_LINK.sub(rf"]({url}/blob/v{version}/\1)", text) + "\n"


def main() -> int:
    """Print the notes of the version in the command line, and return the exit code."""
    parser = argparse.ArgumentParser(description="Print the notes of a version's GitHub release.")
    parser.add_argument("version", help="such as 0.2.0, or the tag v0.2.0")
    version = parser.parse_args().version.removeprefix("v")
    try:
        print(release_notes(CHANGELOG.read_text(encoding="utf-8"), version, repository.url()), end="")
    except ValueError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
