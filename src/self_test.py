"""The worker's self-test: ffmpeg decodes the demo's clip, and the model recognizes the speech in it.

It imports no more than the model does, so that it can run on the thread that has loaded the model, while the rest is
still imported (`src/startup.py`).
"""

from __future__ import annotations

import base64
import json
import re
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np

from media.sandbox import FfmpegMissing, ffmpeg_executable
from src.audio.decode import decode_audio
from src.audio.pcm import SAMPLE_RATE, Pcm
from src.engine.decoding_options import DecodingOptions
from src.engine.engine import Engine
from src.engine.window import Window
from src.settings import ROOT
from src.transcription.model_cache import LoadedModel

DEMO_JOB = ROOT / "test_input.json"
DEMO_WORDS = "The quick brown fox jumps over the lazy dog. Speech goes in, and text comes out."
"""The speech in the demo's clip."""

DEMO_SECONDS = 6.7

CHECKED_SECONDS, CHECKED_WORDS = 2.0, DEMO_WORDS.partition(" over")[0]
"""The part of the clip that the model is checked with: the start waits for it. With the silence that is left at its end
it is encoded as 5 s, at a quarter of the time of a whole window."""

_INSTALL = "install a whole ffmpeg of version 5 or later"
_OPTIONS = DecodingOptions(language="en")


def start_decoding_demo() -> Future[Pcm]:
    """Decode the demo's clip on a thread: ffmpeg is another process, and takes a tenth of a second."""
    with suppress(FfmpegMissing):  # decoding reports it
        ffmpeg_executable()  # may import, which is not for threads
    thread = ThreadPoolExecutor(1, "demo")
    decoding = thread.submit(decode_demo)
    thread.shutdown(wait=False)
    return decoding


def decode_demo() -> Pcm:
    """Decode the demo's clip with ffmpeg.

    Raises:
        RuntimeError: ffmpeg is missing, does not start, or does not decode the clip to sound.
    """
    with demo_clip() as clip:
        try:
            decoded = decode_audio(clip, clip.parent, max_seconds=60, max_bytes=60 * SAMPLE_RATE * 2)
        except Exception as error:
            raise RuntimeError(f"ffmpeg does not decode the demo's clip ({in_short(error)}): {_INSTALL}") from error
        pcm = np.array(decoded)  # its file goes with the clip
    seconds, sounds = len(pcm) / SAMPLE_RATE, bool(pcm.any())
    if not sounds or abs(seconds - DEMO_SECONDS) > 1:
        raise RuntimeError(
            f"ffmpeg makes {seconds:.1f} s of {'sound' if sounds else 'silence'} of the demo's clip, "
            f"which has {DEMO_SECONDS} s of sound: {_INSTALL}"
        )
    return pcm


def check_transcription(model: LoadedModel, pcm: Pcm) -> None:
    """Check that a model recognizes the speech of the demo's clip.

    Raises:
        RuntimeError: the model fails, or recognizes less than half of the words.
    """
    try:
        text = _draft(model.engine, pcm[: int(CHECKED_SECONDS * SAMPLE_RATE)])
    except Exception as error:
        raise RuntimeError(
            f"the model {model.name} fails on the demo's clip ({in_short(error)}): "
            "try another GPU, or a smaller WHISPER_MODEL"
        ) from error
    recognized, expected = count_demo_words(text, CHECKED_WORDS)
    if 2 * recognized < expected:
        raise RuntimeError(
            f"the model {model.name} recognizes {recognized} of {expected} words of the demo's clip: "
            "its weights are damaged, or this GPU miscalculates; fetch the weights again, or try another GPU"
        )


def _draft(engine: Engine, pcm: Pcm) -> str:
    """One greedy decoding, encoded without most of the silence that fills the model's 30 s."""
    tokenizer = engine.token_sets.tokenizer_for(_OPTIONS)
    drafted = engine.draft(Window(pcm), _OPTIONS, leaves_core_free=True).result()  # beside a thread that imports
    return str(tokenizer.decode([token for token in drafted.tokens if token < tokenizer.eot]))


def count_demo_words(text: str, speech: str = DEMO_WORDS) -> tuple[int, int]:
    """Count the distinct words of `speech` that are in `text`, and all distinct words of `speech`."""
    expected = _words(speech)
    return len(expected & _words(text)), len(expected)


@contextmanager
def demo_clip() -> Iterator[Path]:
    """Write the recording of the demo's job to a temporary file.

    Raises:
        RuntimeError: the demo's job is missing or damaged.
    """
    try:
        recording = base64.b64decode(json.loads(DEMO_JOB.read_text())["input"]["audio"]["base64"], validate=True)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RuntimeError(f"{DEMO_JOB} does not hold the demo's clip: build the image again") from error
    with tempfile.TemporaryDirectory(prefix="self-test-") as folder:
        clip = Path(folder, "demo.ogg")
        clip.write_bytes(recording)
        yield clip


def in_short(error: Exception) -> str:
    """An error in one short line: messages of CUDA have many."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0][:100]}" if lines else type(error).__name__


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))
