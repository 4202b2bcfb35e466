"""`/page/api/transcripts/{id}/media` and `.../peaks`: a transcript's recording, for the page's player."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable
from pathlib import Path, PurePath

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from api.http.headers import content_disposition
from api.http.page_access import page_of
from api.http.page_requests import JOBS_ROUTE, find
from api.http.page_uploads import refusing
from api.openai.errors import ApiError
from api.page.made_files import Make
from api.page.media import PEAKS, PEAKS_PER_SECOND, PLAYABLE, write_peaks, write_playable
from api.page.media_type import EXTENSIONS, UNKNOWN, media_type_of
from api.page.records import Record
from api.page.services import PageServices

_HEADERS = {
    "content-security-policy": "sandbox",  # opened by itself it has no scripts, whatever a browser takes it for
    "cache-control": "private, no-cache",
}


async def show_media(request: Request) -> Response:
    """`GET`: the recording as it was uploaded, or by `copy=playable` a copy that browsers play; whole or in ranges."""
    record = await find(request)
    copy = request.query_params.get("copy")
    if copy is None:
        return await _serve(find_recording(page_of(request), record), record, record.source.name)
    if copy != "playable":
        raise ApiError(400, "copy: should be playable, or left out", param="copy")
    made = await _playable_copy(request, record)
    return made if isinstance(made, Response) else await _serve(made, record, PurePath(record.source.name).stem)


async def show_peaks(request: Request) -> Response:
    """`GET transcripts/{id}/peaks`: the waveform, or the progress of making it."""
    record = await find(request)
    path = page_of(request).folder_of(record.id) / PEAKS

    def make(source: Path) -> Make:
        return lambda target, making: write_peaks(source, target, making)

    ready = await _made(request, record, path, make)
    if isinstance(ready, Response):
        return ready
    headers = {"x-peaks-per-second": str(PEAKS_PER_SECOND)}
    return FileResponse(ready, media_type="application/octet-stream", headers=headers)


_TRANSCRIPT = f"{JOBS_ROUTE}/{{id}}"

ROUTES = [
    Route(f"{_TRANSCRIPT}/media", show_media, methods=["GET"]),
    Route(f"{_TRANSCRIPT}/peaks", show_peaks, methods=["GET"]),
]


async def _playable_copy(request: Request, record: Record) -> Path | Response:
    """A copy of the recording that browsers play, as `video/mp4`; or the answer with its progress.

    Raises:
        ApiError: there is no recording on this machine, or it cannot be converted.
    """
    page = page_of(request)
    path = page.folder_of(record.id) / PLAYABLE

    def make(source: Path) -> Make:
        with refusing():
            room = page.room_for_copy()
        return lambda target, making: write_playable(source, target, making, room)

    is_video = bool(record.media and record.media.get("kind") == "video")
    return await _made(request, record, path, make, is_slow=is_video)


async def _made(
    request: Request, record: Record, path: Path, make: Callable[[Path], Make], *, is_slow: bool = False
) -> Path | Response:
    """A file that is made of a recording: its path, or the answer with its progress.

    Raises:
        ApiError: there is no recording on this machine, or it could not be made.
    """
    page = page_of(request)
    if await run_in_threadpool(path.exists):
        return path
    source = find_recording(page, record)
    making = page.made.find(record.id, path.name)
    if making is None:
        making = page.made.begin(record.id, path, make(source), is_slow=is_slow)
    if making.error:
        raise ApiError(422, making.error, code="media_failed")
    return JSONResponse({"fraction": round(making.fraction, 3)}, 202)


def find_recording(page: PageServices, record: Record) -> Path:
    """The recording of a transcript.

    Raises:
        ApiError: it is not on this machine.
    """
    path = page.media_path(record)
    if path is None:
        raise _no_recording()
    return path


async def _serve(path: Path, record: Record, name: str) -> Response:
    kind = (record.media or {}).get("kind", "audio")
    try:
        media_type = await run_in_threadpool(media_type_of, path, kind)
    except FileNotFoundError:  # removed meanwhile
        raise _no_recording() from None
    disposition = content_disposition(_file_name(name, media_type), inline=media_type != UNKNOWN)
    return FileResponse(path, headers={**_HEADERS, "content-disposition": disposition}, media_type=media_type)


def _no_recording() -> ApiError:
    return ApiError(404, "the recording is not on this server: only its text is", code="no_media")


def _file_name(name: str, media_type: str) -> str:
    """A recording's file name, with an extension that makes no program run it or show it as a page."""
    claimed = mimetypes.guess_type(PurePath(name).name)[0] or ""
    return name if claimed.startswith(("audio/", "video/")) else f"{name}{EXTENSIONS.get(media_type, '.bin')}"
