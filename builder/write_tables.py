"""Writes everything that is generated from the worker's classes and packages.

- `docs/options.md`: the table of a job's options
- `docs/configuration.md`: the table of environment variables
- `client/job_input.schema.json`: a job's input as JSON Schema, from which the client makes its flags
- `client/merge/speaker_thresholds.json`: the similarities from which speakers of parts are merged
- `src/request/languages.json`: the codes and names of languages
- `.runpod/hub.json`: the environment variables for RunPod's Hub, and the icon's address
- `deploy/load-balancing/.runpod/hub.json`: the listing for load balancing
- `README.md`: the badge of RunPod's Hub
- `THIRD_PARTY.md`: the licences of what the image contains
- `Dockerfile`: the label with the repository's address

    .venv/bin/python builder/write_tables.py            # writes the files
    .venv/bin/python builder/write_tables.py --check    # changes nothing; fails if a file is out of date
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from builder import repository  # noqa: E402
from builder.hub import HUB, LOAD_BALANCING_HUB, load_balancing_listing, with_environment  # noqa: E402
from builder.languages import language_table  # noqa: E402
from builder.third_party import THIRD_PARTY, third_party  # noqa: E402
from src.request.options import Options  # noqa: E402
from src.request.schema import JobInput  # noqa: E402
from src.settings import Settings  # noqa: E402
from src.speakers import clustering, diarization  # noqa: E402

DOCKERFILE = ROOT / "Dockerfile"
README = ROOT / "README.md"
OPTIONS = ROOT / "docs" / "options.md"
CONFIGURATION = ROOT / "docs" / "configuration.md"
SCHEMA = ROOT / "client" / "job_input.schema.json"
THRESHOLDS = ROOT / "client" / "merge" / "speaker_thresholds.json"
LANGUAGES = ROOT / "src" / "request" / "languages.json"

_SOURCE = re.compile(r'(?<=org\.opencontainers\.image\.source=")[^"]+')


def generate() -> dict[Path, str]:
    """Return the generated files with their text as it should be."""
    return {
        DOCKERFILE: _SOURCE.sub(repository.url(), DOCKERFILE.read_text()),
        README: insert_table(README.read_text(), "badge", repository.badge()),
        OPTIONS: insert_table(OPTIONS.read_text(), "options", option_table()),
        CONFIGURATION: insert_table(CONFIGURATION.read_text(), "environment", environment_table()),
        SCHEMA: schema(),
        THRESHOLDS: thresholds(),
        LANGUAGES: language_table(),
        HUB: with_environment(HUB.read_text()),
        THIRD_PARTY: third_party(),
        LOAD_BALANCING_HUB: load_balancing_listing(with_environment(HUB.read_text())),
    }


def option_table() -> str:
    """Return the options of a job as a Markdown table."""
    return _table("option", {name: (field.default, field.description) for name, field in Options.model_fields.items()})


def environment_table() -> str:
    """Return the worker's environment variables as a Markdown table."""
    fields = Settings.model_fields.items()
    return _table("variable", {name.upper(): (field.default, field.description) for name, field in fields})


def schema() -> str:
    """Return the JSON Schema of a job's input."""
    return json.dumps(JobInput.model_json_schema(), indent=2) + "\n"


def thresholds() -> str:
    """Return the worker's similarities: of speakers of parts that the client merges, and of a known voice."""
    similarities = {
        "merge": clustering.MERGE_THRESHOLD,
        "strict_merge": clustering.STRICT_MERGE_THRESHOLD,
        "enroll": diarization.ENROLL_THRESHOLD,
    }
    return json.dumps(similarities, indent=2) + "\n"


def insert_table(text: str, name: str, table: str) -> str:
    """Replace what is between `<!-- name -->` and `<!-- /name -->` in a document.

    Raises:
        ValueError: The document does not have exactly one such place.
    """
    place = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    text, count = place.subn(lambda match: f"{match[1]}{table}\n{match[2]}", text)
    if count != 1:
        raise ValueError(f"expected one place for the table {name}, found {count}")
    return text


def _table(heading: str, rows: dict[str, tuple[Any, str | None]]) -> str:
    lines = [f"| `{name}` | {_default(default)} | {description} |" for name, (default, description) in rows.items()]
    return "\n".join([f"| {heading} | default | meaning |", "| --- | --- | --- |", *lines])


def _default(value: Any) -> str:
    if value is None or value == "":
        return "none"
    return f"`{json.dumps(value) if isinstance(value, (bool, list)) else value}`"


def main() -> int:
    """Return the exit code: 1 if `--check` finds a file that is out of date."""
    parser = argparse.ArgumentParser(description="Generates tables, the client's schema and the Hub's variables.")
    parser.add_argument("--check", action="store_true", help="only compare; fail if a file is out of date")
    check = parser.parse_args().check
    outdated = {path: text for path, text in generate().items() if path.read_text() != text}
    for path, text in outdated.items():
        if not check:
            path.write_text(text)
        print(f"{path.relative_to(ROOT)}: {'out of date: run builder/write_tables.py' if check else 'written'}")
    return 1 if check and outdated else 0


if __name__ == "__main__":
    sys.exit(main())
