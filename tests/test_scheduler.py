"""The scheduler's decisions: who is served when, and what a fault costs, with a runner that computes nothing."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import closing, contextmanager
from typing import Any, cast

import pytest

from src.engine.scheduler import MAX_HELD_STEPS, Client, EngineLost, Scheduler, Snapshot
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

TIMEOUT_S = 10
"""Far longer than any test takes: a result that does not come fails its test."""

Fault = Callable[[str, list[str]], Exception | None]
"""From a call (`encode`, `admit`, `step`, ...) and the names of its requests to the exception that it raises."""


class FakeRunner:
    """Writes down what it is told to compute, and fails where it is told to.

    A request's features are its name, its prompt has as many tokens as it takes steps; the result is the name.

    Args:
        lag: steps after the last one until a batch reports a request.
        room: slots that the memory of one batch has room for.
    """

    def __init__(
        self,
        max_batch_size: int = 4,
        pass_size: int = 1,
        fault: Fault = lambda call, names: None,
        *,
        lag: int = 0,
        room: int = 64,
        computes_alone: bool = False,
        keeps_idle_batches: bool = False,
    ) -> None:
        self.max_batch_size, self.pass_size, self.lag, self.room = max_batch_size, pass_size, lag, room
        self.computes_alone, self.keeps_idle_batches = computes_alone, keeps_idle_batches
        self.fault = fault
        self.calls: list[tuple[str, list[str]]] = []
        self.batches_made = 0

    def names(self, call: str) -> list[list[str]]:
        """The requests of each call of a kind."""
        return [names for name, names in self.calls if name == call]

    def call(self, call: str, names: list[str]) -> None:
        error = self.fault(call, names)
        if error is not None:
            raise error
        self.calls.append((call, names))

    @contextmanager
    def loaded(self) -> Iterator[None]:
        self.call("load", [])
        yield

    def key(self, work: Work) -> Hashable:
        return work.beam_size if isinstance(work, DecodeRequest) else None

    def run(self, requests: Sequence[Any]) -> Sequence[Any]:
        calls: dict[type[Work], str] = {
            EncodeRequest: "encode",
            LanguageRequest: "identify",
            ScoreRequest: "score",
            AlignmentRequest: "align",
        }
        names = [name_of(request) for request in requests]
        self.call(calls[type(requests[0])], names)
        return names

    def make_batch(self, request: DecodeRequest, max_slots: int) -> FakeBatch:
        if max_slots > self.room:
            raise OutOfMemory
        self.batches_made += 1
        return FakeBatch(self, max_slots, "greedy" if request.beam_size is None else "beams")

    def release_freed_memory(self) -> None:
        pass


class FakeBatch:
    def __init__(self, runner: FakeRunner, num_slots: int, search: str) -> None:
        self.runner, self.num_slots, self.search = runner, num_slots, search
        self.left: dict[DecodeRequest, int] = {}

    @property
    def running(self) -> list[DecodeRequest]:
        return list(self.left)

    @property
    def free_slots(self) -> int:
        return self.num_slots - len(self.left)

    def admit(self, requests: Sequence[DecodeRequest]) -> None:
        assert 0 < len(requests) <= self.free_slots
        self.runner.call(f"admit {self.search}", [name_of(request) for request in requests])
        self.left |= {request: len(request.prompt) + self.runner.lag for request in requests}

    def step(self) -> list[tuple[DecodeRequest, DecodeResult | NumericalFault]]:
        self.runner.call(f"step {self.search}", [name_of(request) for request in self.left])
        self.left = {request: left - 1 for request, left in self.left.items()}
        done = [request for request, left in self.left.items() if left == 0]
        self.remove(done)
        return [(request, cast(DecodeResult, name_of(request))) for request in done]

    def remove(self, requests: Sequence[DecodeRequest]) -> None:
        for request in requests:
            del self.left[request]


def name_of(request: Any) -> str:
    return str(request.audio if isinstance(request, EncodeRequest) else request.features)


def encode(name: str) -> EncodeRequest:
    return EncodeRequest(cast(Any, name))


def identify(name: str) -> LanguageRequest:
    return LanguageRequest(cast(Any, name))


def decode(name: str, steps: int = 2, beams: int | None = None) -> DecodeRequest:
    return DecodeRequest(cast(Any, name), cast(Any, range(steps)), cast(Any, None), beam_size=beams)


def score(name: str) -> ScoreRequest:
    return ScoreRequest(cast(Any, name), [], cast(Any, None), [])


def align(name: str) -> AlignmentRequest:
    return AlignmentRequest(cast(Any, name), [], 0, cast(Any, None))


def window(*works: Work | list[Steps]) -> Steps:
    """The steps of a window that needs these works; its result is the list of theirs."""
    results = []
    for work in works:
        result = yield work
        results.append(result)
    return results


@contextmanager
def busy(scheduler: Scheduler[FakeRunner]) -> Iterator[None]:
    """Keeps the engine's thread busy, so that all that is submitted in the block is there when it looks next."""
    begun, over = threading.Event(), threading.Event()

    def steps() -> Steps:
        begun.set()
        over.wait(TIMEOUT_S)
        yield from ()

    scheduler.submit(steps(), Client())
    assert begun.wait(TIMEOUT_S)
    try:
        yield
    finally:
        over.set()


def submit(scheduler: Scheduler[FakeRunner], *windows: Steps, client: Client | None = None) -> list[Future[Any]]:
    client = client or Client()
    return [scheduler.submit(steps, client) for steps in windows]


def results(futures: Sequence[Future[Any]]) -> list[Any]:
    return [future.result(TIMEOUT_S) for future in futures]


def errors(futures: Sequence[Future[Any]]) -> list[type[BaseException]]:
    return [type(future.exception(TIMEOUT_S)) for future in futures]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def lacks_memory_for(fits: int, *calls: str) -> Fault:
    return lambda call, names: OutOfMemory() if call in calls and len(names) > fits else None


def breaks_on(name: str, *calls: str, error: type[Exception] = RuntimeError) -> Fault:
    return lambda call, names: error("a kernel failed") if call in calls and name in names else None


@pytest.mark.process
def test_the_scheduler_and_its_tests_need_no_torch() -> None:
    code = (
        "import sys, tests.test_scheduler; assert 'src.engine.scheduler' in sys.modules; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# --- Order and fairness ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lag", [0, 3])
def test_a_window_receives_the_result_of_each_of_its_works(lag: int) -> None:
    with closing(Scheduler(FakeRunner(lag=lag))) as scheduler:
        works = window(encode("a"), identify("b"), decode("c"), score("d"), align("e"), HostWork(lambda: "f"))
        assert results(submit(scheduler, works)) == [["a", "b", "c", "d", "e", "f"]]


def test_concurrent_steps_yield_their_results_in_order() -> None:
    with closing(Scheduler(FakeRunner())) as scheduler:
        works = window([window(decode("long", 9)), window(encode("short"))], decode("last"))
        assert results(submit(scheduler, works)) == [[[["long"], ["short"]], "last"]]


def test_the_client_with_the_fewest_running_windows_is_served_first() -> None:
    with closing(Scheduler(FakeRunner(max_batch_size=2))) as scheduler:
        with busy(scheduler):
            long = submit(scheduler, *(window(encode(f"long {number}"), decode("")) for number in range(9)))
            short = submit(scheduler, *(window(encode(f"short {number}"), decode("")) for number in range(2)))
        results(long + short)
        order = [name for (name,) in scheduler.runner.names("encode")]
    assert order[:4] == ["long 0", "short 0", "long 1", "short 1"]
    assert order[4:] == [f"long {number}" for number in range(2, 9)]


def test_a_client_with_long_windows_leaves_the_other_slots_to_those_with_short_ones() -> None:
    with closing(Scheduler(FakeRunner(max_batch_size=3))) as scheduler:
        with busy(scheduler):
            long = submit(scheduler, *(window(encode(f"long {number}"), decode("", 50)) for number in range(4)))
            short = submit(scheduler, *(window(encode(f"short {number}"), decode("", 1)) for number in range(6)))
        results(long + short)
        order = [name for (name,) in scheduler.runner.names("encode")]
    assert order[-2:] == ["long 2", "long 3"]


def test_windows_in_the_background_are_started_when_no_other_one_waits() -> None:
    with closing(Scheduler(FakeRunner(max_batch_size=2))) as scheduler:
        with busy(scheduler):
            drafts = [
                *submit(scheduler, window(encode("draft 0"), decode("")), client=Client(background=True)),
                *submit(scheduler, window(encode("draft 1"), decode("")), client=Client(background=True)),
            ]
            finals = submit(scheduler, *(window(encode(f"final {number}"), decode("", 5)) for number in range(6)))
        results(drafts + finals)
        order = [name for (name,) in scheduler.runner.names("encode")]
    assert order == [*(f"final {number}" for number in range(6)), "draft 0", "draft 1"]


@pytest.mark.parametrize("pass_size", [1, 3])
def test_a_window_waits_for_no_more_than_one_pass_of_those_in_the_background(pass_size: int) -> None:
    with closing(Scheduler(FakeRunner(max_batch_size=8, pass_size=pass_size))) as scheduler:
        finals: list[Future[Any]] = []

        def submit_final(call: str, names: list[str]) -> None:
            if call == "encode" and not finals:
                finals.extend(submit(scheduler, window(encode("final"))))

        scheduler.runner.fault = submit_final
        with busy(scheduler):
            client = Client(background=True)
            drafts = submit(scheduler, *(window(encode(str(number))) for number in range(9)), client=client)
        results(drafts + finals)
        passes = scheduler.runner.names("encode")
    assert passes[0] == [str(number) for number in range(pass_size)]
    assert passes[1][0] == "final"


@pytest.mark.parametrize("pass_size", [1, 3])
def test_beside_other_windows_few_run_in_the_background(pass_size: int) -> None:
    with closing(Scheduler(FakeRunner(max_batch_size=8, pass_size=pass_size))) as scheduler:
        with busy(scheduler):
            final = submit(scheduler, window(encode("final"), decode("final", 20)))
            client = Client(background=True)
            drafts = (window(encode(str(number)), decode(str(number), 12)) for number in range(30))
            futures = submit(scheduler, *drafts, client=client)
        results(final + futures)
        steps = scheduler.runner.names("step greedy")
    assert max(len(names) for names in steps if "final" in names) == 1 + pass_size
    assert max(len(names) for names in steps if "final" not in names) == 8


def test_no_more_windows_are_started_than_will_soon_have_a_slot() -> None:
    with closing(Scheduler(FakeRunner(max_batch_size=3, pass_size=2))) as scheduler:
        with busy(scheduler):
            futures = submit(scheduler, *(window(encode(str(number)), decode(str(number))) for number in range(40)))
        results(futures)
        begun = done = 0
        for call, names in scheduler.runner.calls:
            begun += len(names) * (call == "encode")
            done += len(names) * (call == "admit greedy")
            assert begun - done <= 3 + 2


def test_a_freed_slot_is_filled_at_the_next_step() -> None:
    with closing(Scheduler(FakeRunner(max_batch_size=2))) as scheduler:
        with busy(scheduler):
            works = [decode("a", 1), decode("b", 3), decode("c", 1), decode("d", 1)]
            futures = submit(scheduler, *map(window, works))
        results(futures)
        assert scheduler.runner.names("step greedy") == [["a", "b"], ["b", "c"], ["b", "d"]]


def test_windows_are_aligned_in_full_passes_while_others_are_decoded() -> None:
    with closing(Scheduler(FakeRunner(max_batch_size=8, pass_size=4))) as scheduler:
        with busy(scheduler):
            long = submit(scheduler, window(decode("long", 100)))
            futures = submit(scheduler, *(window(encode(str(number)), align(str(number))) for number in range(11)))
        results(long + futures)
        assert [len(names) for names in scheduler.runner.names("align")] == [4, 4, 3]


# --- Batches that would be nearly empty ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("running", "waiting", "begins_after"),
    [
        pytest.param(0, 1, 0, id="nothing else runs"),
        pytest.param(7, 1, 7, id="until nothing else runs"),
        pytest.param(500, 3, MAX_HELD_STEPS, id="until the oldest has waited for long enough"),
        pytest.param(500, 4, 0, id="half a batch"),
        pytest.param(500, 9, 0, id="more than a batch"),
    ],
)
def test_a_batch_that_would_be_nearly_empty_is_held_back(running: int, waiting: int, begins_after: int) -> None:
    with closing(Scheduler(FakeRunner(max_batch_size=8))) as scheduler:
        with busy(scheduler):
            greedy = submit(scheduler, *[window(decode("long", running))] * (running > 0))
            beams = submit(scheduler, *(window(decode(str(number), 2, beams=5)) for number in range(waiting)))
        results(greedy + beams)
        calls = [call for call, _ in scheduler.runner.calls]
    before = calls[: calls.index("admit beams")]
    assert before.count("step greedy") == begins_after


def test_held_requests_take_no_slots_from_others() -> None:
    with closing(Scheduler(FakeRunner(max_batch_size=8))) as scheduler:
        with busy(scheduler):
            beams = submit(scheduler, *(window(decode(str(number), 2, beams=5)) for number in range(3)))
            greedy = submit(scheduler, *(window(decode(str(number), 30)) for number in range(16)))
        results(beams + greedy)
        calls = scheduler.runner.calls
    before = calls[: [call for call, _ in calls].index("admit beams")]
    assert [len(names) for call, names in before if call == "step greedy"][1:50] == [8] * 49


def test_held_requests_do_not_delay_passes() -> None:
    with closing(Scheduler(FakeRunner(max_batch_size=8, pass_size=4))) as scheduler:
        with busy(scheduler):
            futures = submit(scheduler, window(decode("long", 500)), window(decode("held", 2, beams=5)))
            futures += submit(scheduler, window(encode("a"), decode("b")))
        results(futures)
        calls = scheduler.runner.calls
    assert calls.index(("encode", ["a"])) < 5


def test_requests_enter_a_batch_that_runs_at_once() -> None:
    with closing(Scheduler(FakeRunner(max_batch_size=8))) as scheduler:
        with busy(scheduler):
            greedy = submit(scheduler, window(decode("long", 500)))
            beams = submit(scheduler, *(window(decode(str(number), 300, beams=5)) for number in range(4)))
            late = submit(scheduler, window(decode("soon", 3), decode("late", 3, beams=5)), client=Client())
        results(greedy + beams + late)
        calls = scheduler.runner.calls
    begun = calls.index(("admit beams", ["late"]))
    assert [call for call, _ in calls[:begun]].count("step greedy") == 3


def test_batches_that_take_turns_are_not_made_again() -> None:
    with closing(Scheduler(FakeRunner())) as scheduler:
        works = [decode(str(number), 2, beams=5 if number % 2 else None) for number in range(20)]
        results(submit(scheduler, window(*works)))
        assert scheduler.runner.batches_made == 2


@pytest.mark.parametrize(("keeps", "made"), [(False, 2), (True, 1)])
def test_idle_batches_are_released_if_the_runner_does_not_keep_them(
    keeps: bool, made: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("src.engine.scheduler.IDLE_RELEASE_S", 0.001)
    with closing(Scheduler(FakeRunner(keeps_idle_batches=keeps))) as scheduler:
        results(submit(scheduler, window(decode("a"))))
        time.sleep(0.1)
        results(submit(scheduler, window(decode("b"))))
        assert scheduler.runner.batches_made == made


# --- Work without a model --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("computes_alone", [False, True])
def test_host_work_runs_beside_a_device_that_computes_alone(computes_alone: bool) -> None:
    with closing(Scheduler(FakeRunner(computes_alone=computes_alone))) as scheduler:
        threads = window(HostWork(threading.current_thread), HostWork(threading.current_thread))
        ((first, second),) = results(submit(scheduler, threads))
    assert first is second
    assert (first.name == "engine") is not computes_alone


def test_host_work_does_not_keep_other_windows_waiting() -> None:
    over = threading.Event()
    with closing(Scheduler(FakeRunner(computes_alone=True))) as scheduler:
        slow = submit(scheduler, window(HostWork(lambda: over.wait(TIMEOUT_S)), decode("slow")))
        assert results(submit(scheduler, window(encode("a"), decode("b")))) == [["a", "b"]]
        assert not slow[0].done()
        over.set()
        assert results(slow) == [[True, "slow"]]


@pytest.mark.parametrize("computes_alone", [False, True])
def test_a_fault_of_host_work_is_its_clients_error(computes_alone: bool) -> None:
    with closing(Scheduler(FakeRunner(computes_alone=computes_alone))) as scheduler:
        bad = submit(scheduler, window(HostWork(lambda: 1 // 0)))
        assert errors(bad) == [ZeroDivisionError]
        assert results(submit(scheduler, window(decode("a")))) == [["a"]]


@pytest.mark.parametrize("end", ["cancel", "close", "lost"])
def test_host_work_that_outlives_its_client_is_forgotten(end: str) -> None:
    begun, over = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        over.wait(TIMEOUT_S)

    client = Client()
    runner = FakeRunner(computes_alone=True, fault=breaks_on("bad", "encode", error=DeviceLost))
    with closing(Scheduler(runner)) as scheduler:
        futures = submit(scheduler, window(HostWork(work), decode("never")), client=client)
        assert begun.wait(TIMEOUT_S)
        if end == "cancel":
            scheduler.cancel(client)
        elif end == "lost":
            submit(scheduler, window(encode("bad")))
        else:
            threading.Thread(target=scheduler.close).start()
        assert errors(futures) == [EngineLost if end == "lost" else CancelledError]
        over.set()
        if end == "cancel":
            assert results(submit(scheduler, window(HostWork(lambda: 1), decode("a")))) == [[1, "a"]]
    assert ("admit greedy", ["never"]) not in runner.calls


# --- Cancellation and the end ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("lag", [0, 3])
def test_a_cancelled_client_leaves_the_batches_and_the_queue(lag: int) -> None:
    client = Client()
    with closing(Scheduler(FakeRunner(max_batch_size=2, lag=lag))) as scheduler:
        endless = [window(decode("a", 10**9)), *(window(decode("b", 10**9), decode("c", 10**9)) for _ in range(5))]
        leaving = submit(scheduler, *endless, client=client)
        wait_until(lambda: scheduler.snapshot().decoding == 2)
        staying = submit(scheduler, window(decode("d")))
        scheduler.cancel(client)
        assert errors(leaving) == [CancelledError] * 6
        assert results(staying) == [["d"]]
        with pytest.raises(CancelledError):
            scheduler.submit(window(), client)


def test_a_cancelled_client_gets_no_result_for_the_windows_that_had_not_begun() -> None:
    """Its only window under way ends before the scheduler has seen the cancellation."""
    client = Client()
    with closing(Scheduler(FakeRunner(max_batch_size=1))) as scheduler:

        def ends_after_cancellation() -> Steps:
            yield encode("a")
            scheduler.cancel(client)

        waiting = [window(encode(str(number)), decode("", 10**9)) for number in range(9)]
        with busy(scheduler):
            futures = submit(scheduler, ends_after_cancellation(), *waiting, client=client)
        assert errors(futures[3:]) == [CancelledError] * 7
        wait_until(lambda: scheduler.snapshot().unfinished == 0)


def test_closing_ends_the_threads_and_cancels_pending_results() -> None:
    threads = threading.active_count()
    scheduler = Scheduler(FakeRunner(computes_alone=True))
    assert results(submit(scheduler, window(HostWork(lambda: 1)))) == [[1]]
    pending = submit(scheduler, *(window(decode("a", 10**9)) for _ in range(9)))
    scheduler.close()
    assert errors(pending) == [CancelledError] * 9
    assert threading.active_count() == threads
    with pytest.raises(CancelledError):
        scheduler.submit(window(), Client())


def test_a_model_that_cannot_be_loaded_leaves_no_thread_running() -> None:
    threads = threading.active_count()
    with pytest.raises(ValueError, match="no model"):
        Scheduler(FakeRunner(fault=lambda call, names: ValueError("no model")))
    assert threading.active_count() == threads


def test_a_snapshot_counts_clients_windows_and_slots() -> None:
    with closing(Scheduler(FakeRunner(max_batch_size=3))) as scheduler:
        assert scheduler.snapshot() == Snapshot(0, 0, 0, 0, 0)
        clients = [Client(), Client()]
        with busy(scheduler):
            for client in clients:
                submit(scheduler, *(window(decode("a", 10**9)) for _ in range(5)), client=client)
        wait_until(lambda: scheduler.snapshot() == Snapshot(2, 6, 10, 3, 0))
        assert scheduler.load == 10
        for client in clients:
            scheduler.cancel(client)
        wait_until(lambda: scheduler.snapshot() == Snapshot(0, 0, 0, 0, 3))


# --- Faults ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fits", [1, 2, 3])
@pytest.mark.parametrize("call", ["encode", "identify", "admit greedy", "step greedy", "align"])
def test_out_of_memory_shrinks_a_batch_until_it_fits(call: str, fits: int) -> None:
    runner = FakeRunner(max_batch_size=4, pass_size=4, fault=lacks_memory_for(fits, call))
    with closing(Scheduler(runner)) as scheduler:
        with busy(scheduler):
            names = [str(number) for number in range(9)]
            works = [window(encode(name), identify(name), decode(name), align(name)) for name in names]
            futures = submit(scheduler, *works)
        assert results(futures) == [[name] * 4 for name in names]
        assert max(len(names) for names in runner.names(call)) <= fits


@pytest.mark.parametrize("room", [1, 3])
def test_a_batch_is_made_as_large_as_memory_allows(room: int) -> None:
    with closing(Scheduler(FakeRunner(max_batch_size=8, room=room))) as scheduler:
        with busy(scheduler):
            futures = submit(scheduler, *(window(decode(str(number))) for number in range(9)))
        assert results(futures) == [[str(number)] for number in range(9)]
        assert max(len(names) for names in scheduler.runner.names("step greedy")) == {1: 1, 3: 2}[room]


def test_without_memory_for_beams_greedy_windows_keep_their_slots() -> None:
    runner = FakeRunner(max_batch_size=8, fault=lacks_memory_for(1, "step beams"))
    with closing(Scheduler(runner)) as scheduler:
        with busy(scheduler):
            beams = submit(scheduler, *(window(decode(str(number), beams=5)) for number in range(4)))
        results(beams)
        with busy(scheduler):
            greedy = submit(scheduler, *(window(decode(str(number))) for number in range(8)))
        results(greedy)
        assert len(runner.names("step greedy")[0]) == 8


@pytest.mark.parametrize("call", ["encode", "identify", "admit greedy", "step greedy", "align"])
def test_out_of_memory_for_one_window_is_its_clients_error(call: str) -> None:
    runner = FakeRunner(fault=lacks_memory_for(0, call))
    with closing(Scheduler(runner)) as scheduler:
        works = (encode("a"), identify("a"), decode("a"), align("a"))
        assert errors(submit(scheduler, window(*works))) == [OutOfMemory]
        runner.fault = lambda call, names: None
        assert results(submit(scheduler, window(*works))) == [["a"] * 4]


def test_no_room_for_a_single_slot_is_the_clients_error() -> None:
    runner = FakeRunner(room=0)
    with closing(Scheduler(runner)) as scheduler:
        assert errors(submit(scheduler, window(decode("a")), window(decode("b")))) == [OutOfMemory] * 2
        runner.room = 4
        assert results(submit(scheduler, window(decode("a")))) == [["a"]]


@pytest.mark.parametrize("lag", [0, 3])
@pytest.mark.parametrize("call", ["encode", "identify", "admit greedy", "step greedy", "align"])
def test_a_fault_is_isolated_to_one_window(call: str, lag: int) -> None:
    runner = FakeRunner(max_batch_size=8, pass_size=8, fault=breaks_on("5", call), lag=lag)
    with closing(Scheduler(runner)) as scheduler:
        with busy(scheduler):
            names = [str(number) for number in range(9)]
            futures = submit(
                scheduler, *(window(encode(name), identify(name), decode(name), align(name)) for name in names)
            )
        assert errors([futures.pop(5)]) == [RuntimeError]
        assert results(futures) == [[name] * 4 for name in names if name != "5"]
        with busy(scheduler):
            futures = submit(scheduler, *(window(decode(name)) for name in names[:4] * 2))
        results(futures)
        assert len(runner.names("step greedy")[-1]) == 8  # batches are as large again as before


def test_numbers_that_overflow_are_thrown_into_the_window() -> None:
    class Overflowing(FakeRunner):
        def make_batch(self, request: DecodeRequest, max_slots: int) -> FakeBatch:
            batch = super().make_batch(request, max_slots)
            step = batch.step
            cast(Any, batch).step = lambda: [(request, NumericalFault()) for request, _ in step()]
            return batch

    def steps() -> Steps:
        try:
            yield decode("a")
        except NumericalFault:
            return (yield encode("again"))

    runner: FakeRunner = Overflowing()
    with closing(Scheduler(runner)) as scheduler:
        assert results(submit(scheduler, steps())) == ["again"]


@pytest.mark.parametrize("call", ["encode", "identify", "admit greedy", "step greedy", "align"])
def test_a_lost_device_fails_all_clients_and_accepts_no_more(call: str) -> None:
    runner = FakeRunner(pass_size=4, fault=breaks_on("2", call, error=DeviceLost))
    with closing(Scheduler(runner)) as scheduler:
        with busy(scheduler):
            works = [window(encode(name), identify(name), decode(name), align(name)) for name in "1234"]
            futures = [future for steps in works for future in submit(scheduler, steps)]
        assert errors(futures) == [EngineLost] * 4
        assert scheduler.lost
        with pytest.raises(EngineLost):
            scheduler.submit(window(), Client())
