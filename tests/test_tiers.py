"""The guard of the tiers: a test without the marker can start no process and open no weights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

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


def test_a_test_is_in_the_first_tier_that_runs_it() -> None:
    assert tiers.tier_of([]) == "fast"
    assert tiers.tier_of(["model"]) == tiers.tier_of(["parametrize", "process"]) == "test"
    assert tiers.tier_of(["model", "slow"]) == tiers.tier_of(["slow"]) == "all"


@pytest.mark.parametrize("tier", tiers.LIMITS_S)
def test_the_tests_of_a_tier_took_no_longer_than_they_may(tier: str) -> None:
    seconds = {file: taken[tier] for file, taken in tiers.recorded_seconds().items() if tier in taken}
    dearest = sorted(seconds.items(), key=lambda item: -item[1])[:10]
    assert sum(seconds.values()) <= tiers.LIMITS_S[tier], f"Mark more tests of these files as slow: {dearest}"


def test_recorded_files_are_there() -> None:
    assert [file for file in tiers.recorded_seconds() if not (tiers.ROOT / file).is_file()] == []


@pytest.mark.parametrize(
    ("expression", "left_out"),
    [("not model and not process and not slow", True), ("not slow", True), ("not process", None), ("", None)],
)
def test_a_file_of_which_nothing_runs_is_not_imported(expression: str, left_out: bool | None, tmp_path: Path) -> None:
    config: Any = SimpleNamespace(option=SimpleNamespace(markexpr=expression))
    dear, mixed = tmp_path / "test_dear.py", tmp_path / "test_mixed.py"
    dear.write_text("pytestmark = [pytest.mark.model, pytest.mark.slow]")
    mixed.write_text("@pytest.mark.slow\ndef test_1(): pass\ndef test_2(): pass")
    assert tiers.pytest_ignore_collect(dear, config) is left_out
    assert tiers.pytest_ignore_collect(mixed, config) is None
