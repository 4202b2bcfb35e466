"""Samples of known voices, fetched as the recording is: `src/speakers/enrollment.py` listens to them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from src.download import fetch
from src.job_control import JobControl
from src.request.audio_source import AudioSource
from src.speakers.enrollment import MAX_BYTES, sample_of

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
        with sample_of(name):
            samples[name] = fetch(source, own, max_bytes=MAX_BYTES, timeout=TIMEOUT, control=control)
    return samples
