"""The engine with a real model: each client gets its own words, in order, whatever happens to the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor

from src.audio.decode import decode_audio
from src.engine.decoding import Batch
from src.engine.decoding_options import DecodingOptions
from src.engine.engine import Engine
from src.engine.model import Encoder
from src.engine.placement import Placement, choose_placements
from src.engine.scheduler import Snapshot
from src.engine.window import Window, WindowTranscript
from src.engine.work import OutOfMemory
from src.models.weights import load_weights
from tests.support.clips import CLIPS, ROOT, spoken, words
from tests.support.device_modes import late

pytestmark = [pytest.mark.model, pytest.mark.process]

Pcm = npt.NDArray[np.int16]
FLOAT32 = choose_placements("float32")[0]
GREEDY = DecodingOptions(temperatures=(0.0,))


def start(placement: Placement = FLOAT32) -> Engine:
    """In float32, so that rounding does not decide how tiny.en transcribes."""
    return Engine(partial(load_weights, ROOT / "models" / "tiny.en"), [placement], max_batch_size=4)


def snapshot(engine: Engine) -> Snapshot:
    """The load of its only device."""
    (load,) = engine.snapshots()
    return load


PLACEMENTS = [
    pytest.param(FLOAT32, id="at once"),
    pytest.param(late(FLOAT32), id="a step late", marks=pytest.mark.slow),
]


@pytest.fixture(scope="module", params=PLACEMENTS)
def shared(request: pytest.FixtureRequest) -> Iterator[Engine]:
    engine = start(request.param)
    yield engine
    engine.close()


@pytest.fixture(params=PLACEMENTS)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    engine = start(request.param)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pcm]:
    def decoded(name: str) -> Pcm:
        folder: Path = tmp_path_factory.mktemp("pcm")
        return np.array(decode_audio(CLIPS / name, folder, max_seconds=100, max_bytes=10**8))

    return {name: decoded(name) for name in ("demo.ogg", "numbers.mp3", "video.mp4")}


def text(transcripts: list[WindowTranscript]) -> list[str]:
    return words("".join(segment.text for transcript in transcripts for segment in transcript.segments))


def run(engine: Engine, *audio: Pcm, options: DecodingOptions = GREEDY) -> list[WindowTranscript]:
    return list(engine.transcribe((Window(pcm) for pcm in audio), options))


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_transcripts_are_in_the_order_of_the_windows(shared: Engine, clips: dict[str, Pcm]) -> None:
    names = ["demo.ogg", "numbers.mp3", "video.mp4", "numbers.mp3", "demo.ogg", "video.mp4"]
    transcripts = run(shared, *(clips[name] for name in names))
    assert [text([transcript]) for transcript in transcripts] == [spoken(name) for name in names]


@pytest.mark.slow
def test_concurrent_clients_each_get_their_own_words(shared: Engine, clips: dict[str, Pcm]) -> None:
    names = ["demo.ogg", "numbers.mp3", "video.mp4"] * 4
    beams = [None, 2, 3] * 4
    with ThreadPoolExecutor(len(names)) as threads:
        jobs = [
            threads.submit(run, shared, clips[name], options=replace(GREEDY, beam_size=size))
            for name, size in zip(names, beams, strict=True)
        ]
        assert [text(job.result()) for job in jobs] == [spoken(name) for name in names]


def test_no_windows_yield_no_transcripts(shared: Engine) -> None:
    assert run(shared) == []


@pytest.mark.slow
def test_windows_are_read_ahead_only_as_far_as_the_batch_needs(shared: Engine, clips: dict[str, Pcm]) -> None:
    taken = 0

    def endless() -> Iterator[Window]:
        nonlocal taken
        while True:
            taken += 1
            yield Window(clips["video.mp4"])

    transcripts = shared.transcribe(endless(), GREEDY)
    next(transcripts)
    assert taken <= 2 * 4 + 1
    cast(Any, transcripts).close()


@pytest.mark.slow
def test_closing_the_generator_empties_the_batches(engine: Engine, clips: dict[str, Pcm]) -> None:
    leaving = engine.transcribe((Window(clips["demo.ogg"]) for _ in range(40)), GREEDY)
    next(leaving)
    cast(Any, leaving).close()
    wait_until(lambda: replace(snapshot(engine), free_slots=0) == Snapshot(0, 0, 0, 0, 0))
    assert text(run(engine, clips["numbers.mp3"])) == spoken("numbers.mp3")


@pytest.mark.slow
def test_a_window_that_fails_fails_only_its_client(engine: Engine, clips: dict[str, Pcm]) -> None:
    with ThreadPoolExecutor(3) as threads:
        good = [threads.submit(run, engine, *[clips["demo.ogg"]] * 3) for _ in range(2)]
        bad = threads.submit(run, engine, np.zeros((3, 4, 5), np.int16))
        with pytest.raises(ValueError, match="broadcast"):
            bad.result()
        assert all(text(job.result()) == spoken("demo.ogg") * 3 for job in good)


@pytest.mark.slow
def test_out_of_memory_shrinks_the_batch_until_it_fits(
    engine: Engine, clips: dict[str, Pcm], monkeypatch: pytest.MonkeyPatch
) -> None:
    step, encode = Batch.step, Encoder.__call__

    def small_step(batch: Batch) -> Any:
        if len(batch.running) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return step(batch)

    def small_encoder(encoder: Encoder, mel: Tensor) -> Tensor:
        if len(mel) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return encode(encoder, mel)

    monkeypatch.setattr(Batch, "step", small_step)
    monkeypatch.setattr(Encoder, "__call__", small_encoder)
    assert text(run(engine, *[clips["demo.ogg"]] * 5)) == spoken("demo.ogg") * 5


@pytest.mark.slow
def test_out_of_memory_for_one_window_is_its_clients_error(
    engine: Engine, clips: dict[str, Pcm], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patched:
        patched.setattr(Batch, "step", fails)
        with pytest.raises(OutOfMemory):
            run(engine, clips["demo.ogg"])
    assert text(run(engine, clips["demo.ogg"])) == spoken("demo.ogg")


@pytest.mark.slow
def test_numbers_that_overflow_are_computed_again_in_float32(
    clips: dict[str, Pcm], monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = Encoder.__call__

    def overflows(encoder: Encoder, mel: Tensor) -> Tensor:
        features = encode(encoder, mel)
        return features * torch.nan if features.dtype == torch.bfloat16 else features

    monkeypatch.setattr(Encoder, "__call__", overflows)
    # Plain layers in both halves: not every CPU has packed ones in bfloat16.
    with closing(start(replace(FLOAT32, dtype=torch.bfloat16, linear=FLOAT32.window_linear))) as engine:
        (transcript,) = run(engine, clips["demo.ogg"])
    assert transcript.in_float32
    assert text([transcript]) == spoken("demo.ogg")


def test_weights_that_cannot_be_loaded_raise_at_once(tmp_path: Path) -> None:
    from src.errors import ModelUnavailable

    with pytest.raises(ModelUnavailable):
        Engine(partial(load_weights, tmp_path / "missing.pt"), choose_placements())


@pytest.mark.slow
def test_word_timestamps_work_with_a_long_prompt(shared: Engine, clips: dict[str, Pcm]) -> None:
    options = replace(GREEDY, word_timestamps=True, prompt="museum " * 300)
    (transcript,) = run(shared, clips["numbers.mp3"], options=options)
    starts = [word.start for segment in transcript.segments for word in segment.words or []]
    assert starts == sorted(starts)
    assert len(starts) > 8


@pytest.mark.slow
def test_the_first_window_can_finish_before_others_start(engine: Engine, clips: dict[str, Pcm]) -> None:
    started: list[int] = []

    def windows() -> Iterator[Window]:
        for number in range(6):
            started.append(number)
            yield Window(clips["demo.ogg"])

    transcripts = engine.transcribe(windows(), GREEDY, first_alone=True)
    next(transcripts)
    assert started == [0]
    assert len(list(transcripts)) == 5
