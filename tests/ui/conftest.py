"""Fixtures of the page's tests: platforms with workers, the page connected to them, and a browser.

All are separate processes, as for a user: the platform and its workers from .venv, the page from .venv-client.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import imageio_ffmpeg
import pytest
from playwright.sync_api import Browser, Page, Request, expect, sync_playwright

ROOT = Path(__file__).resolve().parents[2]
CLIPS = ROOT / "tests" / "data"
ARTEFACTS = Path(__file__).parent / "artefacts"
KEY = "the-key-that-no-browser-may-see"
TIMEOUT_S = 240.0
"""Generous, for slow and busy machines."""

expect.set_options(timeout=TIMEOUT_S * 1000)


@dataclass(frozen=True)
class Server:
    """A running page."""

    address: str


@pytest.fixture(scope="session")
def whisper() -> Iterator[Server]:
    """The page with a real worker and tiny.en."""
    with _page("handler.py", WHISPER_MODEL="tiny.en", STREAMING="true") as server:
        yield server


@pytest.fixture(scope="session")
def serve() -> Iterator[Server]:
    """The page with `make serve`: one worker, with neither endpoint nor key."""
    port = str(_free_port())
    command = [str(ROOT / ".venv/bin/python"), "-u", "handler.py", "--rp_serve_api", "--rp_api_port", port]
    with (
        _running(command, r"running on (http\S+)", WHISPER_MODEL="tiny.en"),
        _served(RUNPOD_BASE_URL=f"http://localhost:{port}", RUNPOD_ENDPOINT_ID="", RUNPOD_API_KEY="") as server,
    ):
        yield server


@pytest.fixture(scope="session")
def actor() -> Iterator[Server]:
    """The page with a scripted worker."""
    with _page("tests/ui/actor.py") as server:
        yield server


@contextmanager
def _page(script: str, **env: str) -> Iterator[Server]:
    command = [str(ROOT / ".venv/bin/python"), "-u", "-m", "tests.platform", "--port", "0", "--api-key", KEY]
    with (
        _running([*command, "--script", script], r"base URL +(\S+)", **env) as base,
        _served(RUNPOD_BASE_URL=base, RUNPOD_ENDPOINT_ID="ep", RUNPOD_API_KEY=KEY) as server,
    ):
        yield server


@contextmanager
def _served(**settings: str) -> Iterator[Server]:
    command = [sys.executable, "-u", "-m", "client.app", "--port", str(_free_port())]
    with _running(command, r"URL: +(http\S+)", **settings) as address:
        yield Server(address)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def _running(command: Sequence[str | Path], announced: str, **env: str) -> Iterator[str]:
    """Run a process, and yield the address that it prints, found by the pattern `announced`."""
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **env}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout
    try:
        printed = ""
        while not (found := re.search(announced, printed)):
            line = process.stdout.readline()
            assert line, f"{command} ended:\n{printed}"
            printed += line
        yield found[1]
    finally:
        process.terminate()
        process.communicate(timeout=60)


@pytest.fixture(scope="session")
def microphone_audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The audio of the browser's fake microphone, played in a loop."""
    path = tmp_path_factory.mktemp("microphone") / "microphone.wav"
    _ffmpeg("-i", CLIPS / "numbers.mp3", "-ar", "48000", path)
    return path


@pytest.fixture(scope="session")
def call(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stereo call: two people who speak in turn, one per channel."""
    path = tmp_path_factory.mktemp("call") / "call.wav"
    turns = [CLIPS / "long.ogg", CLIPS / "demo.ogg", CLIPS / "video.mp4"]
    mix = (
        "[0:a]aresample=16000,atrim=0:7.8[first];[2:a]aresample=16000,adelay=15500[later];"
        "[first][later]amix=normalize=0,apad=whole_dur=20[left];"
        "[1:a]aresample=16000,adelay=8200,apad=whole_dur=20[right];"
        "[left][right]join=inputs=2:channel_layout=stereo[call]"
    )
    inputs = [part for turn in turns for part in ("-i", turn)]
    _ffmpeg(*inputs, "-filter_complex", mix, "-map", "[call]", "-t", "20", path)
    return path


def _ffmpeg(*arguments: str | Path) -> None:
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-nostdin", "-loglevel", "error", *arguments], check=True)


@pytest.fixture(scope="session")
def browser(microphone_audio: Path) -> Iterator[Browser]:
    arguments = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
        "--disable-background-networking", "--disable-component-update", "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream", f"--use-file-for-fake-audio-capture={microphone_audio}",
    ]  # fmt: skip
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A tab that saves a screenshot, and fails the test if anything is loaded from elsewhere or a script fails."""
    context = browser.new_context(
        viewport=getattr(request, "param", {"width": 1280, "height": 860}), permissions=["microphone"]
    )
    context.set_default_timeout(TIMEOUT_S * 1000)
    page = context.new_page()
    elsewhere: list[str] = []
    errors: list[str] = []

    def check_origin(request: Request) -> None:
        if not re.match(r"(http://(127\.0\.0\.1|localhost)[:/]|data:|blob:)", request.url):
            elsewhere.append(request.url)

    page.on("request", check_origin)
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    ARTEFACTS.mkdir(exist_ok=True)
    name = re.sub(r"\W+", "_", request.node.name).strip("_")
    page.screenshot(path=ARTEFACTS / f"{name}.png")
    context.close()
    assert (elsewhere, errors) == ([], [])
