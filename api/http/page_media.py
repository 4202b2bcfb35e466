"""`/page/api/transcripts/{id}/media`: a transcript's recording, for the page's player."""

from __future__ import annotations

import mimetypes
from pathlib import PurePath

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from api.http.headers import content_disposition
from api.http.page_exports import playable_copy
from api.http.page_routes import JOBS_ROUTE, find
from api.openai.errors import ApiError
from api.page.media_type import EXTENSIONS, UNKNOWN, media_type_of
from api.page.services import PageServices

_HEADERS = {
    "content-security-policy": "sandbox",  # opened by itself it has no scripts, whatever a browser takes it for
    "cache-control": "private, no-cache",
}


async def show_media(request: Request) -> Response:
    """`GET`: the recording as it was uploaded, or with `copy=playable` as all browsers play it, whole or in ranges."""
    record = await find(request)
    if request.query_params.get("copy") == "playable":
        copy = await playable_copy(request, record)
        return copy if isinstance(copy, Response) else FileResponse(copy, headers=_HEADERS, media_type="video/mp4")
    page: PageServices = request.app.state.page
    path = page.media_path(record)
    if path is None or record.media is None:
        raise ApiError(404, "there is no recording of this transcript on the server", code="no_media")
    media_type = await run_in_threadpool(media_type_of, path, record.media["kind"])
    disposition = content_disposition(_file_name(record.source.name, media_type), inline=media_type != UNKNOWN)
    return FileResponse(path, headers={**_HEADERS, "content-disposition": disposition}, media_type=media_type)


def _file_name(name: str, media_type: str) -> str:
    """A recording's file name, with an extension that makes no program run it or show it as a page."""
    claimed = mimetypes.guess_type(PurePath(name).name)[0] or ""
    return name if claimed.startswith(("audio/", "video/")) else f"{name}{EXTENSIONS.get(media_type, '.bin')}"


ROUTES = [Route(f"{JOBS_ROUTE}/{{id}}/media", show_media, methods=["GET"])]
