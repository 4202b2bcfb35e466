"""Speakers put on what was said: on words by the turns that they overlap, on segments by their words.

A segment in which the speaker changes is split there. The parts have no tokens: which of them are whose is not known.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby

from src.transcript.transcript import Diarization, Segment, Transcript, Turn


def assign_speakers(transcript: Transcript, found: Diarization) -> None:
    """Tells the speakers in a transcript, and in its translation."""
    turns = _Turns(found.turns)
    for text in (transcript, transcript.translation):
        if text is not None:
            parts = [part for segment in text.segments for part in turns.parts_of(segment)]
            text.segments = [replace(part, id=number) for number, part in enumerate(parts)]
            text.diarization = found
    transcript.warnings += found.warnings


class _Turns:
    """Turns in order, none of which overlap."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        self._turns = turns
        self._ends = [turn.end for turn in turns]

    def parts_of(self, segment: Segment) -> list[Segment]:
        """The segment as it is, or in parts where its words show that the speaker changes."""
        words = [replace(word, speaker=self.speaker(word.start, word.end)) for word in segment.words or []]
        if "".join(word.word for word in words).strip() != segment.text.strip():  # no words, or others than its text
            return [replace(segment, speaker=self.speaker(segment.start, segment.end), words=segment.words and words)]
        runs = [list(run) for _, run in groupby(words, lambda word: word.speaker)]
        if len(runs) < 2:
            return [replace(segment, speaker=words[0].speaker if words else None, words=segment.words and words)]
        starts = [segment.start, *(run[0].start for run in runs[1:])]
        ends = [*(run[-1].end for run in runs[:-1]), segment.end]
        return [
            replace(
                segment,
                start=start,
                end=max(start, end),
                text="".join(word.word for word in run),
                tokens=[],
                words=run,
                speaker=run[0].speaker,
            )
            for run, start, end in zip(runs, starts, ends, strict=True)
        ]

    def speaker(self, start: float, end: float) -> str | None:
        """Who speaks most of the time; where no one does, whoever is nearest. None: no one ever does."""
        if not self._turns:
            return None
        first = bisect_left(self._ends, start)
        seconds: dict[str, float] = defaultdict(float)
        for turn in self._turns[first:]:
            if turn.start >= end:
                break
            seconds[turn.speaker] += min(end, turn.end) - max(start, turn.start)
        spoken = max(seconds, key=lambda one: seconds[one], default=None)
        if spoken is not None and seconds[spoken] > 0:
            return spoken
        beside = self._turns[max(0, first - 1) : first + 1]
        return min(beside, key=lambda turn: max(turn.start - end, start - turn.end)).speaker
