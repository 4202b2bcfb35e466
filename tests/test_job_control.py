"""What a running job and whoever waits for it tell each other."""

from __future__ import annotations

import threading

import pytest

from src.errors import Cancelled
from src.job_control import JobControl


def test_a_stop_ends_what_runs_and_what_would_follow() -> None:
    control = JobControl()
    ended = threading.Event()
    ran: list[str] = []

    def work(name: str) -> None:
        with control.on_cancel(ended.set):
            ran.append(name)
            assert ended.wait(5)
            raise OSError("what the ending broke")

    threading.Timer(0.05, control.stop, ["too late"]).start()
    for name in ("first", "second"):
        with pytest.raises(Cancelled, match="too late"):
            work(name)
    assert ran == ["first"]


def test_errors_of_their_own_come_through() -> None:
    with pytest.raises(KeyError), JobControl().on_cancel(lambda: None):
        raise KeyError


def test_the_first_reason_counts() -> None:
    control = JobControl()
    control.stop("first")
    control.stop("second")
    with pytest.raises(Cancelled, match="first"):
        control.check()


def test_a_deadline_stops_the_job_and_only_while_it_runs() -> None:
    late, early = JobControl(), JobControl()
    ended = threading.Event()
    with late.deadline(0.01, "late"), pytest.raises(Cancelled, match="late"), late.on_cancel(ended.set):
        assert ended.wait(5)
    with early.deadline(0.05, "late"):
        pass
    assert not threading.Event().wait(0.1)
    early.check()


def test_a_deadline_may_be_beyond_what_clocks_can_tell() -> None:
    control = JobControl()
    with control.deadline(1e300, "too long"):
        (timer,) = (thread for thread in threading.enumerate() if isinstance(thread, threading.Timer))
        timer.join(0.2)
        assert timer.is_alive()  # and has not failed
    control.check()
