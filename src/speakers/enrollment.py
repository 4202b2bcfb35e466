"""Enrollment: the embeddings of known speakers, from the short samples that a job sends by their names, or as sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from src.audio.decode import decode_audio
from src.errors import InvalidInput, prefix_errors
from src.job_control import JobControl
from src.request.audio_source import MAX_SAMPLE_BYTES, MAX_SAMPLE_SECONDS
from src.speakers.diarization import embed_sample
from src.speakers.embeddings import Embedding


def enroll(samples: Mapping[str, Path], control: JobControl) -> dict[str, Embedding]:
    """Return the embedding of the voice in each sample.

    Raises:
        WorkerError: a sample cannot be decoded, is too long or has no speech; the message names the sample.
    """
    embeddings = {}
    for name, path in samples.items():
        with prefix_errors(f"options.speakers.{name}"):
            pcm = decode_audio(
                path, path.parent, max_seconds=MAX_SAMPLE_SECONDS, max_bytes=MAX_SAMPLE_BYTES, control=control
            )
            embedding = embed_sample(pcm)
            if embedding is None:
                raise InvalidInput("nobody speaks in this sample: send some seconds of speech")
        embeddings[name] = embedding
    return embeddings


def to_embedding(numbers: Sequence[float]) -> Embedding:
    """Return an embedding that a job sends, which was rounded for JSON."""
    embedding: Embedding = np.asarray(numbers, np.float32)
    embedding /= np.linalg.norm(embedding)
    return embedding
