"""Fixtures and settings of all tests of the worker."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

os.environ.setdefault("WHISPER_MODEL", "tiny.en")

collect_ignore = ["client", "image", "ui"]
"""The client's tests run in its own environment, where this file is not read: see `make test`. Those of the image and
the page have commands of their own."""


@pytest.fixture
def no_files_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of its own for temporary files, which has to be empty after the test."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    yield folder
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert list(folder.rglob("*")) == []
