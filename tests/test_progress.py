"""Progress as `/status` shows it: apart, in order, never after the result."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from src.serving.progress import END_MARGIN_S, ProgressReporter


class Platform:
    """Takes updates as the SDK sends them: each from its own thread, which ends when `landing` is set."""

    def __init__(self) -> None:
        self.landing = threading.Event()
        self.sent: list[dict[str, Any]] = []
        self.landed: list[dict[str, Any]] = []

    def progress_update(self, job: dict[str, Any], update: dict[str, Any]) -> None:
        def _thread_target() -> None:
            self.landing.wait(10)
            self.landed.append(update)

        self.sent.append(update)
        threading.Thread(target=_thread_target, daemon=True).start()


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def platform() -> Iterator[Platform]:
    platform = Platform()
    yield platform
    platform.landing.set()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reporter(platform: Platform, clock: Clock) -> Iterator[ProgressReporter]:
    """A reporter that sends when a test asks it to."""
    reporter = ProgressReporter({"id": "a", "input": {}}, platform.progress_update, interval=None, clock=clock)
    yield reporter
    platform.landing.set()
    reporter.settle()


def land(platform: Platform) -> None:
    """Waits until all updates have landed, and their threads have ended."""
    platform.landing.set()
    for thread in threading.enumerate():
        if "_thread_target" in thread.name:
            thread.join(10)
    platform.landing.clear()


def test_updates_are_numbered_in_order(platform: Platform, reporter: ProgressReporter, clock: Clock) -> None:
    for second in (10, 20, 30):
        clock.now = second
        reporter.report("transcribing", second, 100)
        reporter.send_latest()
        land(platform)
    assert platform.landed == [
        {"stage": "transcribing", "percent": second, "audio_seconds": second, "update": number}
        for number, second in enumerate((10, 20, 30), 1)
    ]


def test_no_update_overtakes_one_in_flight(platform: Platform, reporter: ProgressReporter) -> None:
    reporter.report("downloading", 0, 0)
    reporter.send_latest()
    reporter.report("decoding", 0, 0)
    reporter.send_latest()
    assert [update["stage"] for update in platform.sent] == ["downloading"]
    land(platform)
    reporter.send_latest()
    assert [update["stage"] for update in platform.sent] == ["downloading", "decoding"]


def test_progress_is_not_sent_twice(platform: Platform, reporter: ProgressReporter) -> None:
    reporter.send_latest()
    assert platform.sent == []  # there is none yet
    reporter.report("downloading", 0, 0)
    for _ in range(3):
        reporter.send_latest()
        land(platform)
    assert len(platform.sent) == 1


def test_no_update_is_sent_shortly_before_the_end(platform: Platform, reporter: ProgressReporter, clock: Clock) -> None:
    for left, sent in ((END_MARGIN_S - 0.1, 0), (END_MARGIN_S + 0.1, 1)):
        clock.now = 100 - left  # in real time
        reporter.report("transcribing", clock.now, 100)
        reporter.send_latest()
        assert len(platform.sent) == sent


def test_the_result_waits_for_the_update_in_flight(platform: Platform) -> None:
    reporter = ProgressReporter({"id": "a", "input": {}}, platform.progress_update, interval=None)
    reporter.report("downloading", 0, 0)
    reporter.send_latest()
    threading.Timer(0.05, platform.landing.set).start()
    reporter.settle()
    assert platform.landed == platform.sent != []


def test_updates_are_sent_at_intervals_until_settled(platform: Platform) -> None:
    platform.landing.set()
    reporter = ProgressReporter({"id": "a", "input": {}}, platform.progress_update, interval=0.01)
    end = time.monotonic() + 20
    for second in range(100_000):
        reporter.report("downloading", second, 0)
        if len(platform.landed) >= 3 or time.monotonic() > end:
            break
        time.sleep(0.001)
    reporter.settle()
    landed = list(platform.landed)
    assert [update["update"] for update in landed] == list(range(1, len(landed) + 1))
    assert len(landed) >= 3
    reporter.report("downloading", -1, 0)
    assert not [thread for thread in threading.enumerate() if thread.name == "progress"]


def test_the_job_itself_is_not_sent_along() -> None:
    sent: list[dict[str, Any]] = []
    reporter = ProgressReporter(
        {"id": "a", "input": {"audio": "secret"}}, lambda job, _: sent.append(job), interval=None
    )
    reporter.report("downloading", 0, 0)
    reporter.send_latest()
    reporter.settle()
    assert sent == [{"id": "a"}]
