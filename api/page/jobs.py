"""The jobs of the page: they run on without a tab, and again after a restart of the server.

What is in the store outlives the server: a job that it finds there unfinished begins again. The lines of a running job
are in memory only, so that an earlier result stays until there is a new one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool

from api.page import job_lines, kept_answer, lines, records
from api.page.cues import LAYOUT_OPTIONS
from api.page.events import Events
from api.page.lines import Line
from api.page.media import MediaFacts
from api.page.records import Outcome, Progress, Record, State
from api.page.running_job import RunningJob
from api.page.settings import PageSettings
from api.page.store import MAX_LINES, NotWritten, Store
from api.page.threads import to_end
from api.page.track_jobs import SPEAKER_OPTIONS, run_tracks
from api.page.tracks import track_file
from api.transcriber import Answer, Job, JobTrack, Listener, find_seconds, request_id

RUNNING_AT_ONCE = 4
"""Jobs of the page; the others wait in order, which leaves room for programs that use the API."""

MAX_ATTEMPTS = 3
"""A job is given up after the server has ended this often while it ran: the job may be the cause."""

MAX_JOB_S = 24 * 3600.0
"""The longest that a job may run, as with `/run`."""

_WRITE_AGAIN_S = 5.0
"""Between attempts to write a result to a full disk."""

_MAX_NAME_CHARACTERS = 100
_MAX_MESSAGE_CHARACTERS = 2000
_MAX_WARNINGS = 100

_MADE_BY_THE_PAGE = LAYOUT_OPTIONS | {"captions", "speaker_colors", "stl_start", "stl_frame_rate"}
"""Options that are not passed to a job: the page itself makes subtitles and captioned videos, of the corrected text."""

_GIVEN_UP = {
    "type": "Internal",
    "message": f"the server ended {MAX_ATTEMPTS} times while it worked on this recording, and does not begin again",
}

_log = logging.getLogger(__name__)

Run = Callable[[Job, Listener], Awaitable[Answer]]


class PageJobs:
    """Runs the jobs of the store's transcripts; all methods belong to one event loop.

    Args:
        store: of the transcripts.
        run: runs a job.
        events: for the visitors.
        settings: of the page.
    """

    def __init__(self, store: Store, run: Run, events: Events, settings: PageSettings) -> None:
        self._store = store
        self._run = run
        self._events = events
        self._settings = settings
        self._turns = asyncio.Semaphore(RUNNING_AT_ONCE)
        self._running: dict[str, RunningJob] = {}

    async def resume(self) -> None:
        """Begin the jobs that the previous server had not ended."""
        for record in await run_in_threadpool(self._store.unfinished):
            if record.attempts >= MAX_ATTEMPTS:
                await self.change(record.id, state=_state_after_failure(record), error=_GIVEN_UP, attempts=0)
            else:
                self.start(await self.change(record.id, state="waiting") or record)

    def start(self, record: Record) -> None:
        """Begin the job of a transcript, whose state in the store is `waiting`, unless it has begun."""
        known = self._running.get(record.id)
        if known is not None and not known.has_ended:
            return
        running = RunningJob(record, self._events)
        self._running[record.id] = running
        running.task = asyncio.create_task(self._perform(running))

    async def cancel(self, record: Record) -> Record | None:
        """End the job of a transcript, if it runs; None: the transcript is gone."""
        running = self._running.get(record.id)
        if running is not None:
            running.cancel()
            await asyncio.wait([running.task])
        current = await run_in_threadpool(self._store.get, record.id)
        if current is None or current.state not in records.UNFINISHED:
            return current
        await run_in_threadpool(kept_answer.forget, self._folder_of(record.id))
        state: State = "done" if current.has_result else "cancelled"
        return await self.change(record.id, state=state, error=None, attempts=0)

    async def retry(self, record: Record, options: Mapping[str, Any] | None) -> Record | None:
        """Begin the job of a transcript again, unless somebody else has; None: the transcript is gone.

        Args:
            record: of the transcript.
            options: of the job; None: as before.
        """
        known = None if options is None else dict(options)
        await run_in_threadpool(kept_answer.forget, self._folder_of(record.id))
        begun = await run_in_threadpool(self._store.begin_again, record.id, known)
        if begun is None:
            return await run_in_threadpool(self._store.get, record.id)
        self.start(begun)
        self.publish(begun)
        return begun

    def progress_of(self, transcript_id: str) -> Progress | None:
        """The progress of a job; None: none waits or runs."""
        running = self._running.get(transcript_id)
        return None if running is None else running.progress

    def lines_of(self, transcript_id: str) -> list[Line] | None:
        """The lines of a job so far; None: none waits or runs."""
        running = self._running.get(transcript_id)
        return None if running is None else running.lines

    def to_json(self, record: Record) -> dict[str, Any]:
        """A record as the page reads it, with the progress of its job."""
        return records.to_json(record, self.progress_of(record.id))

    def publish(self, record: Record) -> None:
        """Send a changed record to its visitor."""
        if running := self._running.get(record.id):
            running.record = record
        self._events.publish(record.owner, "record", self.to_json(record))

    async def change(self, transcript_id: str, **values: Any) -> Record | None:
        """Change fields of a record, and send it to its visitor; None: the transcript is gone."""
        record = await run_in_threadpool(lambda: self._store.update(transcript_id, **values))
        if record is not None:
            self.publish(record)
        return record

    async def close(self) -> None:
        """Put the jobs that run back, for the next start of the server."""
        running = list(self._running.values())
        for each in running:
            each.cancel()
        await asyncio.gather(*(each.task for each in running), return_exceptions=True)
        for each in running:
            current = await run_in_threadpool(self._store.get, each.record.id)
            if current is not None and current.state in records.UNFINISHED:
                await run_in_threadpool(self._store.update, current.id, state="waiting", attempts=0)

    async def _perform(self, running: RunningJob) -> None:
        record = running.record
        request_id.set(f"page-{record.id}")
        try:
            async with self._turns:
                begun = await to_end(run_in_threadpool(self._store.begin_attempt, record.id))
                if begun is None:
                    return  # it has been removed or cancelled
                job = await run_in_threadpool(self._to_job, record)
                listener = running.listener()

                def transcribe() -> Awaitable[Answer]:
                    return asyncio.wait_for(self._run(job, listener), MAX_JOB_S)

                if job.tracks:
                    is_last = begun.attempts >= MAX_ATTEMPTS
                    answer = await run_tracks(begun, job, transcribe, listener, self._settings, is_last=is_last)
                else:
                    answer = await transcribe()
                running.end()
                await until_written(lambda: self._keep(record.id, answer))
                await run_in_threadpool(kept_answer.forget, self._folder_of(record.id))
        except asyncio.TimeoutError:
            running.end()
            message = f"the job took over {MAX_JOB_S / 3600:g} hours: cut the recording"
            await until_written(lambda: self._fail(record.id, "Cancelled", message))
        except Exception as error:
            running.end()
            _log.error("job of the page failed: %s", type(error).__name__)
            await until_written(lambda: self._fail(record.id, "Internal", "the server failed: try again"))
        finally:
            running.end()
            if self._running.get(record.id) is running:
                del self._running[record.id]
        current = await run_in_threadpool(self._store.get, record.id)
        if current is not None:
            self.publish(current)

    def _folder_of(self, transcript_id: str) -> Path:
        return self._settings.media_folder / transcript_id

    def _to_job(self, record: Record) -> Job:
        folder, tracks = self._folder_of(record.id), record.source.tracks
        unused = _MADE_BY_THE_PAGE | set(SPEAKER_OPTIONS if tracks else ())
        asked = {name: value for name, value in record.options.items() if name not in unused}
        known_voices = self._settings.known_voices
        if known_voices and asked.get("diarize") and not asked.get("speakers"):
            asked |= {"speakers": dict(voices)} if (voices := known_voices.for_job()) else {}
        options = {**asked, "output_format": "json", "word_timestamps": True}
        job_input: dict[str, Any] = {"options": options}
        if record.source.url is not None:
            return Job({**job_input, "audio": {"url": record.source.url}}, resume=folder / "resume")
        if tracks:
            of_job = [
                JobTrack(track.name, track.url or track_file(folder, number), track.offset)
                for number, track in enumerate(tracks)
            ]
            return Job(job_input, resume=folder / "resume", tracks=of_job)
        return Job(job_input, folder / "recording", resume=folder / "resume")

    async def _keep(self, transcript_id: str, answer: Answer) -> None:
        if "error" in answer:
            await self._fail(transcript_id, str(answer.get("error_type")), str(answer["error"]))
            return
        try:
            new_lines, outcome = await run_in_threadpool(_read_output, answer)
        except ValueError as error:
            await self._fail(transcript_id, "Internal", str(error))
            return
        await run_in_threadpool(self._note_mix, transcript_id)
        await run_in_threadpool(self._store.finish, transcript_id, new_lines, outcome)

    def _note_mix(self, transcript_id: str) -> None:
        record = self._store.get(transcript_id)
        if record is not None and record.source.tracks:
            is_there = (self._folder_of(transcript_id) / "recording").exists()
            self._store.update(transcript_id, media=asdict(MediaFacts("audio", playable=True)) if is_there else None)

    async def _fail(self, transcript_id: str, error_type: str, message: str) -> None:
        record = await run_in_threadpool(self._store.get, transcript_id)
        if record is not None:
            error = {"type": error_type, "message": lines.clean_text(message)[:_MAX_MESSAGE_CHARACTERS]}
            state = _state_after_failure(record)
            await run_in_threadpool(self._store.update, transcript_id, state=state, error=error, attempts=0)


async def until_written(write: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Write a result; on a full disk try until it succeeds, so that it need not be computed again."""
    while True:
        try:
            return await to_end(write())
        except NotWritten:
            _log.error("a result cannot be written for the page: the disk is full or fails")
            await asyncio.sleep(_WRITE_AGAIN_S)


def _state_after_failure(record: Record) -> State:
    """An earlier result stays what it was."""
    return "done" if record.has_result else "failed"


def _read_output(answer: Answer) -> tuple[list[Line], Outcome]:
    """The lines and facts of a job's answer.

    Raises:
        ValueError: the answer has an unknown form, or too many lines.
    """
    found = job_lines.lines_of(answer)
    if len(found) > MAX_LINES:
        raise ValueError(f"the recording has over {MAX_LINES} segments: cut it into parts")
    metadata = answer.get("metadata")
    metadata = metadata if isinstance(metadata, Mapping) else {}
    warnings = metadata.get("warnings")
    texts = [lines.clean_text(text) for text in warnings if isinstance(text, str)] if isinstance(warnings, list) else []
    return found, Outcome(
        find_seconds(answer, "audio_duration") or None,
        _short_text(metadata.get("language")),
        _short_text(metadata.get("model")),
        find_seconds(answer, "processing_time") or None,
        texts[:_MAX_WARNINGS],
    )


def _short_text(value: Any) -> str | None:
    return lines.clean_text(value)[:_MAX_NAME_CHARACTERS] if isinstance(value, str) and value else None
