"""Samples of known voices: small recordings that come with a job, by the names of who speaks in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from src.audio import decode_audio
from src.audio_source import AudioSource
from src.diarization import Voiceprint, voice_of
from src.download import fetch
from src.errors import Cancelled, InvalidInput, TooLarge, WorkerError
from src.job_control import JobControl

MAX_SECONDS = 60.0
MAX_BYTES = 20 * 2**20
"""As it comes, and as decoded."""

TIMEOUT = 60.0
"""Seconds that the download of one may take."""


def fetch_samples(sources: Mapping[str, AudioSource], folder: Path, control: JobControl) -> dict[str, Path]:
    """Each sample as a file in `folder`.

    Raises:
        WorkerError: naming the sample that cannot be had.
    """
    samples = {}
    for number, (name, source) in enumerate(sources.items()):
        own = folder / f"sample-{number}"
        own.mkdir()
        with _named(name):
            samples[name] = fetch(source, own, max_bytes=MAX_BYTES, timeout=TIMEOUT, control=control)
    return samples


def voices_of(samples: Mapping[str, Path], control: JobControl) -> dict[str, Voiceprint]:
    """The voice in each sample.

    Raises:
        WorkerError: naming the sample in which there is none, or that cannot be decoded.
    """
    voices = {}
    for name, path in samples.items():
        with _named(name):
            pcm = decode_audio(path, path.parent, max_seconds=MAX_SECONDS, max_bytes=MAX_BYTES, control=control)
            voice = voice_of(pcm)
            if voice is None:
                raise InvalidInput("nobody speaks in this sample: send some seconds of speech")
        voices[name] = voice
    return voices


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Errors of the block say whose sample is wrong."""
    try:
        yield
    except Cancelled:
        raise
    except TooLarge:
        raise TooLarge(
            f"options.speakers.{name}: a sample may have {MAX_SECONDS:.0f} s and {MAX_BYTES >> 20} MiB at most"
        ) from None
    except WorkerError as error:
        raise type(error)(f"options.speakers.{name}: {error}") from None
