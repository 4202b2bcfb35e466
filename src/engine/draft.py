"""A first text of a window that is still growing: one greedy decoding, as fast as there can be one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from src.engine.decoding_options import DecodingOptions, TokenSets
from src.engine.plausibility import Plausibility
from src.engine.window import Window, encode_window
from src.engine.work import DecodeRequest, NumericalFault, Steps

MAX_TOKENS_PER_SECOND = 8
MORE_TOKENS = 16
"""The most tokens of a draft: those of the fastest speech, and some for short sounds. A loop ends there."""

SHORT_LANGUAGES = frozenset({"en"})
"""Languages whose drafts are encoded without most of the silence: the texts of others change too much."""


@dataclass(frozen=True)
class Draft:
    """The text of a window as it is now.

    Attributes:
        tokens: the prefix and what follows it, timestamps among them.
        language: of this window, as given or as detected.
        is_repetitive: the text repeats itself, and the sound does not.
        no_speech_prob: probability that nobody speaks.
    """

    tokens: list[int]
    language: str
    is_repetitive: bool
    no_speech_prob: float


def draft_window(window: Window, options: DecodingOptions, token_sets: TokenSets, prefix: Sequence[int]) -> Steps:
    """Return the steps of one window, whose result is its `Draft`.

    Args:
        window: the window.
        options: those of fallback and of words have no effect.
        token_sets: the checkpoint's tokens.
        prefix: tokens that the text is known to begin with.
    """
    try:
        return (yield from _draft(window, options, token_sets, prefix, in_float32=False))
    except NumericalFault:
        without_features = replace(window, features=None)
        return (yield from _draft(without_features, options, token_sets, prefix, in_float32=True))


def _draft(
    window: Window, options: DecodingOptions, token_sets: TokenSets, prefix: Sequence[int], *, in_float32: bool
) -> Steps:
    is_short = options.language in SHORT_LANGUAGES
    encoded, options = yield from encode_window(window, options, in_float32=in_float32, is_short=is_short)
    result = yield DecodeRequest(
        encoded.features,
        token_sets.prompt(options),
        token_sets.suppressed(options.suppress_tokens),
        prefix=prefix,
        max_tokens=round(MAX_TOKENS_PER_SECOND * window.seconds) + MORE_TOKENS,
    )
    whole = replace(result, tokens=[*prefix, *result.tokens])
    is_repetitive = Plausibility(window.audio, options, token_sets.tokenizer_for(options)).is_repetitive(whole)
    language = options.language or options.main_language
    return Draft(whole.tokens, language, is_repetitive, result.no_speech_prob)
