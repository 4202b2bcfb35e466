"""Detects the language of a recording: the mean over several windows, spread over its speech.

openai-whisper looks at the first window only. A jingle, a greeting in another language or a bad line then decides for
the whole recording.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from whisper.tokenizer import LANGUAGES

from src.audio.pcm import SAMPLE_RATE, Recording, Region
from src.audio.vad import VadOptions
from src.engine.engine import Engine
from src.engine.scheduler import Client
from src.engine.window import Window
from src.transcription.windows import PositionedWindow, find_windows
from transcript.transcript import Segment

NUM_SAMPLES = 5
"""Windows whose language is identified."""

LOOKAHEAD_WINDOWS = 40
"""Windows at a recording's start, 20 minutes with pauses, that are found before the first is decoded.

A shorter recording is sampled from them, so that none of its windows is encoded twice.
"""

SEARCH_SECONDS = 120
"""Length of the search for speech at each sampled position of a longer recording."""

MAX_REPORTED_LANGUAGES = 5

FOREIGN_LOGPROB = -0.8
"""Mean log-probability of an English-only model's text below which the speech is taken for another language.

Measured with `tiny.en`, on the half of the recordings that the value was not chosen by: below it are 79 of 80 in eleven
other languages, none of 31 in English (telephone, accents, learners), 2 of 27 in English with much noise.
"""

UNLIKELY_CANDIDATES = 0.1
"""Probability of all candidates together below which the caller is warned."""


@dataclass(frozen=True)
class DetectedLanguage:
    """The most likely language of a recording."""

    language: str
    probability: float | None
    """None if the model knows English only, and so measured nothing."""
    languages: dict[str, float]
    """The `MAX_REPORTED_LANGUAGES` most likely languages and their probabilities."""
    warnings: list[str] = field(default_factory=list)
    """Sentences for the caller."""


def detect_language(
    engine: Engine,
    client: Client,
    windows: Iterator[PositionedWindow],
    pcm: Recording,
    clips: Sequence[Region] | None,
    vad: VadOptions | None,
    candidates: Sequence[str] = (),
    *,
    first_window_only: bool,
) -> tuple[DetectedLanguage | None, Iterator[PositionedWindow]]:
    """Detect the language of a recording.

    Args:
        engine: the model, which answers English if it knows no other language.
        client: in whose name the engine works.
        windows: the windows of `clips`.
        pcm: the recording.
        clips: the parts of it that are transcribed; None: all of it.
        vad: as for `find_windows`.
        candidates: the languages to choose from; empty: all.
        first_window_only: ignore the rest of the recording, for a low latency in streaming.

    Returns:
        The language, None without any windows; and all windows again, the sampled ones with their encoded features.
    """
    known = list(itertools.islice(windows, 1 if first_window_only else LOOKAHEAD_WINDOWS))
    if not known:
        return None, iter(())
    if not engine.token_sets.multilingual:
        return DetectedLanguage("en", None, {}), itertools.chain(known, windows)
    indices = _choose_samples(known)
    samples = [known[index].window for index in indices]
    if len(known) == LOOKAHEAD_WINDOWS and clips in (None, [Region(0, len(pcm))]):
        # The recording is longer: take the first of these windows, and others from all of the recording.
        indices, samples = indices[:1], [samples[0], *_sample_later_windows(pcm, vad)]
    identified = engine.identify_languages(samples, client)
    for index, (_, encoded) in zip(indices, identified, strict=False):
        known[index] = known[index]._replace(window=encoded)
    return _average(identified, candidates), itertools.chain(known, windows)


def sounds_foreign(segments: Sequence[Segment]) -> bool:
    """Return true if the text that an English-only model wrote is too improbable for English that can be understood."""
    seconds = np.array([max(segment.end - segment.start, 0.1) for segment in segments])
    logprobs = np.array([segment.avg_logprob for segment in segments])
    return bool(np.average(logprobs, weights=seconds) < FOREIGN_LOGPROB)


def _choose_samples(windows: Sequence[PositionedWindow]) -> list[int]:
    """Return the indices of windows spread over all, without doubtful ones if there are others."""
    sure = [index for index, positioned in enumerate(windows) if not positioned.window.doubtful]
    candidates = sure or range(len(windows))
    return [
        candidates[round(index)] for index in np.linspace(0, len(candidates) - 1, min(NUM_SAMPLES, len(candidates)))
    ]


def _sample_later_windows(pcm: Recording, vad: VadOptions | None) -> Iterator[Window]:
    for sample in range(1, NUM_SAMPLES):
        start = len(pcm) * sample // NUM_SAMPLES
        stretch = pcm[start : start + SEARCH_SECONDS * SAMPLE_RATE]
        found = (positioned.window for positioned in find_windows(stretch, None, vad))
        yield from itertools.islice((window for window in found if not window.doubtful), 1)


def _average(identified: Sequence[tuple[dict[str, float], Window]], candidates: Sequence[str]) -> DetectedLanguage:
    """Average the probabilities of windows, weighted by length, since short windows are less reliable."""
    weights: dict[str, float] = defaultdict(float)
    for probabilities, window in identified:
        for language, probability in probabilities.items():
            weights[language] += probability * window.seconds
    total = sum(weights.values()) or 1.0
    chosen = {language: weights[language] for language in candidates if language in weights} or weights
    share = sum(chosen.values()) or 1.0
    best = sorted(chosen, key=chosen.__getitem__, reverse=True)[:MAX_REPORTED_LANGUAGES]
    languages = {language: chosen[language] / share for language in best}
    warnings = []
    if share / total < UNLIKELY_CANDIDATES:
        likeliest = max(weights, key=weights.__getitem__)
        warnings.append(
            f"language_candidates: none of {', '.join(candidates)} is likely; without them it would be "
            f"{LANGUAGES[likeliest].title()}, {likeliest}, with a probability of {weights[likeliest] / total:.2f}"
        )
    return DetectedLanguage(best[0], languages[best[0]], languages, warnings)
