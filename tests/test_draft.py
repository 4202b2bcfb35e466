"""Drafts of a window that is still growing, with a real model: what they say, how they end and how they are ended."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import CancelledError
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from src.audio.decode import decode_audio
from src.engine import placement
from src.engine.decoding_options import DecodingOptions
from src.engine.draft import MAX_TOKENS_PER_SECOND, MORE_TOKENS, draft_window
from src.engine.engine import Engine
from src.engine.model import Encoder
from src.engine.placement import choose_placements
from src.engine.scheduler import Client
from src.engine.window import Window
from src.engine.work import EncodeRequest
from src.models.weights import load_weights
from tests.support.clips import CLIPS, ROOT

pytestmark = [pytest.mark.model, pytest.mark.process]

OPTIONS = DecodingOptions()


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    """Encodes four windows in a pass, as CUDA does."""
    placement = replace(choose_placements("float32")[0], encoder_batch_size=4)
    with closing(Engine(lambda: load_weights(ROOT / "models/tiny.en"), [placement])) as engine:
        yield engine


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.int16]:
    """5 s of speech."""
    return np.array(decode_audio(CLIPS / "long.ogg", tmp_path_factory.mktemp("pcm"), max_seconds=100, max_bytes=10**8))[
        : 5 * 16000
    ]


def text_of(engine: Engine, tokens: list[int]) -> str:
    return engine.token_sets.tokenizer().decode(tokens)


def test_a_draft_is_the_greedy_text_of_the_window(engine: Engine, speech: NDArray[np.int16]) -> None:
    draft = engine.draft(Window(speech), OPTIONS).result()
    (final,) = engine.transcribe([Window(speech)], DecodingOptions(beam_size=1))
    assert text_of(engine, draft.tokens) == "".join(segment.text for segment in final.segments)
    assert (draft.language, draft.is_repetitive) == ("en", False)
    assert draft.no_speech_prob < 0.2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("seconds", "is_short", "num_frames"),
    [
        (0.0, True, 500),
        (3.0, True, 500),
        (3.01, True, 1000),
        (12.0, True, 1500),
        (27.0, True, 3000),
        (30.0, True, 3000),
        (3.0, False, 3000),
    ],
)
def test_a_short_encoding_reads_the_sound_and_at_least_two_seconds_of_silence(
    seconds: float, is_short: bool, num_frames: int
) -> None:
    audio = np.zeros(round(seconds * 16000), np.int16)
    assert EncodeRequest(audio, is_short=is_short).num_frames == num_frames


@pytest.mark.slow
@pytest.mark.parametrize(("language", "is_short"), [("en", True), ("de", False), ("ja", False), (None, False)])
def test_only_drafts_of_english_are_encoded_without_most_of_the_silence(
    engine: Engine, language: str | None, is_short: bool
) -> None:
    window, options = Window(np.zeros(32000, np.int16)), replace(OPTIONS, language=language)
    assert next(draft_window(window, options, engine.token_sets, ())).is_short is is_short  # type: ignore[union-attr]


@pytest.mark.slow
def test_drafts_of_different_lengths_are_each_as_if_alone(engine: Engine, speech: NDArray[np.int16]) -> None:
    windows = [Window(speech[: seconds * 16000]) for seconds in (2, 3, 5)]
    alone = [engine.draft(window, OPTIONS).result() for window in windows]
    together = [engine.draft(window, OPTIONS) for window in windows]
    assert [draft.result().tokens for draft in together] == [draft.tokens for draft in alone]


@pytest.mark.slow
def test_a_draft_goes_on_from_the_text_of_an_earlier_one(engine: Engine, speech: NDArray[np.int16]) -> None:
    known = engine.draft(Window(speech[: 2 * 16000]), OPTIONS).result().tokens[:4]
    known[-1] = engine.token_sets.tokenizer().encode(" goodbye")[0]
    draft = engine.draft(Window(speech), OPTIONS, known).result()
    assert draft.tokens[:4] == known
    assert "museum" in text_of(engine, draft.tokens[4:])


@pytest.mark.slow
def test_a_text_that_repeats_itself_is_known_by_it_and_ends(engine: Engine, speech: NDArray[np.int16]) -> None:
    tokenizer = engine.token_sets.tokenizer()
    loop = [tokenizer.timestamp_begin, *tokenizer.encode(" the cat sat on the mat and" * 12)]
    draft = engine.draft(Window(speech), OPTIONS, loop).result()
    assert draft.is_repetitive
    assert len(draft.tokens) <= len(loop) + 5 * MAX_TOKENS_PER_SECOND + MORE_TOKENS


def test_a_draft_of_silence_has_no_speech(engine: Engine) -> None:
    assert engine.draft(Window(np.zeros(32000, np.int16)), OPTIONS).result().no_speech_prob > 0.4


def test_a_cancelled_draft_leaves_nothing(engine: Engine, speech: NDArray[np.int16]) -> None:
    client = Client(background=True)
    drafts = [engine.draft(Window(speech), OPTIONS, client=client) for _ in range(4)]
    engine.cancel(client)
    assert all(isinstance(draft.exception(), CancelledError) for draft in drafts)
    engine.draft(Window(speech), OPTIONS).result()  # the engine has taken note
    (load,) = engine.snapshots()
    assert (load.clients, load.unfinished, load.decoding) == (0, 0, 0)
    with pytest.raises(CancelledError):
        engine.draft(Window(speech), OPTIONS, client=client)


@pytest.mark.slow
def test_a_draft_may_leave_a_core_free_for_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    used = []
    encode = Encoder.__call__

    def watch(encoder: Encoder, mel: Tensor) -> Tensor:
        used.append(torch.get_num_threads())
        return encode(encoder, mel)

    monkeypatch.setattr(Encoder, "__call__", watch)
    monkeypatch.setattr(placement, "NUM_THREADS", 3)
    with closing(Engine(lambda: load_weights(ROOT / "models/tiny.en"), choose_placements("float32"))) as engine:
        for leaves_core_free in (True, False):
            engine.draft(Window(np.zeros(16000, np.int16)), OPTIONS, leaves_core_free=leaves_core_free).result()
    assert used == [2, 3]
