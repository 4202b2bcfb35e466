"""Shared output of the benchmarks: the facts of a run, Markdown tables, JSON and a chart.

Every published figure needs its date, CPU, commit and command. Each benchmark prints them with `describe_run`.
"""

from __future__ import annotations

import json
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.recordings import Recording
from benchmarks.scoring import Errors
from benchmarks.summary import GROUPS, Row, Run
from benchmarks.systems import cpu_count
from src.settings import ROOT

_PACKAGES = ("torch", "openai-whisper", "faster-whisper", "ctranslate2", "pywhispercpp")


def describe_run() -> str:
    """Return one line with the date, CPU, commit and command of this run."""
    return "; ".join(run_facts().values())


def run_facts() -> dict[str, str]:
    """Return the facts that every figure of this run depends on: date, machine, commit and command."""
    return {
        "date": date.today().isoformat(),
        "machine": describe_machine(),
        "commit": f"commit {_commit()}",
        "command": f"`{shlex.join(sys.orig_argv)}`",
    }


def describe_machine() -> str:
    """Return the CPU's model, the CPUs that this process may use, and the Python version."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "CPU")
    return f"{model}, {cpu_count()} CPUs, Python {platform.python_version()}"


def _commit() -> str:
    """The commit of the working tree, with `-dirty` if tracked files were changed; `unknown` without git."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def comparison_table(rows: Sequence[Row]) -> str:
    """Return the systems as a Markdown table, the fastest first."""
    headings = ["system", "seconds", "x real time", "time relative to ours (min..max)"]
    headings += [f"errors, {group}" for group in GROUPS] + ["hallucinated words", "peak MB"]
    ordered = sorted(rows, key=lambda row: row.seconds)
    return markdown_table(headings, [_cells(row) for row in ordered])


def _cells(row: Row) -> list[str]:
    rates = [format_rate(row.groups[group]) for group in GROUPS]
    return [
        row.system,
        f"{row.seconds:.2f}",
        f"{row.speed:.1f}",
        _format_spread(row.ratios),
        *rates,
        f"{row.hallucinated:.3g}",
        f"{row.peak_mb:.0f}",
    ]


def _format_spread(ratios: Sequence[float]) -> str:
    return f"{median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})" if ratios else "-"


def recordings_table(rows: Sequence[Row], recordings: Sequence[Recording]) -> str:
    """Return a Markdown table with each system's errors on each recording that has a reference text."""
    scored = [recording for recording in recordings if recording.text]
    headings = ["errors", *(f"{recording.name} ({recording.language or 'any'})" for recording in scored)]
    cells = [[row.system, *(format_rate(row.files[recording.name]) for recording in scored)] for row in rows]
    return markdown_table(headings, cells)


def format_rate(errors: Errors) -> str:
    """Return the error rate in percent, or `-` without a reference text."""
    return "-" if errors.rate is None else f"{100 * errors.rate:.1f}%"


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def to_json(rows: Sequence[Row], recordings: Sequence[Recording], runs: Sequence[Run], **facts: str) -> str:
    """Return all measurements, their summary, and the facts of the run."""
    document: dict[str, Any] = {
        **facts,
        **run_facts(),
        "versions": _versions(),
        "recordings": [{**asdict(recording), "path": str(recording.path)} for recording in recordings],
        "rows": [asdict(row) for row in rows],
        "runs": [asdict(run) for run in runs],
    }
    return json.dumps(document, ensure_ascii=False, indent=1)


def _versions() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions


def plot(rows: Sequence[Row], title: str, path: Path) -> None:
    """Save a bar chart of speed and errors, the fastest system on top."""
    from matplotlib.figure import Figure

    ordered = sorted(rows, key=lambda row: row.speed)
    names = [row.system for row in ordered]
    colours = ["tab:orange" if row.system.startswith("ours") else "tab:blue" for row in ordered]
    figure = Figure(figsize=(11, 1.5 + 0.35 * len(rows)), layout="constrained")
    panels = [("x real time", [row.speed for row in ordered])]
    rates = [row.groups["English"].rate for row in ordered]
    if None not in rates:  # without a reference text there are no errors to plot
        panels.append(("word errors in percent, English", [100 * (rate or 0.0) for rate in rates]))
    for axes, (label, values) in zip(
        figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels, strict=True
    ):
        axes.bar_label(axes.barh(names, values, color=colours), fmt="%.1f", padding=2)
        axes.set_xlabel(label)
        axes.margins(x=0.15)  # space for the labels
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
