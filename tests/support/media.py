"""Makes sound and recordings for tests, and tells what is in them."""

from __future__ import annotations

import subprocess
import wave
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000


def encode(*arguments: str) -> None:
    """Runs the full build of imageio-ffmpeg: the ffmpeg under test may be the system's, and lack encoders."""
    subprocess.run([imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *arguments], check=True)


def sine(frequency: float, seconds: float, amplitude: float = 8000.0) -> NDArray[np.int16]:
    """A tone at `SAMPLE_RATE`; silence for 0 Hz."""
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    return (amplitude * np.sin(2 * np.pi * frequency * time)).astype("<i2")


def write_wav(path: Path, samples: NDArray[np.int16], rate: int = SAMPLE_RATE) -> Path:
    """Writes samples [samples, channels]."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def main_frequency(samples: NDArray[Any]) -> float:
    """The strongest frequency in Hz."""
    spectrum = np.abs(np.fft.rfft(np.asarray(samples, dtype=np.float64)))
    return float(np.argmax(spectrum)) * SAMPLE_RATE / len(samples)
