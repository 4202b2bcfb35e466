"""Progress as `/status` shows it: apart, in order, never after the result."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from src.serving import progress
from src.serving.progress import ProgressReporter


class Platform:
    """Takes updates as the SDK sends them: each from a thread of its own, which takes its time."""

    def __init__(self, takes: float) -> None:
        self.takes = takes
        self.landed: list[dict[str, Any]] = []

    def progress_update(self, job: dict[str, Any], update: dict[str, Any]) -> None:
        def _thread_target() -> None:
            time.sleep(self.takes)
            self.landed.append(update)

        threading.Thread(target=_thread_target, daemon=True).start()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "APART", 0.05)
    monkeypatch.setattr(progress, "NEAR_THE_END", 0.02)


def report(reporter: ProgressReporter, seconds: float) -> None:
    """A job that goes on evenly for so long."""
    started = time.monotonic()
    while (gone := time.monotonic() - started) < seconds:
        reporter.report("transcribing", 100 * gone / seconds, 100)
        time.sleep(0.002)


@pytest.mark.parametrize("takes", [0.0, 0.12])
def test_updates_land_in_order_and_before_the_result(takes: float) -> None:
    platform = Platform(takes)
    reporter = ProgressReporter({"id": "a", "input": {}}, platform.progress_update)
    report(reporter, 0.5)
    reporter.settle()
    landed = list(platform.landed)
    time.sleep(2 * takes)
    assert platform.landed == landed
    assert [one["update"] for one in landed] == list(range(1, len(landed) + 1))
    assert 2 <= len(landed) <= 10
    assert landed[-1]["percent"] < 100
    assert landed[0]["stage"] == "transcribing"


def test_the_job_itself_is_not_sent_along() -> None:
    sent: list[dict[str, Any]] = []
    reporter = ProgressReporter({"id": "a", "input": {"audio": "secret"}}, lambda job, _: sent.append(job))
    reporter.report("downloading", 0, 0)
    time.sleep(0.2)
    reporter.settle()
    assert sent == [{"id": "a"}]
