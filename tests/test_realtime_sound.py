"""Sound of a live session's caller becomes what the models hear: each format, however it is cut into pieces."""

from __future__ import annotations

import numpy as np
import pytest

from api.live.audio_format import PCM, PCM_16K, PCMA, PCMU, AudioFormat, AudioReader

# Codes and their samples (ITU-T G.711, tables 1 and 2, scaled to 16 bits).
MU_LAW = {0x00: -32124, 0x80: 32124, 0xFF: 0, 0x7F: 0, 0xF0: 120, 0x70: -120, 0xBF: 1980, 0x8F: 16764}
A_LAW = {0x55: -8, 0xD5: 8, 0x2A: -32256, 0xAA: 32256, 0x80: 5504, 0x00: -5504}


def tone(rate: int, hertz: float = 440.0, seconds: float = 1.0) -> np.ndarray:
    return (10_000 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(np.int16)


@pytest.mark.parametrize(("codes", "format"), [(MU_LAW, PCMU), (A_LAW, PCMA)], ids=["mu-law", "a-law"])
def test_codes_of_g711_are_the_standards_samples(codes: dict[int, int], format: AudioFormat) -> None:
    reader = AudioReader(format)
    assert reader._law is not None
    assert {code: int(reader._law[code]) for code in codes} == codes


@pytest.mark.parametrize("rate", [24_000, 16_000])
def test_a_tone_stays_that_tone(rate: int) -> None:
    reader = AudioReader(PCM if rate == 24_000 else PCM_16K)
    heard = np.frombuffer(reader.read(tone(rate).tobytes()) + reader.drain(), np.int16)
    assert len(heard) == 16_000
    assert np.abs(heard[200:-200].astype(int) - tone(16_000)[200:-200]).max() < 60


@pytest.mark.parametrize("format", [PCM, PCM_16K, PCMU, PCMA], ids=lambda format: f"{format.type} {format.rate}")
@pytest.mark.parametrize("size", [1, 7, 960, 4801])
def test_the_cut_into_pieces_makes_no_difference(format: AudioFormat, size: int) -> None:
    data = tone(format.rate, seconds=0.2).tobytes()
    whole, cut = AudioReader(format), AudioReader(format)
    expected = whole.read(data) + whole.drain()
    pieces = [cut.read(data[start : start + size]) for start in range(0, len(data), size)]
    assert all(len(piece) % 2 == 0 for piece in pieces)
    heard = b"".join(pieces) + cut.drain()
    assert len(heard) == len(expected)
    difference = np.frombuffer(heard, np.int16).astype(int) - np.frombuffer(expected, np.int16)
    assert np.abs(difference).max() <= 4  # dither


@pytest.mark.parametrize("format", [PCM, PCMU, PCMA], ids=lambda format: format.type)
def test_a_second_is_a_second_after_each_drain(format: AudioFormat) -> None:
    reader = AudioReader(format)
    second = bytes(format.bytes_per_second)
    assert [len(reader.read(second) + reader.drain()) for _ in range(3)] == [32_000] * 3
