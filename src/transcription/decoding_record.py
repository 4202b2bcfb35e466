"""Records the windows that `whisper.transcribe` decodes, whose tokens' log-probabilities its segments do not have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import whisper
from torch import Tensor
from whisper.decoding import DecodingOptions, DecodingResult, DecodingTask
from whisper.tokenizer import get_tokenizer

from src.engine.decoding_options import TokenSets
from src.engine.segments import to_token_logprobs
from src.engine.token_rules import TokenRules
from transcript.token_logprobs import TokenLogprob


class DecodingRecord:
    """The log-probabilities of the tokens that a model decodes.

    Args:
        model: openai-whisper's.
        suppress_tokens: the option.
    """

    def __init__(self, model: whisper.Whisper, suppress_tokens: Sequence[int]) -> None:
        self._model = model
        self._tokenizer = get_tokenizer(model.is_multilingual, num_languages=model.num_languages)
        self._suppressed = TokenSets(model.dims, model.device).suppressed(tuple(suppress_tokens))
        self._rules = TokenRules(self._tokenizer, model.dims.n_vocab, model.device)
        self._windows: dict[tuple[float, float], tuple[list[int], list[float]]] = {}

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Record what the model decodes within the block."""
        self._model.decode = self._decode
        try:
            yield
        finally:
            del self._model.decode

    def _decode(self, mel: Tensor, options: DecodingOptions) -> DecodingResult:
        result = whisper.decode(self._model, mel, options)
        if result.tokens:
            prompt = DecodingTask(self._model, options).initial_tokens
            self._windows[_key(vars(result))] = result.tokens, self._score(prompt, result)
        return result

    @torch.inference_mode()
    def _score(self, prompt: Sequence[int], result: DecodingResult) -> list[float]:
        """As `src.engine.scoring`, with openai-whisper's decoder."""
        text = torch.tensor([[*prompt, *result.tokens[:-1]]], device=self._model.device)
        logits = self._model.logits(text, result.audio_features[None])[0, len(prompt) - 1 :].float()
        logprobs: list[float] = self._rules.score(logits + self._suppressed, result.tokens).tolist()
        return logprobs

    def logprobs_of(self, segment: dict[str, Any]) -> list[TokenLogprob]:
        """Return those of a segment of `whisper.transcribe`, whose tokens are consecutive ones of its window."""
        tokens, logprobs = self._windows[_key(segment)]
        length = len(segment["tokens"])
        start = next(start for start in range(len(tokens)) if tokens[start : start + length] == segment["tokens"])
        return to_token_logprobs(segment["tokens"], logprobs[start : start + length], self._tokenizer) or []


def _key(source: dict[str, Any]) -> tuple[float, float]:
    """What a segment has of its window alone: the window's numbers, unrounded."""
    return source["avg_logprob"], source["no_speech_prob"]
