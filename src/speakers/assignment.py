"""Assigns speakers to words by the turns that they overlap, and to segments by their words.

A segment in which the speaker changes is split there. Its parts have no `tokens`, since they lack the timestamps.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, groupby

from transcript.checks import Check, checked, never
from transcript.token_logprobs import split_at
from transcript.transcript import Diarization, Segment, Transcript, Turn


def assign_speakers(transcript: Transcript, diarization: Diarization, check: Check = never) -> None:
    """Add the speakers to a transcript and to its translation, in place."""
    timeline = _Timeline(diarization.turns)
    for text in (transcript, transcript.translation):
        if text is not None:
            parts = [part for segment in checked(text.segments, check) for part in timeline.split(segment)]
            text.segments = [replace(part, id=number) for number, part in enumerate(parts)]
            text.diarization = diarization
    transcript.warnings += diarization.warnings


class _Timeline:
    """Turns in order, without overlap."""

    def __init__(self, turns: Sequence[Turn]) -> None:
        self._turns = turns
        self._ends = [turn.end for turn in turns]

    def split(self, segment: Segment) -> list[Segment]:
        """Return the segment with its speaker, or as parts if the speakers of its words differ."""
        words = [replace(word, speaker=self._speaker(word.start, word.end)) for word in segment.words or []]
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

    def _speaker(self, start: float, end: float) -> str | None:
        """Return the dominant speaker of an interval, else that of the nearest turn; None if there are no turns."""
        if not self._turns:
            return None
        first = bisect_left(self._ends, start)
        seconds: dict[str, float] = defaultdict(float)
        for turn in map(self._turns.__getitem__, range(first, len(self._turns))):  # a slice would copy the rest
            if turn.start >= end:
                break
            seconds[turn.speaker] += min(end, turn.end) - max(start, turn.start)
        dominant = max(seconds, key=lambda speaker: seconds[speaker], default=None)
        if dominant is not None and seconds[dominant] > 0:
            return dominant
        neighbours = self._turns[max(0, first - 1) : first + 1]
        return min(neighbours, key=lambda turn: max(turn.start - end, start - turn.end)).speaker
