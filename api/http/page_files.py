"""The page's own files."""

from __future__ import annotations

import os
from pathlib import Path

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.staticfiles import NotModifiedResponse, StaticFiles
from starlette.types import Scope

from api.http.page_access import STATIC_PREFIX

STATIC = Path(__file__).resolve().parents[1] / "page" / "static"

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
}
"""Of all files that are served; the system's own table may be wrong, and then browsers would refuse the scripts."""


class _Files(StaticFiles):
    """Starlette's files of a folder, of known types alone; it refuses paths that lead out of the folder."""

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        media_type = _TYPES.get(Path(full_path).suffix)
        if media_type is None:
            raise HTTPException(404)
        response = FileResponse(full_path, status_code, media_type=media_type, stat_result=stat_result)
        unchanged = self.is_not_modified(response.headers, Headers(scope=scope))
        return NotModifiedResponse(response.headers) if unchanged else response


_files = _Files(directory=STATIC)


async def show_page(request: Request) -> Response:
    """`/`: the page."""
    return await _files.get_response("index.html", request.scope)


async def show_file(request: Request) -> Response:
    """`/page/static/...`: a file of the page."""
    return await _files.get_response(request.path_params["path"], request.scope)


_GZIP = [Middleware(GZipMiddleware, compresslevel=6)]

ROUTES = [
    Route("/", show_page, middleware=_GZIP),
    Route(f"{STATIC_PREFIX}{{path:path}}", show_file, middleware=_GZIP),
]
