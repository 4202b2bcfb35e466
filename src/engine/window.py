"""Processing steps of one window: encode, decode with fallbacks, re-decode uncovered speech, align words.

The steps are generators, so that they read from top to bottom while thousands of windows run at once: a generator
yields the work that it needs, and the scheduler sends it the result when the batch with that work is done.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import numpy.typing as npt
from torch import Tensor
from whisper.audio import SAMPLE_RATE, TOKENS_PER_SECOND
from whisper.tokenizer import Tokenizer

from src.engine.coverage import Span, find_gaps
from src.engine.decoding_options import DecodingOptions, TokenSets
from src.engine.dtw import onset_frames
from src.engine.plausibility import Plausibility
from src.engine.segments import TIMESTAMP_STEP_S, insert_segments, to_segments, to_window_time
from src.engine.word_timing import set_words, text_tokens_of
from src.engine.work import (
    AlignmentRequest,
    DecodeRequest,
    DecodeResult,
    EncodeRequest,
    HostWork,
    LanguageRequest,
    NumericalFault,
    ScoreRequest,
    Steps,
    TextAttention,
)
from transcript.transcript import Segment
from transcript.word_lengths import lengthen_empty_words

SECOND_OPINION_BEAMS = 5
"""Beams of a window whose greedy text is unsure."""

MIN_ALIGNED_FRAMES = 4
"""Encoder frames of a window that is shorter than alignment's median filter can smooth."""

MAX_REDECODE_ROUNDS = 3
REDECODE_PADDING_S = 0.2
"""Seconds of audio added on both sides of a gap, so that no word is cut at its edges."""


@dataclass(frozen=True, eq=False)
class Window:
    """At most 30 s of a recording.

    Attributes:
        audio: [samples] at 16 kHz.
        speech: spans of speech in seconds from the window's start; empty: not known.
        features: [1500, D], the encoder's output, if the window has been encoded before.
        doubtful: the detector is not certain of its speech, which may be none.
    """

    audio: npt.NDArray[np.int16]
    speech: Sequence[Span] = ()
    features: Tensor | None = None
    doubtful: bool = False

    @property
    def seconds(self) -> float:
        """Length of the window."""
        return float(len(self.audio) / SAMPLE_RATE)


@dataclass(frozen=True)
class WindowTranscript:
    """A window's segments, with times from the window's start, and how they were decoded.

    Attributes:
        uncovered: spans of speech without a segment.
        repaired: seconds of speech that re-decoding covered.
        silent: the model took the window for silence.
        in_float32: the numbers overflowed, so that the window was processed again at full precision.
        language: of this window, as given or as detected.
        translation: segments of the English translation, if one was requested.
    """

    segments: list[Segment]
    uncovered: list[Span] = field(default_factory=list)
    repaired: float = 0.0
    silent: bool = False
    in_float32: bool = False
    language: str = "en"
    translation: list[Segment] | None = None


def transcribe_window(window: Window, options: DecodingOptions, token_sets: TokenSets) -> Steps:
    """Return the steps of one window, whose result is its `WindowTranscript`."""
    try:
        return (yield from _transcribe(window, options, token_sets, in_float32=False))
    except NumericalFault:
        without_features = replace(window, features=None)
        transcript = yield from _transcribe(without_features, options, token_sets, in_float32=True)
        return replace(transcript, in_float32=True)


def identify_language(window: Window) -> Steps:
    """Return steps whose result is the probability of each language, and the window with its features."""
    features = yield EncodeRequest(window.audio)
    probabilities = yield LanguageRequest(features)
    return probabilities, replace(window, features=features)


def align_words(segments: list[Segment], features: Tensor, mel_frames: int, tokenizer: Tokenizer) -> Steps:
    """Return steps that set the words of a window's segments, and adjust the segments' times to them.

    Args:
        segments: in order of time; their tokens with or without timestamps.
        features: [1500, D], the encoder's output.
        mel_frames: log-mel frames (10 ms) of the window that are audio, not padding.
        tokenizer: for the window's task and its language, which decides where words are split.
    """
    for segment in segments:
        segment.words = []
    text = text_tokens_of(segments, tokenizer)
    if text:
        attention = yield AlignmentRequest(features, text, max(MIN_ALIGNED_FRAMES, mel_frames // 2), tokenizer)
        yield HostWork(partial(time_words, segments, attention, mel_frames / 100, tokenizer))


def time_words(segments: list[Segment], attention: TextAttention, seconds: float, tokenizer: Tokenizer) -> None:
    """Set the words of a window of `seconds`, by the attention of their tokens, and adjust the segments' times."""
    onsets = onset_frames(-attention.weights.astype(np.float64)) / TOKENS_PER_SECOND
    set_words(segments, tokenizer, onsets, attention.probabilities)
    lengthen_empty_words(segments, seconds)


def _transcribe(window: Window, options: DecodingOptions, token_sets: TokenSets, *, in_float32: bool) -> Steps:
    encoded, options = yield from encode_window(window, options, in_float32=in_float32)
    transcript = _decode_window(encoded, options, token_sets, in_float32)
    if not options.with_translation:
        return (yield from transcript)
    # Without the prompt, which is in the spoken language.
    in_english = replace(options, task="translate", prompt=None, with_translation=False)
    original, translation = yield [transcript, _decode_window(encoded, in_english, token_sets, in_float32)]
    return replace(original, translation=translation.segments)


def encode_window(
    window: Window, options: DecodingOptions, *, in_float32: bool = False, is_short: bool = False
) -> Steps:
    """Return steps whose result is the window with its features, and the options with its language.

    Args:
        window: encoded unless it has features.
        options: the language is detected where they have none.
        in_float32: encode at full precision.
        is_short: leave out most of the silence that fills the window.
    """
    features = window.features
    if features is None:
        features = yield EncodeRequest(window.audio, in_float32, is_short)
    if options.language is None:
        probabilities = yield LanguageRequest(features)
        options = replace(options, language=_choose_language(probabilities, options))
    return replace(window, features=features), options


def _choose_language(probabilities: dict[str, float], options: DecodingOptions) -> str:
    """Choose a window's language in a recording with several languages."""
    candidates = options.candidate_languages or tuple(probabilities)
    best = max(candidates, key=lambda language: probabilities.get(language, 0.0))
    total = sum(probabilities.get(language, 0.0) for language in candidates)
    return best if probabilities.get(best, 0.0) > total / 2 else options.main_language


def _decode_window(window: Window, options: DecodingOptions, token_sets: TokenSets, in_float32: bool) -> Steps:
    """Steps to the transcript of an encoded window, in one language and for one task."""
    features, segments = yield from _decode_segments(window, options, token_sets, in_float32)
    if segments:
        transcript = yield from _redecode_gaps(window, segments, options, token_sets, in_float32)
    else:
        uncovered = [] if window.doubtful else find_gaps(window.speech, [])
        transcript = WindowTranscript([], uncovered, silent=True)
    if options.word_timestamps:
        tokenizer = token_sets.tokenizer_for(options)
        yield from align_words(transcript.segments, features, round(window.seconds * 100), tokenizer)
    return replace(transcript, language=options.language or options.main_language)


def _decode_segments(
    window: Window, options: DecodingOptions, token_sets: TokenSets, in_float32: bool, *, plausible_only: bool = False
) -> Steps:
    """Steps to the window's features and segments; no segments if the window is silent.

    Args:
        window: the window.
        options: how to decode it.
        token_sets: the checkpoint's tokens.
        in_float32: encode it at full precision.
        plausible_only: no segments either if no text is plausible.
    """
    features = window.features
    if features is None:
        features = yield EncodeRequest(window.audio, in_float32)
    tokenizer = token_sets.tokenizer_for(options)
    plausibility = Plausibility(window.audio, options, tokenizer)
    if window.doubtful:
        options = replace(options, temperatures=options.temperatures[:1])
    result = yield from _decode_with_fallback(features, options, token_sets, plausibility)
    is_doubted = window.doubtful and not plausibility.is_certain(result)
    is_implausible = plausible_only and not plausibility.is_plausible(result)
    if plausibility.is_silence(result) or is_doubted or is_implausible:
        return features, []
    if options.token_logprobs and result.tokens:
        prompt, suppressed = token_sets.prompt(options), token_sets.suppressed(options.suppress_tokens)
        logprobs = yield ScoreRequest(features, prompt, suppressed, result.tokens)
        result = replace(result, logprobs=logprobs)
    return features, to_segments(result, tokenizer, window.seconds)


def _decode_with_fallback(
    features: Tensor, options: DecodingOptions, token_sets: TokenSets, plausibility: Plausibility
) -> Steps:
    """Decode at rising temperatures until the text is plausible (`decode_with_fallback` in openai-whisper).

    Two rules differ. Where greedy decoding is unsure, a beam search follows before any sampling. And if no text is
    plausible, the likeliest is returned; openai-whisper returns the last, which at temperature 1.0 is often nonsense.
    """
    request = DecodeRequest(
        features,
        token_sets.prompt(options),
        token_sets.suppressed(options.suppress_tokens),
        length_penalty=options.length_penalty,
    )
    results: list[DecodeResult] = []
    for temperature in options.temperatures:
        result = yield _at_temperature(request, temperature, options)
        if options.beam_size is None and plausibility.is_unsure(result):
            second = yield replace(request, beam_size=SECOND_OPINION_BEAMS)
            result = second if plausibility.is_better(second, result) else result
        if plausibility.is_plausible(result):
            return result
        results.append(result)
    return min(results, key=lambda result: (plausibility.is_repetitive(result), -result.avg_logprob))


def _at_temperature(request: DecodeRequest, temperature: float, options: DecodingOptions) -> DecodeRequest:
    # One beam is greedy decoding, in the batch of the greedy ones.
    searches = temperature == 0 and options.beam_size != 1
    return replace(
        request,
        temperature=temperature,
        beam_size=options.beam_size if searches else None,
        num_samples=(options.best_of or 1) if temperature > 0 else 1,
        patience=options.patience or 1.0,
    )


def _redecode_gaps(
    window: Window, segments: list[Segment], options: DecodingOptions, token_sets: TokenSets, in_float32: bool
) -> Steps:
    """Decode speech that no segment covers as separate windows, until that yields nothing new."""
    repaired = 0.0
    tokenizer = token_sets.tokenizer_for(options)
    gaps = find_gaps(window.speech, [(segment.start, segment.end) for segment in segments])
    for _ in range(MAX_REDECODE_ROUNDS):
        if not gaps:
            break
        excerpts = [_excerpt(window, gap) for gap in gaps]
        gap_options = [_redecode_options(options, segments, gap) for gap in gaps]
        results = yield [
            # Prefer reporting a gap over emitting low-confidence text.
            _decode_segments(excerpt, its_options, token_sets, in_float32, plausible_only=True)
            for (_, excerpt), its_options in zip(excerpts, gap_options, strict=True)
        ]
        for (offset, _), (_, found) in zip(excerpts, results, strict=True):
            segments = insert_segments(segments, [to_window_time(new, offset, tokenizer) for new in found], tokenizer)
        remaining = find_gaps(window.speech, [(segment.start, segment.end) for segment in segments])
        repaired += _total_seconds(gaps) - _total_seconds(remaining)
        if remaining == gaps:
            break
        gaps = remaining
    return WindowTranscript(segments, gaps, repaired)


def _redecode_options(options: DecodingOptions, segments: Sequence[Segment], gap: Span) -> DecodingOptions:
    """Options with the text before the gap as prompt, as in openai-whisper's next window, and without fallback."""
    before = "".join(segment.text for segment in segments if segment.start < gap[0])
    prompt = f"{options.prompt or ''}{before}".strip()
    return replace(options, prompt=prompt or None, temperatures=options.temperatures[:1])


def _excerpt(window: Window, gap: Span) -> tuple[float, Window]:
    """A gap with padding as a window, after its start in seconds, which is a multiple of the timestamp step."""
    start = max(0.0, gap[0] - REDECODE_PADDING_S) // TIMESTAMP_STEP_S * TIMESTAMP_STEP_S
    end = min(window.seconds, gap[1] + REDECODE_PADDING_S)
    audio = window.audio[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)]
    return start, Window(audio, doubtful=window.doubtful)


def _total_seconds(spans: Sequence[Span]) -> float:
    return sum(end - start for start, end in spans)
