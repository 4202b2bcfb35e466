"""The page's own files."""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from stat import S_ISREG

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

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


@dataclass(frozen=True)
class _File:
    """A file as it was read, and when and how large it was then."""

    version: tuple[int, int]
    body: bytes
    zipped: bytes
    etag: str


class _Files:
    """Files of a folder, of known types alone; paths that lead out of the folder are refused.

    They are read and compressed once, until they change: a load of the page asks for dozens.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory.resolve()
        self._read: dict[Path, _File] = {}

    def answer(self, request: Request, name: str) -> Response:
        """Answer with a file.

        Raises:
            HTTPException: there is none of this name.
        """
        path = self._find(name)
        file = self._load(path)
        headers = {"etag": file.etag, "vary": "accept-encoding"}
        known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
        if file.etag in known:
            return Response(status_code=304, headers=headers)
        if "gzip" not in request.headers.get("accept-encoding", ""):
            return Response(file.body, media_type=_TYPES[path.suffix], headers=headers)
        return Response(file.zipped, media_type=_TYPES[path.suffix], headers={**headers, "content-encoding": "gzip"})

    def _find(self, name: str) -> Path:
        try:
            path = (self._directory / name).resolve()
        except (OSError, ValueError):
            raise HTTPException(404) from None
        if not path.is_relative_to(self._directory) or path.suffix not in _TYPES:
            raise HTTPException(404)
        return path

    def _load(self, path: Path) -> _File:
        try:
            about = path.stat()
            version = (about.st_mtime_ns, about.st_size)
            file = self._read.get(path)
            if file is None or file.version != version:
                if not S_ISREG(about.st_mode):
                    raise HTTPException(404)
                body = path.read_bytes()
                etag = f'"{sha256(body).hexdigest()[:32]}"'
                file = self._read[path] = _File(version, body, gzip.compress(body, 6, mtime=0), etag)
        except (OSError, ValueError):
            raise HTTPException(404) from None
        return file


_files = _Files(STATIC)


async def show_page(request: Request) -> Response:
    """`/`: the page."""
    return _files.answer(request, "index.html")


async def show_file(request: Request) -> Response:
    """`/page/static/...`: a file of the page."""
    return _files.answer(request, request.path_params["path"])


ROUTES = [
    Route("/", show_page),
    Route(f"{STATIC_PREFIX}{{path:path}}", show_file),
]
