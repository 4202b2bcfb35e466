"""What a worker on RunPod proves before it takes a job: room on its disk, an ffmpeg that decodes, a GPU that hears.

The SDK runs the checks, on the platform only, after the weights are loaded. At the first that raises it logs one line,
`Fitness check failed: <check> | RuntimeError: <sentence>`, tells it to RunPod (its first 256 characters), and exits.
"""

from __future__ import annotations

import base64
import json
import math
import re
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import runpod

from src.audio.decode import decode_audio
from src.audio.pcm import SAMPLE_RATE
from src.request.options import Options
from src.settings import ROOT, get_settings
from src.transcript.transcript import Transcript
from src.whisper_processor import WhisperProcessor

DEMO_JOB = ROOT / "test_input.json"
DEMO_WORDS = "The quick brown fox jumps over the lazy dog. Speech goes in, and text comes out."
"""What is said in the clip of the demo's job."""

DEMO_SECONDS = 6.7

_INSTALL = "install a whole ffmpeg of version 5 or later"

ROOM_BYTES = 1 << 30
"""A recording of nine hours as decoded; longer ones may still find no room."""

HEARD_SECONDS, HEARD_WORDS = 3.7, DEMO_WORDS.partition(".")[0]
"""What the model has to hear of it: the first sentence, since a worker's start waits for this."""

# Words come with times so that a GPU has their kernels ready too; one temperature, so that a deaf model fails at once.
_DEMO_OPTIONS = Options(language="en", temperature=[0.0], word_timestamps=True, clip_timestamps=[(0.0, HEARD_SECONDS)])


def register(processor: WhisperProcessor) -> None:
    """Has the SDK run the checks, each needing those before it."""

    def model_hears() -> None:
        check_hearing(processor)

    def warms_up() -> None:
        warm_up(processor)

    checks = [disk_has_room, ffmpeg_works, model_hears]
    if get_settings().warm_up:
        checks.append(warms_up)
    for check in checks:
        runpod.serverless.register_fitness_check(check)


def disk_has_room() -> None:
    """
    Raises:
        RuntimeError: the folder for temporary files cannot be written, or has no room for a decoded recording.
    """
    try:
        folder = Path(tempfile.gettempdir())
        with tempfile.TemporaryFile() as file:
            file.write(b"room")
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise RuntimeError(
            f"temporary files cannot be written ({error.strerror or type(error).__name__}): "
            "give the container a larger disk, or set TMPDIR to a folder that the worker may write"
        ) from error
    needed = min(ROOM_BYTES, get_settings().max_audio_bytes)
    if free < needed:
        raise RuntimeError(
            f"the disk of {folder} has {free / 1e6:.0f} MB free and a recording needs {needed / 1e6:.0f} MB: "
            "give the container a larger disk, or set TMPDIR to a folder that has room"
        )


def ffmpeg_works() -> None:
    """
    Raises:
        RuntimeError: ffmpeg is missing, does not start, or does not decode the demo's clip to sound.
    """
    with _demo_clip() as clip:
        try:
            pcm = decode_audio(clip, clip.parent, max_seconds=60, max_bytes=60 * SAMPLE_RATE * 2)
        except Exception as error:
            raise RuntimeError(f"ffmpeg does not decode the demo's clip ({_reason(error)}): {_INSTALL}") from error
        seconds, sounds = len(pcm) / SAMPLE_RATE, bool(pcm.any())
    if not sounds or abs(seconds - DEMO_SECONDS) > 1:
        raise RuntimeError(
            f"ffmpeg makes {seconds:.1f} s of {'sound' if sounds else 'silence'} of the demo's clip, "
            f"which has {DEMO_SECONDS} s of sound: {_INSTALL}"
        )


def check_hearing(processor: WhisperProcessor) -> None:
    """
    Raises:
        RuntimeError: the model fails on the demo's clip, or understands less than half of it.
    """
    with _demo_clip() as clip:
        try:
            transcript = processor.transcribe(clip, _DEMO_OPTIONS)
        except Exception as error:
            raise RuntimeError(
                f"the model {processor.model_name} fails on the demo's clip ({_reason(error)}): "
                "try another GPU, or a smaller WHISPER_MODEL"
            ) from error
    understood, expected = demo_words_in(transcript.text, HEARD_WORDS)
    if 2 * understood < expected or not _is_finite(transcript):
        raise RuntimeError(
            f"the model {processor.model_name} understands {understood} of {expected} words of the demo's clip: "
            "its weights are damaged, or this GPU miscalculates; fetch the weights again, or try another GPU"
        )


def demo_words_in(text: str, said: str = DEMO_WORDS) -> tuple[int, int]:
    """How many of the different words that are said in the demo's clip are in `text`, and how many there are."""
    expected = _words(said)
    return len(expected & _words(text)), len(expected)


def warm_up(processor: WhisperProcessor) -> None:
    """Decodes as many windows at once as the engine takes, greedily and with beams.

    Raises:
        RuntimeError: the device fails on that.
    """
    with _demo_clip() as clip, ThreadPoolExecutor(processor.slots) as jobs:
        for beam_size in (None, 5):
            options = _DEMO_OPTIONS.model_copy(update={"beam_size": beam_size})
            try:
                list(jobs.map(processor.transcribe, [clip] * processor.slots, [options] * processor.slots))
            except Exception as error:
                raise RuntimeError(
                    f"the model {processor.model_name} fails on a full batch ({_reason(error)}): "
                    "set a smaller BATCH_SIZE, or try another GPU"
                ) from error


@contextmanager
def _demo_clip() -> Iterator[Path]:
    """The recording that the demo's job brings, as a file in a folder of its own."""
    try:
        recording = base64.b64decode(json.loads(DEMO_JOB.read_text())["input"]["audio"]["base64"], validate=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RuntimeError(f"{DEMO_JOB} does not hold the demo's clip: build the image again") from error
    with tempfile.TemporaryDirectory(prefix="fitness-") as folder:
        clip = Path(folder, "demo.ogg")
        clip.write_bytes(recording)
        yield clip


def _reason(error: Exception) -> str:
    """An error in one short line: those of CUDA are pages."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0][:100]}" if lines else type(error).__name__


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


def _is_finite(transcript: Transcript) -> bool:
    """Whether no NaN, a miscalculating device's mark, got into what is computed beside the text."""
    return all(
        math.isfinite(number)
        for segment in transcript.segments
        for number in (segment.start, segment.end, segment.avg_logprob, segment.no_speech_prob)
    )
