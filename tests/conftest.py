"""Fixtures and settings of all tests of the worker."""

from __future__ import annotations

import base64
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from whisper.normalizers import EnglishTextNormalizer

ROOT = Path(__file__).resolve().parents[1]
CLIPS = ROOT / "tests" / "data"

os.environ.setdefault("WHISPER_MODEL", "tiny.en")

collect_ignore = ["client", "ui"]
"""The client's tests run in its own environment, where this file is not read: see `make test`."""

_normalise = EnglishTextNormalizer()


def words(text: str) -> list[str]:
    """The words of a text as Whisper's own evaluation compares them: no case, no punctuation, "twelve" is "12"."""
    return list(_normalise(text).split())


def spoken(clip: str) -> list[str]:
    """The words that are said in one of the repository's clips."""
    return words(json.loads((CLIPS / "clips.json").read_text())[clip]["text"])


def as_base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


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
