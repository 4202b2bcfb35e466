"""A live session: a caller's events go to a stream, and its events go back to the caller.

A session outlives its connection for a while, so that a caller who lost it can come back.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any

from api.form_values import wrong
from api.live import client_events
from api.live.audio_format import AudioReader
from api.live.client_events import ClientEvent, WrongEvent, check_sound_size, read_event
from api.live.config import Layout, SessionConfig, describe_config
from api.live.config_update import update_config
from api.live.events import EventMaker, error_event, warning
from api.live.log import EventLog, Reader, render
from api.live.recognizer import LiveEvent, LiveRecognizer, LiveRefused, LiveStream
from api.openai.errors import ApiError, to_error
from api.openai.models import ModelChoice

MAX_REPORTED_FIELDS = 200
"""Ignored fields that are remembered, so that each is reported once."""

Choose = Callable[[str], Awaitable[ModelChoice]]
"""Finds the model for a name; raises `ApiError` if there is none."""

_log = logging.getLogger(__name__)


class Session:
    """A session of one caller.

    Args:
        recognizer: opens its stream.
        choose_model: finds the model for a name.
        observe: receives each event of the stream.
        layout: of OpenAI's events, until the caller shows another.
        model: as named by the caller, or empty.

    Attributes:
        id: random, and known to the caller alone.
        log: the events for the caller.
        received_bytes: of sound, in the session's format.
        is_finished: true once the caller has sent all sound, and all text is in the log.
    """

    def __init__(
        self,
        recognizer: LiveRecognizer,
        choose_model: Choose,
        observe: Callable[[LiveEvent], None],
        layout: Layout,
        model: str,
    ) -> None:
        self.id = f"sess_{uuid.uuid4().hex}"
        self.log = EventLog()
        self.received_bytes = 0
        self.is_finished = False
        self._recognizer = recognizer
        self._choose_model = choose_model
        self._observe = observe
        self._maker = EventMaker(self.id, layout)
        self._config = SessionConfig().with_model(model)
        self._stream: LiveStream | None = None
        self._sound: AudioReader | None = None
        self._work: asyncio.Task[None] | None = None
        """What the last event of the caller asked for, which goes on if its connection is lost."""
        self._reported_fields: set[str] = set()

    @property
    def has_audio(self) -> bool:
        """True once sound has arrived."""
        return self._sound is not None

    def begin(self, reader: Reader) -> None:
        """Begin the session over its first connection."""
        self.log.reader = reader
        prefix = "transcription_session" if self._maker.layout == "beta" else "session"
        self.log.add({"type": f"{prefix}.created", "session": self._describe()})

    def resume(self, reader: Reader) -> list[str]:
        """Go on over another connection, which takes over from one that is still open.

        Args:
            reader: the connection; `sent` is the last event that the caller has.

        Returns:
            The events to send first. Their id is that of the last event before those that follow, so that a caller
            who loses this connection too can name it.
        """
        if self.log.reader is not None:
            self.log.reader.replaced.set()
        self.log.reader = reader
        after, forgotten = reader.sent, self.log.forgotten
        reader.sent = max(after, forgotten)
        resumed = {
            "type": "session.resumed",
            "session": self._describe(),
            "received_audio_bytes": self.received_bytes,
            "after": after,
        }
        first = [render(resumed, reader.sent)]
        if after < forgotten:
            lost = ApiError(
                410,
                f"the events {after + 1} to {forgotten} are no longer kept: their text is lost",
                type="server_error",
                code="events_lost",
            )
            first.append(render(error_event(lost), reader.sent))
        return first

    def leave(self, reader: Reader) -> None:
        """End a connection; events are kept."""
        if self.log.reader is reader:
            self.log.reader = None

    async def handle(self, message: str | bytes, reader: Reader) -> None:
        """Do what a message of the caller asks for; one after the other.

        If this is cancelled, a message that was taken is still handled to its end, and `received_bytes` counts its
        sound; any other is as if it had not arrived.

        Args:
            message: a text with an event, or sound.
            reader: the connection that it came over.
        """
        await self._wait_for_work()
        if self.log.reader is not reader or self.is_finished:
            return
        caused_by: Any = None
        try:
            event = None if isinstance(message, bytes) else read_event(message)
            caused_by = event and event.fields.get("event_id")
            work = self._take(message if event is None else event)  # type: ignore[arg-type]
        except WrongEvent as wrong:
            self.log.add(error_event(wrong.error, wrong.event_id))
        except ApiError as error:
            self.log.add(error_event(error, caused_by))
        else:
            self._work = asyncio.create_task(self._report_errors(work, caused_by))
            await self._wait_for_work()

    async def finish(self) -> None:
        """Complete the text of the sound so far; no more is taken."""
        await self._wait_for_work()
        if not self.is_finished:
            self._work = asyncio.create_task(self._report_errors(self._finish(), None))
            await self._wait_for_work()

    async def end(self) -> None:
        """Cancel everything."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.gather(self._work, return_exceptions=True)
        if self._stream is not None:
            await self._stream.close()

    async def _wait_for_work(self) -> None:
        while self._work is not None and not self._work.done():
            await asyncio.wait([self._work])

    def _take(self, event: ClientEvent | bytes) -> Coroutine[Any, Any, None]:
        """What an event asks for. Its sound counts as received from here on."""
        if isinstance(event, bytes):
            return self._take_sound(event)
        if event.type == client_events.APPEND:
            return self._take_sound(event.read_sound())
        if event.type == client_events.COMMIT:
            return self._commit()
        if event.type == client_events.CLEAR:
            return self._clear()
        if event.type == client_events.FINISH:
            return self._finish()
        return self._update(event)

    def _take_sound(self, sound: bytes) -> Coroutine[Any, Any, None]:
        check_sound_size(sound)
        self.received_bytes += len(sound)
        if self._sound is None:
            self._sound = AudioReader(self._config.format)
        return self._append(sound)

    async def _append(self, sound: bytes) -> None:
        assert self._sound is not None
        stream = await self._open_stream()
        second = self._config.format.bytes_per_second
        for start in range(0, len(sound), second):
            if pcm := self._sound.read(sound[start : start + second]):
                await stream.append(pcm)

    async def _drain(self) -> None:
        """Pass on what the resampler still has."""
        if self._stream is not None and self._sound is not None and (pcm := self._sound.drain()):
            await self._stream.append(pcm)

    async def _commit(self) -> None:
        await self._drain()
        if self._stream is None or not await self._stream.commit():
            raise ApiError(
                400,
                "the buffer has less than 100 ms of sound that belongs to no item yet: append more before a commit",
                code="input_audio_buffer_commit_empty",
            )

    async def _clear(self) -> None:
        if self._stream is not None and self._sound is not None:
            self._sound.drain()
            await self._stream.clear()
        self.log.add({"type": "input_audio_buffer.cleared"})

    async def _finish(self) -> None:
        await self._drain()
        if self._stream is not None:
            await self._stream.finish()
        self.is_finished = True
        self.log.add({"type": "session.finished", "received_audio_bytes": self.received_bytes})
        self.log.finish()

    async def _update(self, event: ClientEvent) -> None:
        update = update_config(self._config, event.fields.get("session"), self._layout_of(event))
        if self._sound is not None and update.config.format != self._config.format:
            raise wrong("session.audio.input.format", "cannot change once there has been sound")
        note = await self._configure(update.config)
        self._config, self._maker.layout = update.config, update.layout
        self.log.add({"type": f"{event.type}d", "session": self._describe()})
        self._warn(note)
        self._report_ignored(update.ignored)

    async def _configure(self, config: SessionConfig) -> str | None:
        """Give the stream its options, or open it with them; the warning if there is one."""
        choice = await self._choose_model(config.model)
        options = replace(config.options, model=choice.option)
        if self._stream is None:
            self._stream = await self._recognizer.open(options, self._log_event)
        else:
            await self._stream.update(options)
        return choice.note

    def _warn(self, message: str | None) -> None:
        if message is not None:
            self.log.add(warning(message))

    def _layout_of(self, event: ClientEvent) -> Layout:
        return "beta" if event.type == client_events.BETA_UPDATE else self._maker.layout

    async def _open_stream(self) -> LiveStream:
        if self._stream is None:
            self._warn(await self._configure(self._config))
        assert self._stream is not None
        return self._stream

    def _log_event(self, event: LiveEvent) -> None:
        self._observe(event)
        for made in self._maker.make(event):
            self.log.add(made)

    def _report_ignored(self, names: tuple[str, ...]) -> None:
        new = [name for name in names if name not in self._reported_fields]
        if new:
            self.log.add(warning(f"these fields have no effect here: {', '.join(new)}"))
            self._reported_fields.update(new[: MAX_REPORTED_FIELDS - len(self._reported_fields)])

    async def _report_errors(self, work: Coroutine[Any, Any, None], caused_by: Any) -> None:
        try:
            await work
        except ApiError as error:
            self.log.add(error_event(error, caused_by))
        except LiveRefused as refused:
            known = to_error({"error": refused.message, "error_type": "InvalidInput"})
            refusal = ApiError(known.status, str(known), param=known.param, code=refused.code)
            self.log.add(error_event(refusal, caused_by))
        except Exception as bug:
            _log.error("a live session failed: %s", type(bug).__name__)
            failed = ApiError(500, "the server failed at this event", type="server_error")
            self.log.add(error_event(failed, caused_by))

    def _describe(self) -> dict[str, Any]:
        return {"id": self.id, **describe_config(self._config, self._maker.layout)}
