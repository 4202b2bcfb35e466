"""Writes what is told in two places from the classes that define it: the README's tables of options and of environment
variables, the JSON Schema of a job's input, by which the client makes its flags, and the variables in `hub.json`.

python builder/write_tables.py
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from builder.hub import HUB, with_environment  # noqa: E402
from src.request.options import Options  # noqa: E402
from src.request.schema import JobInput  # noqa: E402
from src.settings import Settings  # noqa: E402
from src.speakers import clustering  # noqa: E402

README = ROOT / "README.md"
SCHEMA = ROOT / "client" / "job_input.schema.json"
THRESHOLDS = ROOT / "client" / "merge" / "speaker_thresholds.json"


def with_tables(text: str) -> str:
    """The README with its tables as the code has them."""
    text = _replaced(text, "options", _table("option", Options))
    return _replaced(text, "environment", _table("variable", Settings, upper=True))


def schema() -> str:
    """The input of a job, in JSON Schema."""
    return json.dumps(JobInput.model_json_schema(), indent=2) + "\n"


def thresholds() -> str:
    """Similarities from which the client merges speakers of parts, the same as the worker's within one recording."""
    return json.dumps({"merge": clustering.ALIKE, "strict_merge": clustering.MOST_ALIKE}, indent=2) + "\n"


def _table(heading: str, model: type[BaseModel], *, upper: bool = False) -> str:
    rows = [
        f"| `{name.upper() if upper else name}` | {_default(field.default)} | {field.description} |"
        for name, field in model.model_fields.items()
    ]
    return "\n".join([f"| {heading} | default | meaning |", "| --- | --- | --- |", *rows])


def _default(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`"


def _replaced(text: str, name: str, table: str) -> str:
    marked = re.compile(rf"(<!-- {name} -->\n).*?(\n<!-- /{name} -->)", re.DOTALL)
    return marked.sub(lambda found: found[1] + table + found[2], text)


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text()))
    SCHEMA.write_text(schema())
    THRESHOLDS.write_text(thresholds())
    HUB.write_text(with_environment(HUB.read_text()))
