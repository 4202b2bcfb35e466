"""An utterance, and the pieces of sound that it is transcribed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from api.live.recognizer import Delta, LiveEvent
from src.audio.pcm import SAMPLE_RATE, Pcm
from src.live.setup import Setup
from transcript.transcript import Transcript


def to_ms(samples: int) -> int:
    """Return a position in a stream in milliseconds."""
    return samples * 1000 // SAMPLE_RATE


@dataclass(eq=False)
class Utterance:
    """What is said between two turns, or commits.

    Attributes:
        number: in the stream, from 0.
        start: position of its first sample.
        setup: what it is transcribed with.
        on_event: receives its text.
        is_turn: the detector began it, and ends it.
        sent: text that was sent of it, as deltas.
        parts: the transcripts of its pieces, with times of the stream.
        pending: number of its pieces that have no transcript yet.
        failed: a piece has none, and so has the utterance.
    """

    number: int
    start: int
    setup: Setup
    on_event: Callable[[LiveEvent], None]
    is_turn: bool = False
    sent: str = ""
    parts: list[Transcript] = field(default_factory=list)
    pending: int = 0
    failed: bool = False

    def send(self, text: str) -> None:
        """Send text that follows what was sent before."""
        text = text if self.sent else text.lstrip()
        if text:
            self.sent += text
            self.on_event(Delta(self.number, text))

    @property
    def text(self) -> str:
        """The final text so far."""
        return "".join(segment.text for part in self.parts for segment in part.segments).strip()

    def send_rest(self) -> None:
        """Send the rest of the final text, unless it differs from what was sent."""
        if self.text.startswith(self.sent):
            self.send(self.text[len(self.sent) :])


class Piece(NamedTuple):
    """Sound of an utterance that is transcribed at once: all of it, unless it is long."""

    utterance: Utterance
    start: int
    """Position of its first sample."""
    pcm: Pcm
    is_last: bool

    @property
    def end(self) -> int:
        """Position after its last sample."""
        return self.start + len(self.pcm)
