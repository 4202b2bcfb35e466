"""Which language a recording is in: what several windows, spread over its speech, say on average.

One window is what openai-whisper looks at, its first: a jingle, a greeting in another language or a bad line decide the
whole recording then.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from src.audio.pcm import SAMPLE_RATE
from src.engine.engine import Engine
from src.engine.scheduler import Client
from src.engine.window import Window
from src.request.options import Options
from src.transcription.windows import PositionedWindow, find_windows

SAMPLES = 5
"""Windows that are listened to."""

AT_HAND = 40
"""Windows of a recording's start, 20 minutes with pauses, that are found before the first is decoded: a shorter
recording is sampled from them, and none of its windows is encoded twice."""

SEARCH_SECONDS = 120
"""How far speech is looked for behind each place in a longer recording."""

MOST_TOLD = 5


@dataclass(frozen=True)
class Detected:
    """The likeliest language, how likely it is, and the best `MOST_TOLD` with their probabilities."""

    language: str
    probability: float
    languages: dict[str, float]


def detect_language(
    engine: Engine,
    caller: Client,
    windows: Iterator[PositionedWindow],
    pcm: npt.NDArray[np.int16],
    options: Options,
    *,
    soon: bool,
) -> tuple[Detected | None, Iterator[PositionedWindow]]:
    """The language, and all windows again, of which those that were listened to bring their features; None without any.

    Args:
        soon: only the first window is listened to, since someone waits for the first words.
    """
    at_hand = list(itertools.islice(windows, 1 if soon else AT_HAND))
    if not at_hand:
        return None, iter(())
    if not engine.token_sets.multilingual:
        return Detected("en", 1.0, {}), itertools.chain(at_hand, windows)
    places = [round(place) for place in np.linspace(0, len(at_hand) - 1, min(SAMPLES, len(at_hand)))]
    samples = [at_hand[place].window for place in places]
    if len(at_hand) == AT_HAND and options.clip_timestamps is None:
        # There is more of it: the first of these, and then some from farther on.
        places, samples = places[:1], [samples[0], *_farther_on(pcm, options)]
    shares = engine.identify_languages(samples, caller)
    for place, (_, encoded) in zip(places, shares, strict=False):
        at_hand[place] = at_hand[place]._replace(window=encoded)
    return _judged(shares, options.language_candidates), itertools.chain(at_hand, windows)


def _farther_on(pcm: npt.NDArray[np.int16], options: Options) -> Iterator[Window]:
    for sample in range(1, SAMPLES):
        start = len(pcm) * sample // SAMPLES
        found = next(find_windows(pcm[start : start + SEARCH_SECONDS * SAMPLE_RATE], options), None)
        if found is not None:
            yield found.window


def _judged(samples: Sequence[tuple[dict[str, float], Window]], candidates: list[str] | None) -> Detected:
    """Their mean, each sample weighed by its length: the shorter, the less it tells."""
    total: dict[str, float] = defaultdict(float)
    for shares, window in samples:
        for language in candidates or shares:
            total[language] += shares.get(language, 0.0) * window.seconds
    whole = sum(total.values()) or 1.0
    best = sorted(total, key=total.__getitem__, reverse=True)[:MOST_TOLD]
    return Detected(best[0], total[best[0]] / whole, {language: total[language] / whole for language in best})
