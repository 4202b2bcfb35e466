"""Compares one long recording as one job with the same in parts over several workers: differing words, and time.

    .venv/bin/python -m benchmarks.fanout AUDIO... --minutes 20 --slots 1 2 4 --model base

The files are repeated one after another up to that length. Each slot is a worker process with one CPU thread under the
platform emulator. The client is its own command line, run from its own environment (`make client`). The times depend
on the number of CPUs: more slots than CPUs gain nothing. The differing words depend on the recordings.
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
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.recordings import load_pcm, write_wav
from benchmarks.report import describe_run
from benchmarks.scoring import count_errors
from client.media.audio import compress
from src.audio.pcm import SAMPLE_RATE
from tests.platform.emulator import Platform
from tests.platform.routes import ENDPOINT
from tests.platform.worker import ROOT, Worker

CLIENT = ROOT / ".venv-client" / "bin" / "python"


def main() -> None:
    """Transcribe the recording as one job, then in parts with each number of slots."""
    arguments = parse_arguments()
    print(describe_run())
    with tempfile.TemporaryDirectory() as scratch:
        recording = Path(scratch) / "long.wav"
        write_repeated(arguments.audio, arguments.minutes, recording)
        with run_workers(1, arguments.model) as platform, serve_folder(recording.parent) as address:
            whole, seconds = run_client(platform, f"{address}/{recording.name}", Path(scratch))
            compress(recording, recording.parent)
            whole_opus, _ = run_client(platform, f"{address}/sound.ogg", Path(scratch))
        text = whole["transcription"]["text"]
        print(f"one job: {seconds:.1f} s, {len(text.split())} words of {whole['metadata']['audio_duration']:.0f} s")
        print(f"one job with Opus: differing words {count_differing(text, whole_opus)}")
        print("slots  parts  seconds  differing words from one job, from one job with Opus", flush=True)
        for slots in arguments.slots:
            with run_workers(slots, arguments.model) as platform:
                flags = ["--parallel", slots, "--payload-limit", arguments.payload_limit]
                merged, seconds = run_client(platform, str(recording), Path(scratch), *flags)
            parts = len(merged["metadata"].get("parts", [0]))
            differing = (
                f"{count_differing(text, merged)}, {count_differing(whole_opus['transcription']['text'], merged)}"
            )
            print(f"{slots:5}  {parts:5}  {seconds:7.1f}  {differing}", flush=True)


def count_differing(text: str, output: dict[str, Any]) -> str:
    """Return the number and share of words in which an output differs from `text`."""
    errors = count_errors(text, output["transcription"]["text"], output["metadata"]["language"])
    return f"{errors.edits} of {errors.total} ({100 * (errors.rate or 0):.2f}%)"


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("audio", nargs="+", type=Path, metavar="AUDIO", help="recordings to repeat")
    parser.add_argument(
        "--minutes", type=float, default=120.0, help="length of the whole recording (default: %(default)s)"
    )
    parser.add_argument(
        "--slots", type=int, nargs="+", default=[1, 2, 4], help="numbers of workers (default: %(default)s)"
    )
    parser.add_argument("--model", default="base", help="(default: %(default)s)")
    parser.add_argument(
        "--payload-limit", type=int, default=10_000_000, help="bytes of one request (default: %(default)s)"
    )
    return parser.parse_args()


def write_repeated(paths: Sequence[Path], minutes: float, target: Path) -> None:
    """Write a WAV of that length, with the recordings over and over."""
    pcm = np.concatenate([load_pcm(path) for path in paths])
    write_wav(np.resize(pcm, round(minutes * 60 * SAMPLE_RATE)), target)


@contextmanager
def run_workers(count: int, model: str) -> Iterator[Platform]:
    """Run workers with one thread each under the platform emulator."""
    env = {"WHISPER_MODEL": model, "OMP_NUM_THREADS": "1", "MAX_CONCURRENCY": "1"}
    env["RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS"] = "true"
    with Platform(execution_timeout=36_000) as platform, ExitStack() as stack:
        workers = [stack.enter_context(Worker(platform, env=env)) for _ in range(count)]
        for worker in workers:
            worker.wait_ready()
        yield platform


@contextmanager
def serve_folder(folder: Path) -> Iterator[str]:
    """Serve a folder over HTTP and yield its address."""

    class QuietHandler(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(QuietHandler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def run_client(platform: Platform, source: str, scratch: Path, *flags: Any) -> tuple[dict[str, Any], float]:
    """Run the client's command for a recording and return its output and the seconds it took."""
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
