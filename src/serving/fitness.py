"""Fitness checks of a worker before its first job: disk space, ffmpeg, transcription.

For a queue, the SDK runs the checks, on the platform only, after the weights are loaded. When one raises, the SDK logs
one line, `Fitness check failed: <check> | RuntimeError: <sentence>`, sends its first 256 characters to RunPod, and
exits. HTTP mode runs them itself, before its health path answers 200.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from src.request.options import Options
from src.self_test import CHECKED_SECONDS, demo_clip, in_short
from src.settings import get_settings
from src.startup import SelfTest
from src.whisper_processor import WhisperProcessor

MIN_FREE_BYTES = 1 << 30
"""A decoded recording of nine hours; longer ones may still not fit."""

# Word timestamps, so that the GPU's kernels for them are loaded too; no fallback, so that a broken model fails at once.
_WARM_UP_OPTIONS = Options(
    language="en", temperature=[0.0], word_timestamps=True, clip_timestamps=[(0.0, CHECKED_SECONDS)]
)

Check = Callable[[], None]
"""Relies on those before it, and raises `RuntimeError` with a sentence."""


def checks(processor: WhisperProcessor, self_test: SelfTest) -> list[Check]:
    """Return the checks.

    Args:
        processor: with the model to check.
        self_test: of that model, which began with the start.
    """

    def ffmpeg_works() -> None:
        self_test.decoding.result()

    def model_transcribes() -> None:
        self_test.transcription.result()

    def full_batch_works() -> None:
        warm_up(processor)

    further = [full_batch_works] if get_settings().warm_up else []
    return [disk_has_space, ffmpeg_works, model_transcribes, *further]


def disk_has_space() -> None:
    """Check the disk of the folder for temporary files.

    Raises:
        RuntimeError: the folder cannot be written, or has too little space for a decoded recording.
    """
    try:
        folder = Path(tempfile.gettempdir())
        with tempfile.TemporaryFile() as file:
            file.write(b"test")
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise RuntimeError(
            f"temporary files cannot be written ({error.strerror or type(error).__name__}): "
            "give the container a larger disk, or set TMPDIR to a folder that the worker may write"
        ) from error
    needed = min(MIN_FREE_BYTES, get_settings().max_audio_bytes)
    if free < needed:
        raise RuntimeError(
            f"the disk of {folder} has {free / 1e6:.0f} MB free and a recording needs {needed / 1e6:.0f} MB: "
            "give the container a larger disk, or set TMPDIR to a folder with more space"
        )


def warm_up(processor: WhisperProcessor) -> None:
    """Decode a full batch of windows, greedily and with beam search.

    Raises:
        RuntimeError: the device fails.
    """
    with demo_clip() as clip, ThreadPoolExecutor(processor.slots) as jobs:
        for beam_size in (None, 5):
            options = _WARM_UP_OPTIONS.model_copy(update={"beam_size": beam_size})
            try:
                list(jobs.map(processor.transcribe, [clip] * processor.slots, [options] * processor.slots))
            except Exception as error:
                raise RuntimeError(
                    f"the model {processor.model_name} fails on a full batch ({in_short(error)}): "
                    "set a smaller BATCH_SIZE, or try another GPU"
                ) from error
