"""The fitness checks, each on this machine and on a broken one."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from media.sandbox import ffmpeg_executable
from src.self_test import start_decoding_demo
from src.serving import fitness
from src.settings import get_settings
from src.startup import SelfTest
from src.whisper_processor import WhisperProcessor
from tests.support.clips import ROOT
from tests.support.sentences import sentence_of

BROKEN_FFMPEG = """#!/bin/sh
echo "ffmpeg: error while loading shared libraries: libavcodec.so.60" >&2
exit 127
"""

CHECKS = """
import asyncio, runpod
from runpod.serverless.modules.rp_fitness import run_fitness_checks
from types import SimpleNamespace as Fake
from concurrent.futures import Future
from src.self_test import start_decoding_demo
from src.serving.fitness import checks
from src.startup import SelfTest
for check in checks(Fake(device="cpu"), SelfTest(start_decoding_demo(), Future())):
    runpod.serverless.register_fitness_check(check)
asyncio.run(run_fitness_checks())
print("still alive")
"""


@pytest.fixture(scope="module")
def processor() -> Iterator[WhisperProcessor]:
    loaded = WhisperProcessor("tiny.en")
    yield loaded
    loaded.close()


@pytest.fixture
def broken_ffmpeg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder at the front of PATH whose ffmpeg does not start."""
    program = tmp_path / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text(BROKEN_FFMPEG)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    ffmpeg_executable.cache_clear()
    yield program.parent
    ffmpeg_executable.cache_clear()


@pytest.mark.model
@pytest.mark.process
def test_on_this_machine_every_check_passes(
    processor: WhisperProcessor, no_files_left: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = get_settings().model_copy(update={"warm_up": True})
    monkeypatch.setattr(fitness, "get_settings", lambda: settings)
    monkeypatch.setattr(processor, "slots", 2)
    self_test = SelfTest(start_decoding_demo(), Future())
    self_test.transcription.set_result(None)
    checks = fitness.checks(processor, self_test)
    names = ["disk_has_space", "ffmpeg_works", "model_transcribes", "full_batch_works"]
    assert [check.__name__ for check in checks] == names
    for check in checks:
        assert check() is None


@pytest.mark.model
def test_a_full_batch_is_decoded_only_with_warm_up(processor: WhisperProcessor) -> None:
    checks = fitness.checks(processor, SelfTest(Future(), Future()))
    assert [check.__name__ for check in checks] == ["disk_has_space", "ffmpeg_works", "model_transcribes"]


@pytest.mark.model
def test_the_check_of_the_model_raises_what_the_self_test_found(processor: WhisperProcessor) -> None:
    self_test = SelfTest(Future(), Future())
    self_test.transcription.set_exception(RuntimeError("this GPU miscalculates"))
    model_transcribes = fitness.checks(processor, self_test)[2]
    with pytest.raises(RuntimeError, match="this GPU miscalculates"):
        model_transcribes()


@pytest.mark.process
def test_a_worker_with_a_broken_ffmpeg_says_so_in_one_line_and_exits(broken_ffmpeg: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", CHECKS],
        cwd=ROOT,
        env={
            **os.environ,
            "RUNPOD_SKIP_GPU_CHECK": "true",
            "RUNPOD_SKIP_AUTO_SYSTEM_CHECKS": "true",
            "RUNPOD_LOG_LEVEL": "INFO",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 1
    assert "still alive" not in ran.stdout
    assert "Traceback" not in ran.stdout + ran.stderr
    [line] = [line for line in ran.stdout.splitlines() if "Fitness check failed" in line]
    assert line.startswith("ERROR  | Fitness check failed: ffmpeg_works | RuntimeError: ffmpeg does not decode")
    assert line.endswith("install a whole ffmpeg of version 5 or later")


@pytest.mark.model
@pytest.mark.process
def test_an_ffmpeg_that_does_not_start_is_detected(
    processor: WhisperProcessor, broken_ffmpeg: Path, no_files_left: Path
) -> None:
    ffmpeg_works = fitness.checks(processor, SelfTest(start_decoding_demo(), Future()))[1]
    with pytest.raises(RuntimeError, match="ffmpeg does not decode") as failure:
        ffmpeg_works()
    assert "install" in sentence_of(failure)


def with_free(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    usage = shutil.disk_usage("/")._replace(free=free)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)


def test_a_full_disk_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    with_free(monkeypatch, 200_000_000)
    with pytest.raises(RuntimeError, match="200 MB free and a recording needs 1074 MB") as failure:
        fitness.disk_has_space()
    assert "larger disk" in sentence_of(failure)


def test_small_recordings_need_a_small_disk_only(monkeypatch: pytest.MonkeyPatch) -> None:
    with_free(monkeypatch, 200_000_000)
    monkeypatch.setattr(get_settings(), "max_audio_bytes", 100_000_000)
    fitness.disk_has_space()


def test_a_folder_that_cannot_be_written_is_detected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(RuntimeError, match=os.strerror(errno.ENOENT)) as failure:
        fitness.disk_has_space()
    assert "TMPDIR" in sentence_of(failure)
