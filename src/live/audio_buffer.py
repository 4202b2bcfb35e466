"""The audio of a stream that is still needed, by its position in the stream."""

from __future__ import annotations

import numpy as np

from src.audio.pcm import Pcm

BYTES_PER_SAMPLE = 2


class AudioBuffer:
    """A stretch of a stream that grows at its end and is forgotten at its beginning; positions are samples.

    Attributes:
        start: position of the first sample that is kept.
    """

    def __init__(self) -> None:
        self.start = 0
        self._bytes = bytearray()

    @property
    def end(self) -> int:
        """Position after the last sample."""
        return self.start + len(self._bytes) // BYTES_PER_SAMPLE

    def append(self, pcm: bytes) -> None:
        """Add sound at the end; half a sample waits for its other half."""
        self._bytes += pcm

    def forget(self, position: int) -> None:
        """Forget what is before a position."""
        samples = max(0, min(position, self.end) - self.start)
        del self._bytes[: samples * BYTES_PER_SAMPLE]
        self.start += samples

    def copy(self, start: int, end: int) -> Pcm:
        """Return a copy of what is kept of a stretch."""
        first, last = (max(0, position - self.start) * BYTES_PER_SAMPLE for position in (start, end))
        return np.frombuffer(bytes(self._bytes[first:last]), "<i2")
