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
from api.http.middleware import to_response
from api.http.page_access import API_PREFIX, owner_of
from api.http.page_session import PIECE_BYTES
from api.http.uploads import receive_chunks, receive_small_json
from api.openai.errors import ApiError
from api.page import uploads
from api.page.uploads import About, Upload, UploadError, Uploads, WrongOffset

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
    about = _parse(owner, await receive_small_json(request, _MAX_BODY_BYTES))
    door: Door = request.app.state.door
    if about.size > door.settings.max_upload_bytes:
        raise ApiError(
            413, f"the file is over {door.settings.max_upload_bytes} bytes: choose a smaller or more compressed one",
            param="size", code="too_large",
        )  # fmt: skip
    with refusing():
        return _answer(await run_in_threadpool(_uploads(request).begin, about))


async def show(request: Request) -> Response:
    """`GET`: how much of an upload is here."""
    with refusing():
        return _answer(_uploads(request).find(owner_of(request), request.path_params["id"]))


async def put_piece(request: Request) -> Response:
    """`PUT`: the next bytes; what has come of a piece that breaks off counts."""
    owner, upload_id = owner_of(request), request.path_params["id"]
    offset = request.query_params.get("offset", "")
    if not _OFFSET.fullmatch(offset):
        raise ApiError(400, "offset: should be the number of bytes before the piece", param="offset")
    store = _uploads(request)
    try:
        with refusing():
            piece = await run_in_threadpool(store.open_piece, owner, upload_id, int(offset))
            try:
                async for chunk in receive_chunks(request, min(PIECE_BYTES, piece.max_bytes)):
                    await run_in_threadpool(piece.write, chunk)
            finally:
                piece.close()
            return _answer(store.find(owner, upload_id))
    except ApiError as error:
        if not isinstance(error.__cause__, WrongOffset):
            raise
        response = to_response(error)
        return JSONResponse({**error.body, "received": error.__cause__.received}, error.status, response.headers)


async def remove(request: Request) -> Response:
    """`DELETE`: remove an upload."""
    with refusing():
        await run_in_threadpool(_uploads(request).remove, owner_of(request), request.path_params["id"])
    return Response(status_code=204)


ROUTES = [
    Route(f"{API_PREFIX}uploads", begin, methods=["POST"]),
    Route(f"{API_PREFIX}uploads/{{id}}", show, methods=["GET"]),
    Route(f"{API_PREFIX}uploads/{{id}}", put_piece, methods=["PUT"]),
    Route(f"{API_PREFIX}uploads/{{id}}", remove, methods=["DELETE"]),
]
