"""A live stream over a scripted engine: detection and cuts are real, the texts are not."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from whisper.tokenizer import get_tokenizer

from api.live.recognizer import Completed, LiveEvent, LiveOptions
from src.audio.decode import decode_audio
from src.audio.pcm import SAMPLE_RATE, Pcm
from src.engine.draft import Draft
from src.live.finals import Finals
from src.live.setup import Setup, to_job_options
from src.live.stream import Stream
from tests.support.clips import CLIPS
from transcript.transcript import Segment, Transcript

TOKENIZER = get_tokenizer(multilingual=True, language="en", task="transcribe")


@cache
def decoded(clip: str) -> Pcm:
    """The sound of a clip; it starts a process."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return np.array(decode_audio(CLIPS / clip, Path(folder), max_seconds=600, max_bytes=1 << 28))


def silence(seconds: float) -> bytes:
    """Digital silence."""
    return bytes(round(seconds * SAMPLE_RATE) * 2)


class ScriptedModel:
    """A model, and the processor that transcribes with it: texts say how long the sound is.

    Attributes:
        pieces: the sound of each final text.
        options: those that each was asked for with.
        drafts: the tokens that each draft began with, and the seconds of their sound.
        fault: raised in place of a final text.
        uncovered: spans of each piece, in seconds, that have no text.
        gate: final texts wait for it.
        script: returns the text of a draft of some seconds; None: the draft never ends.
    """

    def __init__(self) -> None:
        self.pieces: list[Pcm] = []
        self.options: list[Any] = []
        self.drafts: list[tuple[list[int], float]] = []
        self.cancelled: list[Future[Draft]] = []
        self.running: list[tuple[Any, Future[Draft]]] = []
        self.fault: Exception | None = None
        self.uncovered: list[tuple[float, float]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.script: Callable[[float], str | None] = lambda seconds: " word" * int(seconds)
        self.engine = self
        self.token_sets = SimpleNamespace(multilingual=True, tokenizer=lambda language: TOKENIZER)

    def transcribe_samples(self, pcm: Pcm, options: Any, control: Any, previous_language: str | None) -> Transcript:
        """Return a text of the seconds of the sound."""
        with control.on_cancel(self.gate.set):
            self.gate.wait()
        if self.fault is not None:
            raise self.fault
        self.pieces.append(pcm)
        self.options.append(options)
        seconds = len(pcm) / SAMPLE_RATE
        segment = Segment(0, 0, 0.0, seconds, f" {seconds:.1f} s", [], 0, 0, 1, 0)
        return Transcript("en", 1.0, seconds, [segment], uncovered=list(self.uncovered))

    def draft(self, window: Any, options: Any, prefix: list[int], client: Any) -> Future[Draft]:
        """Return the scripted draft."""
        self.drafts.append((list(prefix), window.seconds))
        future: Future[Draft] = Future()
        text = self.script(window.seconds)
        if text is None:
            self.running.append((client, future))
        else:
            future.set_result(Draft(TOKENIZER.encode(text), "en", False, 0.0))
        return future

    def cancel(self, client: Any) -> None:
        """Cancel the drafts of a client."""
        self.cancelled += [future for owner, future in self.running if owner is client]


class ScriptedStreamModel:
    """Loads nothing."""

    def __init__(self, model: ScriptedModel) -> None:
        self._model: Any = model
        self.released = 0

    async def load(self, options: LiveOptions) -> Setup:
        """Return the options with the scripted model."""
        return Setup(options, to_job_options(options), self._model)

    def cancel(self) -> None:
        """Do nothing: no model is loaded."""

    async def release(self) -> None:
        """Count."""
        self.released += 1


class OpenStream:
    """A stream and its events.

    Attributes:
        lost: times that the device was reported to have failed.
        closed: times that the stream reported its end.
    """

    def __init__(self, model: ScriptedModel) -> None:
        self.model, self.stream_model = model, ScriptedStreamModel(model)
        self.events: list[LiveEvent] = []
        self.lost = self.closed = 0
        self.stream: Stream

    def kinds(self) -> list[str]:
        """The names of the events, without deltas."""
        return [name for event in self.events if (name := type(event).__name__) != "Delta"]

    def of(self, kind: type[Any]) -> list[Any]:
        """The events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]

    @property
    def spans(self) -> list[tuple[int, int]]:
        """Beginning and end of each utterance, in milliseconds."""
        return [(event.start_ms, event.end_ms) for event in self.of(Completed)]

    async def send(self, pcm: bytes, block: int = 3200) -> None:
        """Send sound in blocks of some bytes."""
        for first in range(0, len(pcm), block):
            await self.stream.append(pcm[first : first + block])


@asynccontextmanager
async def open_stream(
    options: LiveOptions | None = None, model: ScriptedModel | None = None
) -> AsyncIterator[OpenStream]:
    """A stream over a scripted engine, which is closed at the end of the block."""
    opened = OpenStream(model or ScriptedModel())
    setup = await opened.stream_model.load(options or LiveOptions())

    def lose() -> None:
        opened.lost += 1

    def close() -> None:
        opened.closed += 1

    with ThreadPoolExecutor(2) as threads:
        processor: Any = opened.model
        finals = Finals(processor, threads, opened.events.append, lose)
        opened.stream = Stream(opened.stream_model, setup, finals, opened.events.append, close)
        try:
            yield opened
        finally:
            await opened.stream.close()
            await asyncio.sleep(0)
