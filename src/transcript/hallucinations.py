"""What Whisper says although no one spoke, and loops that it could not leave: left out here, and counted.

Most of it is prevented before: by voice detection, and by the thresholds of no-speech, compression and log-probability
while decoding. What still comes through is of three kinds. Each takes two signs, so that no one's words are lost:

    loops            a phrase said over and over, and the text shrinks more than `compression_ratio_threshold` allows
    phantom_phrases  what subtitles of videos end with, and the voice detector hears no one
    without_speech   any text over a stretch in which the voice detector hears nothing at all
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from unicodedata import combining

from src.transcript.transcript import Segment, Word

HeardSpeech = Callable[[float, float], float]
"""Seconds of speech that the voice detector hears between two times, in seconds from the recording's start."""

LEAST_SPEECH = 0.25
"""Seconds of speech below which a phantom phrase was not said: its shortest, "bye", takes as long."""

REPEATS = 3
"""A phrase in a loop is left standing this often, and a loop has at least one more: people say "no, no, no" too."""

LONGEST_PHRASE = 120
"""Characters of a repeated phrase that are looked for."""

PHANTOMS = frozenset(Path(__file__).with_name("phantoms.txt").read_text(encoding="utf-8").split("\n")) - {""}
"""What Whisper's training data, subtitles of videos, says where no one speaks, as `_plain` gives it. Users reported
them in openai/whisper's discussion 679 and in issues of amicalhq/amical (71) and Vexa-ai/vexa (617)."""


def without_hallucinations(
    segments: Iterable[Segment],
    heard: HeardSpeech,
    *,
    compression_ratio_threshold: float | None,
    speech_only: bool,
) -> tuple[list[Segment], Counter[str]]:
    """The segments that stay, and how many were left out or shortened for which reason.

    Args:
        speech_only: text where nothing is heard is left out, whatever it says.
    """
    dropped: Counter[str] = Counter()
    kept: list[Segment] = []
    for text, same in groupby(segments, key=lambda segment: _plain(segment.text)):
        run = list(same)
        if len(run) > REPEATS and _is_loop(run[0], compression_ratio_threshold):
            dropped["loops"] += len(run) - REPEATS
            run = run[:REPEATS]
        for segment in run:
            if reason := _phantom(text, segment, heard, speech_only):
                dropped[reason] += 1
                continue
            shorter = _without_loop(segment) if _is_loop(segment, compression_ratio_threshold) else segment
            dropped["loops"] += shorter is not segment
            kept.append(shorter)
    return [replace(one, id=number) for number, one in enumerate(kept)], +dropped


def _phantom(text: str, segment: Segment, heard: HeardSpeech, speech_only: bool) -> str | None:
    """Why a segment is left out, if it is."""
    if text in PHANTOMS and heard(segment.start, segment.end) < LEAST_SPEECH:
        return "phantom_phrases"
    if speech_only and heard(segment.start, segment.end) == 0:
        return "without_speech"
    return None


def _is_loop(segment: Segment, threshold: float | None) -> bool:
    return threshold is not None and segment.compression_ratio > threshold


_LOOP = re.compile(rf"(?P<phrase>\S.{{0,{LONGEST_PHRASE - 1}}}?)(?:\s*(?P=phrase)){{{REPEATS},}}", re.DOTALL)


def _without_loop(segment: Segment) -> Segment:
    """The segment with phrases that come over and over left standing `REPEATS` times; its tokens stay as decoded."""
    gaps = [(match.start() + _standing(match), match.end()) for match in _LOOP.finditer(segment.text)]
    gaps = [gap for gap in gaps if gap[0] < gap[1]]
    if not gaps:
        return segment
    words = None if segment.words is None else list(_outside(segment.words, gaps))
    return replace(segment, text=_cut(segment.text, gaps), words=words)


def _standing(match: re.Match[str]) -> int:
    """How many characters of a loop are left standing."""
    end = 0
    for _ in range(REPEATS):
        end = match[0].index(match["phrase"], end) + len(match["phrase"])
    return end


def _cut(text: str, gaps: list[tuple[int, int]]) -> str:
    parts, at = [], 0
    for start, end in gaps:
        parts.append(text[at:start])
        at = end
    return "".join([*parts, text[at:]])


def _outside(words: Iterable[Word], gaps: list[tuple[int, int]]) -> Iterator[Word]:
    """Words by their places in the segment's text, which is all of them joined."""
    at = 0
    for word in words:
        start, at = at, at + len(word.word)
        if not any(gap[0] <= start < gap[1] for gap in gaps):
            yield word


def _plain(text: str) -> str:
    """Letters and digits in lower case, with one space between words."""
    letters = (one for one in text.casefold().replace("-", " ") if one.isalnum() or one.isspace() or combining(one))
    return " ".join("".join(letters).split())
