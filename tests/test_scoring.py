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
from tests.support.clips import CLIPS, ROOT

pytestmark = [pytest.mark.model, pytest.mark.process]

FLOAT32 = choose_placements("float32")[0]


@cache
def reference(name: str) -> whisper.Whisper:
    return load_weights(ROOT / "models" / name).float()


@pytest.fixture(scope="module")
def mel(tmp_path_factory: pytest.TempPathFactory) -> Tensor:
    """Two windows of speech, [2, 80, 3000]: 12 s and 5 s."""
    folder: Path = tmp_path_factory.mktemp("pcm")
    pcm = np.array(decode_audio(CLIPS / "long.ogg", folder, max_seconds=100, max_bytes=10**8))
    waveform = torch.from_numpy(pcm.astype(np.float32)) / 32768
    parts = [waveform[: 12 * 16000], waveform[55 * 16000 : 60 * 16000]]
    return torch.stack([whisper.log_mel_spectrogram(whisper.pad_or_trim(part)) for part in parts])


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
def test_their_mean_with_the_end_token_is_openai_whispers(name: str, given: dict[str, Any], mel: Tensor) -> None:
    source = reference(name)
    options = whisper.DecodingOptions(fp16=False, **{"language": "en", **given})
    torch.manual_seed(1)
    decoded = [source.decode(window, options) for window in mel]
    tokens = TokenSets(source.dims, FLOAT32.device)
    rules = TokenRules(tokens.tokenizer(), source.dims.n_vocab, FLOAT32.device)
    prompt = list(DecodingTask(source, options).initial_tokens)
    requests = [
        ScoreRequest(result.audio_features, prompt, tokens.suppressed((-1,)), [*result.tokens, rules.end])
        for result in decoded
    ]
    scores = score(Model(source, FLOAT32, source.decoder.token_embedding.weight), rules, requests)
    assert [len(window) for window in scores] == [len(result.tokens) + 1 for result in decoded]
    for window, result in zip(scores, decoded, strict=True):
        assert math.fsum(window) / len(window) == pytest.approx(result.avg_logprob, abs=1e-4)
        assert max(window) <= 0
