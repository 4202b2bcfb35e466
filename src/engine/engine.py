"""Runs a model on all of a machine's devices: each window goes to the least-loaded one.

Each device has a scheduler, with its own copy of the model and its own thread. Work of a device that fails for good is
repeated on the remaining ones; the engine is lost with the last of them.
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

from src.engine.decoding_options import DecodingOptions, TokenSets
from src.engine.draft import Draft, draft_window
from src.engine.given_text import TimedRun, WindowText, time_text
from src.engine.placement import Placement, leave_one_core_free
from src.engine.runner import ModelRunner
from src.engine.scheduler import Client, EngineLost, Scheduler, Snapshot
from src.engine.window import Window, WindowTranscript, identify_language, transcribe_window
from src.engine.work import Steps

LOOKAHEAD_BATCHES = 2
"""Batches of windows that a client submits before it waits, so that the batches stay full while it prepares more."""

MakeSteps = Callable[[ModelRunner], Steps]
"""Makes the steps of a window for the device that it is assigned to."""


class Engine:
    """Runs windows on a model; closed by `close`, or at the interpreter's exit.

    Args:
        load: returns openai-whisper's model with the checkpoint's weights; the constructor raises what it raises.
        placements: one for each copy of the model.
        max_batch_size: windows that a device decodes at a time; None: its placement's default.

    Attributes:
        max_batch_size: windows decoded at a time on all devices together.
    """

    def __init__(
        self, load: Callable[[], whisper.Whisper], placements: Sequence[Placement], max_batch_size: int | None = None
    ) -> None:
        self.placements = placements
        self._schedulers = _start_schedulers(load, placements, max_batch_size)
        self.max_batch_size = sum(scheduler.runner.max_batch_size for scheduler in self._schedulers)
        self._lookahead = LOOKAHEAD_BATCHES * self.max_batch_size

    @property
    def source(self) -> whisper.Whisper:
        """The loaded weights, in the file's number format."""
        return self._schedulers[0].runner.source

    @property
    def token_sets(self) -> TokenSets:
        """The checkpoint's tokens."""
        return self._schedulers[0].runner.token_sets

    @property
    def has_alignment_heads(self) -> bool:
        """True if the checkpoint specifies the attention heads that follow the spoken words."""
        return self._schedulers[0].runner.has_alignment_heads

    @property
    def device(self) -> str:
        """Names of all devices, separated by commas."""
        return ",".join(str(device) for placement in self.placements for device in placement.devices)

    def transcribe(
        self,
        windows: Iterable[Window],
        options: DecodingOptions,
        client: Client | None = None,
        *,
        first_alone: bool = False,
    ) -> Iterator[WindowTranscript]:
        """Yield each window's transcript, in order, while it reads ahead in `windows`.

        Closing the generator early cancels what is still running: it leaves the batches before the next step.

        Args:
            client: lets another thread end the work by `cancel`.
            first_alone: finishes the first window before any other starts: the earliest first result, at the price of
                a batch of one.

        Raises:
            OutOfMemory: not even one window fits on the device.
            CancelledError: the client was cancelled, or the engine closed.
            EngineLost: no device can compute any more.
        """
        work = (partial(_transcription_steps, window, options) for window in windows)
        return self._run_in_order(work, client or Client(), first_alone=first_alone)

    def time_texts(self, texts: Iterable[WindowText], client: Client | None = None) -> Iterator[list[TimedRun]]:
        """Yield the times of each window's text, in order, while it reads ahead in `texts`; see `transcribe`."""
        return self._run_in_order((partial(_timing_steps, text) for text in texts), client or Client())

    def _run_in_order(self, work: Iterable[MakeSteps], client: Client, *, first_alone: bool = False) -> Iterator[Any]:
        source = iter(work)
        pending: deque[Future[Any]] = deque()
        lookahead = 1 if first_alone else self._lookahead
        try:
            while True:
                for make_steps in itertools.islice(source, lookahead - len(pending)):
                    pending.append(self._submit(make_steps, client))
                if not pending:
                    return
                yield pending.popleft().result()
                lookahead = self._lookahead
        finally:
            self.cancel(client)

    def identify_languages(
        self, windows: Iterable[Window], client: Client | None = None
    ) -> list[tuple[dict[str, float], Window]]:
        """Identify the language of each window.

        Returns:
            For each window the probability of each language code, and the window with its features, which saves
            encoding it again.
        """
        client = client or Client()
        futures: list[Future[tuple[dict[str, float], Window]]] = [
            self._submit(partial(_identification_steps, window), client) for window in windows
        ]
        return [future.result() for future in futures]

    def draft(
        self,
        window: Window,
        options: DecodingOptions,
        prefix: Sequence[int] = (),
        client: Client | None = None,
        *,
        leaves_core_free: bool = False,
    ) -> Future[Draft]:
        """Return the future draft of a window: one greedy decoding, without repair and words.

        Args:
            window: what has been heard so far.
            options: how to decode it; those of fallback and of words have no effect.
            prefix: sampled tokens of an earlier draft, timestamps among them, that this one begins with.
            client: lets another thread end the work by `cancel`.
            leaves_core_free: meanwhile compute on one core less, as `leave_one_core_free` does.

        Raises:
            CancelledError: the client was cancelled, or the engine closed.
            EngineLost: no device can compute any more.
        """
        steps = _draft_on_fewer_cores if leaves_core_free else _draft_steps
        return self._submit(partial(steps, window, options, prefix), client or Client())

    def cancel(self, client: Client) -> None:
        """Cancel all work of a client, from any thread; it leaves the batches before the next step."""
        for scheduler in self._schedulers:
            scheduler.cancel(client)

    def close(self) -> None:
        """Stop the engine's threads after their current step; pending results raise `CancelledError`."""
        for scheduler in self._schedulers:
            scheduler.close()

    def snapshots(self) -> list[Snapshot]:
        """Return the current load of each device."""
        return [scheduler.snapshot() for scheduler in self._schedulers]

    def _submit(self, make_steps: MakeSteps, client: Client) -> Future[Any]:
        """Return the future result of steps, on whichever device they succeed.

        Raises:
            CancelledError: the client was cancelled, or the engine closed.
            EngineLost: no device is left.
        """
        result: Future[Any] = Future()
        self._submit_to_least_loaded(result, make_steps, client)
        return result

    def _submit_to_least_loaded(self, result: Future[Any], make_steps: MakeSteps, client: Client) -> None:
        """Submit to the least-loaded device; retry elsewhere if that device is lost."""
        while True:
            scheduler = min(self._schedulers, key=lambda scheduler: (scheduler.lost, scheduler.load))
            try:
                attempt = scheduler.submit(make_steps(scheduler.runner), client)
            except EngineLost:
                if self._all_lost():
                    raise
            else:
                attempt.add_done_callback(partial(self._settle, result, make_steps, client))
                return

    def _settle(self, result: Future[Any], make_steps: MakeSteps, client: Client, attempt: Future[Any]) -> None:
        error = attempt.exception()
        if error is None:
            result.set_result(attempt.result())
        elif isinstance(error, EngineLost) and not self._all_lost():
            try:
                self._submit_to_least_loaded(result, make_steps, client)
            except (CancelledError, EngineLost) as failure:
                result.set_exception(failure)
        else:
            result.set_exception(error)

    def _all_lost(self) -> bool:
        return all(scheduler.lost for scheduler in self._schedulers)


def _start_schedulers(
    load: Callable[[], whisper.Whisper], placements: Sequence[Placement], max_batch_size: int | None
) -> list[Scheduler[ModelRunner]]:
    """Start a scheduler for each placement, all in parallel; if one cannot load, the others are closed."""
    with ThreadPoolExecutor(len(placements), "loading") as threads:
        loading = [threads.submit(Scheduler, ModelRunner(load, placement, max_batch_size)) for placement in placements]
    failures = [error for error in (future.exception() for future in loading) if error is not None]
    if failures:
        for future in loading:
            if future.exception() is None:
                future.result().close()
        raise failures[0]
    return [future.result() for future in loading]


def _transcription_steps(window: Window, options: DecodingOptions, runner: ModelRunner) -> Steps:
    return transcribe_window(_without_foreign_features(window, runner), options, runner.token_sets)


def _timing_steps(text: WindowText, runner: ModelRunner) -> Steps:
    return time_text(text, runner.token_sets)


def _draft_steps(window: Window, options: DecodingOptions, prefix: Sequence[int], runner: ModelRunner) -> Steps:
    return draft_window(_without_foreign_features(window, runner), options, runner.token_sets, prefix)


def _draft_on_fewer_cores(
    window: Window, options: DecodingOptions, prefix: Sequence[int], runner: ModelRunner
) -> Steps:
    with leave_one_core_free():
        return (yield from _draft_steps(window, options, prefix, runner))


def _identification_steps(window: Window, runner: ModelRunner) -> Steps:
    return identify_language(_without_foreign_features(window, runner))


def _without_foreign_features(window: Window, runner: ModelRunner) -> Window:
    """Drop features on another device, which may be lost with it, so that the window is encoded again."""
    if window.features is None or window.features.device == runner.placement.device:
        return window
    return replace(window, features=None)
