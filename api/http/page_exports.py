"""`/page/api/transcripts/{id}/cues` and `.../export/{format}`: a transcript as subtitles, and as files."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from api.http.door import unless_disconnected
from api.http.headers import answer_headers, content_disposition
from api.http.page_access import page_of
from api.http.page_requests import JOBS_ROUTE, answer, find
from api.http.page_video import captioned_video, suffix_of
from api.openai.errors import ApiError
from api.page.cues import CONTEXT_SECONDS, cues_between, parse_layout
from api.page.exports import MEDIA_TYPES, Wanted, export, file_stem, to_zip
from transcript.checks import Check
from transcript.formats.render import StlOptions
from transcript.formats.stl import parse_timecode

Result = TypeVar("Result")

_ZIP = "application/zip"
_STL_RATES = ("25", "30")
_YES, _NO = ("1", "true", "yes"), ("0", "false", "no")


async def cues(request: Request) -> Response:
    """`GET transcripts/{id}/cues`: the subtitles as the files have them, of a part or of all."""
    record = await find(request)
    query = request.query_params
    layout = parse_layout(query)
    names = _parse_switch(query, "names", default=True)
    start, end = _parse_time(query, "from", 0.0), _parse_time(query, "to", math.inf)

    def lay_out(check: Check) -> list[dict[str, Any]]:
        near = page_of(request).document_of(record, start - CONTEXT_SECONDS, end + CONTEXT_SECONDS)
        return cues_between(near, layout, start, end, names=names, check=check)

    return await answer(request, {"cues": await _laid_out(request, lay_out)})


async def download(request: Request) -> Response:
    """`GET transcripts/{id}/export/{format}`: a file, or all of them as zip.

    `x-warnings` says what the format cannot hold. A browser that saves a file shows no header: the page asks for it by
    HEAD, and an archive has it as a file too.
    """
    record = await find(request)
    name = request.path_params["format"]
    query = request.query_params
    if name != "zip" and name not in MEDIA_TYPES:
        raise ApiError(404, f"there is no such format: take one of {', '.join([*MEDIA_TYPES, 'zip'])}", code="format")
    times = _parse_switch(query, "times", default=False) if query.get("times") else None
    wanted = Wanted(
        parse_layout(query),
        names=_parse_switch(query, "names", default=True),
        colors=_parse_switch(query, "colors", default=False),
        times=times,
        stl=_parse_stl(query),
        unsure_below=_parse_probability(query, "unsure_below"),
    )
    page = page_of(request)
    names = list(MEDIA_TYPES) if name == "zip" else [name]
    files, warnings = await _laid_out(request, lambda check: export(names, page.document_of(record), wanted, check))
    stem = file_stem(record.title)
    headers = answer_headers([], {}, warnings)
    if request.method == "HEAD":
        return Response(headers=headers)
    if name == "zip":
        if warnings:
            files["warnings.txt"] = "".join(f"{warning}\n" for warning in warnings).encode()
        pieces = to_zip(stem, files, captioned_video(page, record), suffix_of(record))
        return StreamingResponse(pieces, media_type=_ZIP, headers=_named(f"{stem}.zip") | headers)
    return Response(files[name], media_type=MEDIA_TYPES[name], headers=_named(f"{stem}.{name}") | headers)


async def _laid_out(request: Request, work: Callable[[Check], Result]) -> Result:
    """What is laid out, for as long as the caller waits.

    Raises:
        ApiError: it takes too long.
        ClientDisconnect: the caller has hung up; the work has ended.
    """
    ended = await unless_disconnected(request, page_of(request).layouts.run(work))
    return ended.result()


def _named(name: str) -> dict[str, str]:
    return {"content-disposition": content_disposition(name)}


def _parse_switch(query: Mapping[str, str], name: str, *, default: bool) -> bool:
    value = query.get(name, "").lower()
    if value not in ("", *_YES, *_NO):
        raise ApiError(400, f"{name}: should be true or false", param=name)
    return default if not value else value in _YES


def _parse_time(query: Mapping[str, str], name: str, default: float) -> float:
    """Seconds from the recording's start."""
    if not query.get(name):
        return default
    seconds = _parse_number(query[name])
    if not seconds >= 0:
        raise ApiError(400, f"{name}: should be seconds from the recording's start", param=name)
    return seconds


def _parse_probability(query: Mapping[str, str], name: str) -> float | None:
    if not query.get(name):
        return None
    probability = _parse_number(query[name])
    if not 0 <= probability <= 1:
        raise ApiError(400, f"{name}: should be a number from 0 to 1, or left out", param=name)
    return probability


def _parse_stl(query: Mapping[str, str]) -> StlOptions:
    """The frame rate and the start of EBU STL, as a job's options of these names."""
    rate = query.get("stl_frame_rate") or str(StlOptions.frame_rate)
    if rate not in _STL_RATES:
        raise ApiError(400, f"stl_frame_rate: should be {' or '.join(_STL_RATES)}", param="stl_frame_rate")
    start = query.get("stl_start") or StlOptions.start
    try:
        parse_timecode(start, int(rate))
    except ValueError as error:
        raise ApiError(400, f"stl_start: {error}", param="stl_start") from None
    return StlOptions(int(rate), start)


def _parse_number(text: str) -> float:
    """The number; not a number if the text is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


_TRANSCRIPT = f"{JOBS_ROUTE}/{{id}}"

ROUTES = [
    Route(f"{_TRANSCRIPT}/cues", cues),
    Route(f"{_TRANSCRIPT}/export/{{format}}", download),
]
