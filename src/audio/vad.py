"""Where a recording has speech, and the windows of at most 30 s that are decoded.

    pcm -> speech_probabilities -> speech_regions -> windows
    pcm -> Region(0, len(pcm)) -> windows             without voice activity detection

Every step is a generator, so that the first windows can be decoded while the rest of a long recording is still being
looked at, and none holds more of the recording than a block. `pcm` is 16 kHz mono int16, [samples], usually
memory-mapped; positions and lengths are in samples.

The network is silero-vad's (https://github.com/snakers4/silero-vad, MIT). Its TorchScript model takes one frame of
32 ms a call and keeps the LSTM's state between calls: 6 ms for a second of audio, and one recording at a time. The same
weights in plain layers take a block of frames a call, with the state in the caller's hands: well under 1 ms a second.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distribution
from threading import Lock
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from src.audio.pcm import SAMPLE_RATE, Pcm, Region

FRAME = 512
"""Samples that one probability stands for: 32 ms."""
CONTEXT = 64
"""Samples of the frame before that the network sees with each frame."""
BLOCK = 512 * FRAME
"""Samples that the network takes at once: 16 s, some 10 MB of activations. Longer blocks are no faster."""


Samples: TypeAlias = NDArray[np.float32]
State: TypeAlias = tuple[Tensor, Tensor]
"""The LSTM's hidden and cell state, [1, 128] each."""


@dataclass(frozen=True, slots=True)
class VadOptions:
    """What counts as speech. When in doubt it does: an empty window costs a little time, a lost word is lost."""

    threshold: float = 0.5
    """Probability from which a frame starts speech; 0.15 below it a frame may end it. Both are silero's own."""
    min_speech_ms: int = 100
    """Speech no longer than this is a click or a cough. silero's own 250 ms is longer than a quick "yes"."""
    min_silence_ms: int = 300
    """Speech with shorter pauses is one region, and windows part only between regions. At faster-whisper's 160 ms the
    first sound of a word, which often stands alone for a frame, is taken for a click; at longer pauses windows are less
    full. Errors in 537 English words, `base`, greedy and beam 5: 49, 49 at 160 ms; 48, 48 at 300; 51, 50 at 500.
    """
    speech_pad_ms: int = 400
    """Put to both ends of a region, as faster-whisper does; regions nearer than twice this meet halfway. The network
    hears soft beginnings and ends late, and Whisper misses words that begin with the window."""


class SileroVad(nn.Module):
    """silero-vad's network for 16 kHz; holds no state, so that any number of recordings may share it."""

    def __init__(self) -> None:
        super().__init__()
        self.stft = nn.Conv1d(1, 258, kernel_size=256, stride=128, bias=False)
        self.encoder = nn.Sequential(
            nn.Conv1d(129, 128, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv1d(128, 64, kernel_size=3, padding=1, stride=2),
            nn.ReLU(),
            nn.Conv1d(64, 64, kernel_size=3, padding=1, stride=2),
            nn.ReLU(),
            nn.Conv1d(64, 128, kernel_size=3, padding=1),
            nn.ReLU(),
        )
        self.rnn = nn.LSTM(128, 128)
        self.decoder = nn.Linear(128, 1)

    @torch.inference_mode()
    def forward(self, samples: Tensor, state: State | None) -> tuple[Tensor, State]:
        """samples [CONTEXT + frames * FRAME] in -1..1, state after the frame before -> probabilities [frames], state"""
        frames = samples.unfold(0, CONTEXT + FRAME, FRAME).unsqueeze(1)
        real, imaginary = self.stft(F.pad(frames, (0, CONTEXT), "reflect")).chunk(2, dim=1)  # [frames, 129, 4] each
        features = self.encoder((real.square() + imaginary.square()).sqrt()).squeeze(-1)  # [frames, 128]
        hidden, state = self.rnn(features, state)
        return self.decoder(hidden.relu()).sigmoid().squeeze(-1), state


class Detector(NamedTuple):
    """The network and the one core that it runs on.

    Its steps are small. Shared out over cores they wait for each other, and where an engine keeps the cores busy, each
    wait costs a time slice. 228 s of audio on two cores against one: 0.1 s and 0.15 s idle, 0.3 s and 0.2 s beside an
    engine, up to 5 s and 0.9 s on an overloaded machine.
    """

    network: SileroVad
    core: Executor

    def __call__(self, samples: Samples, state: State | None) -> tuple[list[float], State]:
        """As the network's, from and to what needs no torch on the caller's thread."""
        return self.core.submit(self._detect, samples, state).result()

    def _detect(self, samples: Samples, state: State | None) -> tuple[list[float], State]:
        probabilities, state = self.network(torch.from_numpy(samples), state)
        return probabilities.tolist(), state


_loading = Lock()


def load_vad() -> Detector:
    """The detector, loaded once; call it at start-up to keep its 0.1 s from the first job."""
    with _loading:
        return _detector()


@cache
def _detector() -> Detector:
    core = single_threaded_executor("vad")
    # Made there too: threads on which torch has once worked in parallel slow each other down ever after.
    return Detector(core.submit(_network).result(), core)


def _network() -> SileroVad:
    # Not through `import silero_vad`, which sets the whole process to one thread.
    path = distribution("silero-vad").locate_file("silero_vad/data/silero_vad.jit")
    weights = torch.jit.load(str(path)).state_dict()  # type: ignore[no-untyped-call]
    network = SileroVad().eval()
    network.load_state_dict(
        {
            "stft.weight": weights["_model.stft.forward_basis_buffer"],
            **{
                f"encoder.{2 * layer}.{kind}": weights[f"_model.encoder.{layer}.reparam_conv.{kind}"]
                for layer in range(4)
                for kind in ("weight", "bias")
            },
            **{
                f"rnn.{name}_l0": weights[f"_model.decoder.rnn.{name}"]
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            },
            "decoder.weight": weights["_model.decoder.decoder.2.weight"].squeeze(-1),
            "decoder.bias": weights["_model.decoder.decoder.2.bias"],
        }
    )
    return network


def single_threaded_executor(name: str) -> Executor:
    """A thread on which torch uses one core, while all others go on with as many as before."""
    cores = torch.get_num_threads()
    core = ThreadPoolExecutor(1, name, initializer=torch.set_num_threads, initargs=(1,))
    core.submit(torch.get_num_threads).result()
    torch.set_num_threads(cores)  # the initializer's holds for its own thread, and for those that start after it
    return core


def speech_probabilities(pcm: Pcm) -> Iterator[float]:
    """Probability of speech in each frame of 32 ms, the last one filled up with silence."""
    detector = load_vad()
    context: Samples = np.zeros(CONTEXT, np.float32)
    state: State | None = None
    for start in range(0, len(pcm), BLOCK):
        block = pcm[start : start + BLOCK].astype(np.float32) / 32768
        samples: Samples = np.concatenate((context, block, np.zeros(-len(block) % FRAME, np.float32)))
        probabilities, state = detector(samples, state)
        context = samples[-CONTEXT:]
        yield from probabilities


def speech_regions(pcm: Pcm, options: VadOptions | None = None) -> Iterator[Region]:
    """Stretches with speech, in order and without overlap, padding included."""
    options = options or VadOptions()
    shortest = options.min_speech_ms * SAMPLE_RATE // 1000
    runs = _runs_of_speech(speech_probabilities(pcm), len(pcm), options)
    speech = (run for run in runs if run.end - run.start > shortest)
    return _padded(speech, options.speech_pad_ms * SAMPLE_RATE // 1000, len(pcm))


def _runs_of_speech(probabilities: Iterable[float], samples: int, options: VadOptions) -> Iterator[Region]:
    """silero's hysteresis: from the first frame above the threshold to the first below the lower one, if no frame above
    the threshold follows that within `min_silence_ms`."""
    exit_threshold = max(options.threshold - 0.15, 0.01)
    min_silence = options.min_silence_ms * SAMPLE_RATE // 1000
    start = silence = None
    for frame, probability in enumerate(probabilities):
        at = frame * FRAME
        if probability >= options.threshold:
            start = at if start is None else start
            silence = None
        elif start is not None and probability < exit_threshold:
            silence = at if silence is None else silence
            if at - silence >= min_silence:
                yield Region(start, silence)
                start = silence = None
    if start is not None:
        yield Region(start, samples if silence is None else silence)


def _padded(regions: Iterable[Region], pad: int, samples: int) -> Iterator[Region]:
    """Regions grown by `pad` at both ends, as far as the recording goes and halfway to the neighbour at most."""
    held: Region | None = None
    halfway = 0
    for region in regions:
        if held is not None:
            halfway = (held.end + region.start) // 2
            yield Region(held.start, min(held.end + pad, halfway))
        held = Region(max(region.start - pad, halfway), region.end)
    if held is not None:
        yield Region(held.start, min(held.end + pad, samples))
