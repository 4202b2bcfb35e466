"""Fitness checks of a worker before its first job: disk space, ffmpeg, transcription.

For a queue, the SDK runs the checks, on the platform only, after the weights are loaded. When one raises, the SDK logs
one line, `Fitness check failed: <check> | RuntimeError: <sentence>`, sends its first 256 characters to RunPod, and
exits. HTTP mode runs them itself, before its health path answers 200.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from src.audio.decode import decode_audio
from src.audio.pcm import SAMPLE_RATE, Pcm
from src.request.options import Options
from src.settings import ROOT, get_settings
from src.whisper_processor import WhisperProcessor

DEMO_JOB = ROOT / "test_input.json"
DEMO_WORDS = "The quick brown fox jumps over the lazy dog. Speech goes in, and text comes out."
"""The speech in the demo's clip."""

DEMO_SECONDS = 6.7

_INSTALL = "install a whole ffmpeg of version 5 or later"

MIN_FREE_BYTES = 1 << 30
"""A decoded recording of nine hours; longer ones may still not fit."""

CHECKED_SECONDS, CHECKED_WORDS = 3.0, DEMO_WORDS.partition(".")[0]
"""The part of the clip that the model is checked with: the start waits for it. With the silence that is left at its end
it is encoded as 5 s, at a quarter of the time of a whole window."""

_OPTIONS = Options(language="en")

# Word timestamps, so that the GPU's kernels for them are loaded too; no fallback, so that a broken model fails at once.
_WARM_UP_OPTIONS = Options(
    language="en", temperature=[0.0], word_timestamps=True, clip_timestamps=[(0.0, CHECKED_SECONDS)]
)

Check = Callable[[], None]
"""Relies on those before it, and raises `RuntimeError` with a sentence."""


def start_decoding_demo() -> Future[Pcm]:
    """Decode the demo's clip on a thread, for `checks`: ffmpeg is another process, and takes a tenth of a second."""
    thread = ThreadPoolExecutor(1, "demo")
    decoding = thread.submit(decode_demo)
    thread.shutdown(wait=False)
    return decoding


def checks(processor: WhisperProcessor, decoding: Future[Pcm]) -> list[Check]:
    """Return the checks.

    Args:
        processor: with the model to check.
        decoding: of the demo's clip.
    """

    def ffmpeg_works() -> None:
        decoding.result()

    def model_transcribes() -> None:
        check_transcription(processor, decoding.result())

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


def decode_demo() -> Pcm:
    """Decode the demo's clip with ffmpeg.

    Raises:
        RuntimeError: ffmpeg is missing, does not start, or does not decode the clip to sound.
    """
    with demo_clip() as clip:
        try:
            decoded = decode_audio(clip, clip.parent, max_seconds=60, max_bytes=60 * SAMPLE_RATE * 2)
        except Exception as error:
            raise RuntimeError(f"ffmpeg does not decode the demo's clip ({_reason(error)}): {_INSTALL}") from error
        pcm = np.array(decoded)  # its file goes with the clip
    seconds, sounds = len(pcm) / SAMPLE_RATE, bool(pcm.any())
    if not sounds or abs(seconds - DEMO_SECONDS) > 1:
        raise RuntimeError(
            f"ffmpeg makes {seconds:.1f} s of {'sound' if sounds else 'silence'} of the demo's clip, "
            f"which has {DEMO_SECONDS} s of sound: {_INSTALL}"
        )
    return pcm


def check_transcription(processor: WhisperProcessor, pcm: Pcm) -> None:
    """Check that the model recognizes the speech of the demo's clip.

    Raises:
        RuntimeError: the model fails, or recognizes less than half of the words.
    """
    try:
        text = processor.draft(pcm[: int(CHECKED_SECONDS * SAMPLE_RATE)], _OPTIONS)
    except Exception as error:
        raise RuntimeError(
            f"the model {processor.model_name} fails on the demo's clip ({_reason(error)}): "
            "try another GPU, or a smaller WHISPER_MODEL"
        ) from error
    recognized, expected = count_demo_words(text, CHECKED_WORDS)
    if 2 * recognized < expected:
        raise RuntimeError(
            f"the model {processor.model_name} recognizes {recognized} of {expected} words of the demo's clip: "
            "its weights are damaged, or this GPU miscalculates; fetch the weights again, or try another GPU"
        )


def count_demo_words(text: str, speech: str = DEMO_WORDS) -> tuple[int, int]:
    """Count the distinct words of `speech` that are in `text`, and all distinct words of `speech`."""
    expected = _words(speech)
    return len(expected & _words(text)), len(expected)


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
                    f"the model {processor.model_name} fails on a full batch ({_reason(error)}): "
                    "set a smaller BATCH_SIZE, or try another GPU"
                ) from error


@contextmanager
def demo_clip() -> Iterator[Path]:
    """Write the recording of the demo's job to a temporary file."""
    try:
        recording = base64.b64decode(json.loads(DEMO_JOB.read_text())["input"]["audio"]["base64"], validate=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RuntimeError(f"{DEMO_JOB} does not hold the demo's clip: build the image again") from error
    with tempfile.TemporaryDirectory(prefix="fitness-") as folder:
        clip = Path(folder, "demo.ogg")
        clip.write_bytes(recording)
        yield clip


def _reason(error: Exception) -> str:
    """An error in one short line: messages of CUDA have many."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0][:100]}" if lines else type(error).__name__


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))
