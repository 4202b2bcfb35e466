"""A comparison as Markdown, JSON and a picture."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.recordings import Recording
from benchmarks.results import GROUPS, Row, Run
from benchmarks.scoring import Errors
from benchmarks.systems import cpus

_PACKAGES = ("torch", "openai-whisper", "faster-whisper", "ctranslate2", "pywhispercpp")


def table(rows: Sequence[Row]) -> str:
    """The systems in Markdown, the fastest first."""
    heads = ["system", "seconds", "x real time", "x our time (min..max)"]
    heads += [f"errors, {group}" for group in GROUPS] + ["words where none are", "peak MB"]
    ordered = sorted(rows, key=lambda row: row.seconds)
    return markdown(heads, [_cells(row) for row in ordered])


def _cells(row: Row) -> list[str]:
    rates = [percent(row.groups[group]) for group in GROUPS]
    return [
        row.system,
        f"{row.seconds:.2f}",
        f"{row.speed:.1f}",
        _spread(row.ratios),
        *rates,
        f"{row.invented:.3g}",
        f"{row.peak_mb:.0f}",
    ]


def _spread(ratios: Sequence[float]) -> str:
    return f"{median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})" if ratios else "-"


def table_of_files(rows: Sequence[Row], recordings: Sequence[Recording]) -> str:
    """Errors of each system on each recording whose text is known."""
    known = [recording for recording in recordings if recording.text]
    heads = ["errors", *(f"{one.name} ({one.language or 'any'})" for one in known)]
    return markdown(heads, [[row.system, *(percent(row.files[one.name]) for one in known)] for row in rows])


def percent(errors: Errors) -> str:
    return "-" if errors.rate is None else f"{100 * errors.rate:.1f}%"


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def as_json(rows: Sequence[Row], recordings: Sequence[Recording], runs: Sequence[Run], **facts: str) -> str:
    """All that was measured, what it comes to, and where."""
    whole: dict[str, Any] = {
        **facts,
        "machine": machine(),
        "versions": _versions(),
        "recordings": [{**asdict(recording), "path": str(recording.path)} for recording in recordings],
        "rows": [asdict(row) for row in rows],
        "runs": [asdict(run) for run in runs],
    }
    return json.dumps(whole, ensure_ascii=False, indent=1)


def machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "CPU")
    return f"{model}, {cpus()} CPUs, Python {platform.python_version()}"


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def draw(rows: Sequence[Row], title: str, path: Path) -> None:
    """Speed and errors of each system as bars, the fastest on top."""
    from matplotlib.figure import Figure

    ordered = sorted(rows, key=lambda row: row.speed)
    names = [row.system for row in ordered]
    colours = ["tab:orange" if row.system.startswith("ours") else "tab:blue" for row in ordered]
    figure = Figure(figsize=(11, 1.5 + 0.35 * len(rows)), layout="constrained")
    panels = [("x real time", [row.speed for row in ordered])]
    rates = [row.groups["English"].rate for row in ordered]
    if None not in rates:  # without a text to compare with there is nothing to show
        panels.append(("word errors in percent, English", [100 * (rate or 0.0) for rate in rates]))
    for axes, (label, values) in zip(
        figure.subplots(1, len(panels), sharey=True, squeeze=False)[0], panels, strict=True
    ):
        axes.bar_label(axes.barh(names, values, color=colours), fmt="%.1f", padding=2)
        axes.set_xlabel(label)
        axes.margins(x=0.15)  # room for the labels
    figure.suptitle(title)
    figure.savefig(path, dpi=120)
