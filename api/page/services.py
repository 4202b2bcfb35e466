"""What the routes of the page share, at `request.app.state.page`."""

from __future__ import annotations

import asyncio
import math
import shutil
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import InitVar, asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool

from api.page.document import Document
from api.page.events import Events
from api.page.ffmpeg import MediaFailed
from api.page.jobs import PageJobs, Run
from api.page.live import LiveTranscripts
from api.page.made_files import MadeFiles
from api.page.media import MAX_COPY_BYTES, look_at
from api.page.own_visitor import OwnVisitor
from api.page.records import Record
from api.page.settings import PageSettings
from api.page.store import NotWritten, Store
from api.page.tables import StoreUnusable
from api.page.threads import Layouts
from api.page.tracks import track_file
from api.page.uploads import NoSpace, Uploads
from api.page.voices import VoiceKeeper

if TYPE_CHECKING:
    from api.live.sessions import LiveSessions  # with packages that a page without live captions does not need

PRIVATE_FOLDER = 0o700

CAPTIONED = "captioned"
"""Name of the captioned video in a transcript's folder."""

UNFINISHED_FILES = ("*.part*", "captions-*")
"""Patterns of the names that files and folders have while they are written in a transcript's folder."""

_LOOKS_AT_ONCE = 2


@dataclass
class PageServices:
    """What the routes of the page share.

    Attributes:
        settings: of the page.
        store: of the transcripts.
        events: for the visitors.
        uploads: that are not yet complete, or not yet used.
        jobs: of the transcripts.
        own_visitor: the owner of the folder.
        voices: keeps voices of speakers; None: there is no place for them.
        live: the live transcripts.
        made: files that are being made of recordings.
        layouts: lays out texts.
        videos: held while a captioned video is begun, given up, or noted as made.
    """

    settings: PageSettings
    store: Store
    events: Events
    uploads: Uploads
    jobs: PageJobs
    own_visitor: OwnVisitor
    voices: VoiceKeeper | None
    sessions: InitVar[LiveSessions | None] = None
    live: LiveTranscripts = field(init=False)
    made: MadeFiles = field(default_factory=MadeFiles)
    layouts: Layouts = field(default_factory=Layouts)
    videos: asyncio.Lock = field(default_factory=asyncio.Lock)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _looks: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_LOOKS_AT_ONCE))

    def __post_init__(self, sessions: LiveSessions | None) -> None:
        self.live = LiveTranscripts(sessions, self)

    def folder_of(self, transcript_id: str) -> Path:
        """The folder for a transcript's recording and what is made of it."""
        return self.settings.media_folder / transcript_id

    def media_path(self, record: Record) -> Path | None:
        """A transcript's recording; None: there is no file of it on this machine."""
        return None if record.media is None else self.recording_of(record.id)

    def recording_of(self, transcript_id: str) -> Path:
        """Where a transcript's recording is, unless it is at a URL."""
        return self.folder_of(transcript_id) / "recording"

    def files_of(self, record: Record) -> list[Path]:
        """The files on this machine that a transcript's job needs."""
        if record.source.url is not None:
            return []
        folder, tracks = self.folder_of(record.id), record.source.tracks
        if tracks:
            return [track_file(folder, number) for number, track in enumerate(tracks) if track.url is None]
        return [self.recording_of(record.id)]

    def room(self) -> int:
        """Free bytes on the disk, without the reserve.

        Raises:
            NoSpace: only the reserve is left.
        """
        room = self.settings.room()
        if room <= 0:
            raise NoSpace
        return room

    def room_for_copy(self) -> int:
        """The bytes that a playable copy or a captioned video may have.

        Raises:
            NoSpace: only the reserve is left.
        """
        return min(self.room(), MAX_COPY_BYTES)

    def document_of(self, record: Record, start: float = 0.0, end: float = math.inf) -> Document:
        """The transcript as it is saved, or its lines that are spoken between two times in seconds."""
        lines = self.store.lines_of(record.id, start, end)
        return Document(record.title, lines, record.speakers, record.outcome.language, record.outcome.duration)

    def follow(self, work: Coroutine[Any, Any, None]) -> None:
        """Run something beside the requests, until it ends or the server stops."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def look_at(self, transcript_id: str) -> dict[str, Any] | None:
        """What a recording is, for `Record.media`; None: it cannot be read, which its job will report."""
        with suppress(MediaFailed):
            async with self._looks:
                return asdict(await run_in_threadpool(look_at, self.recording_of(transcript_id)))
        return None

    async def give(self, owner: str, heir: str) -> None:
        """Make all transcripts of a visitor another one's, also those whose jobs run."""
        await run_in_threadpool(self.store.give, owner, heir)
        for record in await run_in_threadpool(self.store.records_of, heir):
            self.jobs.publish(record)

    async def remove(self, record: Record) -> None:
        """Remove all of a transcript, and end its job."""
        await self.live.abandon(record.id)
        await self.drop(record)

    async def drop(self, record: Record) -> None:
        """Remove all of a transcript that is not live, and end its job."""
        try:
            await run_in_threadpool(self.store.remove, record.id)
        except NotWritten:  # on a full disk the recording has to go first
            await run_in_threadpool(self.remove_folder, record.id)
            await run_in_threadpool(self.store.remove, record.id)
        await self.jobs.cancel(record)  # a job that begins from now on finds no transcript
        if self.voices is not None:
            self.voices.forget(record.id)
        await run_in_threadpool(self.remove_folder, record.id)
        self.events.publish(record.owner, "removed", {"id": record.id})

    def remove_folder(self, transcript_id: str) -> None:
        """Remove a transcript's recording, and what is made of it."""
        self.made.forget(transcript_id)
        shutil.rmtree(self.folder_of(transcript_id), ignore_errors=True)

    async def start(self) -> None:
        """Remove what the previous server left unfinished, and begin again the jobs that it had not ended."""
        await run_in_threadpool(self._remove_strays)
        for record in await run_in_threadpool(self._not_looked_at):
            self.follow(self._look_again(record.id))
        await self.live.recover()
        await self.jobs.resume()

    async def close(self) -> None:
        """Put running jobs back, and release the folder."""
        self.events.close()
        for task in self._tasks:
            task.cancel()
        await self.live.close()
        await self.jobs.close()
        await run_in_threadpool(self.made.close)
        await run_in_threadpool(self.store.close)

    def _remove_strays(self) -> None:
        """Remove what a killed server had begun to write or to remove."""
        for record in self.store.unfinished():
            if not record.has_result and not all(file.exists() for file in self.files_of(record)):
                self.store.remove(record.id)  # an upload was not taken, and is still there
        for transcript_id in self.store.fail_videos():
            remove_tree(self.folder_of(transcript_id) / CAPTIONED)
        known = self.store.ids()
        for folder in self.settings.media_folder.iterdir():
            for stray in _unfinished_in(folder) if folder.name in known else [folder]:
                remove_tree(stray)

    def _not_looked_at(self) -> list[Record]:
        unknown = [each for each in self.store.unfinished() if each.media is None]
        return [each for each in unknown if self.recording_of(each.id).exists()]

    async def _look_again(self, transcript_id: str) -> None:
        if media := await self.look_at(transcript_id):
            await self.jobs.change(transcript_id, media=media)


def _unfinished_in(folder: Path) -> list[Path]:
    return [path for pattern in UNFINISHED_FILES for path in folder.glob(pattern)]


def remove_tree(path: Path) -> None:
    """Remove a file, or a folder with its contents; what cannot be removed stays."""
    with suppress(OSError):
        path.unlink() if path.is_file() else shutil.rmtree(path, ignore_errors=True)


def open_page(settings: PageSettings, run: Run, sessions: LiveSessions | None = None) -> PageServices:
    """Open the page's folder.

    Args:
        settings: of the page.
        run: runs a job.
        sessions: of live transcription; None: there is none.

    Raises:
        StoreUnusable: the folder cannot be used, with a sentence.
    """
    try:
        for folder in (settings.folder, settings.media_folder):
            folder.mkdir(PRIVATE_FOLDER, parents=True, exist_ok=True)
            folder.chmod(PRIVATE_FOLDER)
        own_visitor = OwnVisitor(settings.folder)
        store = Store(settings.folder)
        try:
            uploads = Uploads(settings.folder / "uploads", settings.reserve_bytes)
        except BaseException:
            store.close()
            raise
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise StoreUnusable(f"the page's folder cannot be written ({reason}): give another one") from None
    events = Events()
    jobs = PageJobs(store, run, events, settings)
    voices = VoiceKeeper(settings.known_voices, run) if settings.known_voices else None
    return PageServices(settings, store, events, uploads, jobs, own_visitor, voices, sessions)
