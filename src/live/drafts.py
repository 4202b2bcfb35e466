"""Drafts of a piece of an utterance while it is spoken: what two of them agree on is sent at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress

from src.audio.pcm import SAMPLE_RATE, Pcm
from src.engine.draft import Draft
from src.engine.scheduler import Client, EngineLost
from src.engine.window import Window
from src.live.agreement import Agreement
from src.live.utterance import Utterance

AFTER_SPEECH = SAMPLE_RATE // 4
"""Samples of silence at the end of a draft that is the last one: more silence adds no words."""

Copy = Callable[[int, int], Pcm]
"""Returns the sound between two positions of the stream."""


class Drafts:
    """The drafts of one piece, one at a time; the next one starts when the engine has finished the one before.

    Args:
        utterance: of the piece; the agreed text is sent as its own.
        start: position of the piece's first sample.
        copy: gives the sound.
        previous_language: of the utterance before.
    """

    def __init__(self, utterance: Utterance, start: int, copy: Copy, previous_language: str | None) -> None:
        self._utterance = utterance
        self._start = start
        self._copy = copy
        self._previous_language = previous_language
        self._loop = asyncio.get_running_loop()
        self._client = Client(background=True)
        self._agreement = Agreement()
        self._sent = ""
        """Of the agreed text, without what is hidden."""
        self._running = False
        self._ended = False
        self._drafted = start
        """Position up to which the last draft reads."""
        self._available = self._last_speech = start

    def follow(self, available: int, last_speech: int) -> None:
        """Begin a draft if there is enough new speech, and neither a draft nor the piece before is under way.

        Args:
            available: position up to which there is sound.
            last_speech: position up to which there is speech.
        """
        self._available, self._last_speech = available, last_speech
        interval = self._utterance.setup.live.draft_seconds
        if self._ended or self._running or interval is None or self._utterance.pending:
            return
        is_due = available - self._drafted >= interval * SAMPLE_RATE
        if is_due and self._start < last_speech and self._drafted < last_speech + AFTER_SPEECH:
            self._begin()

    def end(self) -> None:
        """Stop; a draft under way is cancelled."""
        self._ended = True
        if self._running:
            self._utterance.setup.engine.cancel(self._client)

    def _begin(self) -> None:
        setup, agreement = self._utterance.setup, self._agreement
        window = Window(self._copy(self._start, self._available))
        options = setup.decoding(agreement.language, self._previous_language)
        try:
            future = setup.engine.draft(window, options, agreement.tokens, self._client)
        except (CancelledError, EngineLost):  # the final text says so
            self._ended = True
            return
        self._running, self._drafted = True, self._available
        future.add_done_callback(self._take_soon)

    def _take_soon(self, future: Future[Draft]) -> None:
        """Take a draft on the event loop; called on the engine's thread."""
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._take, future)

    def _take(self, future: Future[Draft]) -> None:
        self._running = False
        if self._ended:
            return
        if future.exception() is not None:  # as above; a moment without memory may pass
            self._agreement.skip()
        else:
            self._add(future.result())
        self.follow(self._available, self._last_speech)

    def _add(self, draft: Draft) -> None:
        setup = self._utterance.setup
        if draft.is_repetitive or _is_silent(draft, setup.decoding(None, None).no_speech_threshold):
            self._agreement.skip()
            return
        vocabulary = setup.vocabulary(draft.language)
        self._agreement.add(draft.tokens, draft.language, vocabulary)
        text = setup.text_changes.hide_in_draft(vocabulary.decode(self._agreement.tokens), draft.language)
        if text.startswith(self._sent):
            self._utterance.send(text[len(self._sent) :])
            self._sent = text


def _is_silent(draft: Draft, threshold: float | None) -> bool:
    return threshold is not None and draft.no_speech_prob > threshold
