"""A live transcription from its sound to its text: joins source, session and captions, and ends by Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from client.errors import Incomplete, Stopped
from client.realtime.backlog import BYTES_PER_SECOND, Backlog
from client.realtime.captions import Captions
from client.realtime.session import LISTENING, Listener, LiveSession, Timeouts
from client.realtime.transcript import to_output
from client.realtime.utterances import Utterance
from client.settings import EndpointSettings
from client.transport.answers import JsonObject

_BEHIND_S = 2.0  # unsent sound from which on the status says so


@dataclass(frozen=True)
class Source:
    """Sound as 16-bit samples, 16 kHz, mono."""

    chunks: AsyncGenerator[bytes, None]
    starts_at_once: bool = False
    """True for a pipe that may be live: what comes before the server listens is sent later."""
    can_wait: bool = True
    """False for a microphone: what cannot be sent for long is lost."""


class LiveTranscription:
    """One live transcription.

    Args:
        server: address and key.
        settings: the `session` of OpenAI's `session.update`.
        source: of the sound.
        quiet: show final text only.
        timeouts: how long the server is waited for.
    """

    def __init__(
        self,
        server: EndpointSettings,
        settings: JsonObject,
        source: Source,
        *,
        quiet: bool = False,
        timeouts: Timeouts | None = None,
    ) -> None:
        self._source = source
        self._backlog = Backlog()
        self._segments: list[JsonObject] = []
        self._warnings: list[str] = []
        self._failed = 0
        self._state = ""
        self._captions = Captions(self._status, quiet=quiet)
        listener = Listener(self._set_state, self._show_words, self._add, self._note, self._captions.note)
        self._session = LiveSession(server, settings, self._backlog, listener, timeouts)

    @property
    def output(self) -> JsonObject | None:
        """The transcript so far as a job's output, unfinished words too; None if there was no session."""
        if not self._session.is_ready.is_set():
            return None
        utterances = self._session.utterances
        drafts = [segment for utterance in utterances.unfinished for segment in utterance.draft]
        language = max(utterances.languages, key=lambda language: utterances.languages[language], default="")
        seconds = self._backlog.end / BYTES_PER_SECOND
        return to_output([*self._segments, *drafts], language, seconds, self._warnings)

    async def run(self) -> None:
        """Transcribe until the source ends or the user ends it; a second Ctrl-C does not wait for the last text.

        Raises:
            EndpointFailed: the server refuses, or cannot be reached any more.
            Incomplete: some utterances have no final text.
            Stopped: the user did not wait.
            BadRecording: there is no sound in the source.
            WrongUsage: the server refuses an option, or there is no microphone.
        """
        feeding = asyncio.create_task(self._feed())
        receiving = asyncio.create_task(self._session.run())

        def stop() -> None:
            if self._backlog.is_complete or not self._session.is_ready.is_set():
                receiving.cancel()
                return
            feeding.cancel()
            self._backlog.complete()
            self._captions.note("waiting for the last words; Ctrl-C again does not wait")

        with self._captions, _on_signals(stop):
            try:
                await receiving
                with suppress(asyncio.CancelledError):
                    await feeding
            except asyncio.CancelledError:
                raise Stopped("stopped before the last words were final") from None
            finally:
                feeding.cancel()
                await asyncio.gather(feeding, return_exceptions=True)
        if self._failed:
            raise Incomplete(f"{self._failed} utterances have no final text")

    async def _feed(self) -> None:
        """Take the sound from its source."""
        try:
            if not self._source.starts_at_once:
                await self._session.is_ready.wait()
            async with aclosing(self._source.chunks) as chunks:
                async for chunk in chunks:
                    if self._source.can_wait:
                        await self._backlog.wait_for_room()
                    self._backlog.append(chunk)
        finally:
            self._backlog.complete()

    def _set_state(self, state: str) -> None:
        self._state = state

    def _show_words(self) -> None:
        self._captions.running_words = " ".join(utterance.words for utterance in self._session.utterances.unfinished)

    def _add(self, utterance: Utterance) -> None:
        self._segments += utterance.segments
        self._failed += utterance.error is not None
        self._show_words()
        self._captions.print_utterance(utterance)
        for warning in utterance.warnings:
            self._note(warning)

    def _note(self, sentence: str) -> None:
        if sentence not in self._warnings:
            self._captions.note(sentence)
        self._warnings.append(sentence)

    def _status(self) -> str:
        minutes, seconds = divmod(self._backlog.end // BYTES_PER_SECOND, 60)
        behind = self._backlog.unsent_seconds
        facts = [
            f"{minutes:02d}:{seconds:02d}",
            "waiting for the last words" if self._is_at_its_end else self._state,
            f"{behind:.0f} s behind" if behind > _BEHIND_S else "",
            "" if self._is_at_its_end else "Ctrl-C ends",
        ]
        return "  ".join(filter(None, facts))

    @property
    def _is_at_its_end(self) -> bool:
        return self._backlog.is_complete and self._state == LISTENING


@contextmanager
def _on_signals(stop: Callable[[], None]) -> Iterator[None]:
    """Call `stop` on the event loop at Ctrl-C and SIGTERM."""
    loop = asyncio.get_running_loop()

    def handle(_number: int, _frame: Any) -> None:
        loop.call_soon_threadsafe(stop)

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
