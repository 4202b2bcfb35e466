"""The page's command: its start, the browser that it opens, and who may use the page."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import requests

from client.known_voices import Voice, VoiceFolder, VoiceSample
from client.page import has_display
from tests.client.conftest import run_command, wait_until
from tests.client.scripted_worker import ScriptedWorker, make_answer
from tests.client.test_serve import NOWHERE, end, started
from tests.platform.emulator import Platform
from tests.support.servers import free_port


def opened(
    folder: Path, *arguments: str, module: str = "page", **env: str
) -> AbstractContextManager[tuple[str, subprocess.Popen[str]]]:
    return started(module, NOWHERE, folder, *arguments, **env)


@pytest.mark.process
def test_it_says_where_the_page_is_and_keeps_transcripts_in_the_users_folder(folder: Path) -> None:
    with opened(folder) as (address, process):
        assert "<!doctype html>" in requests.get(f"{address}/", timeout=5).text
        session = requests.get(f"{address}/page/api/session", timeout=5).json()
        text = end(process, signal.SIGTERM)
    assert session["home"] == "bridge"
    assert session["needs_password"] is False
    assert f"The page: {address}/\n" in text
    assert re.search(rf"works once: {address}/#/enter/[\w-]{{32}}\n", text)
    assert (folder / "data" / "worker-whisper" / "bridge" / "transcripts.sqlite3").is_file()


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("flag", ["--open", "--no-open"])
def test_it_opens_the_browser_if_it_is_told_to(folder: Path, flag: str) -> None:
    browser, seen = folder / "browser", folder / "seen"
    browser.write_text(f'#!/bin/sh\necho "$1" > {seen}.new && mv {seen}.new {seen}\n')
    browser.chmod(0o755)
    with opened(folder, flag, BROWSER=f"{browser} %s", DISPLAY=":0") as (address, process):
        if flag == "--open":
            wait_until(seen.is_file, 60)
            assert re.fullmatch(rf"{address}/#/enter/[\w-]{{32}}\n", seen.read_text())
        end(process, signal.SIGTERM)
    assert seen.exists() is (flag == "--open")


@pytest.mark.slow
@pytest.mark.process
def test_without_a_terminal_no_browser_is_opened(folder: Path) -> None:
    browser = folder / "browser"
    browser.write_text(f"#!/bin/sh\ntouch {folder / 'seen'}\n")
    browser.chmod(0o755)
    with opened(folder, BROWSER=f"{browser} %s", DISPLAY=":0") as (_, process):
        end(process, signal.SIGTERM)
    assert not (folder / "seen").exists()


@pytest.mark.parametrize(
    ("variables", "platform", "expected"),
    [
        ({"DISPLAY": ":0"}, "linux", True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True),
        ({"DISPLAY": ""}, "linux", False),
        ({}, "linux", False),
        ({}, "darwin", True),
        ({}, "win32", True),
        ({"SSH_CONNECTION": "10.0.0.1 1 10.0.0.2 22"}, "darwin", False),
    ],
)
def test_a_display_is_known(variables: Mapping[str, str], platform: str, expected: bool) -> None:
    assert has_display(variables, platform) is expected


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_beyond_this_machine_it_asks_for_a_password(folder: Path, host: str) -> None:
    err = run_command("page", "--host", host, where=NOWHERE, folder=folder, code=2).stderr
    assert "others could use your endpoint: give a key" in err


@pytest.mark.process
def test_the_key_is_the_pages_password(folder: Path) -> None:
    with opened(folder, "--host", "0.0.0.0", WHISPER_SERVE_KEY="own") as (address, process):
        visit = requests.Session()
        visit.headers["x-requested-by"] = "page"
        assert visit.get(f"{address}/page/api/session", timeout=5).json()["needs_password"] is True
        assert visit.get(f"{address}/page/api/transcripts", timeout=5).status_code == 401
        visit.post(f"{address}/page/api/session", json={"password": "own"}, timeout=5)
        assert visit.get(f"{address}/page/api/transcripts", timeout=5).json() == {"transcripts": []}
        text = end(process, signal.SIGTERM)
    assert "password: the key of --serve-key or WHISPER_SERVE_KEY" in text
    assert " own\n" not in text


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize(("host", "is_named"), [("127.0.0.1", True), ("0.0.0.0", False)])
def test_known_voices_are_named_for_the_user_of_this_machine_alone(
    platform: Platform, folder: Path, host: str, is_named: bool
) -> None:
    sample = VoiceSample((1.0, *[0.0] * 191), 10.0, "2026-11-30")
    VoiceFolder(folder / "data" / "worker-whisper" / "voices").save(Voice("Ada", None, (sample,)))
    arguments = ("--host", host, "--no-key")
    with (
        ScriptedWorker(platform, lambda _job: make_answer("hello")) as worker,
        started("page", platform, folder, *arguments) as (address, process),
    ):
        visit = requests.Session()
        visit.headers["x-requested-by"] = "page"
        visit.get(f"{address}/page/api/session", timeout=20)
        job = {"url": "https://example.org/talk.mp3", "options": {"diarize": True}}
        assert visit.post(f"{address}/page/api/transcripts", json=job, timeout=20).status_code == 201
        wait_until(lambda: worker.jobs, 60)
        end(process, signal.SIGTERM)
    assert ("speakers" in worker.jobs[0]["input"]["options"]) is is_named


@pytest.mark.slow
@pytest.mark.process
def test_a_folder_that_another_server_uses_is_refused_if_it_was_asked_for(folder: Path) -> None:
    page_folder = str(folder / "page")
    with opened(folder, "--page-folder", page_folder) as (_, first):
        for command in ("page", "serve"):
            arguments = (command, "--port", free_port(), "--page-folder", page_folder)
            err = run_command(*arguments, where=NOWHERE, folder=folder, code=2).stderr
            assert "another server uses the page's folder: end it, or give this one another folder" in err
        end(first, signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.process
def test_without_a_folder_for_the_page_the_bridge_serves_the_api_and_says_so(folder: Path) -> None:
    (folder / "file").touch()
    with opened(folder, module="serve", XDG_DATA_HOME=str(folder / "file")) as (address, process):
        assert requests.get(f"{address}/v1/models", timeout=5).status_code == 200
        text = end(process, signal.SIGTERM)
    assert "No web page: the page's folder cannot be written" in text
    assert "The page:" not in text
