"""`run_within`: results and errors pass through; a time limit and a cancelled job end the wait and the work."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from src.deadline import DeadlineExceeded, run_within
from src.errors import Cancelled, OutOfResources
from src.job_control import JobControl

LONG = 30.0
"""Seconds; no test waits for them."""


def nothing() -> None:
    """Interrupts work that ends by itself."""


@pytest.fixture
def blocked() -> Iterator[threading.Event]:
    """An event for work to wait on, set when the test ends."""
    event = threading.Event()
    yield event
    event.set()


def test_the_result_is_returned() -> None:
    assert run_within(LONG, lambda: threading.current_thread().name, name="download", interrupt=nothing) == "download"


def test_an_error_passes_through() -> None:
    empty: dict[str, str] = {}
    with pytest.raises(KeyError, match="missing"):
        run_within(LONG, lambda: empty["missing"], name="work", interrupt=nothing)


def test_a_timeout_of_the_work_is_not_the_time_limit() -> None:
    def time_out() -> None:
        raise TimeoutError("the socket's")

    with pytest.raises(TimeoutError, match="the socket's"):
        run_within(LONG, time_out, name="work", interrupt=nothing)


def test_the_time_limit_ends_the_wait_and_the_thread(blocked: threading.Event) -> None:
    threads: list[threading.Thread] = []

    def work() -> None:
        threads.append(threading.current_thread())
        blocked.wait(LONG)

    with pytest.raises(DeadlineExceeded, match=r"^work took longer than 0\.01 s$"):
        run_within(0.01, work, name="work", interrupt=blocked.set)
    assert not threads[0].is_alive()


def test_a_thread_that_cannot_be_interrupted_is_waited_for_a_moment_only(blocked: threading.Event) -> None:
    threads: list[threading.Thread] = []

    def work() -> None:
        threads.append(threading.current_thread())
        blocked.wait(LONG)

    with pytest.raises(DeadlineExceeded):
        run_within(0.01, work, name="work", interrupt=nothing)
    assert threads[0].is_alive()


def test_the_interruption_comes_after_success_and_error_too() -> None:
    interrupted: list[str] = []
    run_within(LONG, nothing, name="work", interrupt=lambda: interrupted.append("success"))
    with pytest.raises(ZeroDivisionError):
        run_within(LONG, lambda: 1 // 0, name="work", interrupt=lambda: interrupted.append("error"))
    assert interrupted == ["success", "error"]


def test_a_cancelled_job_ends_the_wait(blocked: threading.Event) -> None:
    control = JobControl()
    begun = threading.Event()

    def work() -> None:
        begun.set()
        blocked.wait(LONG)

    def cancel() -> None:
        begun.wait(LONG)
        control.cancel("the job was cancelled")

    threading.Thread(target=cancel, daemon=True).start()
    with pytest.raises(Cancelled, match="the job was cancelled"):
        run_within(LONG, work, name="work", interrupt=blocked.set, on_cancel=control.on_cancel)
    assert blocked.is_set()


def test_work_of_a_cancelled_job_is_not_begun() -> None:
    control = JobControl()
    control.cancel("the job was cancelled")
    begun = threading.Event()
    with pytest.raises(Cancelled):
        run_within(LONG, begun.set, name="work", interrupt=nothing, on_cancel=control.on_cancel)
    assert not begun.is_set()


def test_work_that_ends_after_its_time_limit_is_silent(blocked: threading.Event) -> None:
    """Pytest reports an exception that a thread does not catch."""
    ended = threading.Event()

    def work() -> None:
        try:
            blocked.wait(LONG)
            raise KeyError
        finally:
            ended.set()

    with pytest.raises(DeadlineExceeded):
        run_within(0.01, work, name="work", interrupt=nothing)
    blocked.set()
    assert ended.wait(LONG)


def test_a_worker_without_threads_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(OutOfResources, match="cannot start another thread"):
        run_within(LONG, nothing, name="work", interrupt=nothing)
