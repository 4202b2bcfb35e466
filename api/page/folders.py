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
    data = Path(environment.get("XDG_DATA_HOME") or _home() / ".local" / "share")
    return data / "worker-whisper" / name


def _home() -> Path:
    """The user's home folder; Debian's for a user without one, which no server can write to, if there is none."""
    try:
        return Path.home()
    except RuntimeError:  # in a container that runs under a user's number alone
        return Path("/nonexistent")
