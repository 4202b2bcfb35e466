"""The log-probabilities of decoded tokens: their mean is openai-whisper's own `avg_logprob`, however it decoded."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import whisper
from torch import Tensor
from whisper.decoding import DecodingTask

from src.audio.decode import decode_audio
from src.engine.decoding_options import TokenSets
from src.engine.model import Model
from src.engine.placement import choose_placements
from src.engine.scoring import score
from src.engine.token_rules import TokenRules
from src.engine.work import ScoreRequest
from src.models.weights import load_weights
from src.transcription.decoding_record import DecodingRecord
from tests.support.clips import CLIPS, ROOT

pytestmark = [pytest.mark.model, pytest.mark.process]

FLOAT32 = choose_placements("float32")[0]


@cache
def reference(name: str) -> whisper.Whisper:
    return load_weights(ROOT / "models" / name).float()


@pytest.fixture(scope="module")
def mel(tmp_path_factory: pytest.TempPathFactory) -> Tensor:
    """Two windows of speech, [2, 80, 3000]: 9 s and 5 s."""
    folder: Path = tmp_path_factory.mktemp("pcm")
    pcm = np.array(decode_audio(CLIPS / "long.ogg", folder, max_seconds=100, max_bytes=10**8))
    waveform = torch.from_numpy(pcm.astype(np.float32)) / 32768
    parts = [waveform[: 9 * 16000], waveform[55 * 16000 : 60 * 16000]]
    return torch.stack([whisper.log_mel_spectrogram(whisper.pad_or_trim(part)) for part in parts])


@pytest.fixture(scope="module")
def features(mel: Tensor) -> dict[str, Tensor]:
    """Of these windows, which openai-whisper decodes in place of their spectrograms."""
    with torch.inference_mode():
        return {name: reference(name).encoder(mel) for name in ("tiny.en", "base")}


@cache
def scorer(name: str) -> tuple[TokenSets, TokenRules, Model]:
    source = reference(name)
    tokens = TokenSets(source.dims, FLOAT32.device)
    rules = TokenRules(tokens.tokenizer(), source.dims.n_vocab, FLOAT32.device)
    return tokens, rules, Model(source, FLOAT32, source.decoder.token_embedding.weight)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("tiny.en", {}),
        ("tiny.en", {"beam_size": 5}),
        ("tiny.en", {"temperature": 0.8, "best_of": 2}),
        ("tiny.en", {"prompt": "Glossary: harbour, pilot boat."}),
        ("base", {"language": "en"}),
        ("base", {"language": "de", "task": "translate"}),
    ],
)
def test_their_mean_with_the_end_token_is_openai_whispers(
    name: str, given: dict[str, Any], features: dict[str, Tensor]
) -> None:
    options = whisper.DecodingOptions(fp16=False, **{"language": "en", **given})
    torch.manual_seed(1)
    decoded = [reference(name).decode(window, options) for window in features[name]]
    tokens, rules, model = scorer(name)
    prompt = list(DecodingTask(reference(name), options).initial_tokens)
    requests = [
        ScoreRequest(result.audio_features, prompt, tokens.suppressed((-1,)), [*result.tokens, rules.end])
        for result in decoded
    ]
    scores = score(model, rules, requests)
    assert [len(window) for window in scores] == [len(result.tokens) + 1 for result in decoded]
    for window, result in zip(scores, decoded, strict=True):
        assert math.fsum(window) / len(window) == pytest.approx(result.avg_logprob, abs=1e-4)
        assert max(window) <= 0


@pytest.mark.slow
@pytest.mark.parametrize("given", [{}, {"prompt": [1000, 2000, 3000]}, {"temperature": 0.8}])
def test_what_openai_whisper_decodes_is_scored_likewise(given: dict[str, Any], features: dict[str, Tensor]) -> None:
    source, options = reference("tiny.en"), whisper.DecodingOptions(fp16=False, language="en", **given)
    record = DecodingRecord(source, (-1,))
    with record.recording():
        first, second = (source.decode(window, options) for window in features["tiny.en"])
    assert source.decode == whisper.Whisper.decode.__get__(source)
    tokens, rules, model = scorer("tiny.en")
    prompt = list(DecodingTask(source, options).initial_tokens)
    for result in (second, first):
        request = ScoreRequest(result.audio_features, prompt, tokens.suppressed((-1,)), result.tokens)
        expected = [
            number
            for token, number in zip(result.tokens, score(model, rules, [request])[0], strict=True)
            if token < rules.end
        ]
        assert [token.logprob for token in record.logprobs_of(vars(result))] == pytest.approx(expected, abs=1e-3)


def test_a_token_of_text_has_a_finite_score_where_by_rounding_a_timestamp_is_the_likelier_one() -> None:
    _, rules, _ = scorer("tiny.en")
    logits = torch.zeros(2, reference("tiny.en").dims.n_vocab)  # 1500 timestamps, together likelier than any text
    assert rules.score(logits, [rules.timestamps, 1000]).isfinite().all()
