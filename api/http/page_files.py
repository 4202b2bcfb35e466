"""The page's own files."""

from __future__ import annotations

import gzip
import re
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


_VERSIONED = re.compile(r"v-(?P<version>[0-9a-f]{16})/(?P<name>.*)", re.ASCII | re.DOTALL)
_FOR_EVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True)
class _File:
    """A file as it was read, and when and how large it was then."""

    state: tuple[int, int]
    body: bytes
    zipped: bytes
    etag: str


class _Files:
    """Files of a folder, of known types alone; paths that lead out of the folder are refused.

    They are read and compressed once, until they change: a load of the page asks for dozens. Their addresses hold the
    version of all of them, so that browsers ask once for each, and again when one has changed.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory.resolve()
        self._read: dict[Path, _File] = {}
        self._version = ""

    def answer_index(self, request: Request) -> Response:
        """Answer with the page, whose files' addresses hold their version."""
        body = self._load(self._directory / "index.html").body
        self._version = self._find_version()
        versioned = f"{STATIC_PREFIX[1:]}v-{self._version}/".encode()
        return _respond(request, _compress((0, 0), body.replace(STATIC_PREFIX[1:].encode(), versioned)), ".html")

    def answer(self, request: Request, name: str) -> Response:
        """Answer with a file, whatever version is asked for, so that a page older than the server goes on working.

        Raises:
            HTTPException: there is no such file.
        """
        versioned = _VERSIONED.fullmatch(name)
        path = self._find(versioned["name"] if versioned else name)
        response = _respond(request, self._load(path), path.suffix)
        if versioned and versioned["version"] == self._version:
            response.headers["cache-control"] = _FOR_EVER
        return response

    def _find_version(self) -> str:
        paths = sorted(path for path in self._directory.rglob("*") if path.suffix in _TYPES and path.is_file())
        tags = [f"{path.relative_to(self._directory)} {self._load(path).etag}" for path in paths]
        return sha256("\n".join(tags).encode()).hexdigest()[:16]

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
            state = (about.st_mtime_ns, about.st_size)
            file = self._read.get(path)
            if file is None or file.state != state:
                if not S_ISREG(about.st_mode):
                    raise HTTPException(404)
                file = self._read[path] = _compress(state, path.read_bytes())
        except (OSError, ValueError):
            raise HTTPException(404) from None
        return file


def _compress(state: tuple[int, int], body: bytes) -> _File:
    return _File(state, body, gzip.compress(body, 6, mtime=0), f'"{sha256(body).hexdigest()[:32]}"')


def _respond(request: Request, file: _File, suffix: str) -> Response:
    headers = {"etag": file.etag, "vary": "accept-encoding"}
    known = [tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")]
    if file.etag in known:
        return Response(status_code=304, headers=headers)
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(file.body, media_type=_TYPES[suffix], headers=headers)
    return Response(file.zipped, media_type=_TYPES[suffix], headers={**headers, "content-encoding": "gzip"})


_files = _Files(STATIC)


async def show_page(request: Request) -> Response:
    """`/`: the page."""
    return _files.answer_index(request)


async def show_file(request: Request) -> Response:
    """`/page/static/...`: a file of the page."""
    return _files.answer(request, request.path_params["path"])


ROUTES = [
    Route("/", show_page),
    Route(f"{STATIC_PREFIX}{{path:path}}", show_file),
]
