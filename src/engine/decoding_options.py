"""Decoding options, and the token sets that express them to the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from whisper import ModelDimensions
from whisper.tokenizer import LANGUAGES, Tokenizer, get_tokenizer

from src.errors import ModelUnavailable

MAX_PROMPT_TOKENS = 223
"""Longest prompt that Whisper reads, `n_text_ctx // 2 - 1` tokens; a longer one loses its beginning."""

_VOCABULARY_SIZES = (51864, 51865, 51866)
"""Tokens of the English-only models, of the multilingual ones, and of those since large-v3, which added Cantonese."""


@dataclass(frozen=True)
class DecodingOptions:
    """Options for every window of a request, with openai-whisper's names and defaults.

    Attributes:
        language: None detects the language of each window: the likeliest of `candidate_languages` (if empty: of all)
            where its probability is above one half, else `main_language`.
        beam_size: None decodes greedily, and again with beams where that is unsure (`src/engine/window.py`).
        with_translation: also decodes an English translation of each window, from the same features.
    """

    language: str | None = "en"
    main_language: str = "en"
    candidate_languages: tuple[str, ...] = ()
    task: str = "transcribe"
    with_translation: bool = False
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
    token_logprobs: bool = False

    def to_whisper_kwargs(self) -> dict[str, Any]:
        """Return these options as arguments of `whisper.transcribe`, which knows no `token_logprobs`.

        Without language, task and prompt: those three differ between the calls for one recording.
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


class TokenSets:
    """A checkpoint's tokens: tokenizers, prompts, and the tokens that are never sampled.

    Raises:
        ModelUnavailable: the vocabulary is not Whisper's.
    """

    def __init__(self, dims: ModelDimensions, device: torch.device) -> None:
        if dims.n_vocab not in _VOCABULARY_SIZES:
            raise ModelUnavailable(f"the model has {dims.n_vocab} tokens where Whisper's have {_VOCABULARY_SIZES}")
        self._size = dims.n_vocab
        self._device = device
        self.multilingual = dims.n_vocab >= 51865
        self._num_languages = dims.n_vocab - 51765 - int(self.multilingual)
        self.suppressed = cache(self._suppressed)

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of the languages that the model was trained for."""
        return tuple(LANGUAGES)[: self._num_languages] if self.multilingual else ("en",)

    def tokenizer(self, language: str = "en", task: str = "transcribe") -> Tokenizer:
        """Return openai-whisper's tokenizer for a language and a task."""
        return get_tokenizer(self.multilingual, num_languages=self._num_languages, language=language, task=task)

    def tokenizer_for(self, options: DecodingOptions) -> Tokenizer:
        """Return the tokenizer for the options' task and language, or for their main language if that is open."""
        return self.tokenizer(options.language or options.main_language, options.task)

    def excess_prompt_tokens(self, prompt: str) -> int:
        """Return by how many tokens a prompt exceeds `MAX_PROMPT_TOKENS`."""
        return max(0, len(self.tokenizer().encode(" " + prompt.strip())) - MAX_PROMPT_TOKENS)

    def prompt(self, options: DecodingOptions) -> list[int]:
        """Return the tokens before the first sampled one (`DecodingTask._get_initial_tokens` of openai-whisper)."""
        tokenizer = self.tokenizer_for(options)
        start = list(tokenizer.sot_sequence)
        if not options.prompt:
            return start
        return [tokenizer.sot_prev, *tokenizer.encode(" " + options.prompt.strip())[-MAX_PROMPT_TOKENS:], *start]

    def _suppressed(self, tokens: tuple[int, ...]) -> Tensor:
        """[V], -inf for `tokens` and the special ones (`DecodingTask._get_suppress_tokens`), else 0."""
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
            banned |= set(_non_speech_tokens(tokenizer))
        suppressed = torch.zeros(self._size)
        suppressed[list(banned)] = -torch.inf
        return suppressed.to(self._device)


def _non_speech_tokens(tokenizer: Tokenizer) -> Sequence[int]:
    """`Tokenizer.non_speech_tokens` of openai-whisper, by tiktoken's `encode_ordinary`.

    `encode` looks for special tokens first, and compiles a pattern of all 1,600: 0.25 s, for which a start would wait.
    """
    encoding = SimpleNamespace(encode=tokenizer.encoding.encode_ordinary)
    tokens: Sequence[int] = Tokenizer.non_speech_tokens.func(SimpleNamespace(encoding=encoding))
    return tokens
