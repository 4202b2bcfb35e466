"""Sends one long recording through the bridge with OpenAI's SDK: time, parts, memory, and the words that come back.

    .venv/bin/python -m benchmarks.bridge tests/data/long.ogg tests/data/demo.ogg --minutes 120 --model tiny.en

The files, of the repository's clips, are repeated with pauses up to that length, as a WAV of 115 MB an hour. RunPod is
the platform emulator with one worker of one CPU thread. The bridge is its own command, run from the client's
environment (`make client`), and memory is what it holds at most.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import openai

from benchmarks.fanout import CLIENT, run_workers
from benchmarks.recordings import REPOSITORY_CLIPS, load_pcm, write_wav
from benchmarks.report import describe_run
from benchmarks.scoring import count_errors
from src.audio.pcm import SAMPLE_RATE
from tests.platform.emulator import Platform
from tests.platform.routes import ENDPOINT
from tests.platform.worker import ROOT

PAUSE_S = 2.0
PORT = 18080
TIMEOUT_S = 6 * 3600.0
"""Of the SDK, whose default is 10 minutes."""


def main() -> None:
    """Transcribe the recording, as a whole and then as a stream."""
    arguments = parse_arguments()
    print(describe_run())
    with tempfile.TemporaryDirectory() as scratch, run_workers(1, arguments.model) as platform:
        recording = Path(scratch) / "long.wav"
        text = write_repeated(arguments.audio, arguments.minutes, recording)
        print(f"recording: {arguments.minutes:.0f} min, {recording.stat().st_size / 1e6:.0f} MB", flush=True)
        folder = Path(scratch) / "bridge"
        folder.mkdir()
        with run_bridge(platform, folder) as process:
            sdk = openai.OpenAI(base_url=f"http://127.0.0.1:{PORT}/v1", api_key="none", timeout=TIMEOUT_S)
            started = time.perf_counter()
            answer = sdk.audio.transcriptions.create(model="whisper-1", file=recording, response_format="verbose_json")
            seconds = time.perf_counter() - started
            memory = peak_memory_mb(process.pid)
            left = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        errors = count_errors(text, answer.text, "en")
        print(f"answer after {seconds:.0f} s, {answer.duration:.1f} s of audio, {len(answer.segments or ())} segments")
        print(f"last segment ends at {answer.segments[-1].end if answer.segments else 0:.1f} s")
        print(f"words: {errors.edits} of {errors.total} wrong ({100 * (errors.rate or 0):.2f}%)")
        print(f"jobs: {len(platform.jobs)}; bridge: at most {memory:.0f} MB of memory; {left} bytes left on its disk")


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("audio", nargs="+", type=Path, metavar="AUDIO", help="clips of the repository to repeat")
    parser.add_argument("--minutes", type=float, default=120.0, help="least length (default: %(default)s)")
    parser.add_argument("--model", default="tiny.en", help="(default: %(default)s)")
    return parser.parse_args()


def write_repeated(paths: Sequence[Path], minutes: float, target: Path) -> str:
    """Write a WAV of at least that length with the clips over and over, and return what is said in it."""
    texts = json.loads((REPOSITORY_CLIPS / "clips.json").read_text())
    pause = np.zeros(round(PAUSE_S * SAMPLE_RATE), dtype=np.float32)
    pcm = np.concatenate([samples for path in paths for samples in (load_pcm(path), pause)])
    times = -(-round(minutes * 60 * SAMPLE_RATE) // len(pcm))
    write_wav(np.tile(pcm, times), target)
    return " ".join([texts[path.name]["text"] for path in paths] * times)


@contextmanager
def run_bridge(platform: Platform, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the bridge's command with a folder for its temporary files."""
    settings = {
        "RUNPOD_BASE_URL": platform.url.rpartition("/")[0],
        "RUNPOD_ENDPOINT_ID": ENDPOINT,
        "RUNPOD_API_KEY": platform.api_key,
        "TMPDIR": str(folder),
        "XDG_CACHE_HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
    }
    command = [str(CLIENT), "-m", "client.serve", "--port", str(PORT)]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **settings}, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def peak_memory_mb(pid: int) -> float:
    """The most memory that a process has held so far."""
    status = Path(f"/proc/{pid}/status").read_text()
    return float(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) / 1024


if __name__ == "__main__":
    main()
