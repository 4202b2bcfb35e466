"""What HTTP mode's API runs jobs with: the handler, on threads of this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from api.transcriber import Answer, Job, JobTrack, Listener, Schema, request_id
from src.job_control import JobControl, OnSegment
from src.request.audio_source import AudioSource
from src.request.openai_jobs import asks_for_models, models_answer, option_schemas
from src.request.tracks import TrackSource
from src.rp_handler import handler
from src.serving.async_handler import run_on_thread
from src.settings import get_settings
from transcript.transcript import Segment

if TYPE_CHECKING:
    from src.whisper_processor import WhisperProcessor


class LocalTranscriber:
    """Runs `MAX_CONCURRENCY` jobs at a time, and the others in order.

    Args:
        processor: of the loaded models.
        on_lost: called on the event loop when the device has failed for good: only a new process helps.
    """

    def __init__(self, processor: WhisperProcessor, on_lost: Callable[[], None]) -> None:
        self._processor = processor
        self._on_lost = on_lost
        self._turns = asyncio.Semaphore(get_settings().max_concurrency)

    async def run(self, job: Job, listener: Listener) -> Answer:
        """Run a job and return its answer, also if it fails; cancelling the coroutine cancels the job."""
        if asks_for_models(job.input):
            return models_answer(self._processor.model_names)
        raw = {"id": request_id.get() or "job", **job.fields, "input": dict(job.input)}
        if job.upload is not None:
            raw["input"]["audio"] = TrackSource.of_upload(job.upload)
        elif job.tracks:
            raw["input"]["audio"] = [_to_source(track) for track in job.tracks]
        async with self._turns:
            answer = await run_on_thread(handler, raw, _control(listener))
        if answer.get("refresh_worker"):  # it stays in the answer, whose caller may try again
            self._on_lost()
        return answer

    async def models(self, wanted: str | None = None) -> list[str]:
        """The names of the models that a job may ask for, the default first."""
        return self._processor.model_names

    def option_schemas(self) -> Mapping[str, Schema]:
        """The JSON Schema of each option of a job, by its name."""
        return option_schemas()


def _to_source(track: JobTrack) -> AudioSource | dict[str, Any]:
    known = {"name": track.name} | ({} if track.offset is None else {"offset": track.offset})
    if isinstance(track.recording, str):
        return {"url": track.recording, **known}
    return TrackSource.of_upload(track.recording).model_copy(update=known)


def _control(listener: Listener) -> JobControl:
    """A control that tells the listener, on the event loop."""
    loop = asyncio.get_running_loop()

    def on_progress(stage: str, done: float, total: float) -> None:
        loop.call_soon_threadsafe(listener.on_progress, stage, done / total if total else 0.0)

    control = JobControl(_on_segment(listener, loop))
    control.listen(on_progress)
    return control


def _on_segment(listener: Listener, loop: asyncio.AbstractEventLoop) -> OnSegment | None:
    on_segments = listener.on_segments
    if on_segments is None:
        return None

    def on_segment(segment: Segment) -> None:
        loop.call_soon_threadsafe(on_segments, [segment.to_dict()])

    return on_segment
