"""The client does not depend on the worker, which is not installed on a user's machine, and its imports run one way."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.client.conftest import ROOT

LIVE_AUDIO = ROOT / "api" / "live" / "audio_format.py"
"""Resamples for live sessions, which the worker alone serves."""

TRACK_CLOCK = ROOT / "media" / "track_clock.py"
"""Correlates tracks by numpy, which the client has, and imports for several tracks only."""

FILES = sorted(
    path for package in ("client", "api", "media") for path in (ROOT / package).rglob("*.py") if path != LIVE_AUDIO
)
WORKER_MODULES = {"src", "builder", "tests", "handler", "torch", "whisper", "runpod", "numpy"}
DISTRIBUTIONS = {
    "docx": "python-docx",
    "ffmpeg": "ffmpeg-python",
    "fontTools": "fonttools",
    "fontconfig": "fontconfig-py",
    "imageio_ffmpeg": "imageio-ffmpeg",
    "prometheus_client": "prometheus-client",
    "python_multipart": "python-multipart",
}
"""Names of packages that differ from their modules'."""

SERVER_MODULES = ("starlette", "uvicorn", "python_multipart", "prometheus_client", "anyio", "api", "asyncio")
ARROWS: dict[str, set[str]] = {
    "merge": set(),
    "media": {"errors", "files"},
    "realtime": {"console", "errors", "invocation", "media", "settings", "transport"},
    "transport": {"errors", "files", "media", "settings"},
}
"""The other modules of the client that a package may import."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_client_imports_nothing_from_the_worker(path: Path) -> None:
    forbidden = WORKER_MODULES - ({"numpy"} if path == TRACK_CLOCK else set())
    assert not {name.partition(".")[0] for name in imported_modules(path)} & forbidden


def test_imports_of_the_command_line_are_in_its_requirements() -> None:
    modules = {name for path in FILES for name in imported_modules(path)}
    names = {name.partition(".")[0] for name in modules}
    pinned = (ROOT / "client" / "requirements.txt").read_text()
    standard = sys.stdlib_module_names | {"tomllib"}  # which Python 3.10 has not: there it is tomli
    for name in names - standard - {"client", "api", "media", "transcript"}:
        assert DISTRIBUTIONS.get(name, name) + "==" in pinned


@pytest.mark.parametrize("package", ARROWS)
def test_imports_between_packages_run_one_way(package: str) -> None:
    modules = {name for path in (ROOT / "client" / package).glob("*.py") for name in imported_modules(path)}
    imported = {name.split(".")[1] for name in modules if name.startswith("client.")}
    assert imported - {package} == ARROWS[package]


@pytest.mark.process
@pytest.mark.parametrize("command", ["transcribe", "batch"])
def test_other_commands_do_not_load_the_server(command: str) -> None:
    program = f"import sys, client.{command}; print(*(name for name in {SERVER_MODULES} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    # For Python 3.10 there is only a filelock that imports asyncio itself.
    assert set(done.stdout.split()) <= ({"asyncio"} if sys.version_info < (3, 11) else set())


@pytest.mark.process
@pytest.mark.parametrize(
    ("modules", "unneeded"),
    [
        ("api.http.app, api.http.loading_server, client.bridge", ("numpy", "budoux", "docx", "sqlite3")),
        ("api.http.app, api.http.page", ("docx", "fontTools", "fontconfig", "langcodes", "rjieba")),
    ],
    ids=["API", "page"],
)
def test_the_server_needs_no_package_but_the_clients_own(modules: str, unneeded: tuple[str, ...]) -> None:
    program = f"""
import sys
for name in {("torch", "pydantic", "fastapi", "runpod", "openai", "opencc", "soxr", "src", *unneeded)}:
    sys.modules[name] = None
import {modules}
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def imported_modules(path: Path) -> set[str]:
    """Modules imported anywhere in a file, by their full names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found
