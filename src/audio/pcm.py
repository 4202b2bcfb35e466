"""Decoded audio that lies on disk and is read through a memory map."""

from __future__ import annotations

import mmap
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from numpy.typing import NDArray

PAGES = 1 << 24
"""Bytes after which what has been read is given back: a call for each window would cost more than it brings."""


def release_pages(pcm: npt.NDArray[np.int16], samples: int) -> None:
    """Gives back the memory of the first samples of a mapped recording: they are on disk, and may be read again.

    Without this the pages of a long recording stay in memory until its end, 115 MB for each hour.
    """
    source: Any = pcm
    while isinstance(source, np.ndarray):
        source = source.base
    end = samples * pcm.strides[0] // PAGES * PAGES
    if isinstance(source, mmap.mmap) and end:
        source.madvise(mmap.MADV_DONTNEED, 0, min(end, len(source)))


SAMPLE_RATE = 16_000


Pcm: TypeAlias = NDArray[np.int16]


class Region(NamedTuple):
    """A stretch of the recording, `end` excluded."""

    start: int
    end: int
