"""The engine's numbers are openai-whisper's: same logits, same tokens, whatever else is in the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import whisper
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from whisper.decoding import ApplyTimestampRules, DecodingResult, DecodingTask, SuppressBlank, SuppressTokens

from src.audio.decode import decode_audio
from src.engine.decoding import Attempt, Batch, BeamBatch, Decoded, NumericalFault, Rules
from src.engine.decoding_options import DecodingOptions, Vocabulary
from src.engine.model import Model
from src.engine.placement import choose_placements
from src.models.weights import load_weights
from tests.support.clips import CLIPS, ROOT
from tests.support.properties import examples

pytestmark = [pytest.mark.model, pytest.mark.process]

FLOAT32 = choose_placements("float32")[0]


@cache
def reference(name: str) -> whisper.Whisper:
    return load_weights(ROOT / "models" / name).float()


@cache
def engine(name: str) -> Model:
    source = load_weights(ROOT / "models" / name)
    return Model(source, FLOAT32, source.decoder.token_embedding.weight)


@cache
def vocabulary(name: str) -> Vocabulary:
    return Vocabulary(reference(name).dims, FLOAT32.device)


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


def attempt(name: str, features: Tensor, prompt: str | None = None, **given: Any) -> Attempt:
    options = DecodingOptions(prompt=prompt)
    known = vocabulary(name)
    return Attempt(features, known.prompt(options), known.suppressed((-1,)), **given)


def decode(name: str, attempts: Sequence[Attempt], slots: int = 4, late: int = 5) -> list[Decoded]:
    """Runs attempts through one batch; those after the first two enter as there is room, `late` steps in."""
    kind = BeamBatch if attempts[0].beams else Batch
    rules = Rules(vocabulary(name).tokenizer(), reference(name).dims.n_vocab, FLOAT32.device)
    batch = kind(engine(name), rules, slots, attempts[0].group)
    waiting, results = list(attempts), dict[Attempt, Any]()
    batch.admit([waiting.pop(0) for _ in range(min(2, len(waiting)))])
    steps = 0
    while batch.running or waiting:
        if waiting and batch.free and steps >= late:
            batch.admit([waiting.pop(0)])
        results.update(batch.step())
        steps += 1
    return [results[one] for one in attempts]


def openai(name: str, mel: Tensor, **options: Any) -> DecodingResult:
    return reference(name).decode(mel, whisper.DecodingOptions(language="en", fp16=False, **options))


def same(ours: Decoded, theirs: DecodingResult) -> None:
    assert ours.tokens == theirs.tokens
    assert ours.avg_logprob == pytest.approx(theirs.avg_logprob, abs=1e-4)
    assert ours.no_speech_prob == pytest.approx(theirs.no_speech_prob, abs=1e-4)
    assert ours.temperature == theirs.temperature


@pytest.mark.parametrize("name", ["tiny.en", "base"])
def test_features_and_logits_are_those_of_openai_whisper(name: str, mel: Tensor, features: dict[str, Tensor]) -> None:
    tokenizer = vocabulary(name).tokenizer()
    tokens = torch.tensor([[*tokenizer.sot_sequence, *tokenizer.encode(" Good morning, and welcome")]]).expand(3, -1)
    with torch.inference_mode():
        theirs = reference(name).encoder(mel)
        torch.testing.assert_close(features[name], theirs, atol=5e-3, rtol=1e-3)
        decoder = engine(name).decoder
        ours = decoder.logits(decoder.read(tokens, features[name], lambda *_: None))
        assert (ours - reference(name).logits(tokens, theirs)).abs().max() < 1e-3


@pytest.mark.parametrize("name", ["tiny.en", "base"])
def test_greedy_tokens_are_identical_whoever_shares_the_batch(
    name: str, mel: Tensor, features: dict[str, Tensor]
) -> None:
    for ours, window in zip(decode(name, [attempt(name, one) for one in features[name]]), mel, strict=True):
        same(ours, openai(name, window))


@pytest.mark.slow
@pytest.mark.parametrize("given", [{"beams": 5}, {"beams": 2, "patience": 2.0}, {"beams": 3, "length_penalty": 0.6}])
def test_beam_search_finds_the_same_tokens(given: dict[str, Any], mel: Tensor, features: dict[str, Tensor]) -> None:
    theirs = {"beam_size" if key == "beams" else key: value for key, value in given.items()}
    name = "tiny.en"
    attempts = [attempt(name, one, **given) for one in features[name]]
    for ours, window in zip(decode(name, attempts, slots=2), mel, strict=True):
        same(ours, openai(name, window, **theirs))


@pytest.mark.slow
def test_prompts_of_different_lengths_share_a_batch(mel: Tensor, features: dict[str, Tensor]) -> None:
    prompts = [None, "A museum.", "word " * 400]
    name = "base"
    attempts = [attempt(name, one, prompt) for one, prompt in zip(features[name], prompts, strict=True)]
    for ours, window, prompt in zip(decode(name, attempts, late=0), mel, prompts, strict=True):
        same(ours, openai(name, window, prompt=prompt))


@pytest.mark.slow
def test_what_memory_held_before_is_never_looked_at(mel: Tensor, features: dict[str, Tensor]) -> None:
    first, second = (
        attempt("base", one, prompt) for one, prompt in zip(features["base"], [None, "word " * 400], strict=False)
    )
    rules = Rules(vocabulary("base").tokenizer(), reference("base").dims.n_vocab, FLOAT32.device)
    batch = Batch(engine("base"), rules, 2, 1)
    for layer in (*batch._cache.past, *batch._cache.cross):
        for held in layer:
            held.fill_(torch.nan)
    batch.admit([first])
    batch.step()
    batch.admit([second])  # its long prompt makes every step look further back than the first one ever will be
    results: dict[Attempt, Any] = {}
    while batch.running:
        results.update(batch.step())
    same(results[first], openai("base", mel[0]))


@pytest.mark.slow
def test_the_limit_of_the_text_context_is_openai_whispers(mel: Tensor, features: dict[str, Tensor]) -> None:
    """With a full prompt there is room for a few tokens less than the usual 224; babble runs into it."""
    name, temperature = "tiny.en", 1e-4
    suppressed = vocabulary(name).suppressed((-1,)).clone()
    suppressed[vocabulary(name).tokenizer().eot] = -torch.inf
    endless = replace(attempt(name, features[name][0], "word " * 400), suppressed=suppressed, temperature=temperature)
    (decoded,) = decode(name, [endless])
    assert len(endless.prompt) + len(decoded.tokens) == 449
    (decoded,) = decode(name, [replace(endless, prompt=endless.prompt[-1:])])
    assert len(decoded.tokens) == 224


@pytest.mark.slow
def test_samples_at_next_to_no_temperature_are_the_greedy_tokens(mel: Tensor, features: dict[str, Tensor]) -> None:
    attempts = [attempt("tiny.en", one, temperature=1e-4, samples=3) for one in features["tiny.en"]]
    for ours, window in zip(decode("tiny.en", attempts), mel, strict=True):
        assert ours.tokens == openai("tiny.en", window).tokens


@pytest.mark.slow
def test_greedy_and_sampled_attempts_share_a_batch(mel: Tensor, features: dict[str, Tensor]) -> None:
    temperatures = [0.0, 1.0, 0.0]
    torch.manual_seed(0)
    attempts = [
        attempt("tiny.en", one, temperature=temperature)
        for one, temperature in zip(features["tiny.en"], temperatures, strict=True)
    ]
    ours = decode("tiny.en", attempts)
    same(ours[0], openai("tiny.en", mel[0]))
    same(ours[2], openai("tiny.en", mel[2]))
    assert ours[1].tokens != openai("tiny.en", mel[1]).tokens
    assert ours[1].temperature == 1.0


def test_the_likeliest_of_several_samples_is_taken(features: dict[str, Tensor]) -> None:
    torch.manual_seed(1)
    one = attempt("tiny.en", features["tiny.en"][2], temperature=1.0)
    singles = [decode("tiny.en", [replace(one)])[0].avg_logprob for _ in range(5)]
    best = [decode("tiny.en", [replace(one, samples=5)])[0].avg_logprob for _ in range(5)]
    assert np.mean(best) > np.mean(singles)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["greedy", "beams"])
def test_numbers_that_overflow_are_one_windows_fault_alone(kind: str, mel: Tensor, features: dict[str, Tensor]) -> None:
    given: dict[str, Any] = {"beams": 2} if kind == "beams" else {}
    theirs = {"beam_size": 2} if kind == "beams" else {}
    attempts = [attempt("tiny.en", one, **given) for one in features["tiny.en"]]
    attempts[1] = replace(attempts[1], features=torch.full_like(attempts[1].features, torch.nan))
    ours = decode("tiny.en", attempts)
    assert isinstance(ours[1], NumericalFault)
    same(ours[0], openai("tiny.en", mel[0], **theirs))
    same(ours[2], openai("tiny.en", mel[2], **theirs))


def test_a_slot_that_overflowed_serves_the_next_window(mel: Tensor, features: dict[str, Tensor]) -> None:
    attempts = [attempt("tiny.en", one) for one in features["tiny.en"][1:]]
    attempts[0] = replace(attempts[0], features=torch.full_like(attempts[0].features, torch.nan))
    ours = decode("tiny.en", [attempts[0], attempt("tiny.en", features["tiny.en"][0]), attempts[1]], slots=2, late=1)
    same(ours[2], openai("tiny.en", mel[2]))


def test_an_attempt_that_is_dropped_leaves_the_others_alone(mel: Tensor, features: dict[str, Tensor]) -> None:
    name = "tiny.en"
    attempts = [attempt(name, one) for one in features[name]]
    batch = Batch(engine(name), Rules(vocabulary(name).tokenizer(), 51864, FLOAT32.device), 3, 1)
    batch.admit(attempts)
    for _ in range(10):
        batch.step()
    batch.drop([attempts[0]])
    assert batch.running == [attempts[2], attempts[1]]
    results = dict[Attempt, Any]()
    while batch.running:
        results.update(batch.step())
    same(results[attempts[1]], openai(name, mel[1]))
    same(results[attempts[2]], openai(name, mel[2]))


stamps = st.lists(st.sampled_from([50363, 50373, 50374, 51063, 51863]), max_size=5).map(sorted)
histories = stamps.flatmap(
    lambda some: st.lists(st.sampled_from([100, 200]), max_size=3).flatmap(
        lambda text: st.permutations([True] * len(some) + [False] * len(text)).map(
            lambda order: _interleaved(order, some, text)
        )
    )
)


def _interleaved(order: list[bool], stamps: list[int], text: list[int]) -> list[int]:
    """Timestamps that never fall, as the rules see to it, with text anywhere between them."""
    rising, words = iter(stamps), iter(text)
    return [next(rising) if stamp else next(words) for stamp in order]


@examples(150)
@given(st.lists(histories, min_size=1, max_size=4), st.integers(0, 2**32 - 1))
def test_the_rules_allow_what_openai_whisper_allows(sampled: list[list[int]], seed: int) -> None:
    """Each row by itself in theirs, all together in ours."""
    tokenizer, size = vocabulary("tiny.en").tokenizer(), 51864
    torch.manual_seed(seed)
    logits = torch.randn(len(sampled), size) * 3
    logits[:, 50363:] += torch.randn(len(sampled), 1) * 3
    banned = vocabulary("tiny.en").suppressed((-1,))
    width = max(1, *map(len, sampled))
    padded = torch.tensor([[[*one, *[7] * (width - len(one))]] for one in sampled])
    count = torch.tensor([len(one) for one in sampled])
    rules = Rules(tokenizer, size, FLOAT32.device)
    ours = rules.apply((logits + banned)[:, None].clone(), padded, count)[:, 0]
    for row, one in enumerate(sampled):
        theirs = logits[row : row + 1].clone()
        tokens = torch.tensor([[tokenizer.sot, *one]])
        SuppressBlank(tokenizer, 1).apply(theirs, tokens)
        task = DecodingTask(reference("tiny.en"), whisper.DecodingOptions(language="en", fp16=False))
        SuppressTokens(task._get_suppress_tokens()).apply(theirs, tokens)
        ApplyTimestampRules(tokenizer, 1, 50).apply(theirs, tokens)
        expected = theirs.log_softmax(-1)[0]
        assert torch.equal(ours[row].isfinite(), expected.isfinite())
        torch.testing.assert_close(ours[row], expected, atol=1e-4, rtol=1e-4, equal_nan=True)
