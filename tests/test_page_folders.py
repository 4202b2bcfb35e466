"""The default folder of the page."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from api.page.folders import default_folder
from tests.support.worker_process import run_python


def test_it_is_the_users_folder_for_data() -> None:
    assert default_folder("page", {"XDG_DATA_HOME": "/data"}) == Path("/data/worker-whisper/page")
    assert default_folder("page", {}) == Path.home() / ".local/share/worker-whisper/page"


@pytest.mark.process
def test_a_user_without_a_home_folder_has_one_that_cannot_be_made() -> None:
    """As in a container that runs under a number which /etc/passwd does not know."""
    start = (
        "os.environ.pop('HOME', None); os.setuid(2**31 - 7)" if os.geteuid() == 0 else "Path.home = classmethod(fail)"
    )
    script = f"""
import os
from pathlib import Path
from api.page.folders import default_folder
def fail(_): raise RuntimeError
{start}
try:
    default_folder("page", {{}}).mkdir(parents=True)
except OSError as error:
    print(type(error).__name__)
"""
    ran = run_python("-c", script)
    assert ran.stdout.strip() == "PermissionError", ran.stderr
