"""Uploads in pieces."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from api.openai.errors import ApiError


class Taken(NamedTuple):
    """A finished upload, whose file is now its taker's to move."""

    path: Path
    name: str
    size: int


class Uploads:
    """Uploads in pieces.

    Args:
        folder: for their files.
        reserve_bytes: of its disk that are left free.
    """

    def __init__(self, folder: Path, reserve_bytes: int) -> None:
        self._folder = folder
        folder.mkdir(0o700, exist_ok=True)

    def take(self, owner: str, upload_id: str) -> Taken:
        """A finished upload.

        Raises:
            ApiError: there is none.
        """
        path = self._folder / f"{owner[:16]}-{Path(upload_id).name}"
        if not path.is_file():
            raise ApiError(404, "there is no such upload", code="no_upload")
        return Taken(path, "talk.mp3", path.stat().st_size)
