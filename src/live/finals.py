"""The final texts of utterances: each piece by the same steps as a recording, one after another."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import CancelledError, Executor
from dataclasses import replace

import torch

from api.live.recognizer import Completed, Failed, LiveEvent
from src.audio.pcm import SAMPLE_RATE
from src.engine.scheduler import EngineLost
from src.engine.work import OutOfMemory as EngineOutOfMemory
from src.errors import Cancelled, OutOfMemory, WorkerError, explain_exhaustion
from src.job_control import JobControl
from src.live.speakers import SpeakerTracker
from src.live.utterance import Piece, Utterance, to_ms
from src.whisper_processor import WhisperProcessor
from transcript.transcript import Segment, Transcript

log = logging.getLogger(__name__)

MAX_PAUSE = 15 * SAMPLE_RATE
"""Samples between two pieces in which personal data goes on."""


class Finals:
    """Transcribes the pieces of a stream's utterances, one after another, and sends their texts.

    Args:
        processor: with the models.
        threads: on which the transcription waits for the engine.
        on_event: receives the texts.
        on_lost: called when the device has failed for good.

    Attributes:
        language: of the last text; None: there was none.
        unfinished: samples of the pieces without a text.
    """

    def __init__(
        self,
        processor: WhisperProcessor,
        threads: Executor,
        on_event: Callable[[LiveEvent], None],
        on_lost: Callable[[], None],
    ) -> None:
        self.language: str | None = None
        self.unfinished = 0
        self._processor = processor
        self._threads = threads
        self._on_event = on_event
        self._on_lost = on_lost
        self._speakers = SpeakerTracker()
        self._control = JobControl()
        self._warned: set[str] = set()
        self._open_text, self._open_until = "", 0
        """The end of what was said last, in which personal data may go on, and the position after it."""
        self._pieces: asyncio.Queue[Piece] = asyncio.Queue()
        self._finished = asyncio.Condition()
        self._task = asyncio.create_task(self._run())

    def put(self, piece: Piece) -> None:
        """Have a piece transcribed."""
        self.unfinished += len(piece.pcm)
        piece.utterance.pending += 1
        self._pieces.put_nowait(piece)

    async def wait_until(self, samples: int) -> None:
        """Wait until no more than this many samples are without a text, or `close`."""
        async with self._finished:
            await self._finished.wait_for(lambda: self.unfinished <= samples or self._task.done())

    async def close(self) -> None:
        """Cancel what is unfinished."""
        self._control.cancel("the stream was closed")
        self._task.cancel()
        await asyncio.wait([self._task])
        async with self._finished:
            self._finished.notify_all()

    async def _run(self) -> None:
        while True:
            piece = await self._pieces.get()
            await self._complete(piece)
            piece.utterance.pending -= 1
            async with self._finished:
                self.unfinished -= len(piece.pcm)
                self._finished.notify_all()

    async def _complete(self, piece: Piece) -> None:
        utterance = piece.utterance
        if utterance.failed:
            return
        try:
            part = await asyncio.get_running_loop().run_in_executor(self._threads, self._transcribe, piece)
        except Exception as error:
            utterance.failed = True
            self._on_event(Failed(utterance.number, *explain(error)))
            if isinstance(error, EngineLost):
                self._on_lost()
            return
        utterance.parts.append(part)
        if part.segments:
            self.language = part.language
        utterance.send_rest()
        if piece.is_last:
            self._on_event(self._completed(utterance, piece.end))

    def _transcribe(self, piece: Piece) -> Transcript:
        """Return the transcript of a piece, with times of the stream; called on a thread."""
        options = piece.utterance.setup.options
        try:
            transcript = self._processor.transcribe_samples(piece.pcm, options, self._control, self.language)
        except CancelledError:  # asyncio would take it for a cancellation of its own
            raise Cancelled("the worker is stopping: open another stream") from None
        if options.diarize:
            self._speakers.assign(transcript, piece.pcm, options.voice_embeddings, self._control.check)
        self._redact(transcript, piece)
        offset = piece.start / SAMPLE_RATE
        transcript.segments = [_shift(segment, offset) for segment in transcript.segments]
        transcript.warnings += [
            f"no text was found for speech from {offset + start:.1f} to {offset + end:.1f} s"
            for start, end in transcript.uncovered
        ]
        return transcript

    def _redact(self, transcript: Transcript, piece: Piece) -> None:
        """Redact what goes on from the piece before, and what may go on in the next one: people pause in numbers."""
        redactor = piece.utterance.setup.text_changes.redactor
        if redactor is None:
            self._open_text = ""
        elif transcript.segments:
            goes_on = piece.start - self._open_until <= MAX_PAUSE
            before = self._open_text if goes_on else ""
            transcript.segments, self._open_text = redactor.redact_next(transcript.segments, before, transcript)
            self._open_until = piece.end

    def _completed(self, utterance: Utterance, end: int) -> Completed:
        segments = [segment for part in utterance.parts for segment in part.segments]
        logprobs = [token.to_dict() for segment in segments for token in segment.logprobs or ()]
        spoken = [part.language for part in utterance.parts if part.segments]
        return Completed(
            utterance.number,
            [replace(segment, id=number).to_dict() for number, segment in enumerate(segments)],
            utterance.text,
            spoken[-1] if spoken else None,
            (end - utterance.start) / SAMPLE_RATE,
            to_ms(utterance.start),
            to_ms(end),
            logprobs if utterance.setup.live.logprobs else None,
            self._new_warnings(utterance),
        )

    def _new_warnings(self, utterance: Utterance) -> list[str]:
        """The warnings that the stream has not had yet: most are about its options."""
        found = dict.fromkeys(warning for part in utterance.parts for warning in part.warnings)
        new = [warning for warning in found if warning not in self._warned]
        self._warned.update(new)
        return new


def explain(error: Exception) -> tuple[str, str]:
    """Return why a transcription failed, in a sentence for the caller, and its `error_type`."""
    if isinstance(error, WorkerError):
        return str(error), error.error_type
    if isinstance(error, EngineLost):
        return "the worker's device failed; a fresh worker is starting: open another stream", "Internal"
    if isinstance(error, torch.OutOfMemoryError | EngineOutOfMemory):
        return "the worker has no memory left for this stream: open fewer at once", OutOfMemory.error_type
    if exhausted := explain_exhaustion(error):
        return str(exhausted), exhausted.error_type
    log.error("a live text failed (%s)", type(error).__name__)
    return f"the worker failed on this sound ({type(error).__name__}): please report it", "Internal"


def _shift(segment: Segment, offset: float) -> Segment:
    """Return a segment `offset` seconds later."""

    def shifted(seconds: float) -> float:
        return round(offset + seconds, 3)

    words = segment.words and [
        replace(word, start=shifted(word.start), end=shifted(word.end)) for word in segment.words
    ]
    return replace(
        segment,
        seek=segment.seek + round(offset * 100),
        start=shifted(segment.start),
        end=shifted(segment.end),
        words=words,
    )
