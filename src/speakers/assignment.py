"""Assigns speakers to words by the turns that they overlap, and to segments by their words.

Where two speak at once, a word is of whoever speaks longer in it, else of whoever has the longer turn: Whisper writes
the words of a talk, not of the "mhm" in it. The other one is kept with the word.

A segment in which the speaker changes is split there. Its parts have no `tokens`, since they lack the timestamps.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, groupby

from transcript.checks import Check, checked, never
from transcript.token_logprobs import split_at
from transcript.transcript import Diarization, Segment, Transcript, Turn, Word


def assign_speakers(transcript: Transcript, diarization: Diarization, check: Check = never) -> None:
    """Add the speakers to a transcript and to its translation, in place."""
    timeline = _Timeline(diarization.turns)
    for text in (transcript, transcript.translation):
        if text is not None:
            parts = [part for segment in checked(text.segments, check) for part in timeline.split(segment)]
            text.segments = [replace(part, id=number) for number, part in enumerate(parts)]
            text.diarization = diarization
    transcript.warnings += diarization.warnings


TIE_SECONDS = 0.05
"""Difference up to which two speakers speak in a word for the same time: three frames of their detector."""


class _Timeline:
    """Turns by start; those of different speakers may overlap."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        self._turns = turns
        self._last_to_end = list(accumulate(turns, _later_end))
        """Of each turn and those before it."""
        self._ends = [turn.end for turn in self._last_to_end]

    def split(self, segment: Segment) -> list[Segment]:
        """Return the segment with its speaker, or as parts if the speakers of its words differ."""
        words = [self._assign(word) for word in segment.words or []]
        if "".join(word.word for word in words).strip() != segment.text.strip():  # no words, or not those of its text
            return [replace(segment, speaker=self._speaker(segment.start, segment.end), words=segment.words and words)]
        runs = [list(run) for _, run in groupby(words, lambda word: word.speaker)]
        if len(runs) < 2:
            return [replace(segment, speaker=words[0].speaker if words else None, words=segment.words and words)]
        starts = [segment.start, *(run[0].start for run in runs[1:])]
        ends = [*(run[-1].end for run in runs[:-1]), segment.end]
        texts = ["".join(word.word for word in run) for run in runs]
        bounds = list(accumulate(map(len, texts[:-1])))
        logprobs = [None for _ in runs] if segment.logprobs is None else split_at(segment.logprobs, bounds)
        return [
            replace(
                segment,
                start=start,
                end=max(start, end),
                text=text,
                tokens=[],
                words=run,
                logprobs=its_logprobs,
                speaker=run[0].speaker,
            )
            for run, text, its_logprobs, start, end in zip(runs, texts, logprobs, starts, ends, strict=True)
        ]

    def _assign(self, word: Word) -> Word:
        speaker = self._speaker(word.start, word.end)
        half = (word.end - word.start) / 2
        others = [
            other
            for other, (seconds, _) in self._speech(word.start, word.end).items()
            if other != speaker and seconds >= max(half, TIE_SECONDS)
        ]
        return replace(word, speaker=speaker, other_speakers=tuple(others))

    def _speaker(self, start: float, end: float) -> str | None:
        """Return the dominant speaker of an interval, else that of the nearest turn; None if there are no turns."""
        if not self._turns:
            return None
        speech = self._speech(start, end)
        most = max((seconds for seconds, _ in speech.values()), default=0.0)
        if most > 0:
            tied = [speaker for speaker, (seconds, _) in speech.items() if seconds >= most - TIE_SECONDS]
            return max(tied, key=lambda speaker: speech[speaker][1])
        first = bisect_left(self._ends, start)
        neighbours = [*self._last_to_end[max(0, first - 1) : first], *self._turns[first : first + 1]]
        return min(neighbours, key=lambda turn: max(turn.start - end, start - turn.end)).speaker

    def _speech(self, start: float, end: float) -> dict[str, tuple[float, float]]:
        """Return the seconds of each speaker in an interval, and the seconds of the longest of these turns."""
        speech: dict[str, tuple[float, float]] = {}
        first = bisect_left(self._ends, start)
        for turn in map(self._turns.__getitem__, range(first, len(self._turns))):  # a slice would copy the rest
            if turn.start >= end:
                break
            seconds, longest = speech.get(turn.speaker, (0.0, 0.0))
            shared = max(0.0, min(end, turn.end) - max(start, turn.start))
            speech[turn.speaker] = seconds + shared, max(longest, turn.end - turn.start)
        return speech


def _later_end(first: Turn, second: Turn) -> Turn:
    return second if second.end > first.end else first
