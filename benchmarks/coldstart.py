"""Measures a worker's start, from its process to its first result, beside minimal handlers for the same weights.

    .venv/bin/python -m benchmarks.coldstart --rounds 7

`make coldstart` installs the other systems first. Each worker is a fresh process under the platform emulator, with one
job waiting for it; the systems take turns. A worker is "ready" when it asks for its first job: ours has transcribed a
sentence by then, as a self-test.

The figures depend on the CPU and its load. The files are in the page cache, so that imports and weights are compared,
not disks.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.load_weights import save_checkpoint
from benchmarks.peer_weights import CACHE, weights_for
from benchmarks.report import describe_run, markdown_table
from benchmarks.systems import cpu_count
from media.sandbox import ffmpeg_executable
from src.settings import ROOT
from tests.platform.emulator import Platform
from tests.platform.worker import Worker

IMPORTS = "import torch, runpod"
_LOADED = re.compile(r"worker\.loaded .*imported=([\d.]+) loaded=([\d.]+)")
_BAR_WIDTH = 60
"""Characters of the longest bar."""


@dataclass(frozen=True)
class WorkerScript:
    """A worker to start: its script and environment variables."""

    name: str
    script: Path
    env: dict[str, str]


@dataclass(frozen=True)
class StartTimes:
    """The stages of a start, in seconds since the process began."""

    imported: float
    loaded: float
    ready: float
    first_result: float


def make_workers(model: str) -> list[WorkerScript]:
    """Return the workers to compare, with the model's weights in each one's format."""
    weights = Path(weights_for("openai-whisper", model))
    checkpoint = CACHE / f"{model}.pt"
    if not checkpoint.is_file():
        CACHE.mkdir(parents=True, exist_ok=True)
        save_checkpoint(weights, CACHE)
    folder, faster_whisper = ROOT / "benchmarks", {"WEIGHTS": weights_for("faster-whisper", model)}
    without_torch = faster_whisper | {"WITHOUT_TORCH": "1"}
    return [
        WorkerScript("worker-whisper", ROOT / "handler.py", {"WHISPER_MODEL": model}),
        WorkerScript("openai-whisper", folder / "plain_openai_whisper.py", {"WEIGHTS": str(checkpoint)}),
        WorkerScript("faster-whisper, int8", folder / "plain_faster_whisper.py", faster_whisper),
        WorkerScript("faster-whisper, without torch", folder / "plain_faster_whisper.py", without_torch),
    ]


def measure_start(system: WorkerScript, job: object, env: dict[str, str]) -> StartTimes:
    """Start a worker for one job.

    Raises:
        SystemExit: The worker did not transcribe the demo clip.
    """
    with Platform() as platform:
        submitted = platform.submit(job)
        started = time.perf_counter()
        with Worker(platform, system.script, env=env | system.env) as worker:
            worker.wait_ready()
            ready = time.perf_counter() - started
            answer = platform.wait(submitted)
            first_result = time.perf_counter() - started
            loaded = _LOADED.search(worker.log())
    if loaded is None or "lazy dog" not in json.dumps(answer):
        raise SystemExit(f"{system.name} did not do its job: {json.dumps(answer)[:300]}")
    return StartTimes(float(loaded[1]), float(loaded[2]), ready, first_result)


def measure_imports(env: dict[str, str]) -> float:
    """Return the seconds of a process that only imports torch and the SDK."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", IMPORTS], env=os.environ | env, check=True)
    return time.perf_counter() - started


def median_start(starts: Sequence[StartTimes]) -> StartTimes:
    """Return the median of each stage."""
    return StartTimes(*(median(getattr(start, stage) for start in starts) for stage in StartTimes.__annotations__))


def format_starts(starts: dict[str, StartTimes], imports: float) -> str:
    """Return a Markdown table and a bar for each system; `imports` is the time of `measure_imports`."""
    headings = ["seconds since process start", "imports done", "weights loaded", "ready"]
    headings += [f"ready relative to `{IMPORTS}`", "first result"]
    rows = [
        [
            name,
            *(
                f"{value:.2f}"
                for value in (times.imported, times.loaded, times.ready, times.ready / imports, times.first_result)
            ),
        ]
        for name, times in starts.items()
    ]
    rows.append([f"`{IMPORTS}` alone", f"{imports:.2f}", "", "", "1.00", ""])
    characters_per_second = _BAR_WIDTH / max(times.first_result for times in starts.values())
    bars = "\n".join(_bar(name, times, characters_per_second) for name, times in starts.items())
    return f"{markdown_table(headings, rows)}\n\n{bars}\n{_LEGEND}"


_LEGEND = "(i: imports, w: weights, c: checks and the SDK's start, j: the first job)"


def _bar(name: str, times: StartTimes, characters_per_second: float) -> str:
    stages = {"i": times.imported, "w": times.loaded, "c": times.ready, "j": times.first_result}
    bar = ""
    for letter, end in stages.items():
        bar += letter * (round(end * characters_per_second) - len(bar))
    return f"{name:30} {bar} {times.first_result:.2f} s"


def demo_job() -> dict[str, object]:
    """Return the input of `test_input.json`, with the language given."""
    audio = json.loads((ROOT / "test_input.json").read_text())["input"]["audio"]
    return {"audio": audio, "options": {"language": "en"}}


def main() -> None:
    """Measure all workers in turn and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="base", help="a model that `make setup` fetched (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="fresh processes of each worker (default: %(default)s)")
    arguments = parser.parse_args()
    job = demo_job()
    workers = make_workers(arguments.model)
    starts: dict[str, list[StartTimes]] = {worker.name: [] for worker in workers}
    imports = []
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "ffmpeg").symlink_to(ffmpeg_executable())  # openai-whisper looks for `ffmpeg` on PATH
        env = {
            "OMP_NUM_THREADS": str(cpu_count()),
            "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": str(ROOT),
        }
        for _ in range(arguments.rounds):
            imports.append(measure_imports(env))
            for worker in workers:
                starts[worker.name].append(measure_start(worker, job, env))
    load = os.getloadavg()[0]
    print(f"{arguments.model}, medians of {arguments.rounds} rounds; {describe_run()}; load {load:.1f}\n")
    print(format_starts({name: median_start(rounds) for name, rounds in starts.items()}, median(imports)))


if __name__ == "__main__":
    main()
