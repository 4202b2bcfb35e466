"""What comes out of a transcript: its files, its cues, its captioned video, and what browsers need of its recording."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from api.http.door import unless_disconnected
from api.http.headers import content_disposition
from api.http.page_routes import JOBS_ROUTE, answer, existing, find
from api.http.uploads import receive_small_json
from api.openai.errors import ApiError, to_error
from api.page import records
from api.page.captioned_video import MODES, write_captioned
from api.page.cues import CONTEXT_SECONDS, cues_between, parse_layout
from api.page.document import Document
from api.page.exports import MEDIA_TYPES, Wanted, export, file_stem, to_zip
from api.page.made_files import Make, Making
from api.page.media import PEAKS_PER_SECOND, write_peaks, write_playable
from api.page.records import Record
from api.page.services import CAPTIONED, PageServices
from transcript.checks import Check

Result = TypeVar("Result")

PEAKS, PLAYABLE = "peaks", "playable.mp4"
"""Names of files that are made of a recording, beside it."""

MAX_COPY_BYTES = 16 << 30
"""Of a playable copy or a captioned video."""

_MAX_BODY_BYTES = 4096
_REPORT_S = 1.0
"""Between two events of a captioned video that is being made."""

_VIDEO_TYPES = {
    ".mp4": "video/mp4",
    ".mov": "video/quicktime",
    ".webm": "video/webm",
    ".mkv": "video/x-matroska",
}
_ZIP = "application/zip"
_YES, _NO = ("1", "true", "yes"), ("0", "false", "no")


async def cues(request: Request) -> Response:
    """`GET transcripts/{id}/cues`: the subtitles as the files have them, of a part or of all."""
    record = await find(request)
    query = request.query_params
    layout = parse_layout(query)
    names = _parse_switch(query, "names", default=True)
    start, end = _parse_time(query, "from", 0.0), _parse_time(query, "to", math.inf)

    def lay_out(check: Check) -> list[dict[str, Any]]:
        near = _document(_page(request), record, start - CONTEXT_SECONDS, end + CONTEXT_SECONDS)
        return cues_between(near, layout, start, end, names=names, check=check)

    return await answer(request, {"cues": await _laid_out(request, lay_out)})


async def download(request: Request) -> Response:
    """`GET transcripts/{id}/export/{format}`: a file, or all of them as zip."""
    record = await find(request)
    name = request.path_params["format"]
    query = request.query_params
    if name != "zip" and name not in MEDIA_TYPES:
        raise ApiError(404, f"there is no such format: take one of {', '.join([*MEDIA_TYPES, 'zip'])}", code="format")
    times = _parse_switch(query, "times", default=False) if query.get("times") else None
    wanted = Wanted(parse_layout(query), _parse_switch(query, "names", default=True), times)
    page = _page(request)
    names = list(MEDIA_TYPES) if name == "zip" else [name]
    files = await _laid_out(request, lambda check: export(names, _document(page, record), wanted, check))
    stem = file_stem(record.title)
    if name == "zip":
        pieces = to_zip(stem, files, _captioned(page, record), _suffix(record))
        return StreamingResponse(pieces, media_type=_ZIP, headers=_named(f"{stem}.zip"))
    return Response(files[name], media_type=MEDIA_TYPES[name], headers=_named(f"{stem}.{name}"))


async def _laid_out(request: Request, work: Callable[[Check], Result]) -> Result:
    """What is laid out, for as long as the caller waits.

    Raises:
        ApiError: it takes too long.
        ClientDisconnect: the caller has hung up; the work has ended.
    """
    ended = await unless_disconnected(request, _page(request).layouts.run(work))
    return ended.result()


async def peaks(request: Request) -> Response:
    """`GET transcripts/{id}/peaks`: the waveform, or how far it is made."""
    record = await find(request)
    path = _page(request).folder_of(record.id) / PEAKS

    def make(source: Path) -> Make:
        return lambda target, making: write_peaks(source, target, making)

    ready = await _made(request, record, path, make)
    if isinstance(ready, Response):
        return ready
    headers = {"x-peaks-per-second": str(PEAKS_PER_SECOND)}
    return FileResponse(ready, media_type="application/octet-stream", headers=headers)


async def playable_copy(request: Request, record: Record) -> Path | Response:
    """A copy of the recording that browsers play, as `video/mp4`; or the answer that tells how far it is made.

    Raises:
        ApiError: there is no recording on this machine, or it cannot be converted.
    """
    page = _page(request)
    path = page.folder_of(record.id) / PLAYABLE

    def make(source: Path) -> Make:
        room = _room(page)
        return lambda target, making: write_playable(source, target, making, room)

    is_video = bool(record.media and record.media.get("kind") == "video")
    return await _made(request, record, path, make, is_slow=is_video)


async def make_video(request: Request) -> Response:
    """`POST transcripts/{id}/video`: begin a captioned video of the corrected text."""
    record = await find(request)
    page = _page(request)
    body = await receive_small_json(request, _MAX_BODY_BYTES)
    if not isinstance(body, Mapping) or body.get("captions") not in MODES:
        raise ApiError(400, f"captions: should be {' or '.join(MODES)}", param="captions")
    mode, layout, names = body["captions"], parse_layout(body), body.get("names") is not False
    source, room = _recording(page, record), _room(page)
    document = await run_in_threadpool(_document, page, record)
    path = page.folder_of(record.id) / CAPTIONED
    found: dict[str, str] = {}

    def make(target: Path, making: Making) -> None:
        found["suffix"] = write_captioned(source, document, mode, layout, target, making, names=names, max_bytes=room)

    async with page.videos:
        await _remove_video(page, record)
        making = page.made.begin(record.id, path, make, is_slow=True)
        begun = {"captions": mode, "revision": record.revision, "begun": time.time()}
        video = {"state": "working", "fraction": 0.0, **begun}
        changed = existing(await page.change(record.id, video=video))
    page.follow(_tell_progress(page, changed, video, making, found))
    return JSONResponse(records.to_json(changed, page.jobs.progress_of(record.id)), 202)


async def _tell_progress(
    page: PageServices, record: Record, video: dict[str, Any], making: Making, found: dict[str, str]
) -> None:
    """Tell the visitor how far a captioned video is, until it is made or given up."""
    while page.made.find(record.id, CAPTIONED) is making and not making.error:
        current = await run_in_threadpool(page.store.get, record.id)
        if current is not None:
            page.jobs.publish(replace(current, video={**video, "fraction": round(making.fraction, 3)}))
        await asyncio.sleep(_REPORT_S)
    if making.stop.is_set():  # another one has begun, or the transcript is gone, or the server stops
        return
    ended = {"state": "failed", "error": making.error} if making.error else {"state": "done", "fraction": 1.0, **found}
    async with page.videos:
        current = await run_in_threadpool(page.store.get, record.id)
        if current is not None and current.video == video:  # else it has been removed, or another one has begun
            await page.change(record.id, video={**video, **ended})


async def _remove_video(page: PageServices, record: Record) -> None:
    await run_in_threadpool(page.made.cancel, record.id, CAPTIONED)
    await run_in_threadpool((page.folder_of(record.id) / CAPTIONED).unlink, True)


async def cancel_video(request: Request) -> Response:
    """`DELETE transcripts/{id}/video`: stop making the captioned video, or remove it."""
    record = await find(request)
    page = _page(request)
    async with page.videos:
        await _remove_video(page, record)
        changed = existing(await page.change(record.id, video=None))
    return JSONResponse(records.to_json(changed, page.jobs.progress_of(record.id)))


async def show_video(request: Request) -> Response:
    """`GET transcripts/{id}/video`: the captioned video."""
    record = await find(request)
    page = _page(request)
    path = _captioned(page, record)
    if path is None:
        raise ApiError(404, "there is no captioned video: make one first", code="no_video")
    suffix = _suffix(record)
    headers = _named(f"{file_stem(record.title)}.captioned{suffix}")
    return FileResponse(path, media_type=_VIDEO_TYPES.get(suffix, "application/octet-stream"), headers=headers)


async def _made(
    request: Request, record: Record, path: Path, make: Callable[[Path], Make], *, is_slow: bool = False
) -> Path | Response:
    """A file that is made of a recording: its path, or the answer that tells how far it is.

    Raises:
        ApiError: there is no recording on this machine, or it could not be made.
    """
    page = _page(request)
    if await run_in_threadpool(path.exists):
        return path
    source = _recording(page, record)
    making = page.made.find(record.id, path.name)
    if making is None:
        making = page.made.begin(record.id, path, make(source), is_slow=is_slow)
    if making.error:
        raise ApiError(422, making.error, code="media_failed")
    return JSONResponse({"fraction": round(making.fraction, 3)}, 202)


def _recording(page: PageServices, record: Record) -> Path:
    source = page.media_path(record)
    if source is None:
        raise ApiError(404, "the recording is not on this server: only its text is", code="no_media")
    return source


def _captioned(page: PageServices, record: Record) -> Path | None:
    path = page.folder_of(record.id) / CAPTIONED
    is_done = record.video is not None and record.video.get("state") == "done"
    return path if is_done and path.exists() else None


def _suffix(record: Record) -> str:
    """Of the captioned video's name."""
    suffix: str = (record.video or {}).get("suffix", "")
    return suffix


def _document(page: PageServices, record: Record, start: float = 0.0, end: float = math.inf) -> Document:
    """The transcript as it is saved, or its lines between two times in seconds."""
    lines = page.store.lines_of(record.id, start, end)
    return Document(record.title, lines, record.speakers, record.outcome.language, record.outcome.duration)


def _page(request: Request) -> PageServices:
    page: PageServices = request.app.state.page
    return page


def _named(name: str) -> dict[str, str]:
    return {"content-disposition": content_disposition(name)}


def _room(page: PageServices) -> int:
    """The bytes that a copy may have: what the disk has beside its reserve.

    Raises:
        ApiError: there is nothing.
    """
    room = min(MAX_COPY_BYTES, page.room())
    if room <= 0:
        full = "the server's disk is full: delete transcripts that are no longer needed"
        raise to_error({"error": full, "error_type": "OutOfResources"})
    return room


def _parse_switch(query: Mapping[str, str], name: str, *, default: bool) -> bool:
    value = query.get(name, "").lower()
    if value not in ("", *_YES, *_NO):
        raise ApiError(400, f"{name}: should be true or false", param=name)
    return default if not value else value in _YES


def _parse_time(query: Mapping[str, str], name: str, default: float) -> float:
    """Seconds from the recording's start."""
    value = query.get(name)
    if not value:
        return default
    try:
        seconds = float(value)
    except ValueError:
        seconds = -1.0
    if not seconds >= 0:
        raise ApiError(400, f"{name}: should be seconds from the recording's start", param=name)
    return seconds


_TRANSCRIPT = f"{JOBS_ROUTE}/{{id}}"

ROUTES = [
    Route(f"{_TRANSCRIPT}/cues", cues),
    Route(f"{_TRANSCRIPT}/export/{{format}}", download),
    Route(f"{_TRANSCRIPT}/peaks", peaks),
    Route(f"{_TRANSCRIPT}/video", make_video, methods=["POST"]),
    Route(f"{_TRANSCRIPT}/video", cancel_video, methods=["DELETE"]),
    Route(f"{_TRANSCRIPT}/video", show_video),
]
