"""`/page/api/transcripts/{id}/video`: the video with the corrected text as captions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from api.http.headers import content_disposition
from api.http.page_access import page_of
from api.http.page_media import find_recording
from api.http.page_requests import JOBS_ROUTE, existing, find
from api.http.page_uploads import refusing
from api.http.uploads import receive_small_json
from api.openai.errors import ApiError
from api.page.captioned_video import MODES, write_captioned
from api.page.cues import parse_layout
from api.page.exports import file_stem
from api.page.made_files import Making
from api.page.records import Record
from api.page.services import CAPTIONED, PageServices

_MAX_BODY_BYTES = 4096
_REPORT_S = 1.0
"""Between two events of a video that is being made."""

_TYPES = {
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
}


async def make_video(request: Request) -> Response:
    """`POST transcripts/{id}/video`: begin a captioned video of the corrected text."""
    record = await find(request)
    page = page_of(request)
    body = await receive_small_json(request, _MAX_BODY_BYTES)
    if not isinstance(body, Mapping) or body.get("captions") not in MODES:
        raise ApiError(400, f"captions: should be {' or '.join(MODES)}", param="captions")
    mode, layout, names = body["captions"], parse_layout(body), body.get("names") is not False
    source = find_recording(page, record)
    with refusing():
        room = page.room_for_copy()
    document = await run_in_threadpool(page.document_of, record)
    path = page.folder_of(record.id) / CAPTIONED
    made: dict[str, Any] = {}

    def make(target: Path, making: Making) -> None:
        written = write_captioned(source, document, mode, layout, target, making, names=names, max_bytes=room)
        made.update(asdict(written))

    async with page.videos:
        await _remove_video(page, record)
        making = page.made.begin(record.id, path, make, is_slow=True)
        begun = {"captions": mode, "revision": record.revision, "begun": time.time()}
        video = {"state": "working", "fraction": 0.0, **begun}
        changed = existing(await page.jobs.change(record.id, video=video))
    page.follow(_tell_progress(page, changed, video, making, made))
    return JSONResponse(page.jobs.to_json(changed), 202)


async def _tell_progress(
    page: PageServices, record: Record, video: dict[str, Any], making: Making, made: dict[str, Any]
) -> None:
    """Tell the visitor how far a captioned video is, until it is made or given up."""
    while page.made.find(record.id, CAPTIONED) is making and not making.error:
        current = await run_in_threadpool(page.store.get, record.id)
        if current is not None:
            page.jobs.publish(replace(current, video={**video, "fraction": round(making.fraction, 3)}))
        await asyncio.sleep(_REPORT_S)
    if making.stop.is_set():  # another one has begun, or the transcript is gone, or the server stops
        return
    ended = {"state": "failed", "error": making.error} if making.error else {"state": "done", "fraction": 1.0, **made}
    async with page.videos:
        current = await run_in_threadpool(page.store.get, record.id)
        if current is not None and current.video == video:  # else it has been removed, or another one has begun
            await page.jobs.change(record.id, video={**video, **ended})


async def _remove_video(page: PageServices, record: Record) -> None:
    await run_in_threadpool(page.made.cancel, record.id, CAPTIONED)
    await run_in_threadpool((page.folder_of(record.id) / CAPTIONED).unlink, True)


async def cancel_video(request: Request) -> Response:
    """`DELETE transcripts/{id}/video`: stop making the captioned video, or remove it."""
    record = await find(request)
    page = page_of(request)
    async with page.videos:
        await _remove_video(page, record)
        changed = existing(await page.jobs.change(record.id, video=None))
    return JSONResponse(page.jobs.to_json(changed))


async def show_video(request: Request) -> Response:
    """`GET transcripts/{id}/video`: the captioned video."""
    record = await find(request)
    page = page_of(request)
    path = captioned_video(page, record)
    if path is None:
        raise ApiError(404, "there is no captioned video: make one first", code="no_video")
    suffix = suffix_of(record)
    headers = {"content-disposition": content_disposition(f"{file_stem(record.title)}.captioned{suffix}")}
    return FileResponse(path, media_type=_TYPES.get(suffix, "application/octet-stream"), headers=headers)


_PATH = f"{JOBS_ROUTE}/{{id}}/video"

ROUTES = [
    Route(_PATH, make_video, methods=["POST"]),
    Route(_PATH, cancel_video, methods=["DELETE"]),
    Route(_PATH, show_video),
]


def captioned_video(page: PageServices, record: Record) -> Path | None:
    """The captioned video of a transcript; None: there is none, or it is not done."""
    path = page.folder_of(record.id) / CAPTIONED
    is_done = record.video is not None and record.video.get("state") == "done"
    return path if is_done and path.exists() else None


def suffix_of(record: Record) -> str:
    """The suffix of the captioned video's name."""
    suffix: str = (record.video or {}).get("suffix", "")
    return suffix
