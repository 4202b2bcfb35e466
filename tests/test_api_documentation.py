"""docs/openai.md and the README's first lines for callers of whisper-1: each example runs as it stands."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.openai.request import RESPONSE_FORMATS
from media.sandbox import ffmpeg_executable
from tests.support.clips import CLIPS, ROOT, assert_spoken
from tests.support.http_worker import http_worker

PAGE = (ROOT / "docs" / "openai.md").read_text()
README = (ROOT / "README.md").read_text()
KEY = "sk-local"


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


OF_README = [code for code in blocks(README, "python") if "worker_whisper" not in code]
"""Without that of the client, whose tests run it."""

PYTHON = [*OF_README, *blocks(PAGE, "python")]
SHELL = blocks(PAGE, "sh")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The worker's address."""
    with http_worker(WHISPER_MODEL="base", API_KEYS=KEY) as worker:
        yield f"127.0.0.1:{worker.port}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the recording that the examples name."""
    folder = tmp_path_factory.mktemp("examples")
    command = [ffmpeg_executable(), "-v", "error", "-i", str(CLIPS / "demo.ogg"), str(folder / "talk.mp3")]
    subprocess.run(command, check=True)
    return folder


def printed(command: list[str], folder: Path) -> str:
    """What a command prints that is run in a folder."""
    run = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout


def test_there_are_examples() -> None:
    assert len(OF_README) == 1
    assert len(blocks(PAGE, "python")) >= 2
    assert len(SHELL) >= 1


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.process
@pytest.mark.parametrize("code", PYTHON, ids=lambda code: code.splitlines()[-1].strip()[:40])
def test_a_python_example_prints_what_is_said(server: str, folder: Path, code: str) -> None:
    output = printed([sys.executable, "-c", code.replace("localhost:8000", server)], folder)
    if "-->" in output:
        output = re.sub(r"^\d+$|.* --> .*", "", output, flags=re.MULTILINE)
    if "word.speaker" in code:
        output, lines = re.subn(r"^\d+\.\d+ SPEAKER_00 +", "", output, flags=re.MULTILINE)
        assert lines == len(output.splitlines())
    assert_spoken(output, "demo.ogg")


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.process
@pytest.mark.parametrize("code", SHELL, ids=lambda code: code.split()[0])
def test_a_shell_example_prints_what_is_said(server: str, folder: Path, code: str) -> None:
    output = printed(["sh", "-c", code.replace("localhost:8000", server)], folder)
    assert_spoken(json.loads(output)["text"], "demo.ogg")


def test_each_response_format_is_described() -> None:
    table = PAGE.partition("## Answers")[2].partition("| asked for")[0]
    assert set(re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in table.splitlines() if "|" in line))) == {
        "response_format",
        *RESPONSE_FORMATS,
    }
