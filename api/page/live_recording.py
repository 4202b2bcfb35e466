"""The sound of a live transcript: a WAV file that grows as the sound comes, and is kept if its server is killed."""

from __future__ import annotations

import struct
from pathlib import Path

SAMPLE_BYTES = 2
BYTES_PER_SECOND = SAMPLE_BYTES * 16000
"""Of what live transcription hears: 16 bits, mono, 16 kHz."""

_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")
"""Of a WAV file with PCM: http://soundfile.sapp.org/doc/WaveFormat/."""

_PCM, _MONO = 1, 1


class LiveRecording:
    """The recording of a live transcript while it grows; methods may be called on any thread, one at a time.

    Args:
        path: of the file, which does not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("xb", buffering=0)
        self.append(_header(0))
        self.size = 0
        """Bytes of sound."""

    def append(self, sound: bytes) -> None:
        """Write sound, so that it is kept if the server is killed.

        Raises:
            OSError: the disk is full, or fails.
        """
        unwritten = memoryview(sound)
        while unwritten:
            unwritten = unwritten[self._file.write(unwritten) or 0 :]
        self.size = self._file.tell() - _HEADER.size

    def close(self) -> float:
        """Complete the file; returns its seconds."""
        self._file.close()
        return complete(self._path)


def complete(path: Path) -> float:
    """Write into a recording's header how long it is; returns its seconds.

    Args:
        path: of the file, whose end may be cut off anywhere.
    """
    size = max(path.stat().st_size - _HEADER.size, 0) // SAMPLE_BYTES * SAMPLE_BYTES
    with path.open("r+b") as file:
        file.write(_header(size))
        file.truncate(_HEADER.size + size)
    return size / BYTES_PER_SECOND


def _header(size: int) -> bytes:
    rate = BYTES_PER_SECOND // SAMPLE_BYTES
    rest = _HEADER.size - 8 + size  # behind the length itself
    return _HEADER.pack(
        *(b"RIFF", rest, b"WAVE", b"fmt ", 16, _PCM, _MONO, rate, BYTES_PER_SECOND, SAMPLE_BYTES, 8 * SAMPLE_BYTES),
        *(b"data", size),
    )
