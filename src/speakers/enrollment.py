"""Known voices: who speaks in small recordings that come with a job, by their names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from src.audio.decode import decode_audio
from src.errors import Cancelled, InvalidInput, TooLarge, WorkerError
from src.job_control import JobControl
from src.request.audio_source import MAX_SAMPLE_BYTES, MAX_SAMPLE_SECONDS
from src.speakers.diarization import Embedding, embed_sample


def enroll(samples: Mapping[str, Path], control: JobControl) -> dict[str, Embedding]:
    """The voice in each sample.

    Raises:
        WorkerError: naming the sample in which there is none, or that cannot be decoded.
    """
    voices = {}
    for name, path in samples.items():
        with sample_of(name):
            pcm = decode_audio(
                path, path.parent, max_seconds=MAX_SAMPLE_SECONDS, max_bytes=MAX_SAMPLE_BYTES, control=control
            )
            voice = embed_sample(pcm)
            if voice is None:
                raise InvalidInput("nobody speaks in this sample: send some seconds of speech")
        voices[name] = voice
    return voices


@contextmanager
def sample_of(name: str) -> Iterator[None]:
    """Errors of the block say whose sample is wrong."""
    try:
        yield
    except Cancelled:
        raise
    except TooLarge:
        raise TooLarge(
            f"options.speakers.{name}: a sample may have {MAX_SAMPLE_SECONDS:.0f} s "
            f"and {MAX_SAMPLE_BYTES >> 20} MiB at most"
        ) from None
    except WorkerError as error:
        raise type(error)(f"options.speakers.{name}: {error}") from None
