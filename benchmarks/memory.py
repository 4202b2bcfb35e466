"""Measures the worker's resident memory while it transcribes a recording of several hours.

    .venv/bin/python -m benchmarks.memory [AUDIO] [--hours 4] [--model tiny.en]

AUDIO is repeated until the recording has that length. The baseline is a worker that has transcribed AUDIO once, so that
its batches are allocated; any growth after that is the cost of the recording's length. The figures depend on the model
and on its compute type (bfloat16 or float32), which the CPU decides.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
import wave
from pathlib import Path

import numpy as np

from benchmarks.process_memory import peak_mb, resident_mb
from benchmarks.recordings import REPOSITORY_CLIPS, load_pcm
from benchmarks.report import describe_run, markdown_table
from src.audio.pcm import SAMPLE_RATE

SAMPLING_INTERVAL_S = 1.0
"""Seconds between two readings of the memory."""


def main() -> None:
    """Transcribe the long recording and print its memory over time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "audio",
        type=Path,
        nargs="?",
        default=REPOSITORY_CLIPS / "long.ogg",
        metavar="AUDIO",
        help="recording to repeat (default: the repository's long.ogg)",
    )
    parser.add_argument("--hours", type=float, default=4.0, help="length of the recording (default: %(default)s)")
    parser.add_argument("--model", default="tiny.en", help="(default: %(default)s)")
    arguments = parser.parse_args()
    print(describe_run())

    from src.request.options import Options
    from src.whisper_processor import WhisperProcessor

    processor = WhisperProcessor(arguments.model)
    loaded = resident_mb()
    processor.transcribe(arguments.audio, Options(language="en"))
    warm = resident_mb()
    print(f"loaded: {loaded:.0f} MB; after {arguments.audio.name}: {warm:.0f} MB, peak {peak_mb():.0f} MB")
    with tempfile.TemporaryDirectory() as folder:
        recording = write_repeated(arguments.audio, arguments.hours, Path(folder))
        sampler = MemorySampler()
        started = time.perf_counter()
        with sampler:
            transcript = processor.transcribe(recording, Options(language="en"))
    seconds = time.perf_counter() - started
    processor.close()
    print(f"{arguments.hours:g} h in {seconds:.0f} s, {len(transcript.segments)} segments\n")
    samples = sampler.samples_mb
    readings = {f"{share:.0%}": samples[round(share * (len(samples) - 1))] for share in (0.1, 0.25, 0.5, 0.75, 1.0)}
    readings["highest"] = max(samples)
    rows = [[name, f"{resident:.0f}", f"{resident - loaded:+.0f}"] for name, resident in readings.items()]
    print(markdown_table(["share of the run", "resident, MB", "above the loaded model, MB"], rows))


def write_repeated(audio: Path, hours: float, folder: Path) -> Path:
    """Write a WAV of that length, with the recording over and over."""
    pcm = load_pcm(audio).astype("<i2")
    samples = round(hours * 3600 * SAMPLE_RATE)
    path = folder / "long.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        for start in range(0, samples, len(pcm)):
            file.writeframes(np.ascontiguousarray(pcm[: samples - start]).tobytes())
    return path


class MemorySampler:
    """Reads this process's resident memory at regular intervals while the block runs."""

    def __init__(self) -> None:
        self.samples_mb: list[float] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _sample(self) -> None:
        self.samples_mb.append(resident_mb())
        while not self._stopped.wait(SAMPLING_INTERVAL_S):
            self.samples_mb.append(resident_mb())


if __name__ == "__main__":
    main()
