"""Continuous batching on one device: the windows of all active clients share a model and its batches.

The scheduler decides what is computed next, a `Runner` computes it. Both do so on one thread, which loads the model
too. (On a CPU no other thread may have computed in parallel: OpenMP keeps its workers spinning between the small steps
of decoding only while there are no more of them than cores.) Clients, each on its own thread, submit the steps of
windows and receive their results. Each loop iteration runs all pending work: start windows of the client with the
fewest running ones, encode, admit decode requests into free slots, one decoding step for every batch, score tokens,
align words. The slot of a finished request is filled again at the next step.

Requests with different keys, such as greedy ones and beam searches, cannot share a batch. As a step takes nearly the
same time for one request as for eight, a batch that would be nearly empty is held back while another one runs.

Faults are isolated. A failing batch is split in half and retried until the failing item is isolated: out of memory, the
batch shrinks until it fits; otherwise one window fails, and only its client receives the error. Only an error that
loses the device loses the engine: all clients receive it, and only a new process helps.
"""

from __future__ import annotations

import atexit
import itertools
import logging
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from src.engine.work import (
    AlignmentRequest,
    DecodeRequest,
    DecodeResult,
    DeviceLost,
    EncodeRequest,
    HostWork,
    LanguageRequest,
    NumericalFault,
    OutOfMemory,
    ScoreRequest,
    Steps,
    Work,
)

log = logging.getLogger(__name__)

IDLE_RELEASE_S = 1.0
"""Seconds without work after which the memory of empty batches is released."""

MAX_HELD_STEPS = 128
"""Decoding steps for which a request waits for others to start a batch with: about those of a window of speech."""

TRIM_INTERVAL_S = 2.0
"""Seconds of work after which freed memory is released: fragmented, it would grow with a recording's length."""


class DecodeBatch(Protocol):
    """Requests with the same key that are decoded together, one token per step.

    `admit` and `step` raise `OutOfMemory`, `DeviceLost`, or any other exception if the fault may be one request's.
    """

    @property
    def num_slots(self) -> int:
        """Maximum number of requests at a time."""

    @property
    def running(self) -> Sequence[DecodeRequest]:
        """The requests that `step` has not reported."""

    @property
    def free_slots(self) -> int:
        """The number of further requests that fit."""

    def admit(self, requests: Sequence[DecodeRequest]) -> None:
        """Put requests into free slots."""

    def step(self) -> Sequence[tuple[DecodeRequest, DecodeResult | NumericalFault]]:
        """Sample one more token for every request; return the finished ones, whose slots are free again."""

    def remove(self, requests: Sequence[DecodeRequest]) -> None:
        """Remove unfinished requests."""


class Runner(Protocol):
    """Computes on a device what the scheduler decides; all methods are called on the engine's thread.

    Attributes:
        max_batch_size: slots of a batch; final once the model is loaded.
        pass_size: requests of one pass of `run`: enough to keep the device busy, few enough to save memory.
        computes_alone: the device leaves the CPU free: `HostWork` runs on another thread meanwhile.
        keeps_idle_batches: empty batches keep their memory while there is no work.
    """

    max_batch_size: int
    pass_size: int
    computes_alone: bool
    keeps_idle_batches: bool

    def loaded(self) -> AbstractContextManager[None]:
        """Load the model; the other methods are called within the block."""

    def key(self, work: Work) -> Hashable:
        """Return what work must have in common to be computed together: a search, a number format, ..."""

    def run(self, requests: Sequence[Any]) -> Sequence[Any]:
        """Return the results of requests with the same key, other than to decode; it raises as `DecodeBatch` does."""

    def make_batch(self, request: DecodeRequest, max_slots: int) -> DecodeBatch:
        """Return an empty batch for requests with the key of this one, with fewer slots where memory is short."""

    def release_freed_memory(self) -> None:
        """Return memory that nothing uses to the system."""


R = TypeVar("R", bound=Runner)


class EngineLost(Exception):
    """The device, or the engine's bookkeeping, is beyond repair: this process can compute nothing more."""


class Client:
    """A submitter of windows. Its windows are started in order; several clients take turns.

    Args:
        background: its windows start only while no other client has one waiting, and few at a time, so that they delay
            the other clients' windows little.
    """

    def __init__(self, *, background: bool = False) -> None:
        self.background = background
        self.cancelled = False


@dataclass
class ClientQueue:
    """Submitted windows of one client."""

    waiting: deque[RunningTask] = field(default_factory=deque)
    running: int = 0
    last_served: int = 0


@dataclass(eq=False)
class RunningTask:
    """A generator of steps, and the callback for its result or its error."""

    steps: Steps
    client: Client
    done: Callable[[Any, BaseException | None], None]


@dataclass
class Gather:
    """The results, in order, of generators that run concurrently."""

    missing: int
    results: list[Any]
    error: BaseException | None = None


Pending = list[tuple[RunningTask, Any]]
"""Work with the task that waits for it."""


@dataclass(frozen=True)
class Snapshot:
    """The load of one device at a moment.

    Attributes:
        clients: clients with unfinished windows.
        queued: submitted windows that have not been started.
        unfinished: submitted windows without a result, the queued ones among them.
        decoding: decode requests in the batches.
        free_slots: decode requests that the existing batches still have slots for.
    """

    clients: int
    queued: int
    unfinished: int
    decoding: int
    free_slots: int


class Scheduler(Generic[R]):
    """Runs windows on a device; closed by `close`, or at the interpreter's exit.

    Args:
        runner: computes; the constructor raises what its loading raises.
    """

    def __init__(self, runner: R) -> None:
        self.runner = runner
        self._batches: OrderedDict[Hashable, DecodeBatch] = OrderedDict()
        """By key, the one that last admitted a request at the end."""
        self._slots: dict[Hashable, int] = {}
        """Slots of a new batch, if fewer than usual: while a failure is isolated, or for good where memory is short."""
        self._held: dict[Hashable, int] = {}
        """Keys whose batches are held back, and the number of steps that had been made when each one's wait began."""
        self._steps = 0
        self._pending: dict[type[Work], deque[tuple[RunningTask, Any]]] = {
            kind: deque()
            for kind in (EncodeRequest, LanguageRequest, DecodeRequest, ScoreRequest, AlignmentRequest, HostWork)
        }
        self._returned: list[tuple[RunningTask, Future[Any]]] = []
        """Results of `HostWork` from the other thread."""
        self._decoding: dict[DecodeRequest, RunningTask] = {}
        self._queues: dict[Client, ClientQueue] = {}
        self._futures: dict[Future[Any], Client] = {}
        self._turn = itertools.count(1)
        self._closed = False
        self._lost: EngineLost | None = None
        self._trimmed_at = time.monotonic()
        self._wake = threading.Condition()
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()
        self._ready.result()
        atexit.register(self.close)

    # --- Called from the clients' threads ------------------------------------------------------------------------

    def submit(self, steps: Steps, client: Client) -> Future[Any]:
        """Return the future result of steps; its done callbacks run on the engine's thread, and must be quick.

        Raises:
            CancelledError: the client was cancelled, or the engine closed.
            EngineLost: the device can compute nothing more.
        """
        future: Future[Any] = Future()
        with self._wake:
            if self._lost:
                raise self._lost
            if self._closed or client.cancelled:
                raise CancelledError("the engine is closed" if self._closed else "the client was cancelled")
            self._futures[future] = client
            task = RunningTask(steps, client, lambda result, error: self._resolve(future, result, error))
            self._queues.setdefault(client, ClientQueue()).waiting.append(task)
            self._wake.notify()
        return future

    @property
    def load(self) -> int:
        """The number of windows without a result."""
        return len(self._futures)

    @property
    def lost(self) -> bool:
        """True if the device can compute nothing more."""
        return self._lost is not None

    def snapshot(self) -> Snapshot:
        """Return the current load, from any thread."""
        with self._wake:
            queues, unfinished = list(self._queues.values()), len(self._futures)
        batches = list(self._batches.values())
        return Snapshot(
            clients=len(queues),
            queued=sum(len(queue.waiting) for queue in queues),
            unfinished=unfinished,
            decoding=sum(len(batch.running) for batch in batches),
            free_slots=sum(batch.free_slots for batch in batches),
        )

    def cancel(self, client: Client) -> None:
        """Cancel all work of a client, from any thread; it leaves the batches before the next step."""
        with self._wake:
            client.cancelled = True
            self._wake.notify()

    def close(self) -> None:
        """Stop the engine's thread after its current step; pending results raise `CancelledError`."""
        atexit.unregister(self.close)
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    # --- On the engine's thread ----------------------------------------------------------------------------------

    def _run(self) -> None:
        with ExitStack() as stack:
            try:
                stack.enter_context(self.runner.loaded())
            except BaseException as error:
                self._ready.set_exception(error)
                return
            host = ThreadPoolExecutor(1, "host") if self.runner.computes_alone else None
            if host is not None:
                stack.callback(host.shutdown, cancel_futures=True)
            stack.callback(self._batches.clear)
            self._ready.set_result(None)
            try:
                while self._wait_for_work():
                    self._drop_cancelled()
                    self._resume_returned()
                    self._schedule()
                    self._encode()
                    self._run_pass(LanguageRequest)
                    self._admit()
                    self._step()
                    self._read_again(ScoreRequest)
                    self._read_again(AlignmentRequest)
                    self._compute_on_host(host)
                end: BaseException = CancelledError("the engine was closed")
            except Exception as error:
                log.error("the engine is lost (%s)", type(error).__name__)
                end = EngineLost(f"the engine is lost ({type(error).__name__})")
                end.__cause__ = error
            self._fail_all(end)

    def _fail_all(self, end: BaseException) -> None:
        with self._wake:
            self._lost = end if isinstance(end, EngineLost) else None
            futures, self._futures = list(self._futures), {}
        for future in futures:
            future.set_exception(end)

    def _wait_for_work(self) -> bool:
        """Wait until there is work; return False once closed."""
        if not self._futures or time.monotonic() - self._trimmed_at > TRIM_INTERVAL_S:
            self.runner.release_freed_memory()  # before the next job's peak adds to it
            self._trimmed_at = time.monotonic()
        with self._wake:
            if not self._wake.wait_for(self._has_work, IDLE_RELEASE_S):
                if not self.runner.keeps_idle_batches:
                    self._release_empty_batches()
                self.runner.release_freed_memory()
                self._wake.wait_for(self._has_work)
            return not self._closed

    def _has_work(self) -> bool:
        """True unless there is nothing to do, or only to wait for the other thread."""
        return (
            self._closed
            or bool(self._decoding or self._returned)
            or any(self._pending.values())
            or any(queue.waiting or client.cancelled for client, queue in self._queues.items())
        )

    def _release_empty_batches(self, kept: int = 0) -> None:
        """Release the memory of empty batches, except the `kept` last used ones."""
        empty = [key for key, batch in self._batches.items() if not batch.running]
        for key in empty[: max(0, len(empty) - kept)]:
            del self._batches[key]

    def _resolve(self, future: Future[Any], result: Any, error: BaseException | None) -> None:
        with self._wake:
            client = self._futures.pop(future)
            queue = self._queues[client]
            queue.running -= 1
            if not (queue.running or queue.waiting or client.cancelled):
                del self._queues[client]
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def _drop_cancelled(self) -> None:
        """Remove cancelled clients with all their work."""
        with self._wake:
            cancelled = {client for client in self._queues if client.cancelled}
            if not cancelled:
                return
            for client in cancelled:
                del self._queues[client]
            orphaned = [future for future, client in self._futures.items() if client in cancelled]
            for future in orphaned:
                del self._futures[future]
        for future in orphaned:
            future.set_exception(CancelledError("the client was cancelled"))
        for kind, pending in self._pending.items():
            self._pending[kind] = deque((task, work) for task, work in pending if not task.client.cancelled)
        for batch in self._batches.values():
            batch.remove([request for request in batch.running if self._decoding[request].client.cancelled])
        self._decoding = {request: task for request, task in self._decoding.items() if not task.client.cancelled}

    def _resume_returned(self) -> None:
        """Send tasks the results of the other thread."""
        with self._wake:
            returned, self._returned = self._returned, []
        for task, result in returned:
            if not task.client.cancelled:
                error = result.exception()
                self._advance(task, None if error else result.result(), error)

    def _schedule(self) -> None:
        """Start as many windows as slots will soon be free for, of the clients with the fewest running ones first."""
        running = sum(len(batch.running) for batch in self._batches.values())
        before_decoding = (EncodeRequest, LanguageRequest, DecodeRequest)
        upcoming = sum(len(self._pending[kind]) for kind in before_decoding) - self._num_held()
        for _ in range(self.runner.max_batch_size + self.runner.pass_size - running - upcoming):
            with self._wake:
                queue = self._next_queue()
                if queue is None:
                    return
                task = queue.waiting.popleft()
                queue.running += 1
                queue.last_served = next(self._turn)
            self._advance(task, None)

    def _next_queue(self) -> ClientQueue | None:
        """The queue whose first window is to start next, if one is."""
        ready = [(client, queue) for client, queue in self._queues.items() if queue.waiting]
        if not self._may_start_in_background():
            ready = [(client, queue) for client, queue in ready if not client.background]
        order = [(client.background, queue.running, queue.last_served) for client, queue in ready]
        return ready[order.index(min(order))][1] if ready else None

    def _may_start_in_background(self) -> bool:
        """True if less than a pass waits to be encoded; while other clients' windows run, if less than a pass runs."""
        running = {False: 0, True: 0}
        for client, queue in self._queues.items():
            running[client.background] += queue.running
        at_once = running[True] if running[False] else len(self._pending[EncodeRequest])
        return at_once < self.runner.pass_size

    def _advance(self, task: RunningTask, result: Any, error: BaseException | None = None) -> None:
        """Send a task the result of its work, and queue the work that it yields next."""
        try:
            work = task.steps.send(result) if error is None else task.steps.throw(error)
        except StopIteration as end:
            task.done(end.value, None)
        except Exception as failure:
            task.done(None, failure)
        else:
            if isinstance(work, list):
                self._run_concurrently(work, task)
            else:
                self._pending[type(work)].append((task, work))

    def _run_concurrently(self, children: list[Steps], parent: RunningTask) -> None:
        gather = Gather(len(children), [None] * len(children))

        def child_done(index: int, result: Any, error: BaseException | None) -> None:
            gather.results[index] = result
            gather.error = gather.error or error
            gather.missing -= 1
            if gather.missing == 0:
                self._advance(parent, gather.results, gather.error)

        for index, steps in enumerate(children):
            self._advance(RunningTask(steps, parent.client, partial(child_done, index)), None)

    def _encode(self) -> None:
        """Encode one batch, if a full one is pending or slots would stay empty."""
        full = len(self._pending[EncodeRequest]) >= self.runner.pass_size
        if full or len(self._pending[DecodeRequest]) == self._num_held():
            self._run_pass(EncodeRequest)

    def _read_again(self, kind: type[ScoreRequest] | type[AlignmentRequest]) -> None:
        """Score or align one batch of decoded texts, if a full one is pending or nothing is left to decode."""
        full = len(self._pending[kind]) >= self.runner.pass_size
        if full or not self._decoding:
            self._run_pass(kind)

    def _run_pass(self, kind: type[Work]) -> None:
        """Compute pending work of a kind, up to a full pass, with the same key as the first."""
        pending = self._pending[kind]
        if not pending:
            return
        key = self.runner.key(pending[0][1])
        batch = [item for item in pending if self.runner.key(item[1]) == key][: self.runner.pass_size]
        for item in batch:
            pending.remove(item)
        self._run_batch(batch, self.runner.run)

    def _admit(self) -> None:
        """Admit requests to the free slots of their batches, in order of arrival, unless their batch is held back."""
        waiting: dict[Hashable, Pending] = {}
        for item in self._pending[DecodeRequest]:
            waiting.setdefault(self.runner.key(item[1]), []).append(item)
        running = [key for key, batch in self._batches.items() if batch.running]
        self._held = {key: self._held.get(key, self._steps) for key in waiting if key not in running}
        ready = [key for key, items in waiting.items() if key in running or self._may_start(key, len(items))]
        if not running and not ready:
            ready = list(waiting)[:1]
        for key in ready:
            self._held.pop(key, None)
            self._fill_slots(key, waiting[key])

    def _may_start(self, key: Hashable, waiting: int) -> bool:
        """True if a batch need not be held back any longer while another one runs."""
        at_least_half = 2 * waiting >= self._slots.get(key, self.runner.max_batch_size)
        return at_least_half or self._steps - self._held[key] >= MAX_HELD_STEPS

    def _num_held(self) -> int:
        """The number of requests whose batches are held back."""
        return sum(self.runner.key(request) in self._held for _, request in self._pending[DecodeRequest])

    def _fill_slots(self, key: Hashable, items: Pending) -> None:
        try:
            batch = self._batches[key] if key in self._batches else self._make_batch(key, items[0][1])
        except DeviceLost:
            raise
        except Exception as error:  # not even one request fits
            task, request = items[0]
            self._pending[DecodeRequest].remove((task, request))
            self._advance(task, None, error)
            return
        entering = items[: batch.free_slots]
        for item in entering:
            self._pending[DecodeRequest].remove(item)
        self._batches.move_to_end(key)
        self._run_batch(entering, partial(self._admit_to, batch), self._mark_decoding)

    def _make_batch(self, key: Hashable, request: DecodeRequest) -> DecodeBatch:
        """Make the batch for a key, with half of the slots, and again half, until it fits into memory.

        The last used one of the empty batches is kept, as many jobs alternate between two keys.
        """
        self._release_empty_batches(kept=1)
        slots = self._slots.get(key, self.runner.max_batch_size)
        while True:
            try:
                self._batches[key] = batch = self.runner.make_batch(request, slots)
            except OutOfMemory:
                if slots == 1:
                    raise
                self._release_empty_batches()
                self._slots[key] = slots = slots // 2
            else:
                return batch

    def _admit_to(self, batch: DecodeBatch, requests: Sequence[DecodeRequest]) -> Sequence[DecodeRequest]:
        batch.admit(requests)
        return requests

    def _mark_decoding(self, task: RunningTask, request: DecodeRequest) -> None:
        self._decoding[request] = task

    def _step(self) -> None:
        self._steps += 1
        for key, batch in list(self._batches.items()):
            if not batch.running:
                continue
            try:
                outcomes = batch.step()
            except DeviceLost:
                raise
            except Exception as error:
                self._retry_in_halves(key, error)
            else:
                for request, outcome in outcomes:
                    fault = outcome if isinstance(outcome, NumericalFault) else None
                    self._advance(self._decoding.pop(request), outcome, fault)

    def _retry_in_halves(self, key: Hashable, error: Exception) -> None:
        """After a failed step, restarts its requests in a batch of half the size; a single request fails."""
        requests = self._batches.pop(key).running
        tasks = [self._decoding.pop(request) for request in requests]
        if len(requests) > 1:
            self._slots[key] = half = len(requests) // 2
            log.warning("decoding %d windows failed (%s): continuing with %d", len(requests), error, half)
            self._pending[DecodeRequest].extendleft(reversed(list(zip(tasks, requests, strict=True))))
            return
        if not isinstance(error, OutOfMemory):
            self._slots.pop(key, None)
        self._advance(tasks[0], None, error)

    def _compute_on_host(self, thread: ThreadPoolExecutor | None) -> None:
        """Compute what needs no model: here, or on a thread of its own, which wakes this one with the result."""
        pending = self._pending[HostWork]
        while pending:
            task, work = pending.popleft()
            if thread is None:
                self._run_batch([(task, work)], lambda works: [works[0].run()])
            else:
                thread.submit(work.run).add_done_callback(partial(self._return, task))

    def _return(self, task: RunningTask, result: Future[Any]) -> None:
        with self._wake:
            self._returned.append((task, result))
            self._wake.notify()

    def _run_batch(
        self,
        pending: Pending,
        run: Callable[[Sequence[Any]], Sequence[Any]],
        deliver: Callable[[RunningTask, Any], None] | None = None,
    ) -> None:
        """Run work as one batch and deliver its results; retry a failing batch in halves, down to a single item."""
        if not pending:
            return
        try:
            results = run([work for _, work in pending])
        except DeviceLost:
            raise
        except Exception as error:
            if len(pending) == 1:
                self._advance(pending[0][0], None, error)
                return
            log.warning("a batch of %d windows failed (%s): retrying in halves", len(pending), type(error).__name__)
        else:
            for (task, _), result in zip(pending, results, strict=True):
                (deliver or self._advance)(task, result)
            return
        # Outside of the handler: the error keeps the memory of the failed batch.
        half = len(pending) // 2
        self._run_batch(pending[:half], run, deliver)
        self._run_batch(pending[half:], run, deliver)
