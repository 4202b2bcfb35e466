"""The guard of the tiers: a test without the marker can start no process and open no weights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import tiers


def test_a_test_without_the_marker_can_start_no_process() -> None:
    with pytest.raises(PermissionError, match=r"pytest\.mark\.process"):
        subprocess.run([sys.executable, "-c", ""], check=True)
    with pytest.raises(PermissionError, match=r"pytest\.mark\.process"):
        os.system("true")
    assert len(tiers.guard.take_violations()) == 2


def test_a_test_without_the_marker_can_open_no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "tiny.en" / "model.bin"
    weights.parent.mkdir()
    weights.write_bytes(b"weights")
    monkeypatch.setattr(tiers, "MODELS", (str(tmp_path),))
    with pytest.raises(PermissionError, match=r"pytest\.mark\.model"):
        weights.read_bytes()
    assert len(tiers.guard.take_violations()) == 1


@pytest.mark.process
def test_a_test_with_the_marker_can_start_a_process() -> None:
    subprocess.run([sys.executable, "-c", ""], check=True)
    assert tiers.guard.take_violations() == []
