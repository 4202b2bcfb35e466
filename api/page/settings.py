"""Settings of the page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Home = Literal["worker", "bridge"]


@dataclass(frozen=True)
class PageSettings:
    """Settings of the page.

    Attributes:
        folder: for transcripts and recordings; only one server at a time can use it.
        home: what transcribes: models of this process, or an endpoint.
        reserve_bytes: of the folder's disk that the page leaves free.
    """

    folder: Path
    home: Home
    reserve_bytes: int = 1 << 30

    @property
    def media_folder(self) -> Path:
        """The folder with a folder for each transcript, named by its id."""
        return self.folder / "media"
