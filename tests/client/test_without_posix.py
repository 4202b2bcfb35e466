"""The client without what only Unix has; it was never run on Windows or macOS itself."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.client.conftest import CLIPS, environment, wait_until
from tests.client.scripted_worker import ScriptedWorker, make_answer
from tests.client.test_package import is_open
from tests.platform.emulator import Platform
from tests.support.servers import free_port

NOWHERE = "http://127.0.0.1:9"


def start(*arguments: Any, where: Platform | str, folder: Path) -> subprocess.Popen[str]:
    """Start the client without POSIX, on a terminal that knows no character beyond Western Europe's."""
    env = {**environment(where, folder.parent), "XDG_DATA_HOME": str(folder / "data"), "PYTHONIOENCODING": "cp1252"}
    return subprocess.Popen(
        [sys.executable, "-m", "tests.client.without_posix", *map(str, arguments)],
        cwd=folder,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="cp1252",
    )


def run(*arguments: Any, where: Platform | str = NOWHERE, folder: Path, code: int = 0) -> str:
    process = start(*arguments, where=where, folder=folder)
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, out + err
    assert "Traceback" not in out + err
    return out + err


@pytest.mark.process
def test_a_large_recording_is_compressed_cut_and_transcribed(
    platform: Platform, folder: Path, long_recording: Path
) -> None:
    with ScriptedWorker(platform, lambda _job: make_answer("Łódź 東京")) as worker:
        text = run("transcribe", long_recording, "-f", "txt", "-o", "out.txt", "--payload-limit", 160_000,
                   where=platform, folder=folder)  # fmt: skip
    assert "Wrote out.txt" in text
    assert len(worker.jobs) > 1
    assert (folder / "out.txt").read_text(encoding="utf-8").count("Łódź 東京") == len(worker.jobs)


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.usefixtures("recording")
def test_text_is_printed_as_far_as_the_terminal_knows_its_characters(platform: Platform, folder: Path) -> None:
    with ScriptedWorker(platform, lambda _job: make_answer("Grüße aus 東京")):
        text = run("transcribe", "talk.ogg", "-f", "txt", "-o", "-", where=platform, folder=folder)
        streamed = run("transcribe", "talk.ogg", "-f", "srt", "--stream", "--quiet", where=platform, folder=folder)
    assert "Grüße aus ??" in text
    assert "Grüße aus ??" in streamed


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("name", ["cut.mp4", "東京.mp3"])
def test_a_damaged_file_is_refused_with_a_sentence(folder: Path, name: str) -> None:
    (folder / name).write_bytes((CLIPS / "demo.ogg").read_bytes()[:60])
    assert "has no audio that can be decoded" in run("transcribe", name, folder=folder, code=3)


@pytest.mark.slow
@pytest.mark.process
def test_the_page_is_served(folder: Path) -> None:
    port = free_port()
    process = start("page", "--no-open", "--port", port, where=NOWHERE, folder=folder)
    address = f"http://127.0.0.1:{port}"
    wait_until(lambda: process.poll() is not None or is_open(address), 60)
    assert requests.get(f"{address}/page/api/session", timeout=20).status_code == 200
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.process
def test_without_fontconfig_captions_are_refused_with_a_sentence(folder: Path) -> None:
    program = """
import builtins
from tests.client.without_posix import import_as_on_windows
builtins.__import__ = import_as_on_windows
from media.fonts import SYSTEM_FONTS, NoFont, find_faces
try:
    find_faces(SYSTEM_FONTS)
except NoFont as error:
    print(error)
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(
        command, cwd=folder, env=environment(NOWHERE, folder), capture_output=True, text=True, check=True
    )
    assert "make a subtitle track instead" in done.stdout
