"""Removes hallucinations: text that Whisper writes although nobody spoke, and loops that it does not leave.

Voice activity detection, and the no-speech, compression-ratio and log-probability thresholds of decoding, prevent most
of them. The rest are of three kinds. Each has to show several signs, so that nothing that was said is lost:

    loops            a phrase is repeated, the text compresses by more than `compression_ratio_threshold`, and the
                     sound does not repeat itself
    phantom_phrases  the text is a phrase that ends subtitles of videos, and the VAD finds no speech
    without_speech   any text at all, where the VAD finds not a moment of speech; only with `speech_only`
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from unicodedata import combining

from transcript.token_logprobs import cut_out
from transcript.transcript import Segment, Word

CountSpeech = Callable[[float, float], float]
"""Returns the seconds of speech that the VAD finds between two times, in seconds from the recording's start."""

IsSaidRepeatedly = Callable[[Sequence[Segment]], bool]
"""Returns True if consecutive segments repeat a phrase because the sound does."""

MIN_SPEECH_S = 0.25
"""Seconds of speech below which a phantom phrase was not said: the shortest, "bye", takes as long."""

KEPT_REPEATS = 3
"""Repetitions of a phrase that stay; a loop has at least one more, since people do say "no, no, no"."""

MAX_PHRASE_CHARACTERS = 120
"""The longest repeated phrase that is looked for."""

PHANTOM_PHRASES = frozenset(Path(__file__).with_name("phantoms.txt").read_text(encoding="utf-8").split("\n")) - {""}
"""Phrases that Whisper writes where nobody speaks, from subtitles of videos in its training data; `_normalize`d.

Reported by users in openai/whisper's discussion 679 and in issues of amicalhq/amical (71) and Vexa-ai/vexa (617).
"""

_LOOP = re.compile(
    rf"(?P<phrase>\S.{{0,{MAX_PHRASE_CHARACTERS - 1}}}?)(?:\s*(?P=phrase)){{{KEPT_REPEATS},}}", re.DOTALL
)


def remove_hallucinations(
    segments: Iterable[Segment],
    count_speech: CountSpeech,
    is_said_repeatedly: IsSaidRepeatedly,
    *,
    compression_ratio_threshold: float | None,
    speech_only: bool,
) -> tuple[list[Segment], Counter[str]]:
    """Return the segments that stay, and how many were removed or shortened for each reason.

    Args:
        segments: in order of time.
        count_speech: the VAD's opinion.
        is_said_repeatedly: asked about segments that repeat a phrase.
        compression_ratio_threshold: ratio above which a text is a loop; None keeps loops.
        speech_only: if true, all text where the VAD finds no speech is removed.
    """
    dropped: Counter[str] = Counter()
    kept: list[Segment] = []
    for text, equal_segments in groupby(segments, key=lambda segment: _normalize(segment.text)):
        run = list(equal_segments)
        is_loop = _is_loop(run[0], compression_ratio_threshold) and not is_said_repeatedly(run)
        if len(run) > KEPT_REPEATS and is_loop:
            dropped["loops"] += len(run) - KEPT_REPEATS
            run = run[:KEPT_REPEATS]
        for segment in run:
            if reason := _reason_to_drop(text, segment, count_speech, speech_only):
                dropped[reason] += 1
                continue
            shortened = _shorten_loops(segment) if is_loop else segment
            dropped["loops"] += shortened is not segment
            kept.append(shortened)
    return [replace(segment, id=number) for number, segment in enumerate(kept)], +dropped


def _reason_to_drop(text: str, segment: Segment, count_speech: CountSpeech, speech_only: bool) -> str | None:
    if text in PHANTOM_PHRASES and count_speech(segment.start, segment.end) < MIN_SPEECH_S:
        return "phantom_phrases"
    if speech_only and count_speech(segment.start, segment.end) == 0:
        return "without_speech"
    return None


def _is_loop(segment: Segment, threshold: float | None) -> bool:
    return threshold is not None and segment.compression_ratio > threshold


def _shorten_loops(segment: Segment) -> Segment:
    """Return the segment with each repeated phrase kept `KEPT_REPEATS` times; `tokens` stay as they were decoded."""
    cuts = [(match.start() + _kept_length(match), match.end()) for match in _LOOP.finditer(segment.text)]
    cuts = [(start, end) for start, end in cuts if start < end]
    if not cuts:
        return segment
    words = None if segment.words is None else list(_words_outside(segment.words, cuts))
    logprobs = segment.logprobs and cut_out(segment.logprobs, cuts)
    return replace(segment, text=_cut_text(segment.text, cuts), words=words, logprobs=logprobs)


def _kept_length(loop: re.Match[str]) -> int:
    """Return the number of characters of a loop that stay."""
    end = 0
    for _ in range(KEPT_REPEATS):
        end = loop[0].index(loop["phrase"], end) + len(loop["phrase"])
    return end


def _cut_text(text: str, cuts: list[tuple[int, int]]) -> str:
    parts, kept_from = [], 0
    for start, end in cuts:
        parts.append(text[kept_from:start])
        kept_from = end
    return "".join([*parts, text[kept_from:]])


def _words_outside(words: Iterable[Word], cuts: list[tuple[int, int]]) -> Iterator[Word]:
    """Yield the words that begin outside the cuts; the segment's text is its words joined."""
    offset = 0
    for word in words:
        if not any(start <= offset < end for start, end in cuts):
            yield word
        offset += len(word.word)


def _normalize(text: str) -> str:
    """Return letters and digits in lower case, with one space between words."""
    folded = text.casefold().replace("-", " ")
    kept = (character for character in folded if character.isalnum() or character.isspace() or combining(character))
    return " ".join("".join(kept).split())
