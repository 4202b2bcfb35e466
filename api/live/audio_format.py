"""Formats of a caller's audio, and its conversion to the samples of a stream."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import soxr
from numpy.typing import NDArray

from api.live.recognizer import SAMPLE_RATE

Samples = NDArray[np.int16]
AudioType = Literal["audio/pcm", "audio/pcmu", "audio/pcma"]


@dataclass(frozen=True)
class AudioFormat:
    """A format of sound, mono.

    Attributes:
        type: OpenAI's name: signed 16 bit samples, little-endian, or a law of G.711 with 8 bits.
        rate: samples per second.
    """

    type: AudioType
    rate: int

    @property
    def bytes_per_second(self) -> int:
        """Bytes of a second of sound."""
        return self.rate * (2 if self.type == "audio/pcm" else 1)


PCM = AudioFormat("audio/pcm", 24000)
"""OpenAI's default."""

PCM_16K = AudioFormat("audio/pcm", 16000)
"""The rate of the models; OpenAI does not offer it."""

PCMU = AudioFormat("audio/pcmu", 8000)
PCMA = AudioFormat("audio/pcma", 8000)


class AudioReader:
    """Converts audio as it arrives into samples for a stream, continuously across pieces.

    Args:
        format: of the sound.
    """

    def __init__(self, format: AudioFormat) -> None:
        self._law = {"audio/pcmu": _MU_LAW, "audio/pcma": _A_LAW}.get(format.type)
        self._odd = b""
        """The first byte of a sample, whose second one has not arrived."""
        self._resampler = (
            None if format.rate == SAMPLE_RATE else soxr.ResampleStream(format.rate, SAMPLE_RATE, 1, dtype="int16")
        )

    def read(self, data: bytes) -> bytes:
        """The samples of a piece of sound, as far as they are certain: some 20 to 70 ms are held back."""
        if self._law is not None:
            return self._resample(self._law[np.frombuffer(data, np.uint8)])
        data = self._odd + data
        whole = len(data) // 2 * 2
        self._odd = data[whole:]
        return self._resample(np.frombuffer(data, "<i2", whole // 2))

    def drain(self) -> bytes:
        """The samples that were held back; what is read afterwards is a new beginning."""
        if self._resampler is None:
            return b""
        samples = self._resample(np.empty(0, np.int16), last=True)
        self._resampler.clear()
        return samples

    def _resample(self, samples: Samples, *, last: bool = False) -> bytes:
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(np.ascontiguousarray(samples, np.int16), last=last)
        return samples.astype("<i2", copy=False).tobytes()


def _decode_mu_law() -> Samples:
    """The sample of each byte (ITU-T G.711, table 2b)."""
    code = ~np.arange(256) & 0xFF
    size = (((code & 0x0F) << 3) + 0x84) << ((code & 0x70) >> 4)
    samples: Samples = np.where(code & 0x80, 0x84 - size, size - 0x84).astype(np.int16)
    return samples


def _decode_a_law() -> Samples:
    """The sample of each byte (ITU-T G.711, table 1b)."""
    code = np.arange(256) ^ 0x55
    segment = (code & 0x70) >> 4
    size = ((code & 0x0F) << 4) + np.where(segment, 0x108, 8) << np.maximum(segment - 1, 0)
    samples: Samples = np.where(code & 0x80, size, -size).astype(np.int16)
    return samples


_MU_LAW, _A_LAW = _decode_mu_law(), _decode_a_law()
