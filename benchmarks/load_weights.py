"""Time and memory of loading a model: `whisper.load_model` against `src.models.weights.load_weights`.

    python benchmarks/load_weights.py models/base --rounds 7

Every figure is a median over fresh processes, which take turns. The clock starts after the imports, and the file is in
the page cache by then: it is the work of loading that is compared, not the disk. Memory is what loading adds to the
process: `resident` is the peak of its resident set, file pages that can be dropped at any time included; `private` is
the part that only this process holds, once loaded.
"""

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

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # run as a script, Python looks for modules in benchmarks/ only

Load = Callable[[Path], object]


def loaders() -> dict[str, Load]:
    import whisper

    from src.models.weights import load_weights

    return {"load_model": lambda path: whisper.load_model(str(path), device="cpu"), "load_weights": load_weights}


def measure(loader: str, path: Path) -> dict[str, float]:
    """Seconds, and megabytes that loading added, in this process: it has to be a fresh one."""
    load = loaders()[loader]
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew, at what is resident now
    resident, private = _kilobytes("status", "VmHWM"), _kilobytes("smaps_rollup", "Private_Dirty")
    began = time.perf_counter()
    model = load(path)
    seconds = time.perf_counter() - began
    peak, held = _kilobytes("status", "VmHWM"), _kilobytes("smaps_rollup", "Private_Dirty")
    del model  # it has to live until memory is measured
    return {"seconds": seconds, "resident": (peak - resident) / 1024, "private": (held - private) / 1024}


def _kilobytes(file: str, field: str) -> int:
    """A field of Linux's own account of this process. (`getrusage`'s peak would be the parent's, kept over `exec`.)"""
    lines = Path("/proc/self", file).read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def measure_apart(loader: str, path: Path) -> dict[str, float]:
    command = [sys.executable, __file__, str(path), "--measure", loader]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def save_checkpoint(model: Path, folder: Path) -> Path:
    """The same weights as OpenAI publishes them: a `.pt` in float16."""
    import torch

    from src.models.weights import load_weights

    whisper = load_weights(model).half()
    path = folder / f"{(model.parent if model.is_file() else model).name}.pt"
    torch.save({"dims": asdict(whisper.dims), "model_state_dict": whisper.state_dict()}, path)
    return path


def compare(model: Path, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = save_checkpoint(model, Path(folder))
        cases = [("load_model", checkpoint), ("load_weights", checkpoint), ("load_weights", model)]
        results = [[measure_apart(*case) for case in cases] for _ in range(rounds)]
    medians = [
        {figure: statistics.median(row[figure] for row in column) for figure in column[0]}
        for column in zip(*results, strict=True)
    ]
    print(f"| {model.name}, median of {rounds} | seconds | times faster | resident, MB | private, MB |")
    print("| --- | --- | --- | --- | --- |")
    for (loader, path), row in zip(cases, medians, strict=True):
        form = ".pt" if path == checkpoint else "model.bin"
        faster = medians[0]["seconds"] / row["seconds"]
        print(
            f"| {loader}, {form} | {row['seconds']:.3f} | {faster:.0f} | {row['resident']:.0f} | {row['private']:.0f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="a folder with model.bin, or model.bin itself")
    parser.add_argument("--rounds", type=int, default=5, help="fresh processes per case (default: %(default)s)")
    parser.add_argument("--measure", choices=["load_model", "load_weights"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.model)))
    else:
        compare(options.model, options.rounds)


if __name__ == "__main__":
    main()
