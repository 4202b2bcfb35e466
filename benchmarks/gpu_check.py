"""Runs all checks and measurements that need a GPU, in some five minutes: the one command for whoever has one.

    .venv/bin/python -m benchmarks.gpu_check                 # all sections; paste the report.md into an issue
    .venv/bin/python -m benchmarks.gpu_check                 # again: only what is missing or failed
    .venv/bin/python -m benchmarks.gpu_check --only steps encoder --out other-folder
    .venv/bin/python -m benchmarks.gpu_check --dry           # the same code on a CPU in small sizes

The report is saved after each section, as report.json and report.md, and a section that is found there is skipped. No
section begins once `--budget` is over: run the command again for the rest. It ends with status 1 if a section failed.
Sections of an older commit are kept: choose another folder, or delete this one.

Correctness, batch sizes, jobs and the cold start need real weights: the largest model that is found, or `--model`.
Steps, encoder and peers have random weights of the right size, whose texts never end, so that `tiny.en` is enough for a
full report. All figures depend on the GPU, its driver and torch's CUDA version, which the report names.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import torch

from benchmarks.clip_windows import find_weights
from benchmarks.gpu.correctness import compare_logits, compare_tokens
from benchmarks.gpu.jobs import measure_batch_sizes, measure_cold_start, measure_jobs, measure_peers
from benchmarks.gpu.machine import measure_machine
from benchmarks.gpu.report import Report, Section, format_section
from benchmarks.gpu.setup import Setup
from benchmarks.gpu.steps import measure_encoder, measure_steps
from src.engine.placement import choose_placements, make_placement
from src.models.store import find_model
from src.settings import get_settings

RESULTS = Path(__file__).with_name("results")
MODELS = ("large-v3", "turbo", "medium", "small", "base", "tiny", "medium.en", "small.en", "base.en", "tiny.en")


def main() -> int:
    """Measure the sections that are missing in the report, and return the exit status."""
    arguments = parse_arguments()
    setup = make_setup(arguments.model, is_small=arguments.dry or not torch.cuda.is_available())
    sections = make_sections(setup, arguments.minutes)
    names = [section.name for section in sections]
    if unknown := set(arguments.only) - set(names):
        raise SystemExit(f"unknown section {', '.join(unknown)}: the sections are {', '.join(names)}")
    folder = arguments.out or RESULTS / ("gpu-dry" if setup.is_small else "gpu")
    report = Report.open(folder)
    started, unfinished = time.perf_counter(), []
    for section in sections:
        if report.has(section) or (arguments.only and section.name not in arguments.only):
            continue
        if time.perf_counter() - started > arguments.budget:
            unfinished.append(section.name)
            continue
        report.measure(section)
        print(format_section(report.sections[section.name]), flush=True)
    print(f"The report is {folder}/report.md, and report.json.")
    if unfinished:
        print(f"Out of time for {', '.join(unfinished)}: run this again.")
    if report.failed:
        print(f"Failed: {', '.join(report.failed)}.")
    return 1 if report.failed else 0


def parse_arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="real weights, as WHISPER_MODEL (default: the largest model that is found)")
    parser.add_argument("--out", type=Path, help="folder of the report (default: benchmarks/results/gpu, or gpu-dry)")
    parser.add_argument("--only", nargs="+", default=[], metavar="SECTION", help="measure these sections only")
    parser.add_argument("--minutes", type=float, default=30.0, help="length of a whole job (default: %(default)s)")
    parser.add_argument("--budget", type=float, default=270.0, help="seconds for all sections (default: %(default)s)")
    parser.add_argument("--dry", action="store_true", help="small sizes on the CPU, as without a GPU")
    return parser.parse_args()


def make_setup(model: str | None, *, is_small: bool) -> Setup:
    """Return the device and the real weights."""
    if is_small:
        placement = make_placement((torch.device("cpu"),), torch.float32)
    else:
        placement = choose_placements("float16", "replicate")[0]
    models = ("tiny.en", *MODELS) if is_small else MODELS
    found = (name for name in models if find_model(name, get_settings().model_folders))
    model = model or next(found, "tiny.en")
    return Setup(placement, is_small, model, find_weights(model))


def make_sections(setup: Setup, minutes: float) -> list[Section]:
    """Return the sections of the report, in order; each has a share of the time."""
    name = setup.model
    return [
        Section("machine", "Machine and its ceilings", lambda: measure_machine(setup)),
        Section("logits", f"Logits beside openai-whisper's, {name}", lambda: compare_logits(setup)),
        Section(
            "tokens", f"Tokens of recorded steps, of eager ones, and of a CPU, {name}", lambda: compare_tokens(setup)
        ),
        Section("steps", "Decoding steps, random weights", lambda: measure_steps(setup, 60.0)),
        Section("encoder", "Encoder and memory, random weights", lambda: measure_encoder(setup, 30.0)),
        Section("batches", f"Engine by batch size, {name}", lambda: measure_batch_sizes(setup, 40.0)),
        Section("jobs", f"Whole jobs, and peers, {name}", lambda: measure_jobs(setup, minutes)),
        Section("peers", "Peers with the same number of steps, random weights", lambda: measure_peers(setup)),
        Section(
            "coldstart", f"Cold start in seconds, {name}", lambda: measure_cold_start(setup, 1 if setup.is_small else 2)
        ),
    ]


if __name__ == "__main__":
    sys.exit(main())
