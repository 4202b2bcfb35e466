"""Voice activity detection: the regions of a recording that contain speech.

    pcm -> speech_probabilities -> speech_regions

Both steps are generators, so that the first windows can be decoded while the rest of a long recording is still being
searched, and neither holds more of the recording than some blocks. Positions and lengths are in samples.

The network is silero-vad's (https://github.com/snakers4/silero-vad, MIT). Its TorchScript model takes one frame of
32 ms per call and keeps the LSTM's state between calls: 6 ms per second of audio, and one recording at a time. Here the
same weights in plain layers take a block of frames per call, and the caller keeps the state: 0.8 ms per second of
audio. All layers but the LSTM need no state, so that the blocks of a recording go through them on several cores.
"""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import distribution
from itertools import pairwise
from threading import Barrier, Lock
from typing import NamedTuple, TypeAlias, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from src.audio.pcm import SAMPLE_RATE, Pcm, Recording, Region, Samples, to_float

FRAME = 512
"""Samples per probability: 32 ms."""
CONTEXT = 64
"""Samples of the previous frame that the network takes with each frame."""
BLOCK = 512 * FRAME
"""Samples per call of the network: 16 s, some 10 MB of activations. Longer blocks are no faster."""
OPENING = 128 * FRAME
"""Samples at a recording's start that the network hears in advance: 4 s."""

NUM_THREADS = torch.get_num_threads()
"""Cores that PyTorch uses, at first. Later a thread may see the number that another thread has just set for itself."""
MAX_CORES = 8
"""Cores of the detector: one searches 600 s of audio in a second, and a container sees cores of others."""
AHEAD = 2
"""Blocks of a recording that are on other cores at each step, while the caller waits for the first of them."""

STFT_SAMPLES, STFT_HOP = 256, 128
CACHED_FRAMES = 64
"""Frames whose spectra are computed at once: more take memory that the system must clear each time, a fifth longer."""

T = TypeVar("T")

Probabilities: TypeAlias = NDArray[np.float64]
"""[frames] of speech."""

State: TypeAlias = tuple[Tensor, Tensor]
"""The LSTM's hidden and cell state, [1, 128] each."""


@dataclass(frozen=True, slots=True)
class VadOptions:
    """Parameters of detection, generous in doubt: an empty window costs little, a missed word is lost."""

    threshold: float = 0.5
    """Probability from which a frame starts speech; 0.15 below it a frame may end it. Both are silero's defaults."""
    min_speech_ms: int = 100
    """Speech no longer than this is dropped as a click or a cough; silero's 250 ms are longer than a quick "yes"."""
    min_silence_ms: int = 300
    """Shorter pauses do not split a region, and windows are cut between regions only.

    At faster-whisper's 160 ms the first sound of a word, which often is a single frame, is dropped as a click; at
    longer pauses windows are less full. Errors in 537 English words, `base`, greedy and beam 5: 49, 49 at 160 ms;
    48, 48 at 300; 51, 50 at 500.
    """
    speech_pad_ms: int = 400
    """Padding at both ends of a region, as in faster-whisper; regions closer than twice this meet halfway.

    The network detects soft onsets and offsets late, and Whisper misses words at the very start of a window.
    """


class SileroVad(nn.Module):
    """silero-vad's network for 16 kHz; stateless, so that any number of recordings can share it."""

    def __init__(self) -> None:
        super().__init__()
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

    def forward(self, samples: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Compute the probability of speech of each frame.

        Args:
            samples: [CONTEXT + frames * FRAME] in -1..1.
            state: as returned for the previous frames; None at the start of a recording.

        Returns:
            The probabilities [frames], and the state after them.
        """
        return self.listen(self.encode(samples), state)

    @torch.inference_mode()
    def encode(self, samples: Tensor) -> Tensor:
        """Return the features [frames, 128] of `forward`'s samples: all layers that need no state."""
        frames = samples.unfold(0, CONTEXT + FRAME, FRAME)
        frames = torch.cat((frames, frames[:, -CONTEXT - 1 : -1].flip(1)), dim=1)  # reflected
        # silero-vad has the windowed Fourier transform as a convolution, which takes twice the time.
        window = torch.hann_window(STFT_SAMPLES)
        windowed = (some.unfold(1, STFT_SAMPLES, STFT_HOP) * window for some in torch.split(frames, CACHED_FRAMES))
        spectrum = torch.cat([torch.fft.rfft(some).abs() for some in windowed])  # [frames, 4, 129]
        features: Tensor = self.encoder(spectrum.mT).squeeze(-1)
        return features

    @torch.inference_mode()
    def listen(self, features: Tensor, state: State | None) -> tuple[Tensor, State]:
        """Return `forward`'s result from the features of its samples."""
        hidden, state = self.rnn(features, state)
        return self.decoder(hidden.relu()).sigmoid().squeeze(-1), state


class Detector(NamedTuple):
    """The network, and threads that run it on a single core each.

    Its operations are small. Split over several cores they wait for each other, and while an engine keeps the cores
    busy, each wait costs a time slice. 228 s of audio on two cores and on one: 0.1 s and 0.15 s on an idle machine,
    0.3 s and 0.2 s beside an engine, up to 5 s and 0.9 s on an overloaded machine. So each operation stays on its core,
    and the cores share recordings, and the blocks of a recording.
    """

    network: SileroVad
    executor: Executor

    def __call__(self, samples: Samples, state: State | None) -> tuple[Probabilities, State]:
        """Run the network, from NumPy to NumPy, so that the calling thread needs no torch."""
        return self.executor.submit(lambda: self._listen(self._encode(samples), state)).result()

    def run(self, blocks: Iterable[Samples], state: State) -> Iterator[Probabilities]:
        """Yield the probabilities of consecutive blocks; the network encodes some of them in advance."""
        for features in self.work_ahead(partial(self._encode, block) for block in blocks):
            probabilities, state = self.executor.submit(self._listen, features, state).result()
            yield probabilities

    def work_ahead(self, calls: Iterable[Callable[[], T]]) -> Iterator[T]:
        """Make calls on the threads, and yield their results in order; `AHEAD` further ones are under way."""
        pending: deque[Future[T]] = deque()
        for call in calls:
            pending.append(self.executor.submit(call))
            if len(pending) > AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()

    def _encode(self, samples: Samples) -> Tensor:
        return self.network.encode(torch.from_numpy(samples))

    def _listen(self, features: Tensor, state: State | None) -> tuple[Probabilities, State]:
        probabilities, state = self.network.listen(features, state)
        return probabilities.double().numpy(), state


_loading = Lock()


def load_vad() -> Detector:
    """Return the process's detector; load it at the first call, which takes 0.1 s."""
    with _loading:
        return _detector()


@cache
def _detector() -> Detector:
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    executor = single_threaded_executor("vad", min(MAX_CORES, cores))
    # The network is loaded there as well: threads on which torch has ever run in parallel keep slowing each other down.
    return Detector(executor.submit(_load_network).result(), executor)


def _load_network() -> SileroVad:
    # Not through `import silero_vad`, which sets the whole process to one thread.
    path = distribution("silero-vad").locate_file("silero_vad/data/silero_vad.jit")
    weights = torch.jit.load(str(path)).state_dict()  # type: ignore[no-untyped-call]
    network = SileroVad().eval()
    network.load_state_dict(
        {
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


def single_threaded_executor(name: str, threads: int = 1) -> Executor:
    """Return threads on which torch uses one core each; all other threads keep their number of cores."""
    all_started = Barrier(threads)

    def start() -> None:
        all_started.wait()
        torch.get_num_threads()  # the number that a thread finds at its first look is its own

    executor = ThreadPoolExecutor(threads, name, initializer=torch.set_num_threads, initargs=(1,))
    for started in [executor.submit(start) for _ in range(threads)]:
        started.result()
    torch.set_num_threads(NUM_THREADS)  # the initializer's value also applies to threads that start later
    return executor


def speech_probabilities(pcm: Recording, check: Callable[[], None] = lambda: None) -> Iterator[Probabilities]:
    """Yield the probabilities of speech of each block's frames of 32 ms; the last one is padded with silence.

    `check` is called for each block, also without speech; its exceptions end the work.
    """
    if not len(pcm[:OPENING]):
        return
    detector = load_vad()
    heard, context, state = _hear_opening(detector, pcm)
    for probabilities in detector.run(_blocks(pcm, context), state):
        check()
        opening, heard = heard[: len(probabilities)], heard[len(probabilities) :]
        yield np.maximum(probabilities, np.pad(opening, (0, len(probabilities) - len(opening))))


def _blocks(pcm: Recording, context: Samples) -> Iterator[Samples]:
    """Yield the blocks after their contexts, of which the first one is given."""
    start = 0
    while len(block := pcm[start : start + BLOCK]):
        yield _whole_frames(to_float(pcm[start - CONTEXT : start]) if start else context, block)
        start += BLOCK


def _hear_opening(detector: Detector, pcm: Recording) -> tuple[Probabilities, Samples, State]:
    """Listen to a recording's first seconds in advance, since the network misses speech before it has heard any.

    Without that it takes up to 2 s of a voice at the start for silence. Measured on the first 3 s of 260 recordings
    with speech and 26 without: 18,478 and 42 frames of speech; with the state after the opening 19,056 and 5; with the
    state after its mirror image 18,994 and 7. Each of the two finds speech that the other misses.

    Returns:
        The probabilities of the opening's frames after its mirror image; the context and the state after the opening.
    """
    silence: Samples = np.zeros(CONTEXT, np.float32)
    samples, mirrored = (_whole_frames(silence, part) for part in (pcm[:OPENING], pcm[:OPENING][::-1]))
    _, after_mirrored = detector(mirrored, None)
    probabilities, _ = detector(np.concatenate((mirrored[-CONTEXT:], samples[CONTEXT:])), after_mirrored)
    _, after_opening = detector(samples, None)
    return probabilities, samples[-CONTEXT:], after_opening


def _whole_frames(context: Samples, pcm: Pcm) -> Samples:
    return np.concatenate((context, to_float(pcm), np.zeros(-len(pcm) % FRAME, np.float32)))


def speech_regions(
    pcm: Pcm, options: VadOptions | None = None, check: Callable[[], None] = lambda: None
) -> Iterator[Region]:
    """Yield the regions with speech at first look, in order and without overlap, padding included.

    `check` is as for `speech_probabilities`.
    """
    options = options or VadOptions()
    min_speech = options.min_speech_ms * SAMPLE_RATE // 1000
    runs = _find_runs(speech_probabilities(pcm, check), len(pcm), options)
    speech = (run for run in runs if run.end - run.start > min_speech)
    return _pad(speech, options.speech_pad_ms * SAMPLE_RATE // 1000, len(pcm))


class RunFinder:
    """Finds runs of speech with silero's hysteresis.

    A run lasts from the first frame above the threshold to the first frame below the lower one that no frame above the
    threshold follows within `min_silence_ms`.
    """

    def __init__(self, options: VadOptions) -> None:
        self._threshold = options.threshold
        self._exit_threshold = max(options.threshold - 0.15, 0.01)
        self._min_silence = -(-(options.min_silence_ms * SAMPLE_RATE // 1000) // FRAME)
        # In frames of the recording.
        self._position = 0
        self._start: int | None = None
        self._silence: int | None = None

    def push(self, probabilities: Probabilities) -> Iterator[tuple[Region, int]]:
        """Take the next frames; yield the runs that end with one of them, and the number of frames up to it."""
        kinds = np.where(probabilities >= self._threshold, 1, -(probabilities < self._exit_threshold).astype(np.int8))
        firsts = np.flatnonzero(np.diff(kinds, prepend=2)).tolist()
        position = self._position
        self._position += len(probabilities)
        for first, end in pairwise([*firsts, len(probabilities)]):
            if kinds[first] > 0:
                self._start = position + first if self._start is None else self._start
                self._silence = None
            elif kinds[first] < 0 and self._start is not None:
                self._silence = position + first if self._silence is None else self._silence
                last = max(position + first, self._silence + self._min_silence)
                if last < position + end:
                    run = Region(self._start * FRAME, self._silence * FRAME)
                    self._start = self._silence = None
                    yield run, last + 1 - position

    def finish(self, samples: int) -> Region | None:
        """Return the run that is open at the end of a recording of this many samples."""
        if self._start is None:
            return None
        return Region(self._start * FRAME, samples if self._silence is None else self._silence * FRAME)


def _find_runs(probabilities: Iterable[Probabilities], samples: int, options: VadOptions) -> Iterator[Region]:
    finder = RunFinder(options)
    for block in probabilities:
        yield from (run for run, _ in finder.push(block))
    if run := finder.finish(samples):
        yield run


def _pad(regions: Iterable[Region], pad: int, samples: int) -> Iterator[Region]:
    """Extend regions by `pad` at both ends, within the recording and at most halfway to the neighbouring region."""
    previous: Region | None = None
    halfway = 0
    for region in regions:
        if previous is not None:
            halfway = (previous.end + region.start) // 2
            yield Region(previous.start, min(previous.end + pad, halfway))
        previous = Region(max(region.start - pad, halfway), region.end)
    if previous is not None:
        yield Region(previous.start, min(previous.end + pad, samples))
