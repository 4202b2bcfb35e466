"""Live transcription of HTTP mode, on the models of this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from api.live.recognizer import LiveEvent, LiveOptions, LiveRefused
from src.errors import InvalidInput, WorkerError
from src.job_control import JobControl
from src.live.finals import Finals
from src.live.setup import Setup, refused, to_job_options
from src.live.stream import Stream
from src.request.options import Options
from src.transcription.model_cache import LoadedModel
from src.whisper_processor import WhisperProcessor

MAX_THREADS = 16
"""Final texts at once, and models that are being loaded; their threads mostly wait for the engine."""


class LocalLiveRecognizer:
    """Streams on the models of this process; they share the engines with jobs, and with each other.

    Args:
        processor: of the loaded models.
        on_lost: called on the event loop when the device has failed for good: only a new process helps.
        max_sessions: limit of streams at once.
    """

    def __init__(self, processor: WhisperProcessor, on_lost: Callable[[], None], max_sessions: int) -> None:
        self.max_sessions = max_sessions
        self._processor = processor
        self._on_lost = on_lost
        self._threads = ThreadPoolExecutor(MAX_THREADS, "live")
        self._open = 0

    async def open(self, options: LiveOptions, on_event: Callable[[LiveEvent], None]) -> Stream:
        """Open a stream; see `api.live.recognizer.LiveRecognizer`."""
        if self._open >= self.max_sessions:
            raise LiveRefused(f"all {self.max_sessions} live streams are in use: try again later", "too_many_sessions")
        self._open += 1
        model = CachedModel(self._processor, self._threads)
        try:
            setup = await model.load(options)
        except BaseException:
            self._count_closed()
            raise
        finals = Finals(self._processor, self._threads, on_event, self._on_lost)
        stream = Stream(model, setup, finals, on_event, self._count_closed)
        stream.warn()
        return stream

    def _count_closed(self) -> None:
        self._open -= 1


class CachedModel:
    """The model of a stream, which stays in the cache, so that only the first utterance may have to wait for it."""

    def __init__(self, processor: WhisperProcessor, threads: ThreadPoolExecutor) -> None:
        self._processor = processor
        self._threads = threads
        self._held = ExitStack()
        self._setup: Setup | None = None
        self._control = JobControl()

    async def load(self, options: LiveOptions) -> Setup:
        """See `src.live.stream.StreamModel`."""
        job_options, before = to_job_options(options), self._setup
        if before is not None and options.model != before.live.model:
            await self.release()  # there may be room for one model only
        try:
            model = await self._acquire(job_options)
        except BaseException:
            if before is not None:
                await self._acquire(before.options)
            raise
        self._setup = Setup(options, job_options, model)
        return self._setup

    async def release(self) -> None:
        """See `src.live.stream.StreamModel`."""
        self._held.close()

    def cancel(self) -> None:
        """See `src.live.stream.StreamModel`."""
        self._control.cancel("the stream was closed")

    async def _acquire(self, options: Options) -> LoadedModel:
        held = ExitStack()

        def acquire() -> LoadedModel:
            return held.enter_context(self._processor.acquire(options, self._control))

        loading = asyncio.get_running_loop().run_in_executor(self._threads, acquire)
        try:
            model = await asyncio.shield(loading)
        except asyncio.CancelledError:
            self.cancel()
            loading.add_done_callback(lambda _: held.close())
            raise
        except InvalidInput as error:
            raise refused(error) from None
        except WorkerError as error:
            raise LiveRefused(str(error), "model_unavailable") from None
        self._held.close()
        self._held = held
        return model
