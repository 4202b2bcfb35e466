"""Runs work on a thread, and ends it at a time limit or when the job is cancelled."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import AbstractContextManager, nullcontext, suppress
from threading import Thread
from typing import TypeVar

from src.errors import OutOfResources

T = TypeVar("T")

OnCancel = Callable[[Callable[[], object]], AbstractContextManager[None]]
"""Calls its argument on cancellation while its block runs: `JobControl.on_cancel`."""

_JOIN_TIMEOUT_S = 1.0
"""Maximum wait for a thread that has been interrupted."""


class DeadlineExceeded(Exception):
    """The work did not end within its time limit."""


def run_within(
    seconds: float,
    work: Callable[[], T],
    *,
    name: str,
    interrupt: Callable[[], object],
    on_cancel: OnCancel | None = None,
) -> T:
    """Run `work` on a thread and return its result.

    A socket's timeout limits each read, not the whole exchange: a server that sends its headers byte by byte keeps
    http.client busy for days. So the caller waits no longer than the time limit, and then interrupts the thread.

    Args:
        seconds: time limit.
        work: its exceptions are passed on.
        name: of the thread.
        interrupt: makes `work` return or raise soon; called once the wait is over, whatever ended it.
        on_cancel: also ends the wait when the job is cancelled, and raises the reason.

    Raises:
        DeadlineExceeded: `work` still runs after `seconds`.
        OutOfResources: there can be no further thread.
    """
    outcome: Future[T] = Future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:
            with suppress(InvalidStateError):  # cancelled meanwhile
                outcome.set_exception(error)
        else:
            with suppress(InvalidStateError):
                outcome.set_result(result)

    with on_cancel(outcome.cancel) if on_cancel else nullcontext():
        thread = Thread(target=run, name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            raise OutOfResources("the worker cannot start another thread: send the job again later") from None
        try:
            return outcome.result(seconds)
        except FutureTimeout:
            if outcome.done():  # `work` raised a TimeoutError, or ended at the last moment
                return outcome.result()
            raise DeadlineExceeded(f"{name} took longer than {seconds:g} s") from None
        finally:
            interrupt()
            thread.join(_JOIN_TIMEOUT_S)
