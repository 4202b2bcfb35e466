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
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from media.sandbox import ffmpeg_executable
from src.audio.pcm import SAMPLE_RATE, Pcm
from src.engine.model import Encoder
from src.serving import fitness
from src.settings import get_settings
from src.whisper_processor import WhisperProcessor
from tests.support.clips import ROOT, spoken, words

BROKEN_FFMPEG = """#!/bin/sh
echo "ffmpeg: error while loading shared libraries: libavcodec.so.60" >&2
exit 127
"""

CHECKS = """
import asyncio, runpod
from runpod.serverless.modules.rp_fitness import run_fitness_checks
from types import SimpleNamespace as Fake
from src.serving.fitness import checks, start_decoding_demo
for check in checks(Fake(device="cpu"), start_decoding_demo()):
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


def sentence_of(failure: pytest.ExceptionInfo[RuntimeError]) -> str:
    """The check's message, in the form of our errors and short enough for RunPod to keep it whole."""
    sentence = str(failure.value)
    assert "\n" not in sentence
    assert not sentence.endswith(".")
    assert len(f"RuntimeError: {sentence}") <= 256
    return sentence


@pytest.mark.model
@pytest.mark.process
def test_on_this_machine_every_check_passes(
    processor: WhisperProcessor, no_files_left: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = get_settings().model_copy(update={"warm_up": True})
    monkeypatch.setattr(fitness, "get_settings", lambda: settings)
    monkeypatch.setattr(processor, "slots", 2)
    checks = fitness.checks(processor, fitness.start_decoding_demo())
    names = ["disk_has_space", "ffmpeg_works", "model_transcribes", "full_batch_works"]
    assert [check.__name__ for check in checks] == names
    for check in checks:
        assert check() is None


@pytest.mark.model
def test_a_full_batch_is_decoded_only_with_warm_up(processor: WhisperProcessor) -> None:
    checks = fitness.checks(processor, Future())
    assert [check.__name__ for check in checks] == ["disk_has_space", "ffmpeg_works", "model_transcribes"]


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
        fitness.decode_demo()
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
        fitness.decode_demo()
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


@pytest.fixture(scope="module")
def pcm() -> Pcm:
    return fitness.decode_demo()


@pytest.mark.model
@pytest.mark.process
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "recognizes 0 of"),
        (" Thank you for watching the video.", "recognizes 1 of"),
    ],
)
def test_a_model_that_outputs_nothing_or_nonsense_is_detected(
    text: str, expected: str, processor: WhisperProcessor, pcm: Pcm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "draft", lambda *_: text)
    with pytest.raises(RuntimeError, match=expected) as failure:
        fitness.check_transcription(processor, pcm)
    assert "tiny.en" in sentence_of(failure)


@pytest.mark.model
@pytest.mark.process
def test_a_model_with_a_few_wrong_words_passes(
    processor: WhisperProcessor, pcm: Pcm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processor, "draft", lambda *_: " A quick brown fox jump over a lazy dock")
    fitness.check_transcription(processor, pcm)


@pytest.mark.model
@pytest.mark.process
@pytest.mark.parametrize("fault", ["no numbers", "wrong numbers"])
def test_a_device_that_miscalculates_is_detected(fault: str, pcm: Pcm, monkeypatch: pytest.MonkeyPatch) -> None:
    def miscalculate(encoder: Encoder, mel: Tensor) -> Tensor:
        features = encode(encoder, mel)
        return torch.full_like(features, torch.nan) if fault == "no numbers" else features.roll(1, -1)

    encode = Encoder.__call__
    monkeypatch.setattr(Encoder, "__call__", miscalculate)
    processor = WhisperProcessor("tiny.en")
    with pytest.raises(RuntimeError, match="another GPU") as failure:
        fitness.check_transcription(processor, pcm)
    processor.close()
    assert "tiny.en" in sentence_of(failure)


@pytest.mark.model
@pytest.mark.process
def test_a_failing_device_is_reported_in_one_line(
    processor: WhisperProcessor, pcm: Pcm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> str:
        raise ValueError("CUDA error: device-side assert triggered\n" + "CUDA kernel errors might be reported\n" * 50)

    monkeypatch.setattr(processor, "draft", fail)
    with pytest.raises(RuntimeError, match="device-side assert triggered") as failure:
        fitness.check_transcription(processor, pcm)
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
        fitness.decode_demo()
    assert "build the image again" in sentence_of(failure)
