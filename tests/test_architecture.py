"""The arrows between the packages of `src`: each imports only what is below it.

`python -m tests.test_architecture` prints the arrows as they are.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parents[1] / "src"

BASE = {"version", "errors", "deadline", "mode", "settings", "logs", "transcript"}
"""The lowest floor, open to all above it; `transcript` is beside `src`."""

ALLOWED: dict[str, set[str]] = {
    "api": set(),
    "media": set(),
    "transcript": set(),
    "formats": {"transcript"},
    "errors": set(),
    "without_numba": set(),
    "version": set(),
    "__init__": {"without_numba"},
    "deadline": {"errors"},
    "mode": set(),
    "settings": {"errors", "mode"},
    "logs": {"errors", "settings"},
    "job_control": BASE,
    "public_http": BASE,
    "share_links": set(),
    "file_kind": set(),
    "models": BASE - {"transcript"},
    "audio": {"media", "job_control", *BASE},
    "engine": {"models", *BASE},
    "request": {"api", "formats", "audio", "public_http", *BASE},
    "transcription": {"engine", "models", "audio", "job_control", *BASE},
    "speakers": {"request", "audio", "job_control", *BASE},
    "captions": {"media", "request", "formats", "audio", "job_control", *BASE},
    "buckets": {"request", "public_http", *BASE},
    "page_folder": {"api", *BASE},
    "sources": {"buckets", "request", "public_http", "share_links", "job_control", *BASE},
    "download": {"sources", "buckets", "request", "public_http", "file_kind", "job_control", *BASE},
    "delivery": {"captions", "buckets", "request", "formats", "public_http", "job_control", *BASE},
    "stage_options": {"transcription", "request", "engine", "audio", *BASE},
    "model_fit": {"transcription", "request", "engine", *BASE},
    "model_loading": {"transcription", "engine", "models", *BASE},
    "channel_steps": {
        *{"model_fit", "stage_options", "speakers", "transcription", "request", "engine", "audio", "job_control"},
        *BASE,
    },
    "track_steps": {"channel_steps", "stage_options", "transcription", "request", "audio", "job_control", *BASE},
    "whisper_processor": {
        *{"channel_steps", "track_steps", "model_loading", "model_fit", "stage_options", "transcription", "request"},
        *{"engine", "models", "audio", "formats", "job_control"},
        *BASE,
    },
    "live": {
        *{"api", "whisper_processor", "stage_options", "transcription", "speakers", "request", "engine", "audio"},
        *{"job_control"},
        *BASE,
    },
    "self_test": {"transcription", "engine", "audio", "media", *BASE},
    "startup": {"self_test", "whisper_processor", "model_loading", "transcription", "models", "audio", *BASE},
    "rp_handler": {
        *{"startup", "whisper_processor", "delivery", "download", "captions", "speakers", "request", "engine", "media"},
        *{"sources", "buckets", "page_folder", "formats", "job_control"},
        *BASE,
    },
    "serving": {
        *{"live", "transcription", "self_test"},
        *{
            "api",
            "mode",
            "page_folder",
            "buckets",
            "rp_handler",
            "startup",
            "whisper_processor",
            "delivery",
            "request",
            "audio",
            "job_control",
        },
        *BASE,
    },
}
"""The packages and root modules of `src`, from bottom to top, and what each may import.

`api`, `media`, `transcript` and its `formats` are beside `src`.
"""

BESIDE = ("api", "client", "media", "transcript")


def arrows() -> dict[str, dict[str, set[str]]]:
    """The imports between packages and root modules: importer, imported, and the files that import it."""
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for path in sorted(SRC.rglob("*.py")):
        file = path.relative_to(SRC)
        importer = file.parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "src":
                imported = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("src."):
                imported = [str(node.module).split(".")[1]]
            elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("transcript.formats"):
                imported = ["formats"]
            elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in BESIDE:
                imported = [str(node.module).split(".")[0]]
            elif isinstance(node, ast.Import):
                imported = [alias.name.split(".")[1] for alias in node.names if alias.name.startswith("src.")]
            else:
                continue
            for name in imported:
                if name != importer and not name.startswith("_"):
                    found[importer][name].add(str(file))
    return found


def test_packages_import_only_what_is_below_them() -> None:
    wrong = [
        f"{importer} -> {imported} ({', '.join(sorted(files))})"
        for importer, targets in arrows().items()
        for imported, files in targets.items()
        if imported not in ALLOWED.get(importer, set())
    ]
    assert not wrong, "arrows that layout forbids:\n" + "\n".join(wrong)


@pytest.mark.parametrize(
    ("package", "above"),
    [
        ("api", ("src", "client")),
        ("api/openai", ("api.http", "api.page")),
        ("api/page", ("api.http",)),
        ("transcript", ("src", "client", "api", "media")),
        ("media", ("src", "client", "api")),
    ],
)
def test_what_worker_and_client_share_imports_nothing_above_it(package: str, above: tuple[str, ...]) -> None:
    wrong = [
        str(path)
        for path in (SRC.parent / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [node.module or ""] if isinstance(node, ast.ImportFrom) else
            [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        )
        if f"{name}.".startswith(tuple(f"{each}." for each in above))
    ]  # fmt: skip
    assert wrong == []


def test_the_stages_know_nothing_of_a_jobs_options() -> None:
    stages = ("engine", "transcription", "speakers", "audio", "sources", "download.py")
    files = [
        path for stage in stages for path in (SRC.joinpath(stage).rglob("*.py") if "." not in stage else [SRC / stage])
    ]
    assert [str(path) for path in files if "request.options" in path.read_text()] == []


def test_the_allowed_arrows_form_no_circle() -> None:
    order = list(ALLOWED)
    assert all(order.index(below) < order.index(name) for name, allowed in ALLOWED.items() for below in allowed)


if __name__ == "__main__":
    for importer, targets in sorted(arrows().items()):
        print(f"{importer:18} -> {', '.join(sorted(targets))}")
