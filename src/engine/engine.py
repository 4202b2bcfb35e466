"""The model on all of a machine's devices: windows go to the one that has the least to do.

Each device has a scheduler, and with it a copy of the model and a thread of its own. What a device that fails for good
was at is done again by those that are left; only with the last of them is the engine lost.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

import whisper

from src.engine.decoding_options import DecodingOptions, Vocabulary
from src.engine.placement import Placement
from src.engine.scheduler import Client, EngineLost, Scheduler
from src.engine.window import Steps, Window, WindowTranscript, identify_language, transcribe_window

LOOK_AHEAD = 2
"""Batches of windows that a caller hands in before it waits: the batches stay full while it prepares more."""

StepsOn = Callable[[Scheduler], Steps]
"""What is to be done, on whichever device it comes to."""


class Engine:
    """Runs windows on a model; closed by `close`, or at the interpreter's end.

    Args:
        load: gives openai-whisper's model with the checkpoint's weights; what it raises, the constructor raises.
        placements: one for each copy of the model.
        slots: windows that a device decodes at the same time; none: what its placement proposes.
    """

    def __init__(
        self, load: Callable[[], whisper.Whisper], placements: Sequence[Placement], slots: int | None = None
    ) -> None:
        self.placements = placements
        self._schedulers = _started(load, placements, slots)
        self.slots = sum(slots or one.slots for one in placements)
        """Windows that are decoded at once."""
        self._look_ahead = LOOK_AHEAD * self.slots

    @property
    def source(self) -> whisper.Whisper:
        """The loaded weights, as the file has them."""
        return self._schedulers[0].source

    @property
    def vocabulary(self) -> Vocabulary:
        return self._schedulers[0].vocabulary

    @property
    def has_alignment_heads(self) -> bool:
        """Whether the weights say which heads tell the times of words."""
        return self._schedulers[0].has_alignment_heads

    @property
    def device(self) -> str:
        """Names of all devices."""
        return ",".join(str(device) for placement in self.placements for device in placement.devices)

    def transcribe(
        self,
        windows: Iterable[Window],
        options: DecodingOptions,
        caller: Client | None = None,
        *,
        first_alone: bool = False,
    ) -> Iterator[WindowTranscript]:
        """Yields each window's transcript, in order, and meanwhile reads on in `windows`.

        Whoever closes this generator early cancels what is under way: its rows leave before the next step.

        Args:
            caller: to be ended by `cancel` from another thread.
            first_alone: the first window is done before any other begins: the soonest result, at the price of a batch
                with one row.

        Raises:
            torch.OutOfMemoryError: not even one window fits the device.
            CancelledError: the caller was cancelled, or the engine closed.
            EngineLost: it can compute no more.
        """
        caller, source = caller or Client(), iter(windows)
        pending: deque[Future[WindowTranscript]] = deque()
        ahead = 1 if first_alone else self._look_ahead
        try:
            while True:
                for window in itertools.islice(source, ahead - len(pending)):
                    pending.append(self._hand_in(partial(_transcribing, window, options), caller))
                if not pending:
                    return
                yield pending.popleft().result()
                ahead = self._look_ahead
        finally:
            self.cancel(caller)

    def identify_languages(
        self, windows: Iterable[Window], caller: Client | None = None
    ) -> list[tuple[dict[str, float], Window]]:
        """For each window the probability of each language code, and itself with its features, which saves its second
        encoding."""
        caller = caller or Client()
        futures: list[Future[tuple[dict[str, float], Window]]] = [
            self._hand_in(partial(_identifying, window), caller) for window in windows
        ]
        return [future.result() for future in futures]

    def cancel(self, caller: Client) -> None:
        """Ends what is under way for a caller, from any thread; its rows leave before the next step."""
        for scheduler in self._schedulers:
            scheduler.cancel(caller)

    def close(self) -> None:
        """Stops the engine's threads after the step that they are in; whoever still waits gets `CancelledError`."""
        for scheduler in self._schedulers:
            scheduler.close()

    def _hand_in(self, steps_on: StepsOn, caller: Client) -> Future[Any]:
        """The future result of steps, on whichever device they succeed.

        Raises:
            CancelledError: the caller was cancelled, or the engine closed.
            EngineLost: no device is left.
        """
        result: Future[Any] = Future()
        self._place(result, steps_on, caller)
        return result

    def _place(self, result: Future[Any], steps_on: StepsOn, caller: Client) -> None:
        """Has the least loaded device work for a result, and another one if that is lost."""
        while True:
            scheduler = min(self._schedulers, key=lambda one: (one.lost, one.load))
            try:
                attempt = scheduler.submit(steps_on(scheduler), caller)
            except EngineLost:
                if self._is_lost():
                    raise
            else:
                attempt.add_done_callback(partial(self._settle, result, steps_on, caller))
                return

    def _settle(self, result: Future[Any], steps_on: StepsOn, caller: Client, attempt: Future[Any]) -> None:
        error = attempt.exception()
        if error is None:
            result.set_result(attempt.result())
        elif isinstance(error, EngineLost) and not self._is_lost():
            try:
                self._place(result, steps_on, caller)
            except (CancelledError, EngineLost) as failure:
                result.set_exception(failure)
        else:
            result.set_exception(error)

    def _is_lost(self) -> bool:
        return all(one.lost for one in self._schedulers)


def _started(
    load: Callable[[], whisper.Whisper], placements: Sequence[Placement], slots: int | None
) -> list[Scheduler]:
    """A scheduler for each placement, all loaded at the same time; if one cannot be, none is left."""
    with ThreadPoolExecutor(len(placements), "loading") as threads:
        loading = [threads.submit(Scheduler, load, one, slots or one.slots) for one in placements]
    failures = [error for error in (one.exception() for one in loading) if error is not None]
    if failures:
        for one in loading:
            if one.exception() is None:
                one.result().close()
        raise failures[0]
    return [one.result() for one in loading]


def _transcribing(window: Window, options: DecodingOptions, scheduler: Scheduler) -> Steps:
    return transcribe_window(_for(scheduler, window), options, scheduler.vocabulary)


def _identifying(window: Window, scheduler: Scheduler) -> Steps:
    return identify_language(_for(scheduler, window))


def _for(scheduler: Scheduler, window: Window) -> Window:
    """A window without features that lie on another device, which may be lost with them: it is encoded again."""
    if window.features is None or window.features.device == scheduler.device:
        return window
    return replace(window, features=None)
