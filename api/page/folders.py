"""The default folder of the page."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def default_folder(name: str, environment: Mapping[str, str] = os.environ) -> Path:
    """A user's folder for data (https://specifications.freedesktop.org/basedir-spec/latest/), which need not exist.

    Args:
        name: of a server that may run beside others, since only one can use a folder.
        environment: the process's.
    """
    data = Path(environment.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return data / "worker-whisper" / name
