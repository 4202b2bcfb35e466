"""The engine's numbers are openai-whisper's: the same logits and tokens, whatever else is in the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pytest
import torch
import whisper
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from whisper.decoding import ApplyTimestampRules, DecodingResult, DecodingTask, SuppressBlank, SuppressTokens

from src.audio.decode import decode_audio
from src.engine.decoding import Batch, BeamBatch
from src.engine.decoding_options import DecodingOptions, TokenSets
from src.engine.model import Model
from src.engine.placement import Placement, choose_placements
from src.engine.slot_state import START
from src.engine.token_rules import TokenRules
from src.engine.work import DecodeRequest, DecodeResult, NumericalFault
from src.models.weights import load_weights
from tests.support.clips import CLIPS, ROOT
from tests.support.device_modes import late
from tests.support.properties import examples

pytestmark = [pytest.mark.model, pytest.mark.process]

FLOAT32 = choose_placements("float32")[0]
PLACEMENTS = {"at once": FLOAT32, "late": late(FLOAT32)}


@cache
def reference(name: str) -> whisper.Whisper:
    return load_weights(ROOT / "models" / name).float()


@cache
def engine(name: str, placement: Placement = FLOAT32) -> Model:
    source = load_weights(ROOT / "models" / name)
    return Model(source, placement, source.decoder.token_embedding.weight)


@cache
def token_sets(name: str) -> TokenSets:
    return TokenSets(reference(name).dims, FLOAT32.device)


@pytest.fixture(scope="module", params=PLACEMENTS)
def placement(request: pytest.FixtureRequest) -> Placement:
    return PLACEMENTS[request.param]


a_step_late = pytest.mark.parametrize("placement", ["late"], indirect=True)
"""Only with CUDA's lag and buckets: `tests/test_steps.py` compares both, with small models, in each kind of search."""


@pytest.fixture(scope="module")
def mel(tmp_path_factory: pytest.TempPathFactory) -> Tensor:
    """Three windows of speech, [3, 80, 3000]: 30 s, 25 s and 5 s."""
    folder: Path = tmp_path_factory.mktemp("pcm")
    pcm = np.array(decode_audio(CLIPS / "long.ogg", folder, max_seconds=100, max_bytes=10**8))
    waveform = torch.from_numpy(pcm.astype(np.float32)) / 32768
    parts = [waveform[: 30 * 16000], waveform[30 * 16000 : 55 * 16000], waveform[55 * 16000 : 60 * 16000]]
    return torch.stack([whisper.log_mel_spectrogram(whisper.pad_or_trim(part)) for part in parts])


@pytest.fixture(scope="module")
def features(mel: Tensor) -> dict[str, Tensor]:
    with torch.inference_mode():
        return {name: engine(name).encoder(mel) for name in ("tiny.en", "base")}


class Reference(Protocol):
    """openai-whisper's result for a window of `mel`, which several tests compare with."""

    def __call__(self, name: str, window: int, **options: Any) -> DecodingResult: ...


@pytest.fixture(scope="module")
def openai(mel: Tensor) -> Reference:
    @cache
    def encode(name: str) -> Tensor:
        return reference(name).encoder(mel)

    @cache
    def decode(name: str, window: int, **options: Any) -> DecodingResult:
        with torch.inference_mode():
            settings = whisper.DecodingOptions(language="en", fp16=False, **options)
            return reference(name).decode(encode(name)[window], settings)

    return decode


def make_request(name: str, features: Tensor, prompt: str | None = None, **given: Any) -> DecodeRequest:
    options = DecodingOptions(prompt=prompt)
    tokens = token_sets(name)
    return DecodeRequest(features, tokens.prompt(options), tokens.suppressed((-1,)), **given)


def decode(
    placement: Placement, name: str, requests: Sequence[DecodeRequest], slots: int = 4, start: int = 5
) -> list[DecodeResult]:
    """Runs requests through one batch; those after the first two enter free slots from step `start` on."""
    batch = make_batch(placement, name, requests[0], slots)
    waiting, results = list(requests), dict[DecodeRequest, Any]()
    batch.admit([waiting.pop(0) for _ in range(min(2, len(waiting)))])
    steps = 0
    while batch.running or waiting:
        if waiting and batch.free_slots and steps >= start:
            batch.admit([waiting.pop(0)])
        results.update(batch.step())
        steps += 1
    return [results[request] for request in requests]


def make_batch(placement: Placement, name: str, request: DecodeRequest, slots: int) -> Batch:
    rules = TokenRules(token_sets(name).tokenizer(), reference(name).dims.n_vocab, FLOAT32.device)
    shared = engine(name, placement), rules, slots, request.num_candidates
    return Batch(*shared) if request.beam_size is None else BeamBatch(*shared, request.max_hypotheses)


def same(ours: DecodeResult, theirs: DecodingResult) -> None:
    assert ours.tokens == theirs.tokens
    assert ours.avg_logprob == pytest.approx(theirs.avg_logprob, abs=1e-4)
    assert ours.no_speech_prob == pytest.approx(theirs.no_speech_prob, abs=1e-4)
    assert ours.temperature == theirs.temperature


@pytest.mark.parametrize("name", ["tiny.en", pytest.param("base", marks=pytest.mark.slow)])
def test_features_and_logits_are_those_of_openai_whisper(name: str, mel: Tensor, features: dict[str, Tensor]) -> None:
    tokenizer = token_sets(name).tokenizer()
    tokens = torch.tensor([[*tokenizer.sot_sequence, *tokenizer.encode(" Good morning, and welcome")]]).expand(3, -1)
    with torch.inference_mode():
        theirs = reference(name).encoder(mel)
        torch.testing.assert_close(features[name], theirs, atol=5e-3, rtol=1e-3)
        decoder = engine(name).decoder
        ours = decoder.logits(decoder.read(tokens, features[name], lambda *_: None))
        assert (ours - reference(name).logits(tokens, theirs)).abs().max() < 1e-3


@pytest.mark.slow
def test_a_short_encoding_ends_with_its_last_position(mel: Tensor, features: dict[str, Tensor]) -> None:
    with torch.inference_mode():
        (short,) = engine("tiny.en").encoder(mel[2:, :, :1000])
    whole = features["tiny.en"][2]
    assert short.shape == whole.shape
    assert torch.equal(short[500:], short[499].expand(1000, -1))
    assert torch.cosine_similarity(short[:250], whole[:250]).mean() > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("name", ["tiny.en", pytest.param("base", marks=pytest.mark.slow)])
def test_greedy_tokens_are_identical_in_a_shared_batch(
    placement: Placement, name: str, openai: Reference, features: dict[str, Tensor]
) -> None:
    for window, ours in enumerate(decode(placement, name, [make_request(name, each) for each in features[name]])):
        same(ours, openai(name, window))


@pytest.mark.slow
def test_a_text_with_a_known_beginning_goes_on_as_openai_whispers(
    placement: Placement, openai: Reference, features: dict[str, Tensor]
) -> None:
    name, window = "tiny.en", features["tiny.en"][2]
    whole = openai(name, 2)
    cuts = [0, 1, 2, len(whole.tokens) // 2, len(whole.tokens) - 1, len(whole.tokens)]
    requests = [make_request(name, window, prefix=whole.tokens[:cut]) for cut in cuts]
    for ours, cut in zip(decode(placement, name, requests), cuts, strict=True):
        assert ours.tokens == whole.tokens[cut:]
        assert ours.no_speech_prob == pytest.approx(whole.no_speech_prob, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("placement", "given"),
    [
        ("late", {"beam_size": 5}),
        ("at once", {"beam_size": 2, "patience": 2.0}),
        ("late", {"beam_size": 3, "length_penalty": 0.6}),
    ],
    indirect=["placement"],
)
def test_beam_search_finds_the_same_tokens(
    placement: Placement, given: dict[str, Any], openai: Reference, features: dict[str, Tensor]
) -> None:
    name = "tiny.en"
    requests = [make_request(name, window, **given) for window in features[name]]
    for window, ours in enumerate(decode(placement, name, requests, slots=2)):
        same(ours, openai(name, window, **given))


@pytest.mark.slow
@a_step_late
def test_prompts_of_different_lengths_share_a_batch(
    placement: Placement, openai: Reference, features: dict[str, Tensor]
) -> None:
    prompts = [None, "A museum.", "word " * 400]
    name = "base"
    requests = [make_request(name, window, prompt) for window, prompt in zip(features[name], prompts, strict=True)]
    for window, (ours, prompt) in enumerate(zip(decode(placement, name, requests, start=0), prompts, strict=True)):
        same(ours, openai(name, window, prompt=prompt))


@pytest.mark.slow
@a_step_late
def test_the_limit_of_the_text_context_is_openai_whispers(placement: Placement, features: dict[str, Tensor]) -> None:
    """With a full prompt, a few tokens less than the usual 224 fit; endless text reaches the limit."""
    name, temperature = "tiny.en", 1e-4
    suppressed = token_sets(name).suppressed((-1,)).clone()
    suppressed[token_sets(name).tokenizer().eot] = -torch.inf
    endless = replace(
        make_request(name, features[name][0], "word " * 400), suppressed=suppressed, temperature=temperature
    )
    (decoded,) = decode(placement, name, [endless])
    assert len(endless.prompt) + len(decoded.tokens) == 449
    (decoded,) = decode(placement, name, [replace(endless, prompt=endless.prompt[-1:])])
    assert len(decoded.tokens) == 224


@pytest.mark.slow
@a_step_late
def test_samples_at_almost_no_temperature_are_the_greedy_tokens(
    placement: Placement, openai: Reference, features: dict[str, Tensor]
) -> None:
    requests = [make_request("tiny.en", window, temperature=1e-4, num_samples=3) for window in features["tiny.en"]]
    for window, ours in enumerate(decode(placement, "tiny.en", requests)):
        assert ours.tokens == openai("tiny.en", window).tokens


@pytest.mark.slow
@a_step_late
def test_greedy_and_sampled_requests_share_a_batch(
    placement: Placement, openai: Reference, features: dict[str, Tensor]
) -> None:
    temperatures = [0.0, 1.0, 0.0]
    torch.manual_seed(0)
    requests = [
        make_request("tiny.en", window, temperature=temperature)
        for window, temperature in zip(features["tiny.en"], temperatures, strict=True)
    ]
    ours = decode(placement, "tiny.en", requests)
    same(ours[0], openai("tiny.en", 0))
    same(ours[2], openai("tiny.en", 2))
    assert ours[1].tokens != openai("tiny.en", 1).tokens
    assert ours[1].temperature == 1.0


@pytest.mark.slow
@a_step_late
def test_the_likeliest_of_several_samples_is_taken(placement: Placement, features: dict[str, Tensor]) -> None:
    torch.manual_seed(1)
    request = make_request("tiny.en", features["tiny.en"][2], temperature=1.0)
    singles = decode(placement, "tiny.en", [replace(request) for _ in range(5)])
    best = decode(placement, "tiny.en", [replace(request, num_samples=5) for _ in range(5)], slots=2)
    assert np.mean([one.avg_logprob for one in best]) > np.mean([one.avg_logprob for one in singles])


@pytest.mark.slow
@a_step_late
@pytest.mark.parametrize("kind", ["greedy", "beams"])
def test_numbers_that_overflow_fail_only_their_window(
    placement: Placement, kind: str, openai: Reference, features: dict[str, Tensor]
) -> None:
    given: dict[str, Any] = {"beam_size": 2} if kind == "beams" else {}
    requests = [make_request("tiny.en", window, **given) for window in features["tiny.en"]]
    requests[1] = replace(requests[1], features=torch.full_like(requests[1].features, torch.nan))
    ours = decode(placement, "tiny.en", requests)
    assert isinstance(ours[1], NumericalFault)
    same(ours[0], openai("tiny.en", 0, **given))
    same(ours[2], openai("tiny.en", 2, **given))


@pytest.mark.slow
def test_a_slot_that_overflowed_serves_the_next_window(
    placement: Placement, openai: Reference, features: dict[str, Tensor]
) -> None:
    requests = [make_request("tiny.en", window) for window in features["tiny.en"][1:]]
    requests[0] = replace(requests[0], features=torch.full_like(requests[0].features, torch.nan))
    ours = decode(
        placement,
        "tiny.en",
        [requests[0], make_request("tiny.en", features["tiny.en"][0]), requests[1]],
        slots=2,
        start=1,
    )
    same(ours[2], openai("tiny.en", 2))


@pytest.mark.slow
@a_step_late
def test_a_removed_request_does_not_affect_the_others(
    placement: Placement, openai: Reference, features: dict[str, Tensor]
) -> None:
    name = "tiny.en"
    requests = [make_request(name, window) for window in features[name]]
    batch = make_batch(placement, name, requests[0], slots=3)
    batch.admit(requests)
    for _ in range(10):
        batch.step()
    batch.remove([requests[0]])
    assert batch.running == requests[1:]
    results = dict[DecodeRequest, Any]()
    while batch.running:
        results.update(batch.step())
    same(results[requests[1]], openai(name, 1))
    same(results[requests[2]], openai(name, 2))


stamps = st.lists(st.sampled_from([50363, 50373, 50374, 51063, 51863]), max_size=5).map(sorted)
histories = stamps.flatmap(
    lambda some: st.lists(st.sampled_from([100, 200]), max_size=3).flatmap(
        lambda text: st.permutations([True] * len(some) + [False] * len(text)).map(
            lambda order: _interleave(order, some, text)
        )
    )
)


def _interleave(order: list[bool], stamps: list[int], text: list[int]) -> list[int]:
    """Non-decreasing timestamps, as the rules ensure, with text anywhere between them."""
    rising, words = iter(stamps), iter(text)
    return [next(rising) if stamp else next(words) for stamp in order]


@examples(150)
@given(st.lists(histories, min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_the_token_rules_are_those_of_openai_whisper(sampled: list[list[int]], seed: int) -> None:
    """Theirs get each row alone, ours all rows together."""
    tokenizer, size = token_sets("tiny.en").tokenizer(), 51864
    torch.manual_seed(seed)
    logits = torch.randn(len(sampled), size) * 3
    logits[:, 50363:] += torch.randn(len(sampled), 1) * 3
    banned = token_sets("tiny.en").suppressed((-1,))
    rules = TokenRules(tokenizer, size, FLOAT32.device)
    kind, latest_stamp = torch.tensor([[START]] * len(sampled)), torch.full((len(sampled), 1), -1)
    for row, tokens_so_far in enumerate(sampled):
        for token in torch.tensor(tokens_so_far, dtype=torch.long):
            kind[row], latest_stamp[row] = rules.next_kind(kind[row], token), rules.next_stamp(latest_stamp[row], token)
    ours = rules.apply((logits + banned)[:, None].clone(), kind, latest_stamp)[:, 0]
    for row, tokens_so_far in enumerate(sampled):
        theirs = logits[row : row + 1].clone()
        tokens = torch.tensor([[tokenizer.sot, *tokens_so_far]])
        SuppressBlank(tokenizer, 1).apply(theirs, tokens)
        task = DecodingTask(reference("tiny.en"), whisper.DecodingOptions(language="en", fp16=False))
        SuppressTokens(task._get_suppress_tokens()).apply(theirs, tokens)
        ApplyTimestampRules(tokenizer, 1, 50).apply(theirs, tokens)
        expected = theirs.log_softmax(-1)[0]
        assert torch.equal(ours[row].isfinite(), expected.isfinite())
        torch.testing.assert_close(ours[row], expected, atol=1e-4, rtol=1e-4, equal_nan=True)
