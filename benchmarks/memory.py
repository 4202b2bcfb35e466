"""What a long recording takes in memory: the worker's resident memory while it transcribes one of some hours.

    python -m benchmarks.memory [AUDIO] [--hours 4] [--model tiny.en]

AUDIO is said over and over until the hours are full. The memory is that of a worker that has transcribed AUDIO once,
so that its batches are there; what grows after that is what the recording's length costs.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
import wave
from pathlib import Path

import numpy as np

from benchmarks.recordings import REPOSITORY_CLIPS, pcm_of
from benchmarks.worker import peak_mb
from src.audio.pcm import SAMPLE_RATE

INTERVAL = 1.0
"""Seconds between two looks."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("audio", type=Path, nargs="?", default=REPOSITORY_CLIPS / "long.ogg", metavar="AUDIO")
    parser.add_argument("--hours", type=float, default=4.0, help="length of the recording (default: %(default)s)")
    parser.add_argument("--model", default="tiny.en", help="(default: %(default)s)")
    arguments = parser.parse_args()

    from src.request.options import Options
    from src.whisper_processor import WhisperProcessor

    processor = WhisperProcessor(arguments.model)
    loaded = resident_mb()
    processor.transcribe(arguments.audio, Options(language="en"))
    warm = resident_mb()
    print(f"loaded: {loaded:.0f} MB; after {arguments.audio.name}: {warm:.0f} MB, peak {peak_mb():.0f} MB")
    with tempfile.TemporaryDirectory() as folder:
        recording = repeated(arguments.audio, arguments.hours, Path(folder))
        curve = Curve()
        began = time.perf_counter()
        with curve:
            transcript = processor.transcribe(recording, Options(language="en"))
    seconds = time.perf_counter() - began
    processor.close()
    print(f"{arguments.hours:g} h in {seconds:.0f} s, {len(transcript.segments)} segments")
    print("| of the time | resident, MB | over the loaded model |\n| --- | --- | --- |")
    for share in (0.1, 0.25, 0.5, 0.75, 1.0):
        resident = curve.looks[round(share * (len(curve.looks) - 1))]
        print(f"| {share:.0%} | {resident:.0f} | {resident - loaded:+.0f} |")
    print(f"| highest | {max(curve.looks):.0f} | {max(curve.looks) - loaded:+.0f} |")


def repeated(audio: Path, hours: float, folder: Path) -> Path:
    """A WAV of so many hours, the same recording over and over."""
    pcm = pcm_of(audio).astype("<i2")
    samples = round(hours * 3600 * SAMPLE_RATE)
    path = folder / "long.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        for start in range(0, samples, len(pcm)):
            file.writeframes(np.ascontiguousarray(pcm[: samples - start]).tobytes())
    return path


class Curve:
    """Looks at the memory of this process now and then, while the block runs."""

    def __init__(self) -> None:
        self.looks: list[float] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        self.looks.append(resident_mb())
        while not self._over.wait(INTERVAL):
            self.looks.append(resident_mb())


def resident_mb() -> float:
    """Linux's own account of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


if __name__ == "__main__":
    main()
