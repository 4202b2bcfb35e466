"""Who speaks when: what src/speakers/diarization.py finds out, in plain types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Turn(NamedTuple):
    """Seconds in which one speaker speaks."""

    start: float
    end: float
    speaker: str


@dataclass(frozen=True)
class Speaker:
    """What is known of one."""

    label: str
    seconds: float
    turns: int
    start: float
    """When the first turn begins, in seconds."""
    voiceprint: Sequence[float]


@dataclass(frozen=True)
class Diarization:
    """Turns in order, and their speakers in order of first speech."""

    turns: list[Turn] = field(default_factory=list)
    speakers: list[Speaker] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
