"""The events of a session as they are sent: numbered, and kept for a caller who comes back."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from api.json_text import to_json

MAX_BYTES = 2 * 2**20
MAX_EVENTS = 10_000
"""The older events beyond these are forgotten; the newest one is always kept."""


@dataclass(eq=False)
class Reader:
    """A connection that events are sent over.

    Attributes:
        sent: number of the event that was sent last.
        replaced: is set when another connection has taken over.
        is_too_slow: is set when events are forgotten that were not sent yet.
    """

    sent: int
    replaced: asyncio.Event = field(default_factory=asyncio.Event)
    is_too_slow: asyncio.Event = field(default_factory=asyncio.Event)


class EventLog:
    """The newest events of a session, of which one connection at a time reads.

    Attributes:
        last: number of the newest event, and of all that there were.
        reader: the connection; None: there is none.
    """

    def __init__(self) -> None:
        self._texts: deque[str] = deque()
        self._bytes = 0
        self._news = asyncio.Event()
        self._is_finished = False
        self.last = 0
        self.reader: Reader | None = None

    @property
    def forgotten(self) -> int:
        """Number of the newest event that is no longer kept."""
        return self.last - len(self._texts)

    def add(self, event: dict[str, Any]) -> None:
        """Give an event its id, and keep it."""
        self.last += 1
        text = render(event, self.last)
        self._texts.append(text)
        self._bytes += len(text)
        while len(self._texts) > 1 and (self._bytes > MAX_BYTES or len(self._texts) > MAX_EVENTS):
            self._bytes -= len(self._texts.popleft())
        if self.reader is not None and self.forgotten > self.reader.sent:
            self.reader.is_too_slow.set()
        self._news.set()

    async def next(self, reader: Reader) -> str | None:
        """The next event for a connection; None: there will be no more for it."""
        while reader is self.reader and not reader.is_too_slow.is_set():
            if reader.sent < self.last:
                reader.sent += 1
                return self._texts[reader.sent - self.last - 1]  # from the end, where the newest one is
            if self._is_finished:
                break
            self._news.clear()
            await self._news.wait()
        return None

    def finish(self) -> None:
        """End `next` once all events are sent."""
        self._is_finished = True
        self._news.set()


def render(event: dict[str, Any], number: int) -> str:
    """An event with its id, as it is sent."""
    return to_json({"type": event["type"], "event_id": event_id(number), **event}, ascii_only=True)


def event_id(number: int) -> str:
    """The id of an event."""
    return f"event_{number}"


def read_event_id(text: str) -> int | None:
    """The number of an event; 0 for an empty text, before the first one; None: it is not the id of one."""
    digits = text.removeprefix("event_")
    if not text:
        return 0
    is_number = text.startswith("event_") and digits.isascii() and digits.isdigit() and len(digits) < 16
    return int(digits) if is_number else None
