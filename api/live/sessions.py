"""All live sessions of a server: how many there may be, and those whose callers may come back."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable

from api.live.config import Layout
from api.live.log import Reader
from api.live.recognizer import LiveEvent, LiveRecognizer
from api.live.session import Choose, Session
from api.openai.errors import too_busy

END_SECONDS = 5.0
"""For a session to end whose slot another one gets."""

KEPT_SECONDS = 60.0
"""For which a session without a connection is kept."""


class LiveSessions:
    """The sessions of a server.

    Args:
        recognizer: opens streams.
        choose_model: finds the model for a name.
        observe: receives each event of all streams.

    Attributes:
        recognizer: opens streams.
        used_slots: streams that are open or reserved, those of the page too.
    """

    def __init__(
        self, recognizer: LiveRecognizer, choose_model: Choose, observe: Callable[[LiveEvent], None] = lambda _: None
    ) -> None:
        self.recognizer = recognizer
        self.used_slots = 0
        self._choose_model = choose_model
        self._observe = observe
        self._kept: dict[str, _Kept] = {}
        self._ending: set[asyncio.Task[None]] = set()

    async def reserve_slot(self) -> None:
        """Reserve a slot until `release_slot`; a session that is finished, or whose caller has left, makes room for it.

        Raises:
            ApiError: 429, there are too many.
        """
        left = None
        if self.used_slots >= self.recognizer.max_sessions:
            left = next((kept for kept in self._kept.values() if kept.is_left or kept.session.is_finished), None)
            if left is None:
                raise too_busy(f"the server has {self.recognizer.max_sessions} live sessions at once: try again later")
            self.end(left.session)
        self.used_slots += 1  # before anything is waited for: others reserve slots meanwhile
        if left is not None:
            try:
                await asyncio.wait({*self._ending}, timeout=END_SECONDS)
            except asyncio.CancelledError:
                self.release_slot()
                raise

    def release_slot(self) -> None:
        """Make a stream's slot free."""
        self.used_slots -= 1

    async def open(self, layout: Layout, model: str, caller: bytes | None) -> Session:
        """A new session.

        Args:
            layout: of OpenAI's events.
            model: as named by the caller, or empty.
            caller: digest of the caller's key; None: none is needed.

        Raises:
            ApiError: 429, there are too many.
        """
        await self.reserve_slot()
        session = Session(self.recognizer, self._choose_model, self._observe, layout, model)
        self._kept[session.id] = _Kept(session, caller)
        return session

    def find(self, session_id: str, caller: bytes | None) -> Session | None:
        """The session with an id, if it is the caller's."""
        kept = self._kept.get(session_id)
        is_theirs = kept is not None and hmac.compare_digest(kept.caller or b"", caller or b"")
        return kept.session if kept is not None and is_theirs else None

    def stay(self, session: Session) -> None:
        """Keep a session that was found: its caller is connected again, until `leave`."""
        self._kept[session.id].stay()

    def leave(self, session: Session, reader: Reader, *, is_left: bool) -> None:
        """End a connection of a session, which is kept for a while unless another connection has it.

        Args:
            session: the session; one without any audio is not kept.
            reader: its connection.
            is_left: true if the caller has left, instead of being cut off.
        """
        session.leave(reader)
        kept = self._kept.get(session.id)
        if kept is None or session.log.reader is not None:
            return
        if not session.has_audio:
            self.end(session)
            return
        kept.stay()
        kept.is_left = is_left
        kept.timer = asyncio.get_running_loop().call_later(KEPT_SECONDS, self.end, session)

    def end(self, session: Session) -> None:
        """Forget a session."""
        kept = self._kept.pop(session.id, None)
        if kept is None:
            return
        kept.stay()
        self.release_slot()
        ending = asyncio.create_task(session.end())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """End all sessions."""
        for kept in [*self._kept.values()]:
            self.end(kept.session)
        await asyncio.gather(*self._ending, return_exceptions=True)


class _Kept:
    """A session, and when it ends without a connection."""

    def __init__(self, session: Session, caller: bytes | None) -> None:
        self.session = session
        self.caller = caller
        self.is_left = False
        self.timer: asyncio.TimerHandle | None = None

    def stay(self) -> None:
        self.is_left = False
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
