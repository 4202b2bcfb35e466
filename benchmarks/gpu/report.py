"""The report of `benchmarks.gpu_check`: sections of rows, as JSON and as text, saved after each section."""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.report import markdown_table, run_facts

Row = dict[str, str | int | float]
"""A row of a table: its cells by heading."""


@dataclass(frozen=True)
class Section:
    """A part of the report: `measure` returns the rows of its table."""

    name: str
    title: str
    measure: Callable[[], Iterable[Row]]


@dataclass
class Report:
    """The sections that have been measured, kept in a folder.

    Attributes:
        sections: by name; each has its title, its rows, the facts of its run and its seconds, or the reason that it
            failed.
    """

    folder: Path
    sections: dict[str, dict[str, object]] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path) -> Report:
        """Return the report in a folder, an empty one if there is none."""
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / "report.json"
        return cls(folder, json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {})

    def has(self, section: Section) -> bool:
        """True if a section was measured, for the same model, and did not fail."""
        entry = self.sections.get(section.name, {})
        return entry.get("title") == section.title and "failed" not in entry

    @property
    def failed(self) -> list[str]:
        """The sections that failed."""
        return [name for name, section in self.sections.items() if "failed" in section]

    def measure(self, section: Section) -> None:
        """Measure a section and save the report; if the section fails, the rows until then and the reason are kept."""
        started, rows = time.perf_counter(), list[Row]()
        entry: dict[str, object] = {"title": section.title, "facts": run_facts(), "rows": rows}
        try:
            rows.extend(section.measure())
        except (Exception, SystemExit) as error:
            entry["failed"] = f"{type(error).__name__}: {error}"
            entry["traceback"] = traceback.format_exc()
        entry["seconds"] = round(time.perf_counter() - started, 1)
        self.sections[section.name] = entry
        self._save()

    def _save(self) -> None:
        document = json.dumps(self.sections, ensure_ascii=False, indent=1)
        (self.folder / "report.json").write_text(document, encoding="utf-8")
        (self.folder / "report.md").write_text(self.text(), encoding="utf-8")

    def text(self) -> str:
        """Return the report as Markdown."""
        return "\n".join(format_section(section) for section in self.sections.values())


def format_section(section: dict[str, object]) -> str:
    """Return a section as Markdown: its title, the facts of its run, and its table."""
    facts = section["facts"]
    assert isinstance(facts, dict)
    lines = [f"## {section['title']}", "", f"{'; '.join(facts.values())}; {section['seconds']} s", ""]
    rows = section["rows"]
    assert isinstance(rows, list)
    if rows:
        lines += [rows_table(rows), ""]
    if "failed" in section:
        lines += [f"FAILED: {section['failed']}", ""]
    return "\n".join(lines)


def rows_table(rows: Sequence[Row]) -> str:
    """Return rows as a Markdown table; a row need not have all headings."""
    headings = list(dict.fromkeys(heading for row in rows for heading in row))
    return markdown_table(headings, [[format_cell(row.get(heading, "")) for heading in headings] for row in rows])


def format_cell(value: str | int | float) -> str:
    """Return a number with three significant digits, or all digits before the point; a text as it is."""
    if not isinstance(value, float):
        return str(value)
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
