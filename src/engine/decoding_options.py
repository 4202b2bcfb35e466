"""What a caller asks of every window, and the tokens that say so to the model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor
from whisper import ModelDimensions
from whisper.tokenizer import Tokenizer, get_tokenizer

from src.errors import ModelUnavailable

MAX_PROMPT_TOKENS = 223
"""Tokens of a prompt that Whisper can take, `n_text_ctx // 2 - 1`; of a longer one the last ones count."""


_SIZES = (51864, 51865, 51866)
"""Tokens of the English models, of the multilingual ones, and of those since large-v3, which knows Cantonese."""


@dataclass(frozen=True)
class DecodingOptions:
    """What a caller asks of every window; openai-whisper's names and defaults.

    Attributes:
        language: None: each window is in the likeliest of `candidates` (none given: of all), if that is likelier than
            not; otherwise it is in `main_language`.
        translated: an English translation of each window besides, from the same features.
    """

    language: str | None = "en"
    main_language: str = "en"
    candidates: tuple[str, ...] = ()
    task: str = "transcribe"
    translated: bool = False
    prompt: str | None = None
    temperatures: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    beam_size: int | None = None
    best_of: int | None = None
    patience: float | None = None
    length_penalty: float | None = None
    suppress_tokens: tuple[int, ...] = (-1,)
    compression_ratio_threshold: float | None = 2.4
    logprob_threshold: float | None = -1.0
    no_speech_threshold: float | None = 0.6
    word_timestamps: bool = False

    def to_whisper_kwargs(self) -> dict[str, Any]:
        """Returns these options as arguments of `whisper.transcribe`, without language, task and prompt.

        Those three differ between the calls for one recording.
        """
        return {
            "temperature": self.temperatures,
            "beam_size": self.beam_size,
            "best_of": self.best_of,
            "patience": self.patience,
            "length_penalty": self.length_penalty,
            "suppress_tokens": list(self.suppress_tokens),
            "compression_ratio_threshold": self.compression_ratio_threshold,
            "logprob_threshold": self.logprob_threshold,
            "no_speech_threshold": self.no_speech_threshold,
            "word_timestamps": self.word_timestamps,
        }


class Vocabulary:
    """A checkpoint's tokens, as prompts and as the set that is never to be sampled.

    Raises:
        ModelUnavailable: they are not Whisper's.
    """

    def __init__(self, dims: ModelDimensions, device: torch.device) -> None:
        if dims.n_vocab not in _SIZES:
            raise ModelUnavailable(f"the model has {dims.n_vocab} tokens where Whisper's have {_SIZES}")
        self._size = dims.n_vocab
        self._device = device
        self.multilingual = dims.n_vocab >= 51865
        self._languages = dims.n_vocab - 51765 - int(self.multilingual)
        self.suppressed = cache(self._suppressed)

    def tokenizer(self, language: str = "en", task: str = "transcribe") -> Tokenizer:
        return get_tokenizer(self.multilingual, num_languages=self._languages, language=language, task=task)

    def tokenizer_for(self, options: DecodingOptions) -> Tokenizer:
        """The tokenizer of a language that is known by now, and of the task."""
        return self.tokenizer(options.language or options.main_language, options.task)

    def too_long(self, prompt: str) -> int:
        """How many tokens of a prompt are too many for Whisper, so that its beginning is cut off."""
        return max(0, len(self.tokenizer().encode(" " + prompt.strip())) - MAX_PROMPT_TOKENS)

    def prompt(self, options: DecodingOptions) -> list[int]:
        """The tokens before the first sampled one (`DecodingTask._get_initial_tokens`)."""
        tokenizer = self.tokenizer_for(options)
        start = list(tokenizer.sot_sequence)
        if not options.prompt:
            return start
        return [tokenizer.sot_prev, *tokenizer.encode(" " + options.prompt.strip())[-MAX_PROMPT_TOKENS:], *start]

    def _suppressed(self, tokens: tuple[int, ...]) -> Tensor:
        """[V], -inf for these tokens and for the special ones (`DecodingTask._get_suppress_tokens`), else 0."""
        tokenizer = self.tokenizer()
        banned = {token for token in tokens if token >= 0} | {
            tokenizer.transcribe,
            tokenizer.translate,
            tokenizer.sot,
            tokenizer.sot_prev,
            tokenizer.sot_lm,
            tokenizer.no_speech,
            tokenizer.no_timestamps,
        }
        if -1 in tokens:
            banned |= set(tokenizer.non_speech_tokens)
        suppressed = torch.zeros(self._size)
        suppressed[list(banned)] = -torch.inf
        return suppressed.to(self._device)
