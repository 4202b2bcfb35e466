"""Events for the tabs of a visitor; a tab that reads too slowly is cut off, and asks for everything again."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress
from typing import Any

from api import json_text

MAX_UNREAD = 256
"""Events that wait for a reader."""

MAX_STREAMS, MAX_STREAMS_OF_ONE = 400, 12
"""Readers, and readers of one visitor: one for each browser that is open; an older one makes room."""

_HEARTBEAT = b":\n\n"


class Stream:
    """The events for one reader; belongs to the event loop."""

    def __init__(self) -> None:
        self._unread: list[bytes] = []
        self._has_news = asyncio.Event()
        self.is_open = True

    def put(self, event: bytes) -> None:
        """Add an event; with too many unread ones the stream ends."""
        if len(self._unread) >= MAX_UNREAD:
            self.close()
        elif self.is_open:
            self._unread.append(event)
            self._has_news.set()

    def close(self) -> None:
        """End the stream after what is unread."""
        self.is_open = False
        self._has_news.set()

    async def read(self, heartbeat_s: float) -> bytes:
        """The unread events, as they are sent; a comment after a while without one; empty: the stream has ended."""
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._has_news.wait(), heartbeat_s)
        events = b"".join(self._unread)
        self._unread.clear()
        if self.is_open:
            self._has_news.clear()
        return events or (_HEARTBEAT if self.is_open else b"")


class Events:
    """The readers of all visitors; belongs to the event loop."""

    def __init__(self) -> None:
        self._streams: dict[str, list[Stream]] = defaultdict(list)

    @property
    def count(self) -> int:
        """Number of readers."""
        return sum(map(len, self._streams.values()))

    def open(self, owner: str) -> Stream:
        """A stream of the events of a visitor from now on; of too many the oldest one ends."""
        stream = Stream()
        self._streams[owner].append(stream)
        self._make_room(self._streams[owner], MAX_STREAMS_OF_ONE)
        self._make_room([each for streams in self._streams.values() for each in streams], MAX_STREAMS)
        return stream

    def _make_room(self, streams: list[Stream], most: int) -> None:
        still_open = [stream for stream in streams if stream.is_open]
        if len(still_open) > most:
            still_open[0].close()

    def forget(self, owner: str, stream: Stream) -> None:
        """Send no more to a stream."""
        stream.close()
        self._streams[owner].remove(stream)
        if not self._streams[owner]:
            del self._streams[owner]

    def publish(self, owner: str, name: str, data: Any) -> None:
        """Send an event to all tabs of a visitor."""
        streams = self._streams.get(owner)
        if streams:
            event = to_event(name, data)
            for stream in streams:
                stream.put(event)

    def close(self) -> None:
        """End all streams: the server stops."""
        for streams in self._streams.values():
            for stream in streams:
                stream.close()


def to_event(name: str, data: Any) -> bytes:
    """An event in the form of https://html.spec.whatwg.org/multipage/server-sent-events.html."""
    return f"event: {name}\ndata: {json_text.to_json(data)}\n\n".encode("utf-8", "replace")
