"""Continuous batching on one device: the windows of every running caller share a model and its batches.

One thread owns the model, from its loading on. (On a CPU no other thread may have computed in parallel: OpenMP keeps
its workers awake between the small steps of decoding only while they are no more than the cores.) Callers, each on a
thread of its own, hand in the steps of windows and get their results. The loop does, over and over, what is due: start
windows of the caller that has the fewest under way, encode, admit attempts into free slots, one decoding step for every
batch, align words. A place that a finished attempt leaves is taken at the next step.

Faults stay with whom they belong to. Work that fails in company is done again in halves, until the culprit is alone:
without memory, that is the batch that still fits; otherwise one window fails, and its caller alone is told. Only after
an error that takes the device with it is the engine lost: everyone is told, and only a new process helps.
"""

from __future__ import annotations

import atexit
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
import whisper
from torch import Tensor
from whisper.audio import HOP_LENGTH, N_FFT, N_FRAMES, log_mel_spectrogram, pad_or_trim

from src.engine.alignment import Passage, align
from src.engine.decoding import Attempt, Batch, BeamBatch, NumericalFault, Rules
from src.engine.decoding_options import Vocabulary
from src.engine.model import Model
from src.engine.placement import Placement, a_core_left, give_memory_back, takes_device_along
from src.engine.window import Encode, Identify, Steps, Work
from src.models.weights import embedding_of, has_alignment_heads

log = logging.getLogger(__name__)

QUIET = 1.0
"""Seconds without work after which the memory of the batches is given back."""


TRIM_EVERY = 2.0
"""Seconds of work after which freed memory is given back: in pieces, it would grow with a recording's length."""


class EngineLost(Exception):
    """The device, or the engine's own bookkeeping, is beyond repair: nothing more can be computed in this process."""


class Client:
    """Whoever hands in windows. Its windows are started in order; several callers take turns."""

    def __init__(self) -> None:
        self.cancelled = False


@dataclass
class Queue:
    """What a caller has handed in."""

    waiting: deque[Task] = field(default_factory=deque)
    under_way: int = 0
    last_served: int = 0


@dataclass(eq=False)
class Task:
    """A generator of steps on its way, and what happens at its end."""

    steps: Steps
    caller: Client
    done: Callable[[Any, BaseException | None], None]


@dataclass
class Join:
    """The results, in order, of generators that run side by side."""

    missing: int
    results: list[Any]
    error: BaseException | None = None


Due = list[tuple[Task, Any]]


class Scheduler:
    """Runs windows on a model; closed by `close`, or at the interpreter's end.

    Args:
        load: gives openai-whisper's model with the checkpoint's weights; what it raises, the constructor raises.
        slots: windows that are decoded at the same time.

    Attributes:
        source: the loaded weights, as the file has them.
        has_alignment_heads: whether they say which heads tell the times of words.
    """

    source: whisper.Whisper
    vocabulary: Vocabulary
    has_alignment_heads: bool

    def __init__(self, load: Callable[[], whisper.Whisper], placement: Placement, slots: int) -> None:
        self._load = load
        self._placement = placement
        self._models: dict[torch.dtype, Model] = {}
        self._slots = slots
        self._width = slots
        """Slots of a batch: fewer while a failure is narrowed down, and for good where memory is short."""
        self._batches: dict[Hashable, Batch] = {}
        self._due: dict[type[Work], deque[tuple[Task, Any]]] = {
            kind: deque() for kind in (Encode, Identify, Attempt, Passage)
        }
        self._decoding: dict[Attempt, Task] = {}
        self._queues: dict[Client, Queue] = {}
        self._futures: dict[Future[Any], Client] = {}
        self._turn = itertools.count(1)
        self._closed = False
        self._lost: EngineLost | None = None
        self._trimmed = time.monotonic()
        self._wake = threading.Condition()
        self._ready: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()
        self._ready.result()
        atexit.register(self.close)

    # --- For callers, on threads of their own -------------------------------------------------------------------

    def submit(self, steps: Steps, caller: Client) -> Future[Any]:
        """The future result of a generator of steps; done callbacks run on the engine's thread, and must be quick.

        Raises:
            CancelledError: the caller was cancelled, or the engine closed.
            EngineLost: it can compute no more.
        """
        future: Future[Any] = Future()
        with self._wake:
            if self._lost:
                raise self._lost
            if self._closed or caller.cancelled:
                raise CancelledError("the engine is closed" if self._closed else "the caller was cancelled")
            self._futures[future] = caller
            task = Task(steps, caller, lambda result, error: self._resolve(future, result, error))
            self._queues.setdefault(caller, Queue()).waiting.append(task)
            self._wake.notify()
        return future

    @property
    def device(self) -> torch.device:
        """Where features lie."""
        return self._placement.device

    @property
    def load(self) -> int:
        """Results that are still due."""
        return len(self._futures)

    @property
    def lost(self) -> bool:
        return self._lost is not None

    def cancel(self, caller: Client) -> None:
        """Ends what is under way for a caller, from any thread; its rows leave before the next step."""
        with self._wake:
            caller.cancelled = True
            if caller in self._queues:
                self._queues[caller].waiting.clear()
            self._wake.notify()

    def close(self) -> None:
        """Stops the engine's thread after the step that it is in; whoever still waits gets `CancelledError`."""
        atexit.unregister(self.close)
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    # --- The engine's thread ------------------------------------------------------------------------------------

    def _run(self) -> None:
        with torch.inference_mode():
            try:
                self._prepare()
            except BaseException as error:
                self._ready.set_exception(error)
                return
            self._ready.set_result(None)
            try:
                while self._wait_for_work():
                    self._drop_cancelled()
                    self._start_tasks()
                    self._encode()
                    self._identify()
                    self._admit()
                    self._step()
                    self._align()
                end: BaseException = CancelledError("the engine was closed")
            except Exception as error:
                log.error("the engine is lost (%s)", type(error).__name__)
                end = EngineLost(f"the engine is lost ({type(error).__name__})")
                end.__cause__ = error
        self._tell_all(end)

    def _tell_all(self, end: BaseException) -> None:
        with self._wake:
            self._lost = end if isinstance(end, EngineLost) else None
            futures, self._futures = list(self._futures), {}
        for future in futures:
            future.set_exception(end)

    def _prepare(self) -> None:
        with a_core_left():
            # Loaded twice, which costs nothing: the pages that a model is made of go with the mapping it is made from.
            self.source = self._load()
            self.has_alignment_heads = has_alignment_heads(self.source)
            self.vocabulary = Vocabulary(self.source.dims, self._placement.device)
            with ThreadPoolExecutor(1) as beside:
                tokenizer = beside.submit(self.vocabulary.tokenizer)  # reads a file, while the model is packed
                self._make_model(self._placement)
                self._rules = Rules(tokenizer.result(), self.source.dims.n_vocab, self._placement.device)

    def _wait_for_work(self) -> bool:
        """Sleeps until there is something to do; False once closed."""
        if not self._has_work() or time.monotonic() - self._trimmed > TRIM_EVERY:
            give_memory_back()  # before the next job's peak comes on top of what this one left
            self._trimmed = time.monotonic()
        with self._wake:
            if not self._wake.wait_for(self._has_work, QUIET):
                self._drop_idle()
                give_memory_back()
                self._wake.wait_for(self._has_work)
            return not self._closed

    def _has_work(self) -> bool:
        return self._closed or bool(self._queues)

    def _drop_idle(self) -> None:
        """Gives back the memory of batches that stand empty."""
        self._batches = {key: batch for key, batch in self._batches.items() if batch.running}

    def _resolve(self, future: Future[Any], result: Any, error: BaseException | None) -> None:
        self._queues[self._futures.pop(future)].under_way -= 1
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(error)

    def _drop_cancelled(self) -> None:
        """Forgets callers that have gone or have nothing left, with all that is under way for them."""
        with self._wake:
            gone = {caller for caller in self._queues if caller.cancelled}
            self._queues = {
                caller: queue
                for caller, queue in self._queues.items()
                if not caller.cancelled and (queue.waiting or queue.under_way)
            }
            left = [future for future, caller in self._futures.items() if caller in gone]
            for future in left:
                del self._futures[future]
        if not gone:
            return
        for future in left:
            future.set_exception(CancelledError("the caller was cancelled"))
        for kind, due in self._due.items():
            self._due[kind] = deque((task, work) for task, work in due if not task.caller.cancelled)
        for batch in self._batches.values():
            batch.drop([one for one in batch.running if self._decoding[one].caller.cancelled])
        self._decoding = {one: task for one, task in self._decoding.items() if not task.caller.cancelled}

    def _start_tasks(self) -> None:
        """Starts as many windows as will find a place soon; whoever has the fewest under way comes first."""
        running = sum(len(batch.running) for batch in self._batches.values())
        coming = len(self._due[Encode]) + len(self._due[Identify]) + len(self._due[Attempt])
        for _ in range(self._width + self._placement.pass_size - running - coming):
            with self._wake:
                ready = [queue for queue in self._queues.values() if queue.waiting]
                if not ready:
                    return
                queue = min(ready, key=lambda one: (one.under_way, one.last_served))
                task = queue.waiting.popleft()
                queue.under_way += 1
                queue.last_served = next(self._turn)
            self._advance(task, None)

    def _advance(self, task: Task, result: Any, error: BaseException | None = None) -> None:
        """Gives a task the result of its work, and takes down what it wants next."""
        try:
            wanted = task.steps.send(result) if error is None else task.steps.throw(error)
        except StopIteration as end:
            task.done(end.value, None)
        except Exception as failure:
            task.done(None, failure)
        else:
            if isinstance(wanted, list):
                self._run_side_by_side(wanted, task)
            else:
                self._due[type(wanted)].append((task, wanted))

    def _run_side_by_side(self, children: list[Steps], parent: Task) -> None:
        join = Join(len(children), [None] * len(children))

        def child_done(place: int, result: Any, error: BaseException | None) -> None:
            join.results[place] = result
            join.error = join.error or error
            join.missing -= 1
            if join.missing == 0:
                self._advance(parent, join.results, join.error)

        for place, steps in enumerate(children):
            self._advance(Task(steps, parent.caller, partial(child_done, place)), None)

    def _encode(self) -> None:
        """Encodes when a full pass has come together, or when slots would stand empty; one pass, then others' turn."""
        due = self._due[Encode]
        if due and (len(due) >= self._placement.pass_size or not self._due[Attempt]):
            self._together(self._take(Encode, lambda work: work.in_float32), self._features)

    def _features(self, works: Sequence[Encode]) -> list[Tensor]:
        model = self._model(torch.float32 if works[0].in_float32 else self._placement.dtype)
        # One spectrogram at a time: openai-whisper's floor of loudness is that of a window.
        mel = torch.stack([self._log_mel(work) for work in works])
        return list(model.encoder(mel))

    def _log_mel(self, work: Encode) -> Tensor:
        """[n_mels, 3000], zero after the window's end, as `whisper.transcribe` has it."""
        waveform = torch.from_numpy(work.audio.astype("float32")).to(self._placement.device) / 32768
        frames = len(waveform) // HOP_LENGTH
        # `transcribe` puts 30 s of silence behind it; one frame's worth gives the same numbers in half the time.
        mel = log_mel_spectrogram(waveform, self.source.dims.n_mels, padding=N_FFT)[:, :frames]
        padded: Tensor = pad_or_trim(mel, N_FRAMES)
        return padded

    def _identify(self) -> None:
        if self._due[Identify]:
            self._together(self._take(Identify, lambda work: work.features.dtype), self._languages)

    def _languages(self, works: Sequence[Identify]) -> list[dict[str, float]]:
        """Shares of the language tokens after `<|startoftranscript|>` (`whisper.decoding.detect_language`)."""
        tokenizer = self.vocabulary.tokenizer()
        features = torch.stack([work.features for work in works])
        decoder = self._model(features.dtype).decoder
        start = torch.full((len(works), 1), tokenizer.sot, device=features.device)
        logits = decoder.logits(decoder.read(start, features, lambda *_: None)[:, 0])
        shares = logits[:, list(tokenizer.all_language_tokens)].softmax(-1).tolist()
        return [dict(zip(tokenizer.all_language_codes, one, strict=True)) for one in shares]

    def _align(self) -> None:
        """Aligns when a full pass has come together, or when nothing is left to decode."""
        due = self._due[Passage]
        if due and (len(due) >= self._placement.pass_size or not self._decoding):
            self._together(self._take(Passage, lambda work: work.features.dtype), self._put_words)

    def _put_words(self, works: Sequence[Passage]) -> list[None]:
        align(self._model(works[0].features.dtype), works)
        return [None] * len(works)

    def _admit(self) -> None:
        """Puts attempts into the free slots of their batches, in the order in which they came."""
        if any(self._kind(attempt) not in self._batches for _, attempt in self._due[Attempt]):
            self._drop_idle()  # before another takes memory
        entering: dict[Batch, Due] = {}
        waiting: deque[tuple[Task, Attempt]] = deque()
        for task, attempt in self._due[Attempt]:
            batch = self._batch_for(attempt)
            due = entering.setdefault(batch, [])
            if len(due) < batch.free:
                due.append((task, attempt))
            else:
                waiting.append((task, attempt))
        self._due[Attempt] = waiting
        for batch, due in entering.items():
            self._together(due, partial(self._enter, batch), self._decoding_now)

    def _enter(self, batch: Batch, attempts: Sequence[Attempt]) -> Sequence[Attempt]:
        batch.admit(attempts)
        return attempts

    def _decoding_now(self, task: Task, attempt: Attempt) -> None:
        self._decoding[attempt] = task

    def _batch_for(self, attempt: Attempt) -> Batch:
        key = self._kind(attempt)
        batch = self._batches.get(key)
        if batch is None or (not batch.running and batch.slots != self._width):
            search = Batch if attempt.beams is None else BeamBatch
            batch = search(self._model(attempt.features.dtype), self._rules, self._width, attempt.group)
            self._batches[key] = batch
        return batch

    def _kind(self, attempt: Attempt) -> Hashable:
        """What attempts of one batch share: the model's number format, the search and the number of candidates."""
        return attempt.features.dtype, attempt.beams is None, attempt.group

    def _step(self) -> None:
        for key, batch in list(self._batches.items()):
            if not batch.running:
                continue
            try:
                outcomes = batch.step()
            except Exception as error:
                self._retreat(key, error)
            else:
                for attempt, outcome in outcomes:
                    fault = outcome if isinstance(outcome, NumericalFault) else None
                    self._advance(self._decoding.pop(attempt), outcome, fault)

    def _retreat(self, key: Hashable, error: Exception) -> None:
        """A step failed: its attempts begin again in a batch of half the width; one that is alone has failed."""
        if takes_device_along(error):
            raise error
        attempts = self._batches.pop(key).running
        tasks = [self._decoding.pop(attempt) for attempt in attempts]
        out_of_memory = isinstance(error, torch.OutOfMemoryError)
        if len(attempts) > 1:
            self._width = max(1, len(attempts) // 2)
            log.warning("decoding %d windows failed (%s): going on with %d", len(attempts), error, self._width)
            self._due[Attempt].extendleft(reversed(list(zip(tasks, attempts, strict=True))))
            return
        if not out_of_memory:
            self._width = self._slots
        self._advance(tasks[0], None, error)

    def _take(self, kind: type[Work], key: Callable[[Any], Hashable]) -> Due:
        """The next works of a kind that go together: up to a full pass, with the key of the first."""
        due = self._due[kind]
        wanted = key(due[0][1])
        taken = [one for one in due if key(one[1]) == wanted][: self._placement.pass_size]
        for one in taken:
            due.remove(one)
        return taken

    def _together(
        self,
        due: Due,
        run: Callable[[Sequence[Any]], Sequence[Any]],
        hand_on: Callable[[Task, Any], None] | None = None,
    ) -> None:
        """Runs works at once and hands on their results; if that fails, in halves, and alone it fails its task."""
        if not due:
            return
        try:
            results = run([work for _, work in due])
        except Exception as error:
            if takes_device_along(error):
                raise
            if len(due) == 1:
                self._advance(due[0][0], None, error)
                return
            half = len(due) // 2
            log.warning("%d windows at once failed (%s): again in halves", len(due), type(error).__name__)
            self._together(due[:half], run, hand_on)
            self._together(due[half:], run, hand_on)
        else:
            for (task, _), result in zip(due, results, strict=True):
                (hand_on or self._advance)(task, result)

    def _model(self, dtype: torch.dtype) -> Model:
        """The model in the number format of the features that it is to read."""
        if dtype not in self._models:
            self._make_model(self._placement.in_float32())
        return self._models[dtype]

    def _make_model(self, placement: Placement) -> None:
        self._models[placement.dtype] = Model(self._load(), placement, embedding_of(self.source))
