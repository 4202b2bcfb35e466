"""The sound of a live transcription that may have to be sent, or sent again."""

from __future__ import annotations

import asyncio

BYTES_PER_SECOND = 32_000
"""16-bit samples, 16 kHz, mono."""

KEPT_BYTES = 90 * BYTES_PER_SECOND
"""Most sound that is kept: a session can be resumed for 60 s, and an utterance lasts 24 s at most."""

_MAX_UNSENT_BYTES = 60 * BYTES_PER_SECOND


def position_of(seconds: float) -> int:
    """Return the position of a time, in bytes: that of a sample."""
    return 2 * round(seconds * BYTES_PER_SECOND / 2)


class Backlog:
    """The newest sound, by its position in bytes from the beginning, and how far it is sent.

    Args:
        kept_bytes: most bytes that are kept; older ones are forgotten.
    """

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self.start = self.end = 0
        """Positions of what is kept."""
        self.sent = 0
        self.is_complete = False
        """True once there is no more sound to come."""
        self._kept_bytes = kept_bytes
        self._sound = bytearray()
        self._has_more, self._has_room = asyncio.Event(), asyncio.Event()

    @property
    def unsent_seconds(self) -> float:
        """Sound that is still to be sent."""
        return max(0, self.end - self.sent) / BYTES_PER_SECOND

    def append(self, pcm: bytes) -> None:
        """Add sound, and forget what is too old."""
        self._sound += pcm
        self.end += len(pcm)
        self.forget(self.end - self._kept_bytes)
        self._has_more.set()

    def complete(self) -> None:
        """Say that there is no more sound to come."""
        self.is_complete = True
        self._has_more.set()

    def forget(self, position: int) -> None:
        """Forget the sound before a position."""
        count = min(max(0, position - self.start), len(self._sound))
        del self._sound[:count]
        self.start += count

    def send_from(self, position: int) -> None:
        """Go on to send from a position, which may lie before or after what is sent."""
        self.sent = position
        self._has_room.set()

    async def next(self, max_bytes: int) -> bytes:
        """Return the next sound to be sent, as soon as there is some; nothing at the end.

        Sound that is forgotten is replaced by silence, so that the worker's clock stays right.
        """
        while self.sent >= self.end and not self.is_complete:
            self._has_more.clear()
            await self._has_more.wait()
        if self.sent < self.start:
            chunk = bytes(min(self.start - self.sent, max_bytes))
        else:
            offset = self.sent - self.start
            chunk = bytes(self._sound[offset : offset + max_bytes])
        self.sent += len(chunk)
        self._has_room.set()
        return chunk

    async def wait_for_room(self) -> None:
        """Wait while so much is unsent that further sound would displace it."""
        while self.end - self.sent > _MAX_UNSENT_BYTES:
            self._has_room.clear()
            await self._has_room.wait()
