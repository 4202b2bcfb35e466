"""Live captions: transcripts of a microphone, made while it records."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

from api.live.recognizer import LiveOptions, LiveRecognizer
from api.openai.errors import ApiError
from api.page.live_recording import LiveRecording, complete
from api.page.live_session import STOP_S, LiveSession, Queue, completed_values
from api.page.records import Record, Source

if TYPE_CHECKING:
    from api.live.sessions import LiveSessions  # with packages that a page without live captions does not need
    from api.page.services import PageServices

_FLUSH_S = 5.0
"""In which the last texts are written when the server stops."""

_PRIVATE_FOLDER = 0o700


class LiveTranscripts:
    """The live transcripts that are being made; belongs to one event loop.

    Args:
        server: all sessions of the server, whose slots these share; None: there is no live transcription.
        page: the services of the page.
    """

    def __init__(self, server: LiveSessions | None, page: PageServices) -> None:
        self._server = server
        self._page = page
        self._sessions: dict[str, LiveSession] = {}

    @property
    def are_possible(self) -> bool:
        """Whether the server has live transcription."""
        return self._server is not None

    async def open(self, owner: str, title: str, options: Mapping[str, Any]) -> Record:
        """Begin a live transcript.

        Args:
            owner: the visitor.
            title: of the transcript.
            options: `language`, `diarize` and `redact`, as those of a job.

        Raises:
            ApiError: the server has none, or too many.
            LiveRefused: the options are wrong.
            StoreFull: there are too many transcripts.
            NoSpace: the disk is full.
        """
        if self._server is None:
            raise ApiError(404, "this server has no live captions", code="no_live")
        self._page.room()
        record = Record(
            secrets.token_urlsafe(12), owner, title, Source("microphone", title), dict(options), state="live"
        )
        await self._server.reserve_slot()
        try:
            session = await self._begin(record, self._server.recognizer)
        except BaseException:
            self._server.release_slot()
            raise
        self._sessions[record.id] = session
        self._page.follow(self._forget_once_ended(session, self._server))
        self._page.jobs.publish(record)
        return record

    def find(self, transcript_id: str, owner: str) -> LiveSession | None:
        """A visitor's session; None: it has ended, or there is none."""
        session = self._sessions.get(transcript_id)
        is_theirs = session is not None and session.record.owner == owner and not session.is_ending
        return session if is_theirs else None

    async def end(self, transcript_id: str) -> None:
        """End a session as its visitor would; nothing happens if there is none."""
        if session := self._sessions.get(transcript_id):
            await session.end()

    async def abandon(self, transcript_id: str) -> None:
        """End a session whose transcript is to be removed; nothing happens if there is none."""
        if session := self._sessions.get(transcript_id):
            await session.abandon()

    async def close(self) -> None:
        """End all sessions: the server stops."""
        ending = [session.stop_with_server() for session in self._sessions.values()]
        with suppress(asyncio.TimeoutError):  # the disk is full
            await asyncio.wait_for(asyncio.gather(*ending), STOP_S + _FLUSH_S)

    async def recover(self) -> None:
        """Complete the live transcripts of a server that was killed."""
        for record in await run_in_threadpool(self._page.store.live):
            length = await run_in_threadpool(_complete, self._page.recording_of(record.id))
            if length:
                values = completed_values(length, None, ["the server ended unexpectedly: the recording ends there"])
                await self._page.jobs.change(record.id, **values)
            else:
                await self._page.drop(record)

    async def _begin(self, record: Record, recognizer: LiveRecognizer) -> LiveSession:
        queue: Queue = asyncio.Queue()
        stream = await recognizer.open(_to_live_options(record.options), queue.put_nowait)
        try:
            await run_in_threadpool(self._page.store.add, record)
            recording = await run_in_threadpool(_begin_recording, self._page.recording_of(record.id))
        except BaseException:
            await stream.close()
            raise
        return LiveSession(record, stream, queue, recording, self._page)

    async def _forget_once_ended(self, session: LiveSession, server: LiveSessions) -> None:
        await session.has_ended.wait()
        del self._sessions[session.record.id]
        server.release_slot()


def _to_live_options(options: Mapping[str, Any]) -> LiveOptions:
    language = options.get("language")
    return LiveOptions(
        languages=() if language is None else (language,),
        word_timestamps=True,
        diarize=options.get("diarize", False),
        redact=tuple(options.get("redact", ())),
    )


def _begin_recording(path: Path) -> LiveRecording:
    path.parent.mkdir(_PRIVATE_FOLDER)
    return LiveRecording(path)


def _complete(path: Path) -> float:
    """Complete a recording; returns its seconds, 0 if there is none."""
    return complete(path) if path.exists() else 0.0
