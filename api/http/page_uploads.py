"""`/page/api/uploads`: recordings in pieces."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from api.http.door import Door
from api.http.page_access import API_PREFIX, owner_of
from api.http.page_session import PIECE_BYTES
from api.http.uploads import receive_chunks, receive_small_json
from api.openai.errors import ApiError
from api.page import uploads
from api.page.uploads import About, Upload, UploadError, Uploads, WrongOffset
from api.page.values import parse_text

MAX_NAME_CHARACTERS = 255
MAX_FINGERPRINT_CHARACTERS = 128

_MAX_BODY_BYTES = 8192
_OFFSET = re.compile(r"\d{1,15}", re.ASCII)
_STATUSES: dict[type[UploadError], tuple[int, str]] = {
    uploads.NoSuchUpload: (404, "no_such_upload"),
    uploads.WrongOffset: (409, "wrong_offset"),
    uploads.Incomplete: (409, "incomplete_upload"),
    uploads.TooManyUploads: (429, "too_many_uploads"),
    uploads.NoSpace: (507, "no_space"),
}


@contextmanager
def refusing() -> Iterator[None]:
    """Turn an `UploadError` into an `ApiError`."""
    try:
        yield
    except UploadError as error:
        status, code = _STATUSES[type(error)]
        raise ApiError(status, str(error), code=code) from error


async def begin(request: Request) -> Response:
    """`POST`: begin an upload, or go on with one of the same file."""
    owner = owner_of(request)
    about = _parse_about(owner, await receive_small_json(request, _MAX_BODY_BYTES))
    door: Door = request.app.state.door
    if about.size > door.settings.max_upload_bytes:
        limit = door.settings.max_upload_bytes
        raise ApiError(413, f"size: should be at most {limit} bytes: choose a smaller file", param="size")
    with refusing():
        return _answer(await run_in_threadpool(_uploads_of(request).begin, about))


async def show(request: Request) -> Response:
    """`GET`: how much of an upload is here."""
    with refusing():
        return _answer(_find(request))


async def put_piece(request: Request) -> Response:
    """`PUT`: the next bytes; what came of a piece that breaks off counts."""
    offset = request.query_params.get("offset", "")
    if not _OFFSET.fullmatch(offset):
        raise ApiError(400, "offset: should be the number of bytes before the piece", param="offset")
    try:
        with refusing():
            return _answer(await _receive_piece(request, int(offset)))
    except ApiError as error:
        if not isinstance(error.__cause__, WrongOffset):
            raise
        return JSONResponse({**error.body, "received": error.__cause__.received}, error.status)


async def remove(request: Request) -> Response:
    """`DELETE`: remove an upload."""
    with refusing():
        await run_in_threadpool(_uploads_of(request).remove, _find(request))
    return Response(status_code=204)


ROUTES = [
    Route(f"{API_PREFIX}uploads", begin, methods=["POST"]),
    Route(f"{API_PREFIX}uploads/{{id}}", show, methods=["GET"]),
    Route(f"{API_PREFIX}uploads/{{id}}", put_piece, methods=["PUT"]),
    Route(f"{API_PREFIX}uploads/{{id}}", remove, methods=["DELETE"]),
]


async def _receive_piece(request: Request, offset: int) -> Upload:
    """The upload, with the request's body at its end.

    Raises:
        UploadError: the piece is refused.
        ApiError: the body is too large or too slow.
    """
    upload = _find(request)
    piece = await run_in_threadpool(_uploads_of(request).open_piece, upload, offset)
    try:
        async for chunk in receive_chunks(request, min(PIECE_BYTES, upload.about.size - offset)):
            await run_in_threadpool(piece.write, chunk)
    finally:
        await run_in_threadpool(piece.close)
    return upload


def _find(request: Request) -> Upload:
    return _uploads_of(request).find(owner_of(request), request.path_params["id"])


def _uploads_of(request: Request) -> Uploads:
    found: Uploads = request.app.state.page.uploads
    return found


def _answer(upload: Upload) -> Response:
    about = upload.about
    return JSONResponse({"id": upload.id, "received": upload.received, "size": about.size, "name": about.name})


def _parse_about(owner: str, body: Any) -> About:
    """The body of a request that begins an upload.

    Raises:
        ApiError: naming the wrong field.
    """
    if not isinstance(body, dict):
        raise ApiError(400, "the body should be a JSON object with name, size and fingerprint")
    size = body.get("size")
    if not isinstance(size, int) or isinstance(size, bool) or size < 1:
        raise ApiError(400, "size: should be the number of bytes, at least 1: the file is empty", param="size")
    name = parse_text(body.get("name"), "name", MAX_NAME_CHARACTERS)
    return About(owner, name, size, parse_text(body.get("fingerprint"), "fingerprint", MAX_FINGERPRINT_CHARACTERS))
