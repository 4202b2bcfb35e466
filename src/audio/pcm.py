"""Decoded audio: 16 kHz mono int16, memory-mapped from disk, and readable while it is still being decoded."""

from __future__ import annotations

import mmap
from concurrent.futures import Future, wait
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
"""Samples per second, as Whisper and the speaker encoder expect them."""

RELEASE_BYTES = 1 << 24
"""Granularity of `release_pages`: a system call for each window would cost more than it saves."""

Pcm: TypeAlias = NDArray[np.int16]
"""[samples] at `SAMPLE_RATE`."""

Samples: TypeAlias = NDArray[np.float32]
"""[samples] at `SAMPLE_RATE`, in -1..1."""


class Recording(Protocol):
    """The samples of a recording: `Pcm`, or `GrowingPcm`."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> Pcm: ...


class GrowingPcm:
    """A recording while it is decoded: a part of it waits until it is there, the length waits for the end.

    Both raise the decoder's error, once it has failed.

    Args:
        file: receives the samples.
        whole: the recording, when it is decoded.
    """

    _POLL_S = 0.005

    def __init__(self, file: Path, whole: Future[Pcm]) -> None:
        self._file = file
        self._whole = whole

    @property
    def whole(self) -> Pcm | None:
        """The recording, or None while it is being decoded."""
        return self._whole.result() if self._whole.done() else None

    def __len__(self) -> int:
        return len(self._whole.result())

    def __getitem__(self, part: slice, /) -> Pcm:
        start, end = part.start or 0, part.stop
        while not self._whole.done() and end is not None:
            with suppress(FileNotFoundError):  # before the first sample, and after an error
                if self._file.stat().st_size >= 2 * end > 2 * start:
                    return np.memmap(self._file, "<i2", "r", offset=2 * start, shape=end - start)
            wait([self._whole], self._POLL_S)
        return self._whole.result()[part]


def known_length(pcm: Recording) -> int | None:
    """Return the number of samples; None while the recording is being decoded."""
    whole = pcm.whole if isinstance(pcm, GrowingPcm) else pcm
    return None if whole is None else len(whole)


class Region(NamedTuple):
    """A stretch of a recording, in samples; `end` is excluded."""

    start: int
    end: int


def to_float(pcm: Pcm) -> Samples:
    """Return a copy of a stretch of a recording in -1..1."""
    samples: Samples = pcm.astype(np.float32)
    samples /= 32768
    return samples


def release_pages(pcm: Recording, samples: int) -> None:
    """Release the memory of the first `samples` samples of a mapped recording; they can be read again from disk.

    Otherwise the pages of a recording stay in memory until the job ends, 115 MB per hour.
    """
    whole = pcm.whole if isinstance(pcm, GrowingPcm) else pcm
    if not isinstance(whole, np.ndarray):
        return
    source: Any = whole
    while isinstance(source, np.ndarray):
        source = source.base
    end = samples * whole.strides[0] // RELEASE_BYTES * RELEASE_BYTES
    if isinstance(source, mmap.mmap) and end:
        source.madvise(mmap.MADV_DONTNEED, 0, min(end, len(source)))
