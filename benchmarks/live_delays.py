"""When the words of a live transcript arrived, against when they were spoken. All times are in seconds."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from benchmarks.live_session import Utterance
from benchmarks.recordings import TimedWord


@dataclass(frozen=True)
class Arrival:
    """A word of a complete text, and when it was first there to stay.

    Attributes:
        letters: The word without case and punctuation.
        time: Of the delta that brought it or, if none did, of the complete text.
        is_early: A delta brought it.
    """

    letters: str
    time: float
    is_early: bool


@dataclass(frozen=True)
class Delay:
    """Seconds from the end of a spoken word until its text was there to stay."""

    seconds: float
    is_early: bool


def find_arrivals(utterance: Utterance) -> list[Arrival]:
    """Return the words of an utterance's complete text, each with the time from which it was there to stay."""
    if utterance.completed is None:
        return []
    shown, final = _shown_words(utterance.deltas), _words(utterance.text)
    arrivals = [Arrival(letters, utterance.completed, False) for letters in final]
    for earlier, later in _matches([letters for letters, _ in shown], final):
        arrivals[later] = Arrival(final[later], shown[earlier][1], True)
    return arrivals


def word_delays(utterances: Sequence[Utterance], spoken: Sequence[TimedWord]) -> list[Delay]:
    """Return the delays of the transcript's words that match a spoken word, in order."""
    arrivals = [arrival for utterance in utterances for arrival in find_arrivals(utterance)]
    pairs = _matches([arrival.letters for arrival in arrivals], [word.letters for word in spoken])
    return [Delay(arrivals[ours].time - spoken[theirs].end, arrivals[ours].is_early) for ours, theirs in pairs]


def first_word_delays(utterances: Sequence[Utterance], spoken: Sequence[TimedWord]) -> list[float]:
    """Return, for each utterance, the seconds from the start of its first word until any text of it arrived."""
    delays = []
    for utterance in utterances:
        first = utterance.deltas[0][0] if utterance.deltas else utterance.completed
        starts = [word.start for word in spoken if utterance.start <= word.end and word.start < utterance.end]
        if starts and utterance.text and first is not None:
            delays.append(first - starts[0])
    return delays


def completion_delays(utterances: Sequence[Utterance]) -> list[float]:
    """Return, for each utterance, the seconds from the end of its speech until its complete text arrived."""
    return [utterance.completed - utterance.end for utterance in utterances if utterance.completed is not None]


def _shown_words(deltas: Sequence[tuple[float, str]]) -> list[tuple[str, float]]:
    """Return the words that deltas make up, each with the time of the delta that completed it."""
    text = "".join(part for _, part in deltas)
    times = [time for time, part in deltas for _ in part]
    words = [(_letters(match.group()), times[match.end() - 1]) for match in re.finditer(r"\S+", text)]
    return [(letters, time) for letters, time in words if letters]


def _words(text: str) -> list[str]:
    """Return the letters of a text's words, without those that are punctuation alone."""
    return [letters for word in text.split() if (letters := _letters(word))]


def _letters(word: str) -> str:
    return TimedWord(word, 0.0, 0.0).letters


def _matches(ours: Sequence[str], theirs: Sequence[str]) -> list[tuple[int, int]]:
    """Return the places of equal words of two texts, in order."""
    blocks = SequenceMatcher(None, ours, theirs, autojunk=False).get_matching_blocks()
    return [(block.a + offset, block.b + offset) for block in blocks for offset in range(block.size)]
