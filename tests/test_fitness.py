"""The fitness checks, each on this machine and on a broken one."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from runpod.serverless.modules import rp_fitness

from media.sandbox import ffmpeg_executable
from src.audio.pcm import SAMPLE_RATE
from src.serving import fitness
from src.settings import get_settings
from src.whisper_processor import WhisperProcessor
from tests.support.clips import ROOT, spoken, words
from transcript.transcript import Segment, Transcript

BROKEN_FFMPEG = """#!/bin/sh
echo "ffmpeg: error while loading shared libraries: libavcodec.so.60" >&2
exit 127
"""

CHECKS = """
import asyncio
from runpod.serverless.modules.rp_fitness import run_fitness_checks
from types import SimpleNamespace as Fake
from src.serving.fitness import register
register(Fake(device="cpu"))
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


@pytest.fixture
def registered() -> Iterator[list[Any]]:
    """The SDK's list of checks, empty during the test, and restored after it."""
    before = list(rp_fitness._fitness_checks)
    rp_fitness.clear_fitness_checks()
    yield rp_fitness._fitness_checks
    rp_fitness._fitness_checks[:] = before


def sentence_of(failure: pytest.ExceptionInfo[RuntimeError]) -> str:
    """The check's message, in the form of our errors and short enough for RunPod to keep it whole."""
    sentence = str(failure.value)
    assert "\n" not in sentence
    assert not sentence.endswith(".")
    assert len(f"RuntimeError: {sentence}") <= 256
    return sentence


@pytest.mark.model
@pytest.mark.process
def test_on_this_machine_every_check_passes_as_the_sdk_calls_it(
    processor: WhisperProcessor, registered: list[Any], no_files_left: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = get_settings().model_copy(update={"warm_up": True})
    monkeypatch.setattr(fitness, "get_settings", lambda: settings)
    monkeypatch.setattr(processor, "slots", 2)
    fitness.register(processor)
    names = ["disk_has_space", "ffmpeg_works", "model_transcribes", "full_batch_works"]
    assert [check.__name__ for check in registered] == names
    for check in registered:
        assert check() is None


@pytest.mark.model
@pytest.mark.process
def test_a_full_batch_is_decoded_only_with_warm_up(processor: WhisperProcessor, registered: list[Any]) -> None:
    fitness.register(processor)
    assert [check.__name__ for check in registered] == ["disk_has_space", "ffmpeg_works", "model_transcribes"]


def test_the_expected_words_and_seconds_are_those_of_the_clip() -> None:
    assert words(fitness.DEMO_WORDS) == spoken("demo.ogg")
    with fitness.demo_clip() as clip:
        assert clip.read_bytes() == (ROOT / "tests" / "data" / "demo.ogg").read_bytes()


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


@pytest.mark.process
def test_an_ffmpeg_that_does_not_start_is_detected(broken_ffmpeg: Path, no_files_left: Path) -> None:
    with pytest.raises(RuntimeError, match="ffmpeg does not decode") as failure:
        fitness.ffmpeg_works()
    assert "install" in sentence_of(failure)


@pytest.mark.parametrize(
    ("pcm", "expected"),
    [
        (np.zeros(int(6.7 * SAMPLE_RATE), np.int16), r"6\.7 s of silence"),
        (np.ones(SAMPLE_RATE, np.int16), r"1\.0 s of sound"),
    ],
)
def test_an_ffmpeg_that_decodes_wrongly_is_detected(
    pcm: np.ndarray, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitness, "decode_audio", lambda *_, **__: pcm)
    with pytest.raises(RuntimeError, match=expected) as failure:
        fitness.ffmpeg_works()
    sentence_of(failure)


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


def segment(text: str, avg_logprob: float = -0.2) -> Segment:
    return Segment(0, 0, 0.0, 6.0, text, [], 0.0, avg_logprob, 1.2, 0.1)


@pytest.mark.model
@pytest.mark.process
@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        ([], "recognizes 0 of"),
        ([segment(" Thank you for watching the video.")], "recognizes 1 of"),
        ([segment(fitness.DEMO_WORDS, float("nan"))], "miscalculates"),
    ],
)
def test_a_model_that_outputs_nothing_or_nonsense_is_detected(
    segments: list[Segment], expected: str, processor: WhisperProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "transcribe", lambda *_, **__: Transcript("en", 1.0, 6.7, segments))
    with pytest.raises(RuntimeError, match=expected) as failure:
        fitness.check_transcription(processor)
    assert "tiny.en" in sentence_of(failure)


@pytest.mark.model
@pytest.mark.process
@pytest.mark.model
@pytest.mark.process
def test_a_model_with_a_few_wrong_words_passes(processor: WhisperProcessor, monkeypatch: pytest.MonkeyPatch) -> None:
    nearly_right = segment(" A quick brown fox jump over a lazy dock, speech goes in and the text come out")
    monkeypatch.setattr(processor, "transcribe", lambda *_, **__: Transcript("en", 1.0, 6.7, [nearly_right]))
    fitness.check_transcription(processor)


@pytest.mark.model
@pytest.mark.process
def test_a_failing_device_is_reported_in_one_line(processor: WhisperProcessor, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> Transcript:
        raise ValueError("CUDA error: device-side assert triggered\n" + "CUDA kernel errors might be reported\n" * 50)

    monkeypatch.setattr(processor, "transcribe", fail)
    with pytest.raises(RuntimeError, match="device-side assert triggered") as failure:
        fitness.check_transcription(processor)
    assert "ValueError" in sentence_of(failure)


@pytest.mark.parametrize("job", [None, "no JSON", "{}", "[]", '{"input": {"audio": {"base64": "?"}}}'])
def test_an_image_without_the_demo_is_detected(
    job: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "test_input.json"
    if job is not None:
        path.write_text(job)
    monkeypatch.setattr(fitness, "DEMO_JOB", path)
    with pytest.raises(RuntimeError, match=r"test_input\.json does not hold the demo's clip") as failure:
        fitness.ffmpeg_works()
    assert "build the image again" in sentence_of(failure)
