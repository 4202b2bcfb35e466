"""The client stands on its own feet: a user's machine has nothing of the worker."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from tests.client.conftest import ROOT

FILES = sorted((ROOT / "client").rglob("*.py"))
FOREIGN = {"src", "builder", "tests", "handler", "torch", "whisper", "runpod", "numpy"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_of_the_client_imports_nothing_of_the_worker(path: Path) -> None:
    assert not imported(path) & FOREIGN


def test_what_the_command_line_imports_is_in_its_requirements() -> None:
    names = {name for path in FILES if path.parent.name == "client" for name in imported(path)}
    pinned = (ROOT / "client" / "requirements.txt").read_text()
    for name in names - sys.stdlib_module_names - {"client", "gradio"}:  # gradio: client/app.py, the page's own
        assert {"ffmpeg": "ffmpeg-python", "imageio_ffmpeg": "imageio-ffmpeg"}.get(name, name) + "==" in pinned


def imported(path: Path) -> set[str]:
    """The packages that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return {name.partition(".")[0] for name in found}
