"""One long recording as one job, and in parts over several workers: the words that differ, and the time.

    python -m benchmarks.fanout AUDIO... --minutes 20 --slots 1 2 4 --model base

The files are repeated one after another up to that length. Each slot is a worker process with one CPU thread under the
emulated platform; the client is the command, from its own environment (`make client`).
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import tempfile
import threading
import time
import wave
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.recordings import pcm_of
from benchmarks.scoring import errors
from client.media.audio import compress
from src.audio.pcm import SAMPLE_RATE
from tests.platform.emulator import Platform
from tests.platform.routes import ENDPOINT
from tests.platform.worker import ROOT, Worker

CLIENT = ROOT / ".venv-client" / "bin" / "python"


def main() -> None:
    arguments = parse()
    with tempfile.TemporaryDirectory() as scratch:
        recording = Path(scratch) / "long.wav"
        write_long(arguments.audio, arguments.minutes, recording)
        with workers(1, arguments.model) as platform, served(recording.parent) as address:
            whole, seconds = timed(platform, f"{address}/{recording.name}", Path(scratch))
            compress(recording, recording.parent)
            small, _ = timed(platform, f"{address}/sound.ogg", Path(scratch))
        text = whole["transcription"]["text"]
        print(f"one job: {seconds:.1f} s, {len(text.split())} words of {whole['metadata']['audio_duration']:.0f} s")
        print(f"one job with Opus: other words {differing(text, small)}")
        print("slots  parts  seconds  other words than one job, than one with Opus", flush=True)
        for slots in arguments.slots:
            with workers(slots, arguments.model) as platform:
                flags = ["--parallel", slots, "--payload-limit", arguments.payload_limit]
                parted, seconds = timed(platform, str(recording), Path(scratch), *flags)
            parts = len(parted["metadata"].get("parts", [0]))
            others = f"{differing(text, parted)}, {differing(small['transcription']['text'], parted)}"
            print(f"{slots:5}  {parts:5}  {seconds:7.1f}  {others}", flush=True)


def differing(text: str, output: dict[str, Any]) -> str:
    other = errors(text, output["transcription"]["text"], output["metadata"]["language"])
    return f"{other.edits} of {other.said} ({100 * (other.rate or 0):.2f}%)"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fanout", description=__doc__)
    parser.add_argument("audio", nargs="+", type=Path)
    parser.add_argument("--minutes", type=float, default=120.0)
    parser.add_argument("--slots", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--model", default="base")
    parser.add_argument("--payload-limit", type=int, default=10_000_000, help="bytes of one request")
    return parser.parse_args()


def write_long(paths: Sequence[Path], minutes: float, target: Path) -> None:
    once = np.concatenate([pcm_of(path) for path in paths])
    with wave.open(str(target), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(np.resize(once, round(minutes * 60 * SAMPLE_RATE)).astype("<i2").tobytes())


@contextmanager
def workers(count: int, model: str) -> Iterator[Platform]:
    env = {"WHISPER_MODEL": model, "OMP_NUM_THREADS": "1", "MAX_CONCURRENCY": "1"}
    env["RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS"] = "true"
    with Platform(execution_timeout=36_000) as platform, ExitStack() as stack:
        crew = [stack.enter_context(Worker(platform, env=env)) for _ in range(count)]
        for worker in crew:
            worker.wait_ready()
        yield platform


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address at which a folder can be downloaded from."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def timed(platform: Platform, source: str, scratch: Path, *flags: Any) -> tuple[dict[str, Any], float]:
    """The command's output for a recording, and the seconds that it took."""
    settings = {
        "RUNPOD_BASE_URL": platform.url.rpartition("/")[0],
        "RUNPOD_ENDPOINT_ID": ENDPOINT,
        "RUNPOD_API_KEY": platform.api_key,
        "XDG_CACHE_HOME": str(scratch / "cache"),
    }
    target = scratch / "output.json"
    command = [CLIENT, "-m", "client.transcribe", source, "--format", "json", "--output", target, "--overwrite", *flags]
    started = time.perf_counter()
    subprocess.run([*map(str, command)], cwd=ROOT, env={**os.environ, **settings}, check=True, capture_output=True)
    return json.loads(target.read_text(encoding="utf-8")), time.perf_counter() - started


if __name__ == "__main__":
    main()
