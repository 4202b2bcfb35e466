"""Control of a running job: cancellation and deadlines."""

from __future__ import annotations

import threading

import pytest

from src.errors import Cancelled
from src.job_control import JobControl


def test_a_cancelled_job_ends_the_current_block_and_later_ones() -> None:
    control = JobControl()
    ended = threading.Event()
    ran: list[str] = []

    def work(name: str) -> None:
        with control.on_cancel(ended.set):
            ran.append(name)
            assert ended.wait(5)
            raise OSError("broken by the cancellation")

    threading.Timer(0.05, control.cancel, ["too late"]).start()
    for name in ("first", "second"):
        with pytest.raises(Cancelled, match="too late"):
            work(name)
    assert ran == ["first"]


def test_other_errors_pass_through() -> None:
    with pytest.raises(KeyError), JobControl().on_cancel(lambda: None):
        raise KeyError


def test_the_first_reason_counts() -> None:
    control = JobControl()
    control.cancel("first")
    control.cancel("second")
    with pytest.raises(Cancelled, match="first"):
        control.check()


def test_a_deadline_cancels_the_job_only_within_its_block() -> None:
    late, early = JobControl(), JobControl()
    ended = threading.Event()
    with late.deadline(0.01, "late"), pytest.raises(Cancelled, match="late"), late.on_cancel(ended.set):
        assert ended.wait(5)
    with early.deadline(0.05, "late"):
        pass
    assert not threading.Event().wait(0.1)
    early.check()


def test_a_deadline_may_exceed_the_range_of_clocks() -> None:
    control = JobControl()
    with control.deadline(1e300, "too long"):
        (timer,) = (thread for thread in threading.enumerate() if isinstance(thread, threading.Timer))
        timer.join(0.2)
        assert timer.is_alive()  # and has not failed
    control.check()
