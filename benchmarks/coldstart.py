"""Measures a worker's start, from its process to its first result, beside minimal handlers for the same weights.

    .venv/bin/python -m benchmarks.coldstart --rounds 7

`make coldstart` installs the other systems first. Each worker is a fresh process under the platform emulator, with one
job waiting for it; the systems take turns. A worker is "ready" when it asks for its first job: ours has transcribed a
sentence by then, as a self-test. Afterwards it prints what a start imports, by package.

The figures depend on the CPU and its load; on a busy machine compare the CPU time. The files are in the page cache, so
that imports and weights are compared, not disks.
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
from collections import Counter
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
WORKER_IMPORTS = f"{IMPORTS}; import src.serving.async_handler, src.serving.fitness"
"""What a worker imports before its first job, here one after the other."""
LISTED_PACKAGES = 15
_LOADED = re.compile(r"worker\.loaded .*imported=([\d.]+) loaded=([\d.]+)")
_IMPORT_TIME = re.compile(r"import time: +(\d+) \| +\d+ \| +([\w.]+)")
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
    cpu: float
    """Seconds of CPU time until the first result, of the worker and of its processes that have ended."""


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
            worker.wait_ready(timeout=600)
            ready = time.perf_counter() - started
            answer = platform.wait(submitted, timeout=600)
            first_result = time.perf_counter() - started
            cpu = cpu_seconds(worker.pid)
            loaded = _LOADED.search(worker.log())
    if loaded is None or "lazy dog" not in json.dumps(answer):
        raise SystemExit(f"{system.name} did not do its job: {json.dumps(answer)[:300]}")
    return StartTimes(float(loaded[1]), float(loaded[2]), ready, first_result, cpu)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process and of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class ImportedPackage:
    """A package that a start imports, with its modules."""

    name: str
    modules: int
    seconds: float


def measure_packages(env: dict[str, str]) -> list[ImportedPackage]:
    """Return the packages that a worker imports before its first job, by `-X importtime`, the slowest first."""
    command = [sys.executable, "-X", "importtime", "-c", WORKER_IMPORTS]
    ran = subprocess.run(command, env=os.environ | env, cwd=ROOT, check=True, capture_output=True, text=True)
    modules, microseconds = Counter[str](), Counter[str]()
    for self_time, module in _IMPORT_TIME.findall(ran.stderr):
        package = module.partition(".")[0]
        package = "the standard library" if package.lstrip("_") in sys.stdlib_module_names else package
        modules[package] += 1
        microseconds[package] += int(self_time)
    return [ImportedPackage(name, modules[name], spent / 1e6) for name, spent in microseconds.most_common()]


def format_packages(packages: Sequence[ImportedPackage]) -> str:
    """Return a Markdown table of the slowest packages, the others together, and all."""
    others = packages[LISTED_PACKAGES:]
    rows = [[package.name, str(package.modules), f"{package.seconds:.3f}"] for package in packages[:LISTED_PACKAGES]]
    for name, group in ((f"{len(others)} others", others), ("all", packages)):
        seconds = sum(package.seconds for package in group)
        rows.append([name, str(sum(package.modules for package in group)), f"{seconds:.3f}"])
    return markdown_table(["imported before the first job", "modules", "seconds"], rows)


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
    headings += [f"ready relative to `{IMPORTS}`", "first result", "CPU time"]
    rows = [
        [
            name,
            *(
                f"{value:.2f}"
                for value in (
                    *(times.imported, times.loaded, times.ready, times.ready / imports),
                    *(times.first_result, times.cpu),
                )
            ),
        ]
        for name, times in starts.items()
    ]
    rows.append([f"`{IMPORTS}` alone", f"{imports:.2f}", "", "", "1.00", "", ""])
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
        packages = measure_packages(env)
    load = os.getloadavg()[0]
    print(f"{arguments.model}, medians of {arguments.rounds} rounds; {describe_run()}; load {load:.1f}\n")
    print(format_starts({name: median_start(rounds) for name, rounds in starts.items()}, median(imports)))
    print(f"\n{format_packages(packages)}")


if __name__ == "__main__":
    main()
