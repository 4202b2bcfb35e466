"""The folder of the page's transcripts and recordings."""

from __future__ import annotations

from pathlib import Path

from api.page.folders import default_folder
from src.settings import POD_VOLUME, Settings


def find_page_folder(settings: Settings) -> Path:
    """The folder for the page's transcripts and recordings, which need not exist."""
    if settings.page_folder is not None:
        return settings.page_folder
    return POD_VOLUME / "worker-whisper" if POD_VOLUME.is_dir() else default_folder("page")
