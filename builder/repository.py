"""The repository's address on GitHub. `[project.urls]` of pyproject.toml is the only place that states it."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

_URL = re.compile(r'^Repository = "https://github\.com/([\w.-]+/[\w.-]+)"$', re.MULTILINE)


def name(root: Path = ROOT) -> str:
    """Return the repository's name on GitHub, `owner/name`, as the checkout in `root` states it.

    Raises:
        ValueError: it states none.
    """
    match = _URL.search((root / "pyproject.toml").read_text(encoding="utf-8"))
    if match is None:
        raise ValueError('pyproject.toml has no line Repository = "https://github.com/OWNER/NAME" in [project.urls]')
    return match[1]


def url(root: Path = ROOT) -> str:
    """Return the address of the repository's page."""
    return f"https://github.com/{name(root)}"


def raw_url(path: str) -> str:
    """Return the address of a file on the branch main, as it is."""
    return f"https://raw.githubusercontent.com/{name()}/main/{path}"


def badge() -> str:
    """Return the badge of RunPod's Hub, which leads to the worker's page there, as Markdown."""
    return f"[![Deploy on RunPod](https://api.runpod.io/badge/{name()})](https://console.runpod.io/hub/{name()})"
