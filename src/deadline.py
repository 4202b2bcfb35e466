"""Runs work on a thread, and stops waiting for it at a time limit or when the job is cancelled."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import AbstractContextManager, nullcontext, suppress
from threading import Thread
from typing import TypeVar

T = TypeVar("T")

OnCancel = Callable[[Callable[[], object]], AbstractContextManager[None]]
"""Calls its argument on cancellation while its block runs: `JobControl.on_cancel`."""


class DeadlineExceeded(Exception):
    """The work did not end within its time limit."""


def run_within(seconds: float, work: Callable[[], T], *, name: str, on_cancel: OnCancel | None = None) -> T:
    """Run `work` on a thread and return its result.

    A socket's timeout limits each read, not the whole exchange: a server that sends its headers byte by byte keeps
    http.client busy for days. So the caller stops waiting instead. The thread cannot be killed; it is left behind, and
    `work` should end by itself at its next look at the clock.

    Args:
        seconds: time limit.
        work: its exceptions are passed on.
        name: of the thread.
        on_cancel: also ends the wait when the job is cancelled, and raises the reason.

    Raises:
        DeadlineExceeded: `work` still runs after `seconds`.
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
        Thread(target=run, name=name, daemon=True).start()
        try:
            return outcome.result(seconds)
        except FutureTimeout:
            if outcome.done():  # `work` raised a TimeoutError, or ended at the last moment
                return outcome.result()
            raise DeadlineExceeded(f"{name} took longer than {seconds:g} s") from None
