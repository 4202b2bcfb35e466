"""What a folder holds while another thread or process still removes some of it."""

from __future__ import annotations

import os
from pathlib import Path


def entries_under(folder: Path) -> list[Path]:
    """Every file and folder under ``folder``, sorted; one that goes away meanwhile is left out (``rglob`` raises)."""
    return sorted(Path(place, name) for place, folders, files in os.walk(folder) for name in (*folders, *files))
