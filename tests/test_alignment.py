"""`align`: the words and times are openai-whisper's, in any batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from statistics import median

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
from whisper.audio import HOP_LENGTH, N_SAMPLES, TOKENS_PER_SECOND
from whisper.tokenizer import Tokenizer, get_tokenizer

from src.audio.decode import decode_audio
from src.engine.alignment import FILTER_WIDTH, align, dtw_onset_frames, median_filter
from src.engine.model import Model
from src.engine.placement import choose_placements
from src.engine.work import AlignmentRequest
from src.models.weights import load_weights
from src.transcript.transcript import Segment, Word
from tests.support.clips import CLIPS, ROOT
from tests.support.properties import examples

Costs = npt.NDArray[np.float64]


# --- Dynamic time warping -------------------------------------------------------------------------------------------


def openai_onset_frames(costs: Costs) -> list[int]:
    rows, frames = whisper.timing.dtw_cpu(costs)
    return [int(frames[rows == row][0]) for row in range(len(costs))]


@examples(60)
@given(
    st.lists(
        st_numpy.arrays(
            np.float64,
            st.tuples(st.integers(1, 9), st.integers(1, 12)),
            # Few values make many ties, which both must break the same way.
            elements=st.sampled_from([-1.0, -0.5, 0.0, 0.25, 1.0]),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_paths_are_those_of_openai_whisper(batch: list[Costs]) -> None:
    assert [found.tolist() for found in dtw_onset_frames(batch)] == [openai_onset_frames(costs) for costs in batch]


def test_long_paths_are_those_of_openai_whisper() -> None:
    random = np.random.default_rng(0)
    batch = [
        random.normal(size=size).astype(np.float32).astype(np.float64) for size in ((101, 1500), (7, 300), (225, 90))
    ]
    assert [found.tolist() for found in dtw_onset_frames(batch)] == [openai_onset_frames(costs) for costs in batch]


def test_a_path_through_nan_ends() -> None:
    (found,) = dtw_onset_frames([np.full((4, 6), np.nan)])
    assert found.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("frames", [1, 3, 4, 7, 50])
def test_the_median_filter_is_that_of_openai_whisper(frames: int) -> None:
    x = torch.randn(2, 5, frames, generator=torch.Generator().manual_seed(frames))
    assert torch.equal(median_filter(x), whisper.timing.median_filter(x, FILTER_WIDTH))


# --- Whole windows --------------------------------------------------------------------------------------------------


@dataclass
class Speech:
    """A clip's first window, and its transcript by tiny.en with openai-whisper's greedy decoding."""

    clip: str
    segments: list[tuple[float, float, str]]
    """Start, end and text of each segment."""


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
def aligned(
    model: Model, tokenizer: Tokenizer, make_requests: Callable[[], list[AlignmentRequest]]
) -> list[AlignmentRequest]:
    """All windows, aligned together."""
    requests = make_requests()
    align(model, requests)
    return requests


@pytest.fixture(scope="module")
def make_requests(
    model: Model, tokenizer: Tokenizer, mel: Tensor, waveforms: list[Tensor]
) -> Callable[[], list[AlignmentRequest]]:
    """Makes the windows before alignment."""
    with torch.inference_mode():
        features = model.encoder(mel)
    return lambda: [
        AlignmentRequest(window_features, segments(speech, tokenizer), len(waveform) // HOP_LENGTH, tokenizer)
        for window_features, speech, waveform in zip(features, SPEECHES, waveforms, strict=True)
    ]


def segments(speech: Speech, tokenizer: Tokenizer) -> list[Segment]:
    def segment(start: float, end: float, text: str) -> Segment:
        timestamps = [tokenizer.timestamp_begin + round(time * TOKENS_PER_SECOND) for time in (start, end)]
        tokens = [timestamps[0], *tokenizer.encode(text), timestamps[1]]
        return Segment(0, 0, start, end, text, tokens, 0.0, -0.2, 1.5, 0.0)

    return [segment(*timed_text) for timed_text in speech.segments]


def words_of(request: AlignmentRequest) -> list[Word]:
    return [word for segment in request.segments for word in segment.words or []]


def times_of(request: AlignmentRequest) -> list[tuple[str, float, float]]:
    return [(word.word, word.start, word.end) for word in words_of(request)]


@pytest.mark.model
@pytest.mark.process
@pytest.mark.parametrize("which", range(len(SPEECHES)))
def test_words_are_those_of_openai_whisper(
    source: whisper.Whisper, tokenizer: Tokenizer, mel: Tensor, aligned: list[AlignmentRequest], which: int
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
    make_requests: Callable[[], list[AlignmentRequest]],
    aligned: list[AlignmentRequest],
) -> None:
    for alone, batched in zip(make_requests(), aligned, strict=True):
        align(model, [alone])
        assert times_of(alone) == times_of(batched)


@pytest.mark.model
@pytest.mark.process
def test_words_join_to_the_text_and_are_in_order_of_time(aligned: list[AlignmentRequest]) -> None:
    for request in aligned:
        for segment in request.segments:
            assert segment.words
            assert "".join(word.word for word in segment.words) == segment.text
            assert (segment.words[0].start, segment.words[-1].end) == (segment.start, segment.end)
        times = [time for word in words_of(request) for time in (word.start, word.end)]
        assert times == sorted(times)
        assert 0 <= times[0] < times[-1] <= request.mel_frames / 100
        assert all(0 < word.probability <= 1 for word in words_of(request))


@pytest.mark.model
@pytest.mark.process
def test_words_move_little_in_bfloat16(
    source: whisper.Whisper,
    model: Model,
    tokenizer: Tokenizer,
    mel: Tensor,
    make_requests: Callable[[], list[AlignmentRequest]],
    aligned: list[AlignmentRequest],
) -> None:
    rough_placement = replace(model.placement, dtype=torch.bfloat16, linear=model.placement.window_linear)
    rough = Model(source, rough_placement, source.decoder.token_embedding.weight)
    request = make_requests()[0]
    with torch.inference_mode():
        request.features = rough.encoder(mel[:1])[0]
    align(rough, [request])
    pairs = zip(words_of(request), words_of(aligned[0]), strict=True)
    assert median(abs(word.start - exact.start) for word, exact in pairs) <= 0.06


@pytest.mark.model
@pytest.mark.process
def test_segments_without_text_have_no_words(
    model: Model, tokenizer: Tokenizer, make_requests: Callable[[], list[AlignmentRequest]]
) -> None:
    silent, spoken = make_requests()
    void = replace(silent, segments=[])
    for segment in silent.segments:
        segment.tokens = [tokenizer.timestamp_begin, tokenizer.timestamp_begin + 50]
    align(model, [silent, void])
    assert words_of(silent) == []
    align(model, [silent, spoken, void])
    assert words_of(silent) == []
    assert words_of(spoken)


@pytest.mark.model
@pytest.mark.process
@pytest.mark.parametrize("frames", [0, 1, 2, 9])
def test_a_window_with_hardly_any_audio_is_aligned(
    model: Model, tokenizer: Tokenizer, make_requests: Callable[[], list[AlignmentRequest]], frames: int
) -> None:
    request = make_requests()[1]
    request.mel_frames = frames
    align(model, [request])
    assert all(0 <= word.start <= word.end for word in words_of(request))


@pytest.mark.model
@pytest.mark.process
def test_every_word_has_a_length_even_where_alignment_gives_it_none(
    model: Model, make_requests: Callable[[], list[AlignmentRequest]]
) -> None:
    request = make_requests()[1]
    request.mel_frames = 100
    align(model, [request])
    words = words_of(request)
    assert len(words) > 5
    assert all(word.end - word.start > 0.019 for word in words)
    assert words[-1].end <= 1.0
