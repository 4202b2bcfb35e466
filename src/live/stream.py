"""One live stream: sound in, utterances out.

    sound -> frames of the detector -> turns -> utterances -> drafts while they are spoken, final texts at their end

Everything here runs on the event loop; the detector, the engine and the final texts have threads of their own. A stream
keeps the sound of its current piece, what may belong to the next one, and that of pieces without a final text.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from api.live.recognizer import Committed, LiveEvent, LiveOptions, SpeechStarted, SpeechStopped, Warned
from src.audio.pcm import SAMPLE_RATE
from src.audio.vad import FRAME, load_vad
from src.audio.windowing import find_quietest
from src.live.audio_buffer import BYTES_PER_SAMPLE, AudioBuffer
from src.live.detector import OPENING, SpeechBegan, SpeechEnded, StreamingVad, TurnFinder
from src.live.drafts import Drafts
from src.live.finals import Finals
from src.live.setup import Setup
from src.live.utterance import Piece, Utterance, to_ms

MIN_BLOCK = 4 * FRAME
"""Samples that the detector is called with at least, 128 ms: each call costs a switch of threads."""
MAX_BLOCK = SAMPLE_RATE
"""Samples that it is called with at most: drafts and cuts keep up with a sender that is faster than real time."""

MAX_PIECE = 24 * SAMPLE_RATE
"""Samples of the longest piece; with what is put around it, it fits into a window of the model."""
CUT_WITHIN = 8 * SAMPLE_RATE
"""Samples at the end of a longest piece in which it is cut, where they are quietest."""
MAX_UTTERANCE = 3600 * SAMPLE_RATE
"""Samples of the longest utterance that only a commit ends."""

MIN_PADDING = SAMPLE_RATE * 3 // 10
"""Samples before detected speech that belong to it, at least: the network detects soft onsets late."""
FIRST_PADDING = 2 * SAMPLE_RATE
"""The same for a stream's first utterance: at first the network takes speech for silence."""
END_PADDING = SAMPLE_RATE * 2 // 5
"""Samples after detected speech that belong to it, as far as they are there: words fade."""
MIN_COMMIT = SAMPLE_RATE // 10
"""Samples of the shortest sound that can be committed, as in OpenAI's API."""

MAX_UNPROCESSED = 30 * SAMPLE_RATE
"""Samples without a final text, beside those of the current piece, from which the sender has to wait."""

T = TypeVar("T")


class StreamModel(Protocol):
    """The model of a stream, which stays loaded."""

    async def load(self, options: LiveOptions) -> Setup:
        """Load the model that options name, in place of the one before.

        Raises:
            LiveRefused: the options or the model are wrong; the model before stays loaded.
        """

    def cancel(self) -> None:
        """End a `load` that waits; later ones are refused."""

    async def release(self) -> None:
        """Let the model be unloaded."""


class Stream:
    """See `api.live.recognizer.LiveStream`.

    Args:
        model: of this stream.
        setup: of the first utterance.
        finals: of this stream.
        on_event: receives the events, in order.
        on_closed: called once, when the stream is closed.
    """

    def __init__(
        self,
        model: StreamModel,
        setup: Setup,
        finals: Finals,
        on_event: Callable[[LiveEvent], None],
        on_closed: Callable[[], None],
    ) -> None:
        self._model = model
        self._setup = setup
        self._finals = finals
        self._on_event = on_event
        self._on_closed = on_closed
        self._turn = asyncio.Lock()
        """One call at a time works on what follows."""
        self._calls: set[asyncio.Task[Any]] = set()
        """A task lives only as long as something refers to it."""
        self._buffer = AudioBuffer()
        self._vad = StreamingVad(load_vad())
        self._processed = 0
        """Position up to which the detector has processed the audio."""
        self._finder = TurnFinder()
        self._finder.listen_for(setup.turns)
        self._earliest = 0
        """Position before which all sound belongs to utterances that have ended, or was cleared."""
        self._utterances = 0
        self._utterance: Utterance | None = None
        self._piece_start = 0
        self._drafts: Drafts | None = None
        self._closed = False
        self._closing: asyncio.Task[None] | None = None

    async def append(self, pcm: bytes) -> None:
        """Take sound, whole samples; waits while too much of it is unprocessed."""
        await self._in_turn(self._append(pcm))

    async def commit(self) -> bool:
        """End the utterance here; False: there was not enough sound for one."""
        return await self._in_turn(self._commit())

    async def clear(self) -> None:
        """Forget the sound that belongs to no committed utterance yet."""
        await self._in_turn(self._clear())

    async def update(self, options: LiveOptions) -> None:
        """Take other options, which apply from the next utterance on."""
        await self._in_turn(self._update(options))

    async def finish(self) -> None:
        """Take no more sound; return when each utterance is completed or has failed."""
        await self._in_turn(self._finish())
        await self._finals.wait_until(0)

    async def close(self) -> None:
        """Cancel everything; a second call does nothing."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close())
        await asyncio.shield(self._closing)

    @property
    def unfinished(self) -> int:
        """Samples of ended pieces without a final text."""
        return self._finals.unfinished

    def warn(self) -> None:
        """Say which options of the stream have no effect."""
        for warning in self._setup.warnings:
            self._on_event(Warned(warning))

    async def _in_turn(self, work: Coroutine[None, None, T]) -> T:
        """Do a call's work after that of the calls before; it goes on if the caller is cancelled."""

        async def run() -> T:
            async with self._turn:
                return await work

        task = asyncio.create_task(run())
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        return await asyncio.shield(task)

    async def _close(self) -> None:
        self._closed = True
        if self._drafts is not None:
            self._drafts.end()
        await self._finals.close()
        self._model.cancel()
        async with self._turn:  # what the detector was given comes back first
            self._forget_uncommitted()
        await self._model.release()
        self._on_closed()

    async def _append(self, pcm: bytes) -> None:
        for first in range(0, len(pcm), MAX_BLOCK * BYTES_PER_SAMPLE):
            await self._finals.wait_until(MAX_UNPROCESSED)
            if self._closed:
                return
            self._buffer.append(pcm[first : first + MAX_BLOCK * BYTES_PER_SAMPLE])
            await self._listen(MIN_BLOCK if self._processed else OPENING)

    async def _commit(self) -> bool:
        await self._listen(FRAME)
        start = self._earliest if self._utterance is None else self._utterance.start
        if self._closed or self._buffer.end - start < MIN_COMMIT:
            return False
        self._end(self._utterance or self._begin(max(start, self._buffer.start)), self._buffer.end)
        self._finder.forget()
        return True

    async def _clear(self) -> None:
        await self._listen(FRAME)
        if self._drafts is not None:
            self._drafts.end()
        self._forget_uncommitted()

    async def _update(self, options: LiveOptions) -> None:
        await self._listen(FRAME)
        before, self._setup = self._setup, await self._model.load(options)
        if options.turn_detection is not None and self._utterance is not None and not self._utterance.is_turn:
            self._end_without_commit(self._utterance)
        if self._utterance is None:
            self._finder.listen_for(self._setup.turns)
        if self._setup.warnings != before.warnings:
            self.warn()

    def _end_without_commit(self, utterance: Utterance) -> None:
        """End an utterance that waits for a commit, once none may come; without speech there was no utterance."""
        if self._finder.last_speech > utterance.start:
            self._end(utterance, self._buffer.end)
            self._finder.forget()
            return
        if self._drafts is not None:
            self._drafts.end()
        self._utterance = self._drafts = None
        self._utterances -= 1  # nothing of it was told

    async def _finish(self) -> None:
        await self._listen(FRAME)
        if self._utterance is not None and not self._closed:
            self._end(self._utterance, self._buffer.end)

    async def _listen(self, at_least: int) -> None:
        """Run the detector on what has arrived, if it is enough, and act on what it finds."""
        while not self._closed and self._buffer.end - self._processed >= at_least:
            end = self._processed + min(self._buffer.end - self._processed, MAX_BLOCK) // FRAME * FRAME
            probabilities = await self._vad.detect(self._buffer.copy(self._processed, end))
            if self._closed:
                return
            self._processed = end
            for turn in self._finder.push(probabilities):
                self._take(turn)
            self._go_on()

    def _take(self, turn: SpeechBegan | SpeechEnded) -> None:
        """Begin or end an utterance where the detector says so, unless only commits do."""
        if self._utterance is None:
            if isinstance(turn, SpeechBegan) and self._setup.live.turn_detection is not None:
                self._begin_turn(max(turn.position - self._padding, self._earliest, self._buffer.start))
        elif isinstance(turn, SpeechEnded) and self._utterance.is_turn:
            self._end(self._utterance, min(turn.position + END_PADDING, self._buffer.end))

    def _go_on(self) -> None:
        """Cut a piece that has become too long, draft the current one, and forget what is no longer needed."""
        if self._utterance is None and self._setup.live.turn_detection is None:
            self._begin(max(self._earliest, self._buffer.start))
        if self._utterance is None:
            self._buffer.forget(self._processed - self._padding - self._finder.silence)
            return
        if self._processed - self._piece_start > MAX_PIECE:
            self._cut(self._utterance)
        if self._drafts is not None:
            self._drafts.follow(self._processed, self._finder.last_speech)

    @property
    def _padding(self) -> int:
        """Samples before detected speech that belong to it."""
        asked = self._setup.turns.prefix_padding_ms * SAMPLE_RATE // 1000
        return max(asked, MIN_PADDING if self._utterances else FIRST_PADDING)

    def _begin(self, start: int, *, is_turn: bool = False) -> Utterance:
        self._utterance = Utterance(self._utterances, start, self._setup, self._on_event, is_turn)
        self._utterances += 1
        self._begin_piece(self._utterance, start)
        return self._utterance

    def _begin_turn(self, start: int) -> None:
        utterance = self._begin(start, is_turn=True)
        self._on_event(SpeechStarted(utterance.number, to_ms(start)))

    def _begin_piece(self, utterance: Utterance, start: int) -> None:
        self._piece_start = start
        self._drafts = Drafts(utterance, start, self._buffer.copy, self._finals.language)

    def _end(self, utterance: Utterance, end: int) -> None:
        """End the utterance; the next one takes the options as they are now."""
        if utterance.is_turn:
            self._on_event(SpeechStopped(utterance.number, to_ms(end)))
        self._on_event(Committed(utterance.number, to_ms(utterance.start), to_ms(end)))
        self._end_piece(utterance, end, is_last=True)
        self._utterance = self._drafts = None
        self._finder.listen_for(self._setup.turns)

    def _end_piece(self, utterance: Utterance, end: int, *, is_last: bool) -> None:
        if self._drafts is not None:
            self._drafts.end()
        self._finals.put(Piece(utterance, self._piece_start, self._buffer.copy(self._piece_start, end), is_last))
        self._forget_before(end)

    def _cut(self, utterance: Utterance) -> None:
        """End a piece that is too long in its quietest pause; what follows is the next utterance, or piece."""
        first = self._processed - CUT_WITHIN
        cut = first + find_quietest(self._buffer.copy(first, self._processed), 0, CUT_WITHIN)
        if utterance.is_turn:
            self._end(utterance, cut)
            if cut < self._finder.last_speech:
                self._begin_turn(cut)
            else:  # nobody has spoken since
                self._finder.forget()
        elif cut - utterance.start < MAX_UTTERANCE:
            self._end_piece(utterance, cut, is_last=False)
            self._begin_piece(utterance, cut)
        else:
            self._on_event(Warned(f"an hour of sound without a commit was committed at {to_ms(cut)} ms"))
            self._end(utterance, cut)
            self._begin(cut)

    def _forget_uncommitted(self) -> None:
        self._utterance = self._drafts = None
        self._finder.forget()
        self._forget_before(self._buffer.end)

    def _forget_before(self, position: int) -> None:
        """Give no utterance the sound before a position; what the detector has not processed is kept for it."""
        self._earliest = position
        self._buffer.forget(min(position, self._processed))
