"""A live transcript while it is made: its sound goes into its recording, final text into its lines.

One task handles the events of the stream in order, writes final lines, and sends all of it to the tab that sends the
sound. A tab whose connection broke attaches again, and gets what it has missed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

from api.live.recognizer import Completed, Delta, Failed, LiveEvent, LiveStream, SpeechStarted, SpeechStopped, Warned
from api.page import job_lines, lines
from api.page.jobs import until_written
from api.page.lines import Line
from api.page.live_recording import BYTES_PER_SECOND, LiveRecording
from api.page.records import Outcome, Record
from api.page.store import StoreFull
from api.page.threads import to_end
from api.page.uploads import NoSpace

if TYPE_CHECKING:
    from api.page.services import PageServices

MAX_S = 12 * 3600.0
"""Of a session's sound: 1.4 GB, a third of what a WAV file holds."""

DETACHED_S = 60.0
"""For which a session without a tab waits for one."""

FINISH_S = 120.0
"""In which the last utterances are transcribed."""

STOP_S = 5.0
"""The same when the server stops."""

SEND_S = 10.0
"""A tab that does not take a message within this time is treated as gone."""

_MAX_WARNINGS = 100
_MAX_RUNNING_CHARACTERS = 20_000

_log = logging.getLogger(__name__)

Message = dict[str, Any]


@dataclass(eq=False)
class Tab:
    """A tab that sends sound, and gets the text.

    Attributes:
        send: sends a message.
        after: id of the last line that the tab has; empty: it has none.
        is_ready: set when it has been sent what it had missed.
        is_over: set when there is no more to come: the session has ended, or another tab has taken it over.
    """

    send: Callable[[Message], Awaitable[None]]
    after: str = ""
    is_ready: asyncio.Event = field(default_factory=asyncio.Event)
    is_over: asyncio.Event = field(default_factory=asyncio.Event)


Queue = asyncio.Queue[LiveEvent | Tab]
"""What a session handles in order: the events of its stream, and tabs that come."""


class _Full(Exception):
    """There is no room for more sound; with a sentence."""


class LiveSession:
    """A live transcript while it is made; belongs to one event loop.

    Args:
        record: of the transcript, which the store has.
        stream: of live transcription.
        queue: gets the stream's events.
        recording: of the sound.
        page: the services of the page.

    Attributes:
        has_ended: set when the transcript is one like any other.
    """

    def __init__(
        self, record: Record, stream: LiveStream, queue: Queue, recording: LiveRecording, page: PageServices
    ) -> None:
        self.record = record
        self._stream, self._queue, self._recording, self._page = stream, queue, recording, page
        self._tab: Tab | None = None
        self._running: dict[int, str] = {}
        """Text of the utterances that are not final, by number."""
        self._count = 0
        """Of final lines."""
        self._languages: dict[str, float] = defaultdict(float)
        """Seconds by language."""
        self._warnings: dict[str, None] = {}
        self._receiving = asyncio.Lock()
        self._following = asyncio.create_task(self._follow())
        self._ending: asyncio.Task[None] | None = None
        self.has_ended = asyncio.Event()
        self._wait_for_a_tab()

    @property
    def is_ending(self) -> bool:
        """True once it takes no more sound."""
        return self._ending is not None

    @property
    def size(self) -> int:
        """Bytes of sound that were received."""
        return self._recording.size

    async def attach(self, tab: Tab) -> None:
        """Send all to a tab from now on, and first what it has missed; the one before is over."""
        async with self._receiving:  # what a lost connection brought last is counted
            if self._ending is not None:
                tab.is_over.set()
                return
            self._timer.cancel()
            self._queue.put_nowait(tab)
        await tab.is_ready.wait()

    def detach(self, tab: Tab) -> None:
        """Wait for a tab to come back: this one has gone."""
        if self._tab is tab:
            self._tab = None
            self._wait_for_a_tab()

    async def append(self, sound: bytes) -> None:
        """Take sound, whole samples; waits while too much of it is unprocessed. After the end it is ignored."""
        await to_end(self._append(sound))  # all of it, or the recording and the stream would differ

    async def pause(self) -> None:
        """Make what was said until now final."""
        if self._ending is None:
            await self._stream.commit()

    async def end(self, warning: str | None = None, seconds: float = FINISH_S) -> None:
        """Transcribe what was received, and make the transcript one like any other; a second call waits for the first.

        Args:
            warning: why it ends, if the visitor did not end it.
            seconds: that the last utterances may take.
        """
        if self._ending is None:
            self._timer.cancel()
            self._ending = asyncio.create_task(self._end(warning, seconds))
        await asyncio.shield(self._ending)

    async def stop_with_server(self) -> None:
        """End quickly, since the server stops."""
        await self.end("the server stopped: the recording ends there", STOP_S)

    async def abandon(self) -> None:
        """End without the rest of the text: the transcript is to be removed."""
        await self._stream.close()
        await self.end(seconds=0.0)

    async def _append(self, sound: bytes) -> None:
        async with self._receiving:
            if self._ending is not None:
                return
            try:
                await run_in_threadpool(self._write, sound)
            except _Full as error:
                self._end_by_itself(str(error))
            else:
                await self._stream.append(sound)

    def _write(self, sound: bytes) -> None:
        """Add sound to the recording.

        Raises:
            _Full: there is no room for it.
        """
        if self.size + len(sound) > MAX_S * BYTES_PER_SECOND:
            raise _Full(f"live captions end after {MAX_S / 3600:g} hours")
        try:
            self._page.room()
            self._recording.append(sound)
        except (OSError, NoSpace):
            raise _Full("the server's disk is full: the recording ends there") from None

    def _wait_for_a_tab(self) -> None:
        ended = "the page was closed, or its connection lost: the recording ends there"
        self._timer = asyncio.get_running_loop().call_later(DETACHED_S, self._end_by_itself, ended)

    def _end_by_itself(self, warning: str) -> None:
        self._page.follow(self.end(warning))

    async def _follow(self) -> None:
        while True:
            item = await self._queue.get()
            try:
                await self._take(item)
            except Exception as error:
                _log.error("an event of live captions failed: %s", type(error).__name__)
                if isinstance(item, Tab):
                    item.is_over.set()
                else:
                    self._warn("the server failed: a part of the text is missing")
            finally:
                self._queue.task_done()

    async def _take(self, item: LiveEvent | Tab) -> None:
        match item:
            case Tab():
                await self._send_missed(item)
            case Delta(utterance, text):
                known = self._running.get(utterance, "")
                self._running[utterance] = (known + text)[:_MAX_RUNNING_CHARACTERS]
                await self._send({"type": "running", "utterance": utterance, "text": self._running[utterance]})
            case Completed():
                await self._write_final(item)
            case Failed(utterance, message):
                self._running.pop(utterance, None)
                await self._send({"type": "lines", "utterance": utterance, "lines": []})
                await self._warn_tab(f"a part could not be transcribed: {message}")
            case Warned(message):
                await self._warn_tab(message)
            case SpeechStarted() | SpeechStopped():
                await self._send({"type": "speech", "speaks": isinstance(item, SpeechStarted)})

    async def _send_missed(self, tab: Tab) -> None:
        """Attach a tab, and send what it has missed."""
        if self._tab is not None:
            self._tab.is_over.set()
        self._tab = tab
        known = await run_in_threadpool(self._page.store.lines_of, self.record.id)
        missed = [line for line in known if line.id > tab.after]
        running = [{"utterance": utterance, "text": text} for utterance, text in self._running.items()]
        ready = {"type": "ready", "received": self.size, "lines": list(map(lines.to_json, missed)), "running": running}
        await self._send(ready)
        tab.is_ready.set()

    async def _write_final(self, completed: Completed) -> None:
        """Write final text, and send it to all tabs."""
        self._running.pop(completed.utterance, None)
        new = job_lines.lines_of_segments(completed.segments, self._count)
        self._count += len(new)
        if completed.language and new:
            self._languages[completed.language] += completed.seconds
        if new:
            await self._write_lines(new)
        final = list(map(lines.to_json, new))
        await self._send({"type": "lines", "utterance": completed.utterance, "lines": final})
        for warning in completed.warnings:
            await self._warn_tab(warning)

    async def _write_lines(self, new: list[Line]) -> None:
        try:
            await until_written(lambda: self._add(new))
        except StoreFull as error:
            self._end_by_itself(str(error))

    async def _add(self, new: list[Line]) -> None:
        record = await run_in_threadpool(self._page.store.append, self.record.id, new)
        if record is not None:
            added = {"id": record.id, "lines": list(map(lines.to_json, new))}
            self._page.events.publish(record.owner, "lines", added)
            self._page.jobs.publish(record)

    async def _warn_tab(self, message: str) -> None:
        self._warn(message)
        await self._send({"type": "warning", "message": message})

    def _warn(self, message: str) -> None:
        if len(self._warnings) < _MAX_WARNINGS:
            self._warnings[lines.clean_text(message)] = None

    async def _send(self, message: Message) -> None:
        tab = self._tab
        if tab is None:
            return
        try:
            await asyncio.wait_for(tab.send(message), SEND_S)
        except Exception:  # whatever its connection says of its end
            self.detach(tab)
            tab.is_over.set()

    async def _end(self, warning: str | None, seconds: float) -> None:
        async with self._receiving:
            await self._finish_stream(seconds)
        if warning:
            self._warn(warning)
        await self._queue.join()
        self._following.cancel()
        length = await run_in_threadpool(self._recording.close)
        await until_written(lambda: self._complete(length))
        self.has_ended.set()
        if self._tab is not None:
            await self._send({"type": "ended", "warning": warning})
        if self._tab is not None:
            self._tab.is_over.set()

    async def _finish_stream(self, seconds: float) -> None:
        """Wait for the last utterances."""
        try:
            if seconds:
                await asyncio.wait_for(self._stream.finish(), seconds)
        except asyncio.TimeoutError:
            self._warn("the last words took too long to transcribe: they are in the sound, but not in the text")
        except Exception as error:
            _log.error("the end of live captions failed: %s", type(error).__name__)
            self._warn("the server failed: the last words are in the sound, but not in the text")
        with suppress(Exception):
            await self._stream.close()

    async def _complete(self, length: float) -> None:
        """Make the transcript one like any other; one without sound is removed."""
        if not length:
            await self._page.drop(self.record)
            return
        language = max(self._languages, key=lambda known: self._languages[known], default=None)
        await self._page.jobs.change(self.record.id, **completed_values(length, language, list(self._warnings)))


def completed_values(length: float, language: str | None, warnings: list[str]) -> dict[str, Any]:
    """The fields of a live transcript's record once it has ended.

    Args:
        length: of the recording in seconds.
        language: the most spoken one.
        warnings: of the session.
    """
    return {
        "state": "done",
        "has_result": True,
        "media": {"kind": "audio", "playable": True},
        "outcome": Outcome(round(length, 3), language, None, None, warnings),
    }
