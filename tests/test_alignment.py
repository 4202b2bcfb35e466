"""`align` and `align_words`: the words and times are openai-whisper's, in any batch."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from statistics import median
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import whisper
import whisper.timing
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from whisper.audio import HOP_LENGTH, N_SAMPLES, TOKENS_PER_SECOND
from whisper.tokenizer import Tokenizer, get_tokenizer

from src.audio.decode import decode_audio
from src.engine.alignment import RADIUS, Bounds, align, median_filter
from src.engine.dtw import cheapest_path, onset_frames
from src.engine.model import Model
from src.engine.placement import choose_placements
from src.engine.window import align_words
from src.engine.work import AlignmentRequest
from src.models.weights import load_weights
from tests.support.clips import CLIPS, ROOT
from tests.support.properties import examples
from transcript.transcript import Segment, Word

Costs = npt.NDArray[np.float64]


# --- Dynamic time warping -------------------------------------------------------------------------------------------


def compiled_timing() -> ModuleType:
    """`whisper.timing` as it is without this project: compiled by numba."""
    spec = importlib.util.spec_from_file_location("whisper.compiled_timing", whisper.timing.__file__)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


openai_path = compiled_timing().dtw_cpu


def openai_onset_frames(costs: Costs) -> list[int]:
    rows, frames = openai_path(costs)
    return [int(frames[rows == row][0]) for row in range(len(costs))]


@pytest.mark.slow
@examples(100)
@given(
    st_numpy.arrays(
        np.float64,
        st.tuples(st.integers(1, 9), st.integers(1, 12)),
        # Few values make many ties, which both must break the same way.
        elements=st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]),
    )
)
def test_paths_are_those_of_openai_whisper(costs: Costs) -> None:
    assert onset_frames(costs).tolist() == openai_onset_frames(costs)
    assert cheapest_path(costs).tolist() == openai_path(costs).tolist()


@pytest.mark.slow
@pytest.mark.parametrize("size", [(101, 1500), (7, 300), (225, 90)])
def test_long_paths_are_those_of_openai_whisper(size: tuple[int, int]) -> None:
    costs = np.random.default_rng(0).normal(size=size).astype(np.float32).astype(np.float64)
    assert onset_frames(costs).tolist() == openai_onset_frames(costs)
    assert cheapest_path(costs).tolist() == openai_path(costs).tolist()


def test_a_path_through_nan_ends() -> None:
    assert onset_frames(np.full((4, 6), np.nan)).tolist() == [0, 0, 0, 0]
    assert cheapest_path(np.full((4, 6), np.nan))[:, -1].tolist() == [3, 5]


# --- Smoothing of attention -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [[50], [4], [50, 4, 7, 46, 49]])
def test_the_median_filter_is_that_of_openai_whisper_up_to_each_windows_end(frames: list[int]) -> None:
    x = torch.randn(len(frames), 2, 5, max(frames), generator=torch.Generator().manual_seed(0))
    bounds = Bounds.of(torch.tensor([[5] * len(frames), frames]), 5, max(frames))
    for row, own_frames in enumerate(frames):
        expected = whisper.timing.median_filter(x[row, :, :, :own_frames], 2 * RADIUS + 1)
        assert torch.equal(median_filter(x, bounds)[row, :, :, :own_frames], expected)


# --- Whole windows --------------------------------------------------------------------------------------------------


@dataclass
class Speech:
    """A clip's first window, and its transcript by tiny.en with openai-whisper's greedy decoding."""

    clip: str
    segments: list[tuple[float, float, str]]
    """Start, end and text of each segment."""


@dataclass
class DecodedWindow:
    """A window before its words are aligned."""

    features: Tensor
    segments: list[Segment]
    mel_frames: int


def align_all(model: Model, tokenizer: Tokenizer, windows: Sequence[DecodedWindow]) -> None:
    """Runs the steps of all windows, with their texts in one batch."""
    started: list[Generator[Any, Any, None]] = [
        align_words(window.segments, window.features, window.mel_frames, tokenizer) for window in windows
    ]
    waiting = [(steps, request) for steps in started if (request := next(steps, None))]
    if waiting:
        attentions = align(model, [request for _, request in waiting])
        for (steps, _), attention in zip(waiting, attentions, strict=True):
            with suppress(StopIteration):
                steps.send(steps.send(attention).run())


SPEECHES = [
    Speech(
        "long.ogg",
        [
            (0.00, 4.12, " Good morning, and welcome to the museum."),
            (4.12, 8.76, " Our tour today begins in the garden behind the main building."),
            (8.76, 12.28, " The old house was built by a farmer and his family."),
            (12.28, 16.56, " They carried every stone from the river with two horses."),
            (16.56, 22.20, " In the winter, the water froze and nobody could cross the bridge."),
            (22.20, 25.24, " The first room on the left is the kitchen."),
            (25.24, 28.68, " There is a large wooden table in the middle of the floor."),
        ],
    ),
    Speech("numbers.mp3", [(0.00, 3.00, " Tharrier 12 months in a year, and seven days in a week.")]),
]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """One thread: a model this small gains little from more, and waits for them on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def source() -> whisper.Whisper:
    return load_weights(ROOT / "models" / "tiny.en").float()


@pytest.fixture(scope="module")
def model(source: whisper.Whisper) -> Model:
    return Model(source, choose_placements("float32")[0], source.decoder.token_embedding.weight)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return get_tokenizer(multilingual=False)


@pytest.fixture(scope="module")
def waveforms(tmp_path_factory: pytest.TempPathFactory) -> list[Tensor]:
    folder = tmp_path_factory.mktemp("pcm")

    def waveform(speech: Speech) -> Tensor:
        pcm = decode_audio(CLIPS / speech.clip, folder, max_seconds=100, max_bytes=10**8)
        return torch.from_numpy(pcm[:N_SAMPLES].astype(np.float32) / 32768)

    return [waveform(speech) for speech in SPEECHES]


@pytest.fixture(scope="module")
def mel(waveforms: list[Tensor]) -> Tensor:
    return torch.stack([whisper.log_mel_spectrogram(whisper.pad_or_trim(waveform)) for waveform in waveforms])


@pytest.fixture(scope="module")
def aligned(model: Model, tokenizer: Tokenizer, make_windows: Callable[[], list[DecodedWindow]]) -> list[DecodedWindow]:
    """All windows, aligned together."""
    windows = make_windows()
    align_all(model, tokenizer, windows)
    return windows


@pytest.fixture(scope="module")
def make_windows(
    model: Model, tokenizer: Tokenizer, mel: Tensor, waveforms: list[Tensor]
) -> Callable[[], list[DecodedWindow]]:
    """Makes the windows before alignment."""
    with torch.inference_mode():
        features = model.encoder(mel)
    return lambda: [
        DecodedWindow(window_features, segments(speech, tokenizer), len(waveform) // HOP_LENGTH)
        for window_features, speech, waveform in zip(features, SPEECHES, waveforms, strict=True)
    ]


def segments(speech: Speech, tokenizer: Tokenizer) -> list[Segment]:
    def segment(start: float, end: float, text: str) -> Segment:
        timestamps = [tokenizer.timestamp_begin + round(time * TOKENS_PER_SECOND) for time in (start, end)]
        tokens = [timestamps[0], *tokenizer.encode(text), timestamps[1]]
        return Segment(0, 0, start, end, text, tokens, 0.0, -0.2, 1.5, 0.0)

    return [segment(*timed_text) for timed_text in speech.segments]


def words_of(window: DecodedWindow) -> list[Word]:
    return [word for segment in window.segments for word in segment.words or []]


def times_of(window: DecodedWindow) -> list[tuple[str, float, float]]:
    return [(word.word, word.start, word.end) for word in words_of(window)]


@pytest.mark.model
@pytest.mark.process
@pytest.mark.parametrize("which", range(len(SPEECHES)))
def test_words_are_those_of_openai_whisper(
    source: whisper.Whisper, tokenizer: Tokenizer, mel: Tensor, aligned: list[DecodedWindow], which: int
) -> None:
    expected = [segment.to_dict() for segment in segments(SPEECHES[which], tokenizer)]
    whisper.timing.add_word_timestamps(
        segments=expected,
        model=source,
        tokenizer=tokenizer,
        mel=mel[which],
        num_frames=aligned[which].mel_frames,
        last_speech_timestamp=0.0,
    )
    for segment, its_segment in zip(aligned[which].segments, expected, strict=True):
        assert (segment.start, segment.end) == pytest.approx((its_segment["start"], its_segment["end"]), abs=0.02)
        for word, its_word in zip(segment.words or [], its_segment["words"], strict=True):
            assert word.word == its_word["word"]
            assert (word.start, word.end) == pytest.approx((its_word["start"], its_word["end"]), abs=0.02)
            assert word.probability == pytest.approx(its_word["probability"], abs=1e-3)


@pytest.mark.model
@pytest.mark.process
def test_windows_do_not_affect_each_other(
    model: Model,
    tokenizer: Tokenizer,
    make_windows: Callable[[], list[DecodedWindow]],
    aligned: list[DecodedWindow],
) -> None:
    for alone, batched in zip(make_windows(), aligned, strict=True):
        align_all(model, tokenizer, [alone])
        assert times_of(alone) == times_of(batched)


@pytest.mark.model
@pytest.mark.process
def test_the_attention_of_a_text_is_the_same_beside_longer_and_shorter_ones(
    model: Model, tokenizer: Tokenizer, make_windows: Callable[[], list[DecodedWindow]]
) -> None:
    features = [window.features for window in make_windows()]
    random = np.random.default_rng(0)
    requests = [
        AlignmentRequest(features[row % 2], random.integers(300, 40_000, num_tokens).tolist(), num_frames, tokenizer)
        for row, (num_tokens, num_frames) in enumerate([(40, 1500), (1, 4), (90, 200), (3, 1498), (17, 1500)])
    ]
    for request, batched in zip(requests, align(model, requests), strict=True):
        (alone,) = align(model, [request])
        assert batched.weights.shape == (len(request.text) + 1, request.num_frames)
        np.testing.assert_allclose(batched.weights, alone.weights, atol=1e-3)
        assert batched.probabilities == pytest.approx(alone.probabilities, rel=1e-3)
        onsets, onsets_alone = (
            onset_frames(-weights.astype(np.float64)) for weights in (batched.weights, alone.weights)
        )
        assert onsets.tolist() == onsets_alone.tolist()


class Kernels(TorchDispatchMode):
    """Counts the operations on tensors, each of which is a kernel on CUDA or a change of shape."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.model
@pytest.mark.process
def test_a_batch_takes_as_many_kernels_as_a_single_window(
    model: Model, tokenizer: Tokenizer, make_windows: Callable[[], list[DecodedWindow]]
) -> None:
    features = make_windows()[0].features
    counts = []
    for num_rows in (1, 2, 5):
        requests = [AlignmentRequest(features, [300] * (row + 1), 100 + row, tokenizer) for row in range(num_rows)]
        with Kernels() as kernels:
            align(model, requests)
        counts.append(kernels.count)
    assert counts[0] > 100
    assert len(set(counts)) == 1


@pytest.mark.model
@pytest.mark.process
def test_words_join_to_the_text_and_are_in_order_of_time(aligned: list[DecodedWindow]) -> None:
    for window in aligned:
        for segment in window.segments:
            assert segment.words
            assert "".join(word.word for word in segment.words) == segment.text
            assert (segment.words[0].start, segment.words[-1].end) == (segment.start, segment.end)
        times = [time for word in words_of(window) for time in (word.start, word.end)]
        assert times == sorted(times)
        assert 0 <= times[0] < times[-1] <= window.mel_frames / 100
        assert all(0 < word.probability <= 1 for word in words_of(window))


@pytest.mark.model
@pytest.mark.process
def test_words_move_little_in_bfloat16(
    source: whisper.Whisper,
    model: Model,
    tokenizer: Tokenizer,
    mel: Tensor,
    make_windows: Callable[[], list[DecodedWindow]],
    aligned: list[DecodedWindow],
) -> None:
    rough_placement = replace(model.placement, dtype=torch.bfloat16, linear=model.placement.window_linear)
    rough = Model(source, rough_placement, source.decoder.token_embedding.weight)
    window = make_windows()[0]
    with torch.inference_mode():
        window.features = rough.encoder(mel[:1])[0]
    align_all(rough, tokenizer, [window])
    pairs = zip(words_of(window), words_of(aligned[0]), strict=True)
    assert median(abs(word.start - exact.start) for word, exact in pairs) <= 0.06


@pytest.mark.model
@pytest.mark.process
def test_segments_without_text_have_no_words(
    model: Model, tokenizer: Tokenizer, make_windows: Callable[[], list[DecodedWindow]]
) -> None:
    silent, spoken = make_windows()
    void = replace(silent, segments=[])
    for segment in silent.segments:
        segment.tokens = [tokenizer.timestamp_begin, tokenizer.timestamp_begin + 50]
    align_all(model, tokenizer, [silent, void])
    assert words_of(silent) == []
    align_all(model, tokenizer, [silent, spoken, void])
    assert words_of(silent) == []
    assert words_of(spoken)


@pytest.mark.model
@pytest.mark.process
@pytest.mark.parametrize("frames", [0, 1, 2, 9])
def test_a_window_with_hardly_any_audio_is_aligned(
    model: Model, tokenizer: Tokenizer, make_windows: Callable[[], list[DecodedWindow]], frames: int
) -> None:
    window = make_windows()[1]
    window.mel_frames = frames
    align_all(model, tokenizer, [window])
    assert all(0 <= word.start <= word.end for word in words_of(window))


@pytest.mark.model
@pytest.mark.process
def test_every_word_has_a_length_even_where_alignment_gives_it_none(
    model: Model, tokenizer: Tokenizer, make_windows: Callable[[], list[DecodedWindow]]
) -> None:
    window = make_windows()[1]
    window.mel_frames = 100
    align_all(model, tokenizer, [window])
    words = words_of(window)
    assert len(words) > 5
    assert all(word.end - word.start > 0.019 for word in words)
    assert words[-1].end <= 1.0
