"""The way of one window through the engine: encode, decode up the ladder, decode again what was missed, align.

It is written as a generator, so that it reads from top to bottom while thousands of windows run at once: it yields the
work that it needs, and the scheduler sends the result when the batch with that work has come through.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor
from whisper.audio import SAMPLE_RATE
from whisper.tokenizer import Tokenizer
from whisper.utils import compression_ratio

from src.engine.alignment import Passage
from src.engine.coverage import Span, uncovered
from src.engine.decoding import Attempt, Decoded, NumericalFault
from src.engine.decoding_options import DecodingOptions, Vocabulary
from src.engine.segments import TIMESTAMP_STEP, merged, placed, segments_of
from src.transcript.transcript import Segment

REPAIR_ROUNDS = 3
REPAIR_PADDING = 0.2
"""Seconds of audio on both sides of what was missed, so that no word begins or ends at the cut."""


@dataclass(frozen=True, eq=False)
class Window:
    """At most 30 s of a recording.

    Attributes:
        audio: [samples] at 16 kHz.
        speech: where there is speech, in seconds from the window's start; empty: not known.
        features: [1500, D], where the window has been encoded before.
    """

    audio: npt.NDArray[np.int16]
    speech: Sequence[Span] = ()
    features: Tensor | None = None

    @property
    def seconds(self) -> float:
        return float(len(self.audio) / SAMPLE_RATE)


@dataclass(frozen=True)
class WindowTranscript:
    """A window's segments, with times from the window's start, and what is to be told of them.

    Attributes:
        missed: speech that stayed without a segment.
        repaired: seconds of speech that a second attempt covered.
        silent: the model took the window for silence.
        in_float32: the numbers overflowed, so that the window was done once more at full precision.
        language: the window's own, as given or as detected.
        translation: segments of the English translation, if one was asked for.
    """

    segments: list[Segment]
    missed: list[Span] = field(default_factory=list)
    repaired: float = 0.0
    silent: bool = False
    in_float32: bool = False
    language: str = "en"
    translation: list[Segment] | None = None


@dataclass(frozen=True, eq=False)
class Encode:
    """Work: audio [samples] -> features [1500, D]."""

    audio: npt.NDArray[np.int16]
    in_float32: bool = False


@dataclass(frozen=True, eq=False)
class Identify:
    """Work: features [1500, D] -> probability of each language code."""

    features: Tensor


Work = Encode | Identify | Attempt | Passage
Steps = Generator["Work | list[Steps]", Any, Any]
"""Yields work, or a list of further generators that run side by side; is sent the result or results."""


def transcribe_window(window: Window, options: DecodingOptions, vocabulary: Vocabulary) -> Steps:
    """Steps of one window, to its `WindowTranscript`."""
    try:
        return (yield from _transcribe(window, options, vocabulary, in_float32=False))
    except NumericalFault:
        again = replace(window, features=None)
        transcript = yield from _transcribe(again, options, vocabulary, in_float32=True)
        return replace(transcript, in_float32=True)


def identify_language(window: Window) -> Steps:
    """Steps to the probabilities of the languages, and to the window with its features, to be decoded next."""
    features = yield Encode(window.audio)
    probabilities = yield Identify(features)
    return probabilities, replace(window, features=features)


def _transcribe(window: Window, options: DecodingOptions, vocabulary: Vocabulary, *, in_float32: bool) -> Steps:
    features = window.features
    if features is None:
        features = yield Encode(window.audio, in_float32)
    if options.language is None:
        shares = yield Identify(features)
        options = replace(options, language=_likeliest(shares, options))
    encoded = replace(window, features=features)
    transcript = _understand(encoded, options, vocabulary, in_float32)
    if not options.translated:
        return (yield from transcript)
    # Without the prompt, which is in the language that is spoken.
    in_english = replace(options, task="translate", prompt=None, translated=False)
    original, translation = yield [transcript, _understand(encoded, in_english, vocabulary, in_float32)]
    return replace(original, translation=translation.segments)


def _likeliest(shares: dict[str, float], options: DecodingOptions) -> str:
    """The language of a window in a recording of several."""
    among = options.candidates or tuple(shares)
    best = max(among, key=lambda one: shares.get(one, 0.0))
    total = sum(shares.get(one, 0.0) for one in among)
    return best if shares.get(best, 0.0) > total / 2 else options.main_language


def _understand(window: Window, options: DecodingOptions, vocabulary: Vocabulary, in_float32: bool) -> Steps:
    """To the transcript of a window that has been encoded, in one language and for one task."""
    features, segments = yield from _decode(window, options, vocabulary, in_float32)
    if segments:
        transcript = yield from _repair(window, segments, options, vocabulary, in_float32)
    else:
        transcript = WindowTranscript([], uncovered(window.speech, []), silent=True)
    if options.word_timestamps:
        tokenizer = vocabulary.tokenizer_for(options)
        yield Passage(features, transcript.segments, round(window.seconds * 100), tokenizer)
    return replace(transcript, language=options.language or options.main_language)


def _decode(window: Window, options: DecodingOptions, vocabulary: Vocabulary, in_float32: bool) -> Steps:
    """To the window's features and segments; none where there is no speech."""
    features = window.features
    if features is None:
        features = yield Encode(window.audio, in_float32)
    decoded = yield from _climb(features, options, vocabulary)
    if _is_silence(decoded, options):
        return features, []
    return features, segments_of(decoded, vocabulary.tokenizer_for(options), window.seconds)


def _climb(features: Tensor, options: DecodingOptions, vocabulary: Vocabulary) -> Steps:
    """Decodes at rising temperatures until the text looks right (`decode_with_fallback` in openai-whisper)."""
    attempt = Attempt(
        features,
        vocabulary.prompt(options),
        vocabulary.suppressed(options.suppress_tokens),
        length_penalty=options.length_penalty,
    )
    tokenizer = vocabulary.tokenizer()
    for temperature in options.temperatures:
        beams = options.beam_size if temperature == 0 else None
        samples = (options.best_of or 1) if temperature > 0 else 1
        decoded = yield replace(
            attempt, temperature=temperature, beams=beams, samples=samples, patience=options.patience or 1.0
        )
        if not _is_doubtful(decoded, tokenizer, options):
            break
    return decoded


def _is_doubtful(decoded: Decoded, tokenizer: Tokenizer, options: DecodingOptions) -> bool:
    """Whether a text repeats itself or is improbable, without being silence."""
    ratio = compression_ratio(tokenizer.decode(decoded.tokens).strip())
    if not _is_guess(ratio, decoded.avg_logprob, options):
        return False
    threshold = options.no_speech_threshold
    return threshold is None or decoded.no_speech_prob <= threshold or not _is_improbable(decoded.avg_logprob, options)


def _is_guess(ratio: float, avg_logprob: float, options: DecodingOptions) -> bool:
    loops = options.compression_ratio_threshold is not None and ratio > options.compression_ratio_threshold
    return loops or _is_improbable(avg_logprob, options)


def _is_improbable(avg_logprob: float, options: DecodingOptions) -> bool:
    return options.logprob_threshold is not None and avg_logprob < options.logprob_threshold


def _is_silence(decoded: Decoded, options: DecodingOptions) -> bool:
    """openai-whisper's judgement: the model says so, and is not sure of its words either."""
    if options.no_speech_threshold is None or decoded.no_speech_prob <= options.no_speech_threshold:
        return False
    return options.logprob_threshold is None or decoded.avg_logprob <= options.logprob_threshold


def _repair(
    window: Window, segments: list[Segment], options: DecodingOptions, vocabulary: Vocabulary, in_float32: bool
) -> Steps:
    """Decodes speech that no segment covers as windows of its own, as long as that brings something to light."""
    repaired = 0.0
    tokenizer = vocabulary.tokenizer_for(options)
    missed = uncovered(window.speech, [(one.start, one.end) for one in segments])
    for _ in range(REPAIR_ROUNDS):
        if not missed:
            break
        pieces = [_piece(window, gap) for gap in missed]
        asked = [_for_repair(options, segments, gap) for gap in missed]
        found = yield [
            _decode(piece, one, vocabulary, in_float32) for (_, piece), one in zip(pieces, asked, strict=True)
        ]
        for (offset, _), (_, fresh) in zip(pieces, found, strict=True):
            # Better a gap that is told of than words that were guessed.
            sure = [one for one in fresh if not _is_guess(one.compression_ratio, one.avg_logprob, options)]
            segments = merged(segments, [placed(one, offset, tokenizer) for one in sure], tokenizer)
        left = uncovered(window.speech, [(one.start, one.end) for one in segments])
        repaired += _total(missed) - _total(left)
        if left == missed:
            break
        missed = left
    return WindowTranscript(segments, missed, repaired)


def _for_repair(options: DecodingOptions, segments: Sequence[Segment], gap: Span) -> DecodingOptions:
    """With what was said before the gap as a prompt, as openai-whisper's next window has it; without a ladder."""
    before = "".join(one.text for one in segments if one.start < gap[0])
    prompt = f"{options.prompt or ''}{before}".strip()
    return replace(options, prompt=prompt or None, temperatures=options.temperatures[:1])


def _piece(window: Window, gap: Span) -> tuple[float, Window]:
    """A part of a window with some padding, and where it starts in it, in seconds on the grid of timestamps."""
    start = max(0.0, gap[0] - REPAIR_PADDING) // TIMESTAMP_STEP * TIMESTAMP_STEP
    end = min(window.seconds, gap[1] + REPAIR_PADDING)
    return start, Window(window.audio[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)])


def _total(spans: Sequence[Span]) -> float:
    return sum(end - start for start, end in spans)
