"""A model on several devices: the same words as on one, all devices in use, and no loss when one of them fails.

CPU "devices" stand for GPUs where results are compared. To check that every tensor is on the right device, layers are
on PyTorch's `meta` device, which has shapes and no numbers, and an operation that mixes devices fails, as on CUDA.
"""

from __future__ import annotations

import mmap
import threading
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from whisper import ModelDimensions
from whisper.audio import N_FRAMES

from src.audio.decode import decode_audio
from src.engine.alignment import align
from src.engine.decoding_options import DecodingOptions, TokenSets
from src.engine.engine import Engine
from src.engine.kernels import PlainLinear, fused_attention
from src.engine.model import Model
from src.engine.placement import Placement, choose_placements, group_devices
from src.engine.runner import num_slots, slot_bytes
from src.engine.scheduler import EngineLost
from src.engine.window import Window, WindowTranscript
from src.engine.work import AlignmentRequest
from src.models.weights import load_weights
from tests.support.clips import CLIPS, ROOT

Pcm = npt.NDArray[np.int16]
GREEDY = DecodingOptions(temperatures=(0.0,), word_timestamps=True)
ON_CPU = choose_placements("float32")[0]
CPU, GPU = torch.device("cpu"), torch.device("cuda")
GIGABYTE = 1 << 30
load = partial(load_weights, ROOT / "models" / "tiny.en")


@dataclass
class Device:
    """A CPU that counts its encoder passes, and fails like a GPU after pass `last`."""

    last: int | None = None
    passes: int = 0

    @property
    def placement(self) -> Placement:
        return replace(ON_CPU, attention=self.attention)

    def attention(self, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None) -> Tensor:
        self.passes += q.shape[-2] == 1500
        if self.last is not None and self.passes > self.last:
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
        return ON_CPU.attention(q, k, v, mask)


@pytest.fixture(scope="module")
def windows(tmp_path_factory: pytest.TempPathFactory) -> list[Window]:
    """Three recordings, and the first of them again."""

    def decoded(name: str) -> Window:
        folder: Path = tmp_path_factory.mktemp("pcm")
        return Window(np.array(decode_audio(CLIPS / name, folder, max_seconds=100, max_bytes=10**8)))

    return [decoded(name) for name in ("demo.ogg", "numbers.mp3", "video.mp4", "demo.ogg")]


@pytest.fixture(scope="module")
def on_one(windows: list[Window]) -> list[WindowTranscript]:
    return transcripts([ON_CPU], windows)


def transcripts(placements: list[Placement], windows: list[Window]) -> list[WindowTranscript]:
    with closing(Engine(load, placements, max_batch_size=2)) as engine:
        return list(engine.transcribe(windows, GREEDY))


def assert_alike(actual: list[WindowTranscript], expected: list[WindowTranscript]) -> None:
    """Compares all but probabilities, whose last digits depend on which windows happened to share a pass."""
    assert [essentials(transcript) for transcript in actual] == [essentials(transcript) for transcript in expected]


def essentials(transcript: WindowTranscript) -> list[Any]:
    return [
        (
            segment.start,
            segment.end,
            segment.tokens,
            [(word.word, word.start, word.end) for word in segment.words or []],
        )
        for segment in transcript.segments
    ]


# --- Copies ----------------------------------------------------------------------------------------------------------


@pytest.mark.model
@pytest.mark.process
def test_copies_on_several_devices_share_the_windows_and_agree(
    windows: list[Window], on_one: list[WindowTranscript]
) -> None:
    devices = [Device(), Device()]
    assert_alike(transcripts([device.placement for device in devices], windows), on_one)
    assert all(device.passes for device in devices)
    assert sum(device.passes for device in devices) == 4 * len(windows)  # layers of the encoder


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.process
@pytest.mark.parametrize("last", [0, 5])
def test_the_work_of_a_failed_device_is_repeated_by_the_others(
    windows: list[Window], on_one: list[WindowTranscript], last: int
) -> None:
    good, bad = Device(), Device(last)
    with closing(Engine(load, [bad.placement, good.placement], max_batch_size=2)) as engine:
        assert_alike(list(engine.transcribe(windows, GREEDY)), on_one)
        assert bad.passes == last + 1
        assert_alike(list(engine.transcribe(windows[:2], GREEDY)), on_one[:2])
        assert bad.passes == last + 1  # it gets no more work


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.process
def test_with_the_last_device_the_engine_is_lost(windows: list[Window]) -> None:
    with closing(Engine(load, [Device(1).placement, Device(2).placement], max_batch_size=2)) as engine:
        for _ in range(2):
            with pytest.raises(EngineLost):
                list(engine.transcribe(windows, GREEDY))


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.process
def test_a_window_encoded_on_another_device_is_encoded_again(
    windows: list[Window], on_one: list[WindowTranscript]
) -> None:
    elsewhere = replace(windows[0], features=torch.empty(1500, 384, device="meta"))
    assert_alike(transcripts([ON_CPU], [elsewhere]), on_one[:1])


@pytest.mark.model
@pytest.mark.model
@pytest.mark.process
def test_a_device_that_cannot_load_the_model_leaves_no_thread_running() -> None:
    def out_of_memory(*_: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    before = threading.active_count()
    with pytest.raises(torch.OutOfMemoryError):
        Engine(load, [ON_CPU, replace(ON_CPU, linear=out_of_memory)], max_batch_size=2)
    assert threading.active_count() == before


# --- One model on several devices ------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.process
def test_a_split_model_agrees_with_a_whole_one(windows: list[Window], on_one: list[WindowTranscript]) -> None:
    assert_alike(transcripts([replace(ON_CPU, devices=(CPU, CPU))], windows), on_one)


class SeparateDevices(TorchDispatchMode):
    """Keeps devices apart as CUDA does, and records those in use; a tensor moved from `meta` to the CPU is zero."""

    def __init__(self) -> None:
        super().__init__()
        self.used: set[torch.device] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if kwargs.get("device") == CPU and isinstance(args[0], Tensor) and args[0].is_meta:
            return torch.zeros(args[0].shape, dtype=kwargs.get("dtype") or args[0].dtype)
        leaves = tree_leaves((args, kwargs))
        devices = {leaf.device for leaf in leaves if isinstance(leaf, Tensor) and leaf.dim()}
        self.used |= devices
        if func is not torch.ops.aten.copy_.default and len(devices) > 1:
            raise RuntimeError(f"{func} mixes devices")
        return func(*args, **kwargs)


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.model
@pytest.mark.process
@pytest.mark.parametrize("devices", [("cpu", "meta"), ("cpu", "meta", "cpu"), ("cpu", "cpu", "meta", "meta")])
def test_every_tensor_of_a_split_model_is_where_its_layer_is(devices: tuple[str, ...]) -> None:
    # Plain layers, as on CUDA: `meta` has no packed weights.
    placement = Placement(
        tuple(map(torch.device, devices)), torch.float32, fused_attention, PlainLinear, PlainLinear, 2, 1
    )
    source = load()
    model = Model(source, placement, source.decoder.token_embedding.weight)
    with torch.inference_mode(), SeparateDevices() as seen:
        features = model.encoder(torch.zeros(2, 80, N_FRAMES))
        assert features.device == CPU
        cache = model.cache(num_slots=2, num_candidates=2)
        model.decoder.store_prompt(cache, 0, torch.zeros(3, dtype=torch.long), features[0])
        model.decoder.store_features(cache, 1, features[1])
        for position in range(3, 5):
            hidden = model.decoder.step(
                cache, torch.zeros(2, 2, dtype=torch.long), torch.full((2, 1), position), reach=64
            )
        cache.continue_texts(torch.tensor([[1, 0], [0, 0]]), reach=64)
        cache.move(1, 0, reach=64)
        assert model.decoder.logits(hidden).device == CPU
        align(model, [AlignmentRequest(features[0], [18435], 1500, TokenSets(source.dims, CPU).tokenizer())])
    assert seen.used == {torch.device(device) for device in devices}


def test_the_layers_of_a_split_model_are_distributed_evenly_and_in_order() -> None:
    split = replace(ON_CPU, devices=(torch.device("cuda", 0), torch.device("cuda", 1), torch.device("cuda", 2)))
    assert [split.for_layer(layer, 8).device.index for layer in range(8)] == [0, 0, 0, 1, 1, 1, 2, 2]
    assert {split.for_layer(layer, 2).device.index for layer in range(2)} <= {0, 1, 2}


# --- Copies or one split model ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device_map", "free", "copies"),
    [
        ("auto", [24, 24], 2),
        ("auto", [24, 6], 1),
        ("replicate", [24, 6], 2),
        ("split", [24, 24], 1),
    ],
)
def test_a_model_is_copied_if_it_fits_every_device(device_map: str, free: list[int], copies: int) -> None:
    devices = [GPU] * len(free)
    groups = group_devices(devices, device_map, 10 * GIGABYTE, [gigabytes * GIGABYTE for gigabytes in free])
    assert len(groups) == copies
    assert [device for group in groups for device in group] == devices


def test_one_device_is_never_split() -> None:
    assert group_devices([CPU], "auto", 10 * GIGABYTE, []) == [(CPU,)]
    assert group_devices([GPU], "auto", 10 * GIGABYTE, [GIGABYTE]) == [(GPU,)]
    assert group_devices([GPU], "split", GIGABYTE, [GIGABYTE]) == [(GPU,)]


# --- Memory of CUDA devices ------------------------------------------------------------------------------------------


def dims(layers: int, width: int) -> ModelDimensions:
    return ModelDimensions(128, 1500, width, 20, 32, 51866, 448, width, 20, layers)


TURBO, MEDIUM, LARGE = dims(4, 1280), dims(24, 1024), dims(32, 1280)


@pytest.mark.parametrize(("model", "megabytes"), [(TURBO, 40), (MEDIUM, 191), (LARGE, 319)])
def test_the_memory_of_a_slot_is_that_of_its_keys_and_values(model: ModelDimensions, megabytes: int) -> None:
    assert round(slot_bytes(model, torch.float16, 1) / 1e6) == megabytes


@pytest.mark.parametrize(
    ("model", "gigabytes_free", "slots"),
    [(TURBO, 22, 248), (MEDIUM, 22, 51), (LARGE, 20, 27), (LARGE, 12, 15), (LARGE, 2.1, 1), (LARGE, 1, 1)],
)
def test_slots_take_half_of_the_memory_that_the_model_leaves(
    model: ModelDimensions, gigabytes_free: float, slots: int
) -> None:
    assert num_slots(int(gigabytes_free * 1e9), slot_bytes(model, torch.float16, 1), share=0.5) == slots


# --- Memory ----------------------------------------------------------------------------------------------------------


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * mmap.PAGESIZE


def test_memory_on_a_cpu_is_taken_where_it_is_used() -> None:
    """A token uses a kilobyte of every megabyte: pages of 2 MB would make it the whole."""
    before = resident_bytes()
    memory = ON_CPU.zeros(torch.uint8, 256, 1 << 20)
    memory[:, :1024] = 1
    assert resident_bytes() - before < 64 << 20
    assert not memory[:, 1024:2048].any()
