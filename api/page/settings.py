"""Settings of the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Home = Literal["worker", "bridge"]


def no_voices() -> Mapping[str, Any]:
    """Return no known voices."""
    return {}


@dataclass(frozen=True)
class PageSettings:
    """Settings of the page.

    Attributes:
        folder: for transcripts and recordings; only one server at a time can use it.
        home: what transcribes: models of this process, or an endpoint.
        reserve_bytes: of the folder's disk that the page leaves free.
        known_voices: called at the start of each job; its voices, as the option `speakers` takes them, are named in
            transcripts with speakers, of all visitors.
    """

    folder: Path
    home: Home
    reserve_bytes: int = 1 << 30
    known_voices: Callable[[], Mapping[str, Any]] = no_voices

    @property
    def media_folder(self) -> Path:
        """The folder with a folder for each transcript, named by its id."""
        return self.folder / "media"
