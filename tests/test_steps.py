"""A decoding step as CUDA needs it, proven on a CPU: nothing is read back, and it can be recorded and run ahead.

Models are small and have random weights, in float64 where tokens are compared: sums in another order then differ by
too little to change one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from src.engine.decoding import Batch
from src.engine.placement import Placement
from src.engine.replay import Replay
from src.engine.slot_state import START as NOTHING_YET
from src.engine.token_rules import TokenRules
from src.engine.work import DecodeRequest, DecodeResult, NumericalFault
from tests.support.device_modes import (
    CPU,
    META,
    CpuRecorder,
    KernelCount,
    NoNumbers,
    NoReads,
    OneDevice,
    like_cuda,
    tensors_of,
)
from tests.support.properties import examples
from tests.support.small_models import CONTEXT, DIMS, TOKENS, small_batch, small_model, small_request

pytestmark = pytest.mark.model  # inference, though without a model's files

EAGER = like_cuda(dtype=torch.float64, lag=0)
LATE = like_cuda(dtype=torch.float64, lag=1, slot_buckets=(1, 4, 16), reach_buckets=(16, 32, 64, CONTEXT))

SEARCHES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "heated": {"temperature": 0.7},
    "samples": {"temperature": 0.7, "num_samples": 3},
    "beams": {"beam_size": 3},
    "patient beams": {"beam_size": 2, "patience": 2.5},
}
searches = pytest.mark.parametrize(
    "search",
    [name if name in ("greedy", "beams") else pytest.param(name, marks=pytest.mark.slow) for name in SEARCHES],
)


def essentials(outcome: DecodeResult | NumericalFault) -> Any:
    """What has to be equal: tokens, and numbers but for their last digits."""
    if isinstance(outcome, NumericalFault):
        return str(outcome)
    return outcome.tokens, pytest.approx(outcome.avg_logprob, abs=1e-5), pytest.approx(outcome.no_speech_prob, abs=1e-5)


def decode(batch: Batch, requests: list[DecodeRequest]) -> list[Any]:
    """Decode requests that all fit into a batch at once."""
    outcomes = dict[DecodeRequest, Any]()
    batch.admit(requests)
    for _ in range(2 * CONTEXT):
        outcomes.update(batch.step())
        if not batch.running:
            break
    return [essentials(outcomes[request]) for request in requests]


@cache
def alone(window: int, prompt: tuple[int, ...] = (), **given: Any) -> Any:
    """The outcome of a request that is decoded alone, with nothing late."""
    request = small_request(EAGER, window, prompt, **given)
    return decode(small_batch(EAGER, request, slots=1), [request])[0]


# --- On the device alone ---------------------------------------------------------------------------------------------


def spied(placement: Placement, spy: Callable[[Callable[[], None]], None]) -> Placement:
    """The placement with a recorder that hands the part of a step that is on the device to a spy."""
    return replace(placement, replays=True, make_recorder=lambda: lambda run: lambda: spy(run))


@searches
@pytest.mark.parametrize("layers", [1, 2])
def test_a_step_reads_nothing_back_and_mixes_no_devices(search: str, layers: int) -> None:
    steps = []

    def spy(run: Callable[[], None]) -> None:
        with NoReads(), OneDevice(META):
            run()
        steps.append(run)

    placement = spied(like_cuda(META, torch.float16), spy)
    requests = [small_request(placement, window, **SEARCHES[search]) for window in range(3)]
    batch = small_batch(placement, requests[0], slots=4, layers=layers)
    with NoNumbers():
        for _ in range(2):  # reading nothing, the host takes all windows for ended
            batch.admit(requests)
            while batch.running:
                batch.step()
    assert len(steps) == 3


@searches
def test_a_step_on_real_numbers_reads_nothing_back(search: str) -> None:
    steps = []

    def spy(run: Callable[[], None]) -> None:
        with NoReads(), OneDevice(CPU):
            run()
        steps.append(run)

    requests = [small_request(LATE, window, [5] * window, **SEARCHES[search]) for window in range(3)]
    decode(small_batch(spied(LATE, spy), requests[0], slots=4), requests)
    assert steps


def test_a_read_is_noticed() -> None:
    reads: list[Callable[[torch.Tensor], Any]] = [
        torch.Tensor.item,
        bool,
        int,
        torch.Tensor.tolist,
        torch.nonzero,
        lambda x: x.multinomial(1),
        torch.Tensor.cpu,
    ]
    for read in reads:
        with NoReads(), pytest.raises(AssertionError, match="reads"):
            read(torch.ones(1))
    with OneDevice(META), pytest.raises(AssertionError, match="tensors on"):
        torch.ones(2, device=META) * torch.ones(())


KERNELS = {"greedy": 58, "heated": 66, "samples": 66, "beams": 106, "patient beams": 106}
"""Kernels of a step besides 16 in each layer."""


@searches
def test_a_step_launches_no_more_kernels_than_it_has_to(search: str) -> None:
    for layers in (1, 2):
        count = KernelCount()

        def spy(run: Callable[[], None], count: KernelCount = count) -> None:
            with count:
                run()

        placement = spied(like_cuda(META, torch.float16), spy)
        request = small_request(placement, **SEARCHES[search])
        batch = small_batch(placement, request, slots=4, layers=layers)
        batch.admit([request])
        with NoNumbers():
            batch.step()
            batch.step()
        assert count.kernels.total() == 16 * layers + KERNELS[search], count.kernels


# --- Recorded and replayed -------------------------------------------------------------------------------------------


def recorded(placement: Placement, request: DecodeRequest, slots: int) -> tuple[Batch, CpuRecorder]:
    recorder = CpuRecorder()
    batch = small_batch(replace(placement, replays=True, make_recorder=lambda: recorder), request, slots)
    recorder.buffers = tensors_of(batch)
    return batch, recorder


@searches
@pytest.mark.parametrize("placement", [replace(EAGER, reach_buckets=(CONTEXT,)), LATE], ids=["one recording", "late"])
def test_recorded_steps_give_the_tokens_of_eager_ones(search: str, placement: Placement) -> None:
    requests = [small_request(placement, window, [7] * (window % 3) * 18, **SEARCHES[search]) for window in range(4)]
    eager = small_batch(placement, requests[0], slots=4)
    batch, recorder = recorded(placement, requests[0], slots=4)
    for _ in range(2):  # a second time, steps are replayed from the first one on
        torch.manual_seed(3)
        expected = decode(eager, requests)
        torch.manual_seed(3)
        assert decode(batch, requests) == expected
    assert recorder.replays >= 40
    assert 1 <= recorder.recordings <= 12


def test_what_a_recording_would_freeze_is_noticed() -> None:
    recorder, elsewhere, state = CpuRecorder(), torch.ones(2), torch.zeros(2)
    recorder.buffers = [state]
    with pytest.raises(AssertionError, match="not the batch's"):
        recorder(lambda: state.add_(elsewhere))
    with pytest.raises(AssertionError, match="reads"):
        recorder(lambda: state.add_(1 if state.sum() > 0 else 2))
    replay = recorder(lambda: state.add_(state * 2 + 1))
    assert state.tolist() == [0, 0]
    replay()
    replay()
    assert state.tolist() == [4, 4]


@pytest.mark.parametrize("error", [torch.AcceleratorError, torch.OutOfMemoryError, RuntimeError])
def test_where_a_recording_fails_steps_run_eagerly(error: type[Exception], caplog: pytest.LogCaptureFixture) -> None:
    attempts = []

    def fail(run: Callable[[], None]) -> Callable[[], None]:
        attempts.append(run)
        raise error("CUDA error: operation not permitted when stream is capturing")

    requests = [small_request(LATE, window) for window in range(4)]
    placement = replace(LATE, replays=True, make_recorder=lambda: fail)
    with caplog.at_level(logging.WARNING):
        assert decode(small_batch(placement, requests[0], slots=4), requests) == [alone(window) for window in range(4)]
    assert [record.message for record in caplog.records] == [
        f"decoding steps run without CUDA graphs ({error.__name__})"
    ]
    assert len(attempts) == 1


def test_steps_with_different_keys_are_recorded_apart() -> None:
    ran, recorded = list[str](), list[str]()

    def record(run: Callable[[], None]) -> Callable[[], None]:
        recorded.append(str(run))
        return lambda: ran.append("replayed")

    replay = Replay(enabled=True, record=record)
    for key in ("a", "b", "a", "a", "b"):
        replay(key, lambda: ran.append("eager"))
    assert ran == ["eager", "eager", "replayed", "replayed", "replayed"]
    assert len(recorded) == 2


# --- Each window as if alone -----------------------------------------------------------------------------------------


windows = st.tuples(
    st.integers(0, 12),
    st.sampled_from([(), (3,) * 20, (9,) * 32, (9,) * 33, *((5,) * (CONTEXT - left) for left in (1, 2, 3))]),
)
"""A window's number and the text before it, which is read token by token up to 32 of them."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="greedy"),
        pytest.param({"temperature": 1e-6, "num_samples": 2}, id="samples"),
        pytest.param({"beam_size": 2}, id="beams"),
        pytest.param({"beam_size": 3, "patience": 2.0}, id="patient beams"),
    ],
)
def test_every_window_is_decoded_as_if_alone(options: dict[str, Any]) -> None:
    @examples(60)
    @given(st.data(), st.sampled_from([0, 1]), st.lists(windows, min_size=1, max_size=8), st.sampled_from([2, 5, 16]))
    def holds(data: st.DataObject, lag: int, drawn: list[tuple[int, tuple[int, ...]]], slots: int) -> None:
        placement = replace(LATE, lag=lag)
        requests = {small_request(placement, *window, **options): window for window in drawn}
        batch, waiting = small_batch(placement, next(iter(requests)), slots), list(requests)
        removed, outcomes = list[DecodeRequest](), dict[DecodeRequest, Any]()
        while waiting or batch.running:
            entering = data.draw(st.integers(0 if batch.running else 1, min(len(waiting), batch.free_slots)))
            batch.admit(waiting[:entering])
            del waiting[:entering]
            if data.draw(st.integers(0, 5)) == 5:
                removed.append(data.draw(st.sampled_from(batch.running)))
                batch.remove(removed[-1:])
            for _ in range(data.draw(st.sampled_from([1, 2, 7, 60]))):
                for request, outcome in batch.step():
                    assert request not in outcomes
                    outcomes[request] = outcome
        assert set(outcomes) == set(requests) - set(removed)
        for request, outcome in outcomes.items():
            assert essentials(outcome) == alone(*requests[request], **options)

    holds()


@pytest.mark.slow
@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize("prompt", [(), (3,) * 20, (9,) * 40], ids=len)
def test_a_text_with_a_known_beginning_has_the_same_rest(lag: int, prompt: tuple[int, ...]) -> None:
    """Wherever it is cut, and whatever else is in the batch."""
    placement = replace(LATE, lag=lag)
    for window in range(3):
        tokens, _, no_speech_prob = alone(window, prompt)
        cuts = [
            small_request(placement, window, prompt, prefix=tokens[:count])
            for count in range(min(len(tokens) + 1, CONTEXT // 2))
        ]
        others = {2: small_request(placement, 7), 5: small_request(placement, 8, (3,) * 9, temperature=1e-6)}
        requests = [*cuts[:2], others[2], *cuts[2:5], others[5], *cuts[5:]]
        outcomes = dict(zip(requests, decode(small_batch(placement, requests[0], slots=64), requests), strict=True))
        for count, cut in enumerate(cuts):
            rest, _, no_speech = outcomes[cut]
            assert (rest, no_speech) == (tokens[count:], no_speech_prob), count
        assert outcomes[others[2]] == alone(7)
        assert outcomes[others[5]] == alone(8, (3,) * 9)


@pytest.mark.parametrize(
    ("prompt", "prefix", "limit", "sampled"),
    [(0, 0, None, 48), (0, 0, 5, 5), (0, 20, None, 28), (0, 20, 5, 5), (70, 10, None, 16), (85, 10, 9, 1)],
)
def test_a_text_that_does_not_end_stops_at_its_limit(prompt: int, prefix: int, limit: int | None, sampled: int) -> None:
    known = [TOKENS.timestamp_begin, *[5] * prefix][:prefix]
    request = small_request(LATE, 1, (3,) * prompt, prefix=known, max_tokens=limit)
    request.suppressed[TOKENS.eot] = -torch.inf
    ((tokens, _, _),) = decode(small_batch(LATE, request, slots=1), [request])
    assert len(tokens) == sampled


def test_tokens_that_are_given_have_to_fit_into_the_context() -> None:
    request = small_request(LATE, 1, (3,) * 80, prefix=[5] * 16)
    with pytest.raises(ValueError, match="prompt and prefix have 97 tokens where the model reads 96"):
        decode(small_batch(LATE, request, slots=1), [request])


def test_greedy_and_sampled_windows_share_a_batch() -> None:
    """At almost no temperature a sample is the likeliest token."""
    requests = [small_request(LATE, window, temperature=window % 2 * 1e-6) for window in range(6)]
    assert decode(small_batch(LATE, requests[0], slots=6), requests) == [alone(window) for window in range(6)]


@pytest.mark.parametrize("num_samples", [1, 3])
def test_samples_are_those_of_multinomial(num_samples: int) -> None:
    """With the same seed, bit for bit: the texts are continued here with `multinomial` and without a cache."""
    request = small_request(EAGER, 2, temperature=0.8, num_samples=num_samples)
    model, rules = small_model(EAGER), TokenRules(TOKENS, DIMS.n_vocab, CPU)
    texts = torch.full((num_samples, 1), request.prompt[0])
    kind, stamp = torch.full((1, num_samples), NOTHING_YET), torch.full((1, num_samples), -1)
    batch = small_batch(EAGER, request, slots=1)
    batch.admit([request])
    outcomes = list[Any]()
    torch.manual_seed(11)
    while not outcomes:
        outcomes += batch.step()
    torch.manual_seed(11)
    for _ in range(CONTEXT // 2):
        hidden = model.decoder.read(texts, request.features.expand(num_samples, -1, -1), lambda *_: None)
        logprobs = rules.apply(model.decoder.logits(hidden[:, -1])[None] + request.suppressed, kind, stamp)
        chosen = (logprobs[0] / request.temperature).softmax(-1).multinomial(1)
        chosen[(texts == TOKENS.eot).any(-1)] = TOKENS.eot
        kind, stamp = rules.next_kind(kind, chosen.T), rules.next_stamp(stamp, chosen.T)
        texts = torch.cat([texts, chosen], -1)
    sampled = [text[1 : text.index(TOKENS.eot)] if TOKENS.eot in text else text[1:] for text in texts.tolist()]
    assert outcomes[0][1].tokens in sampled
    assert max(map(len, sampled)) > 10


# --- Numbers that overflow -------------------------------------------------------------------------------------------


def overflowing(placement: Placement, prompt: tuple[int, ...] = (), **options: Any) -> DecodeRequest:
    request = small_request(placement, 0, prompt, **options)
    return replace(request, features=torch.full_like(request.features, torch.nan))


prompts = pytest.mark.parametrize(
    "prompt",
    [pytest.param((), marks=pytest.mark.slow), (3,) * 20, pytest.param((3,) * 40, marks=pytest.mark.slow)],
    ids=len,
)


@pytest.mark.slow
@prompts
@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize("options", [{}, {"beam_size": 2}, {"temperature": 1e-6, "num_samples": 2}], ids=str)
def test_numbers_that_overflow_fail_only_their_window(
    lag: int, options: dict[str, Any], prompt: tuple[int, ...]
) -> None:
    placement = replace(LATE, lag=lag)
    requests = [small_request(placement, window, **options) for window in range(3)]
    requests[1] = overflowing(placement, prompt, **options)
    batch = small_batch(placement, requests[0], slots=3)
    fault = "the model's numbers overflowed"
    for _ in range(2):  # and its slot serves the next window
        assert decode(batch, requests) == [alone(0, **options), fault, alone(2, **options)]
        requests = [requests[1], *(small_request(placement, window, **options) for window in (0, 2))]
        assert decode(batch, requests) == [fault, alone(0, **options), alone(2, **options)]
        requests = [requests[1], requests[0], requests[2]]


@prompts
@pytest.mark.parametrize("lag", [0, 1])
@pytest.mark.parametrize("steps", [0, 1, 2])
def test_a_slot_serves_the_next_window_though_its_numbers_overflowed_unseen(
    lag: int, steps: int, prompt: tuple[int, ...]
) -> None:
    placement = replace(LATE, lag=lag)
    removed = overflowing(placement, prompt)
    batch = small_batch(placement, removed, slots=1)
    batch.admit([removed])
    for _ in range(steps):
        if batch.running:
            batch.step()
    batch.remove([removed])
    assert decode(batch, [small_request(placement, 5)]) == [alone(5)]


@prompts
@pytest.mark.parametrize("lag", [0, 1])
def test_a_window_that_overflows_while_it_moves_leaves_both_slots_usable(lag: int, prompt: tuple[int, ...]) -> None:
    placement = replace(LATE, lag=lag)
    others = [small_request(placement, window) for window in range(4)]
    batch = small_batch(placement, others[0], slots=5)
    batch.admit([*others, overflowing(placement, prompt)])
    batch.step()
    batch.remove(others)  # now it moves to the first slot
    while batch.running:
        batch.step()
    requests = [small_request(placement, window) for window in range(5)]
    assert decode(batch, requests) == [alone(window) for window in range(5)]
