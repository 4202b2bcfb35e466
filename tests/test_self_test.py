"""The self-test, on this machine and on a broken one."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

from src import self_test
from src.audio.pcm import SAMPLE_RATE, Pcm
from src.engine.decoding_options import DecodingOptions
from src.engine.model import Encoder
from src.model_loading import load_model
from src.transcription.model_cache import LoadedModel
from tests.support.clips import ROOT, spoken, words
from tests.support.sentences import sentence_of


def test_the_expected_words_and_seconds_are_those_of_the_clip() -> None:
    assert words(self_test.DEMO_WORDS) == spoken("demo.ogg")
    with self_test.demo_clip() as clip:
        assert clip.read_bytes() == (ROOT / "tests" / "data" / "demo.ogg").read_bytes()


@pytest.mark.parametrize(
    ("pcm", "expected"),
    [
        (np.zeros(int(6.7 * SAMPLE_RATE), np.int16), r"6\.7 s of silence"),
        (np.ones(SAMPLE_RATE, np.int16), r"1\.0 s of sound"),
    ],
)
def test_an_ffmpeg_that_decodes_wrongly_is_detected(
    pcm: np.ndarray, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_test, "decode_audio", lambda *_, **__: pcm)
    with pytest.raises(RuntimeError, match=expected) as failure:
        self_test.decode_demo()
    sentence_of(failure)


@pytest.fixture(scope="module")
def pcm() -> Pcm:
    return self_test.decode_demo()


@pytest.fixture(scope="module")
def model() -> Iterator[LoadedModel]:
    loaded = load_model("tiny.en")
    yield loaded
    loaded.close()


def recognize(text: str, model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the engine draft a text, whatever it hears."""
    tokenizer = model.engine.token_sets.tokenizer_for(DecodingOptions(language="en"))
    drafted: Future[SimpleNamespace] = Future()
    drafted.set_result(SimpleNamespace(tokens=[*tokenizer.encode(text), tokenizer.eot]))
    monkeypatch.setattr(model.engine, "draft", lambda *_, **__: drafted)


@pytest.mark.model
@pytest.mark.process
def test_the_model_recognizes_the_clip(model: LoadedModel, pcm: Pcm) -> None:
    self_test.check_transcription(model, pcm)


@pytest.mark.model
@pytest.mark.process
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "recognizes 0 of"),
        (" Thank you for watching the video.", "recognizes 1 of"),
    ],
)
def test_a_model_that_outputs_nothing_or_nonsense_is_detected(
    text: str, expected: str, model: LoadedModel, pcm: Pcm, monkeypatch: pytest.MonkeyPatch
) -> None:
    recognize(text, model, monkeypatch)
    with pytest.raises(RuntimeError, match=expected) as failure:
        self_test.check_transcription(model, pcm)
    assert "tiny.en" in sentence_of(failure)


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.process
def test_a_model_with_a_few_wrong_words_passes(model: LoadedModel, pcm: Pcm, monkeypatch: pytest.MonkeyPatch) -> None:
    recognize(" A quick brown fox jump over a lazy dock", model, monkeypatch)
    self_test.check_transcription(model, pcm)


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.process
@pytest.mark.parametrize("fault", ["no numbers", "wrong numbers"])
def test_a_device_that_miscalculates_is_detected(fault: str, pcm: Pcm, monkeypatch: pytest.MonkeyPatch) -> None:
    def miscalculate(encoder: Encoder, mel: Tensor) -> Tensor:
        features = encode(encoder, mel)
        return torch.full_like(features, torch.nan) if fault == "no numbers" else features.roll(1, -1)

    encode = Encoder.__call__
    monkeypatch.setattr(Encoder, "__call__", miscalculate)
    model = load_model("tiny.en")
    with pytest.raises(RuntimeError, match="another GPU") as failure:
        self_test.check_transcription(model, pcm)
    model.close()
    assert "tiny.en" in sentence_of(failure)


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.process
def test_a_failing_device_is_reported_in_one_line(
    model: LoadedModel, pcm: Pcm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError("CUDA error: device-side assert triggered\n" + "CUDA kernel errors might be reported\n" * 50)

    monkeypatch.setattr(model.engine, "draft", fail)
    with pytest.raises(RuntimeError, match="device-side assert triggered") as failure:
        self_test.check_transcription(model, pcm)
    assert "ValueError" in sentence_of(failure)


@pytest.mark.parametrize("job", [None, "no JSON", "{}", "[]", '{"input": {"audio": {"base64": "?"}}}'])
def test_an_image_without_the_demo_is_detected(
    job: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "test_input.json"
    if job is not None:
        path.write_text(job)
    monkeypatch.setattr(self_test, "DEMO_JOB", path)
    with pytest.raises(RuntimeError, match=r"test_input\.json does not hold the demo's clip") as failure:
        self_test.decode_demo()
    assert "build the image again" in sentence_of(failure)
