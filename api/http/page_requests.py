"""What the routes of a transcript share: the transcript that a request names, and answers in JSON."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from api import json_text
from api.http.page_access import owner_of, page_of
from api.openai.errors import ApiError
from api.page.records import Record

JOBS_ROUTE = "/page/api/transcripts"
"""Also the route under which the metrics count the page's jobs."""

_GZIP_FROM_BYTES = 1024
_GZIP_LEVEL = 3
"""The document of ten hours in a fifth of a second, and hardly larger than with more."""

Found = TypeVar("Found")


async def find(request: Request) -> Record:
    """The transcript that the path names.

    Raises:
        ApiError: the visitor has none with this id.
    """
    owner = owner_of(request)
    return existing(await run_in_threadpool(page_of(request).store.find, request.path_params["id"], owner))


def existing(found: Found | None) -> Found:
    """What was found.

    Raises:
        ApiError: nothing was.
    """
    if found is None:
        raise ApiError(404, "there is no such transcript: it may have been deleted", code="no_transcript")
    return found


async def answer(request: Request, content: Any, status: int = 200) -> Response:
    """JSON, made and compressed on a thread."""
    return await answer_text(request, await run_in_threadpool(json_text.to_json, content), status)


async def answer_text(request: Request, text: str, status: int = 200) -> Response:
    """JSON, compressed on a thread if the browser takes it."""

    def encode() -> tuple[bytes, dict[str, str]]:
        content = text.encode("utf-8", "replace")
        if len(content) < _GZIP_FROM_BYTES or "gzip" not in request.headers.get("accept-encoding", ""):
            return content, {}
        return gzip.compress(content, _GZIP_LEVEL), {"content-encoding": "gzip", "vary": "accept-encoding"}

    content, headers = await run_in_threadpool(encode)
    return Response(content, status, headers, media_type="application/json")


def with_lines(known: Mapping[str, Any], lines_json: str) -> str:
    """An object as JSON, with lines that are JSON already."""
    return f'{json.dumps(known)[:-1]}, "lines": {lines_json}}}'
