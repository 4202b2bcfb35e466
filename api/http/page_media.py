"""`/page/api/transcripts/{id}/media`: a transcript's recording, for the page's player."""

from __future__ import annotations

import mimetypes
from pathlib import Path, PurePath

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from api.http.headers import content_disposition
from api.http.page_exports import playable_copy
from api.http.page_routes import JOBS_ROUTE, find
from api.openai.errors import ApiError
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
        return await _serve(_recording_of(request, record), record, record.source.name)
    if copy != "playable":
        raise ApiError(400, "copy: should be playable, or left out", param="copy")
    made = await playable_copy(request, record)
    return made if isinstance(made, Response) else await _serve(made, record, PurePath(record.source.name).stem)


ROUTES = [Route(f"{JOBS_ROUTE}/{{id}}/media", show_media, methods=["GET"])]


def _recording_of(request: Request, record: Record) -> Path:
    page: PageServices = request.app.state.page
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
    return ApiError(404, "there is no recording of this transcript on the server", code="no_media")


def _file_name(name: str, media_type: str) -> str:
    """A recording's file name, with an extension that makes no program run it or show it as a page."""
    claimed = mimetypes.guess_type(PurePath(name).name)[0] or ""
    return name if claimed.startswith(("audio/", "video/")) else f"{name}{EXTENSIONS.get(media_type, '.bin')}"
