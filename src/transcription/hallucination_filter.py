"""Filters hallucinations out of segments with the help of voice activity detection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from src.audio.pcm import SAMPLE_RATE, Recording
from src.audio.speech import seconds_of_speech
from src.audio.vad import VadOptions
from src.engine import repetition
from transcript.checks import Check, never
from transcript.hallucinations import remove_hallucinations
from transcript.transcript import Segment


@dataclass(frozen=True)
class HallucinationFilter:
    """Criteria for hallucinations: see `transcript/hallucinations.py`."""

    vad: VadOptions = field(default_factory=VadOptions)
    compression_ratio_threshold: float | None = 2.4
    speech_only: bool = False
    """If true, segments without any detected speech are dropped, whatever their text."""

    def apply(
        self, segments: Iterable[Segment], pcm: Recording, check: Check = never
    ) -> tuple[list[Segment], Counter[str]]:
        """Return the segments to keep, and the number of dropped or shortened ones by reason.

        Args:
            segments: with times on the recording's clock.
            pcm: the recording.
            check: ends the work by an exception.
        """

        def speech_between(start: float, end: float) -> float:
            check()
            return seconds_of_speech(pcm[round(start * SAMPLE_RATE) : round(end * SAMPLE_RATE)], self.vad)

        def is_said_repeatedly(run: Sequence[Segment]) -> bool:
            check()
            start, end = max(0, round(run[0].start * SAMPLE_RATE)), round(run[-1].end * SAMPLE_RATE)
            return repetition.is_said_repeatedly(run, pcm[start:end], start / SAMPLE_RATE)

        return remove_hallucinations(
            segments,
            speech_between,
            is_said_repeatedly,
            compression_ratio_threshold=self.compression_ratio_threshold,
            speech_only=self.speech_only,
        )
