"""What the commands print: progress with the time left, and help in groups."""

from __future__ import annotations

import io
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from client.console import BatchProgress, ProgressBar, TimeLeft
from client.option_values import option_schemas
from client.options import PANELS
from tests.client.conftest import environment, run_command


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_time_left_does_not_count_the_wait_for_a_worker() -> None:
    clock = Clock()
    time_left = TimeLeft(clock)
    for now, fraction in ((100, 0.0), (399, 0.0), (404, 0.02)):
        clock.now = now
        time_left.update(fraction)
        assert str(time_left) == ""
    clock.now = 424
    time_left.update(0.25)
    assert str(time_left) == "about 75 s left"
    clock.now = 444
    assert str(time_left) == "about 55 s left"
    clock.now = 1000
    assert str(time_left) == ""


@pytest.mark.parametrize(
    ("seconds", "text"), [(89, "about 89 s left"), (300, "about 5 min left"), (7200, "about 2.0 h left")]
)
def test_the_time_left_has_a_fitting_unit(seconds: float, text: str) -> None:
    clock = Clock()
    time_left = TimeLeft(clock)
    time_left.update(0.2)
    clock.now += seconds
    time_left.update(0.6)
    assert str(time_left) == text


def test_a_batch_names_the_files_that_are_worked_on() -> None:
    bar = ProgressBar(Console(file=io.StringIO()), "audio", quiet=True)
    progress = BatchProgress(bar, {"a.wav": 100, "b.wav": 300, "done.wav": 1000})
    progress.finish("done.wav", skipped=True)
    progress.update("a.wav", 0.0, "sending")
    progress.update("b.wav", 0.5, "transcribing")
    assert bar.line() == "audio: 1 of 3 files, 38%; now a.wav 0%, b.wav 50%"
    progress.finish("a.wav")
    progress.finish("b.wav")
    assert bar.line().startswith("audio: 3 of 3 files, 100%")


def test_each_option_is_in_one_group_of_the_help() -> None:
    grouped = [name for names in PANELS.values() for name in names]
    assert sorted(grouped) == sorted(option_schemas())


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("command", ["transcribe", "batch"])
def test_help_is_plain_text_in_groups_with_examples(command: str, folder: Path) -> None:
    text = run_command(command, "--help", where="http://localhost", folder=folder).stdout
    groups = ["Arguments:", "Output:", *(f"{panel}:" for panel in PANELS if panel != "Output"), "Connection:"]
    positions = [text.index(f"\n{group}\n") for group in [*groups, "General:"]]
    assert positions == sorted(positions)
    assert max(map(len, text.splitlines())) <= 80
    assert text.isascii()
    assert "Default: ." not in text
    assert f"\n    python -m client.{command} " in text[text.index("Examples:") :]
    for code in (0, 2, 3, 4, 5, 6, 130):
        assert f"\n    {code} " in text[text.index("Exit codes:") :]


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("transcribe none.mp3", 2),
        ("batch . there", 2),
        ("live none.mp3", 2),
        ("live - --server http://127.0.0.1:9", 5),
        ("page --port 9 --host 192.0.2.1 --no-key", 1),
    ],
)
def test_a_command_runs_without_the_streams_that_its_caller_closed(
    folder: Path, command: str, code: int, closed: str
) -> None:
    shell = f"exec {shlex.quote(sys.executable)} -m client.{command} {closed}"
    env = {**environment("http://127.0.0.1:9", folder.parent), "DISPLAY": ":9"}
    done = subprocess.run(
        ["sh", "-c", shell], cwd=folder, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("flags", ["--stream", "-o -"])
def test_a_transcript_for_a_closed_stdout_is_refused(folder: Path, recording: Path, flags: str) -> None:
    shell = f"exec {shlex.quote(sys.executable)} -m client.transcribe {recording.name} {flags} >&-"
    env = environment("http://127.0.0.1:9", folder.parent)
    done = subprocess.run(["sh", "-c", shell], cwd=folder, env=env, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr[:23]) == (2, "Error: stdout is closed")
