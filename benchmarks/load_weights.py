"""Measures time and memory of loading a model: `whisper.load_model` and `src.models.weights.load_weights`.

    .venv/bin/python -m benchmarks.load_weights models/base --rounds 7

Every figure is a median over fresh processes, which take turns. The clock starts after the imports, and the file is in
the page cache by then: the figures depend on CPU and memory, not on the disk. Memory is what loading adds to the
process: `resident` is the peak of its resident set, with file pages that the kernel may drop at any time; `private` is
the memory that only this process holds, once loaded.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from benchmarks.process_memory import read_kilobytes

ROOT = Path(__file__).resolve().parents[1]

Load = Callable[[Path], object]


def import_loaders() -> dict[str, Load]:
    """Import both loaders, by name."""
    import whisper

    from src.models.weights import load_weights

    return {"load_model": lambda path: whisper.load_model(str(path), device="cpu"), "load_weights": load_weights}


def measure(loader: str, path: Path) -> dict[str, float]:
    """Return the seconds and the added megabytes of one loading in this process, which has to be a fresh one."""
    load = import_loaders()[loader]
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak to the resident memory of this moment
    resident, private = read_kilobytes("VmHWM"), read_kilobytes("Private_Dirty", "smaps_rollup")
    started = time.perf_counter()
    model = load(path)
    seconds = time.perf_counter() - started
    peak, private_after = read_kilobytes("VmHWM"), read_kilobytes("Private_Dirty", "smaps_rollup")
    del model  # kept alive until memory is measured
    return {"seconds": seconds, "resident": (peak - resident) / 1024, "private": (private_after - private) / 1024}


def measure_in_fresh_process(loader: str, path: Path) -> dict[str, float]:
    """Run `measure` in a child process."""
    command = [sys.executable, "-m", "benchmarks.load_weights", str(path.resolve()), "--measure", loader]
    completed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(completed.stdout)
    return figures


def save_checkpoint(model: Path, folder: Path) -> Path:
    """Save the weights in the format that OpenAI publishes, a `.pt` in float16, and return its path."""
    import torch

    from src.models.weights import load_weights

    whisper = load_weights(model).half()
    path = folder / f"{(model.parent if model.is_file() else model).name}.pt"
    torch.save({"dims": asdict(whisper.dims), "model_state_dict": whisper.state_dict()}, path)
    return path


def compare(model: Path, rounds: int) -> None:
    """Measure both loaders in turn and print a Markdown table."""
    from benchmarks.report import describe_run, markdown_table

    with tempfile.TemporaryDirectory() as folder:
        checkpoint = save_checkpoint(model, Path(folder))
        cases = [("load_model", checkpoint), ("load_weights", checkpoint), ("load_weights", model)]
        results = [[measure_in_fresh_process(*case) for case in cases] for _ in range(rounds)]
    medians = [
        {figure: statistics.median(result[figure] for result in column) for figure in column[0]}
        for column in zip(*results, strict=True)
    ]
    headings = [f"{model.name}, median of {rounds}", "seconds", "times faster", "resident, MB", "private, MB"]
    rows = [
        [
            f"{loader}, {'.pt' if path == checkpoint else 'model.bin'}",
            f"{figures['seconds']:.3f}",
            f"{medians[0]['seconds'] / figures['seconds']:.0f}",
            f"{figures['resident']:.0f}",
            f"{figures['private']:.0f}",
        ]
        for (loader, path), figures in zip(cases, medians, strict=True)
    ]
    print(f"{describe_run()}\n\n{markdown_table(headings, rows)}")


def main() -> None:
    """Compare the loaders, or measure one of them in a child process."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a folder with model.bin, or model.bin itself")
    parser.add_argument("--rounds", type=int, default=5, help="fresh processes per case (default: %(default)s)")
    parser.add_argument("--measure", choices=["load_model", "load_weights"], help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure, arguments.model)))
    else:
        compare(arguments.model, arguments.rounds)


if __name__ == "__main__":
    main()
