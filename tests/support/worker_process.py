"""The worker's programs as child processes."""

from __future__ import annotations

import os
import subprocess
import sys

from tests.support.clips import ROOT


def run_python(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs Python in the repository's root to its end, with `tiny.en` as the worker's model."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "WHISPER_MODEL": "tiny.en", **env},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
