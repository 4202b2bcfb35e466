"""The work that a window asks for, and its results: what `window` yields, `scheduler` queues, and `runner` computes.

Free of torch, so that the scheduler and its tests are.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor
    from whisper.tokenizer import Tokenizer


class NumericalFault(Exception):
    """The model's numbers overflowed their format, so that its output for the window is meaningless."""


class OutOfMemory(MemoryError):
    """The device has no memory for so many windows at once, or not even for one."""


class DeviceLost(Exception):
    """Every further call to the device would fail too, in this process."""


NUM_FRAMES = 3000
"""Log-mel frames of 10 ms that Whisper's encoder reads: 30 s."""

FRAME_SAMPLES = 160
SHORT_FRAMES = 500
SILENT_FRAMES = 200
"""A short encoding is a multiple of 5 s long, so that windows share passes, with at least 2 s of silence at its end."""


@dataclass(frozen=True, eq=False)
class EncodeRequest:
    """Work: audio [samples] -> features [1500, D].

    Attributes:
        audio: 16 kHz, at most 30 s.
        in_float32: at full precision.
        is_short: leave out most of the silence that fills the 30 s. Measured with `base` on 53 recordings of 1 to 12 s
            on a CPU: 0.13 in place of 0.40 s; of the words 3% change in English and 11% in other languages, most where
            the model is unsure, and word errors rise from 9.5 to 11.5% and from 23.4 to 28.9%.
    """

    audio: NDArray[np.int16]
    in_float32: bool = False
    is_short: bool = False

    @property
    def num_frames(self) -> int:
        """Log-mel frames that the encoder reads."""
        if not self.is_short:
            return NUM_FRAMES
        needed = len(self.audio) // FRAME_SAMPLES + SILENT_FRAMES
        return min(NUM_FRAMES, math.ceil(needed / SHORT_FRAMES) * SHORT_FRAMES)


@dataclass(frozen=True, eq=False)
class LanguageRequest:
    """Work: features [1500, D] -> probability of each language code."""

    features: Tensor


@dataclass(eq=False)
class DecodeRequest:
    """Work: one window, decoded at one temperature -> `DecodeResult`.

    Attributes:
        features: [1500, D], the encoder's output.
        prompt: tokens before the text, `<|startoftranscript|>` among them.
        suppressed: [V], -inf for tokens that are never sampled, else 0.
        prefix: tokens that the text is known to begin with; they are not part of the result. Not for a beam search.
        max_tokens: the most that are sampled; None: as many as openai-whisper does.
        beam_size: candidates of a beam search; None: greedy at temperature 0, sampling above.
        num_samples: independently sampled candidates, of which the likeliest is returned.
    """

    features: Tensor
    prompt: list[int]
    suppressed: Tensor
    prefix: Sequence[int] = ()
    max_tokens: int | None = None
    temperature: float = 0.0
    beam_size: int | None = None
    num_samples: int = 1
    patience: float = 1.0
    length_penalty: float | None = None

    @property
    def num_candidates(self) -> int:
        """Beams or samples of the window."""
        return self.beam_size or self.num_samples

    @property
    def max_hypotheses(self) -> int:
        """Complete hypotheses that end a beam search."""
        return max(1, round(self.num_candidates * self.patience))


@dataclass(frozen=True)
class DecodeResult:
    """Decoded tokens, without prompt, prefix and end token, with openai-whisper's confidence measures.

    Attributes:
        logprobs: of each of the tokens, if they were scored (`ScoreRequest`).
    """

    tokens: list[int]
    avg_logprob: float
    no_speech_prob: float
    temperature: float
    logprobs: list[float] | None = None


@dataclass(frozen=True, eq=False)
class ScoreRequest:
    """Work: decoded tokens, which the model reads once more -> the log-probability of each.

    Attributes:
        features: [1500, D], the encoder's output.
        prompt: as in the `DecodeRequest`.
        suppressed: likewise.
        tokens: at least one, timestamps among them.
    """

    features: Tensor
    prompt: list[int]
    suppressed: Tensor
    tokens: list[int]


@dataclass(frozen=True, eq=False)
class AlignmentRequest:
    """Work: the text of a window, which the model reads once more -> `TextAttention`.

    Attributes:
        features: [1500, D], the encoder's output.
        text: at least one token, without timestamps and other special tokens.
        num_frames: encoder frames (20 ms) that are audio, not padding; at least 4, which the median filter needs.
        tokenizer: for the window's task and language.
    """

    features: Tensor
    text: list[int]
    num_frames: int
    tokenizer: Tokenizer


@dataclass(frozen=True, eq=False)
class TextAttention:
    """The sound that each token of a window's text was heard in.

    Attributes:
        weights: [text tokens + 1, frames], the standardised attention, summed over heads. Row i is that of the token
            before text token i, which predicts it; the last row predicts the end.
        probabilities: [text tokens].
    """

    weights: NDArray[np.float32]
    probabilities: list[float]


@dataclass(frozen=True, eq=False)
class HostWork:
    """Work: a computation that needs no model -> its result. It must not use torch, as it may run on another thread."""

    run: Callable[[], Any]


Work = EncodeRequest | LanguageRequest | DecodeRequest | ScoreRequest | AlignmentRequest | HostWork
Steps = Generator["Work | list[Steps]", Any, Any]
"""Yields work, or a list of generators to run concurrently; is sent the result or the list of results."""
