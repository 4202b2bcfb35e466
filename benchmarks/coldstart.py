"""From the start of a worker's process to its first result, beside the plain ways to serve the same weights.

    .venv/bin/python -m benchmarks.coldstart --rounds 7

Each worker is a fresh process under the platform's emulator, with one job waiting for it; they take turns. "Ready" is
the moment in which a worker asks for its first job: ours has transcribed a sentence by then, to prove that it can.
Files are in the page cache, so that imports and weights are compared, not disks.
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
from benchmarks.report import machine, markdown
from benchmarks.systems import cpus
from src.audio.ffmpeg_process import ffmpeg_executable
from src.settings import ROOT
from tests.platform.emulator import Platform
from tests.platform.worker import Worker

IMPORTS = "import torch, runpod"
_LOADED = re.compile(r"worker\.loaded .*imported=([\d.]+) loaded=([\d.]+)")
_WIDTH = 60
"""Characters of the longest bar."""


@dataclass(frozen=True)
class System:
    name: str
    script: Path
    env: dict[str, str]


@dataclass(frozen=True)
class Start:
    """Seconds since the process began."""

    imported: float
    loaded: float
    ready: float
    first_result: float


def systems(model: str) -> list[System]:
    weights = Path(weights_for("openai-whisper", model))
    checkpoint = CACHE / f"{model}.pt"
    if not checkpoint.is_file():
        CACHE.mkdir(parents=True, exist_ok=True)
        save_checkpoint(weights, CACHE)
    here, theirs = ROOT / "benchmarks", {"WEIGHTS": weights_for("faster-whisper", model)}
    return [
        System("worker-whisper", ROOT / "handler.py", {"WHISPER_MODEL": model}),
        System("openai-whisper", here / "plain_openai_whisper.py", {"WEIGHTS": str(checkpoint)}),
        System("faster-whisper, int8", here / "plain_faster_whisper.py", theirs),
        System("the same, torch not installed", here / "plain_faster_whisper.py", theirs | {"WITHOUT_TORCH": "1"}),
    ]


def measure(system: System, job: object, env: dict[str, str]) -> Start:
    with Platform() as platform:
        waiting = platform.submit(job)
        began = time.perf_counter()
        with Worker(platform, system.script, env=env | system.env) as worker:
            worker.wait_ready()
            ready = time.perf_counter() - began
            answer = platform.wait(waiting)
            first_result = time.perf_counter() - began
            told = _LOADED.search(worker.log())
    if told is None or "lazy dog" not in json.dumps(answer):
        raise SystemExit(f"{system.name} did not do its job: {json.dumps(answer)[:300]}")
    return Start(float(told[1]), float(told[2]), ready, first_result)


def measure_imports(env: dict[str, str]) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", IMPORTS], env=os.environ | env, check=True)
    return time.perf_counter() - began


def middle(starts: Sequence[Start]) -> Start:
    return Start(*(median(getattr(start, stage) for start in starts) for stage in Start.__annotations__))


def report(starts: dict[str, Start], imports: float) -> str:
    heads = ["seconds since process start", "imports done", "weights loaded", "ready", f"x `{IMPORTS}`", "first result"]
    rows = [
        [name, *(f"{one:.2f}" for one in (at.imported, at.loaded, at.ready, at.ready / imports, at.first_result))]
        for name, at in starts.items()
    ]
    rows.append([f"`{IMPORTS}` alone", f"{imports:.2f}", "", "", "1.00", ""])
    scale = _WIDTH / max(at.first_result for at in starts.values())
    return markdown(heads, rows) + "\n\n" + "\n".join(_bar(name, at, scale) for name, at in starts.items()) + _LEGEND


_LEGEND = "\n(i imports, w weights, c checks and the SDK's start, j the first job)"


def _bar(name: str, at: Start, scale: float) -> str:
    stages = {"i": at.imported, "w": at.loaded, "c": at.ready, "j": at.first_result}
    bar = ""
    for letter, end in stages.items():
        bar += letter * (round(end * scale) - len(bar))
    return f"{name:30} {bar} {at.first_result:.2f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="base", help="a model of `make setup` (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="fresh processes of each (default: %(default)s)")
    options = parser.parse_args()
    audio = json.loads((ROOT / "test_input.json").read_text())["input"]["audio"]
    job = {"audio": audio, "options": {"language": "en"}}
    contestants = systems(options.model)
    starts: dict[str, list[Start]] = {system.name: [] for system in contestants}
    imports = []
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "ffmpeg").symlink_to(ffmpeg_executable())  # which openai-whisper calls by its bare name
        env = {
            "OMP_NUM_THREADS": str(cpus()),
            "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
            "HF_HUB_OFFLINE": "1",
            "PYTHONPATH": str(ROOT),
        }
        for _ in range(options.rounds):
            imports.append(measure_imports(env))
            for system in contestants:
                starts[system.name].append(measure(system, job, env))
    load = os.getloadavg()[0]
    print(f"{options.model}, medians of {options.rounds} rounds in turn; {machine()}; load {load:.1f}\n")
    print(report({name: middle(rounds) for name, rounds in starts.items()}, median(imports)))


if __name__ == "__main__":
    main()
