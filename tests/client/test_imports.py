"""The client does not depend on the worker, which is not installed on a user's machine."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from tests.client.conftest import ROOT

FILES = sorted((ROOT / "client").rglob("*.py"))
WORKER_MODULES = {"src", "builder", "tests", "handler", "torch", "whisper", "runpod", "numpy"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_client_imports_nothing_from_the_worker(path: Path) -> None:
    assert not imported_packages(path) & WORKER_MODULES


def test_imports_of_the_command_line_are_in_its_requirements() -> None:
    names = {name for path in FILES if path.parent.name == "client" for name in imported_packages(path)}
    pinned = (ROOT / "client" / "requirements.txt").read_text()
    for name in names - sys.stdlib_module_names - {"client", "gradio"}:  # gradio: only client/app.py, the page
        assert {"ffmpeg": "ffmpeg-python", "imageio_ffmpeg": "imageio-ffmpeg"}.get(name, name) + "==" in pinned


def imported_packages(path: Path) -> set[str]:
    """Top-level packages imported anywhere in a file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return {name.partition(".")[0] for name in found}
