"""The README and docs/: tables are generated, requests are valid, and commands, files and links exist."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builder.write_tables import CONFIGURATION, OPTIONS, generate, insert_table
from src.request.openai_jobs import is_openai_input, to_input
from src.request.validation import parse_input
from src.rp_handler import handler
from src.version import __version__
from src.whisper_processor import WhisperProcessor
from tests.support.clips import ROOT, assert_spoken

README = ROOT / "README.md"
DOCUMENTS = [README, *sorted(ROOT.glob("docs/*.md"))]
TEXTS = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in sorted({*DOCUMENTS, *ROOT.glob("*.md"), *ROOT.glob("docs/*/*.md"), *ROOT.glob("deploy/*/*.md")})
}

_CODE_BLOCK = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def json_blocks(path: Path) -> list[dict[str, Any]]:
    return [json.loads(block) for block in re.findall(r"```json\n(.*?)```", path.read_text(), re.DOTALL)]


REQUESTS = [
    pytest.param(block, id=f"{path.stem}-{index}")
    for path in DOCUMENTS
    for index, block in enumerate(json_blocks(path))
    if "input" in block
]


def answer_in(path: Path) -> dict[str, Any]:
    (answer,) = (block for block in json_blocks(path) if "transcription" in block)
    return answer


def keys(value: Any) -> Any:
    """The shape of an answer: its keys, and those of the first item of each list."""
    if isinstance(value, dict):
        return {key: keys(item) for key, item in value.items()}
    return keys(value[0]) if isinstance(value, list) and value and isinstance(value[0], dict) else None


def is_part_of(shown: Any, whole: Any) -> bool:
    """True if the keys of `shown` exist in `whole`, at every level."""
    if isinstance(shown, dict):
        return isinstance(whole, dict) and all(key in whole and is_part_of(shown[key], whole[key]) for key in shown)
    if isinstance(shown, list) and isinstance(whole, list):
        return len(shown) <= len(whole) and all(map(is_part_of, shown, whole))
    return True


VARIABLE = ("processing_time", "real_time_factor", "timings", "languages", "tokens")
"""What depends on the machine and its load."""


def differences(shown: Any, actual: Any, path: str = "") -> Iterator[str]:
    """Where a shown answer is not the actual one, to the rounding of another CPU."""
    if path.rpartition(".")[2] in VARIABLE:
        return
    if isinstance(shown, dict):
        for key in shown:
            yield from differences(shown[key], actual[key], f"{path}.{key}")
    elif isinstance(shown, list):
        for number, (one, other) in enumerate(zip(shown, actual, strict=True)):
            yield from differences(one, other, f"{path}.{number}")
    elif shown != (pytest.approx(actual, abs=0.1) if isinstance(shown, float) else actual):
        yield f"{path}: {shown} is shown, {actual} comes back"


def anchors(text: str) -> set[str]:
    """The anchors that GitHub gives the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", _CODE_BLOCK.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}


def test_generated_files_are_up_to_date() -> None:
    outdated = [path.name for path, text in generate().items() if path.read_text() != text]
    assert not outdated, "run builder/write_tables.py"


@pytest.mark.parametrize("path", [OPTIONS, CONFIGURATION], ids=lambda path: path.stem)
def test_a_document_without_a_place_for_its_table_is_an_error(path: Path) -> None:
    with pytest.raises(ValueError, match="expected one place"):
        insert_table(re.sub("<!--.*?-->", "", path.read_text()), "options", "")


def test_the_readme_is_short() -> None:
    assert len(README.read_text().splitlines()) <= 200


def test_the_readme_says_in_its_first_screen_what_was_never_run() -> None:
    first_screen = "\n".join(README.read_text().splitlines()[:20])
    assert "never" in first_screen
    assert "CUDA" in first_screen


def test_the_readme_links_to_each_document() -> None:
    linked = set(re.findall(r"\(docs/([a-z]+)\.md\)", README.read_text()))
    assert linked == {path.stem for path in DOCUMENTS if path != README}


@pytest.mark.parametrize("request_body", REQUESTS)
def test_each_request_is_valid(request_body: dict[str, Any]) -> None:
    raw = request_body["input"]
    parse_input(to_input(raw, models=["base"]) if is_openai_input(raw) else raw)


@pytest.mark.model
@pytest.mark.process
def test_the_answers_shown_are_what_one_gets(monkeypatch: pytest.MonkeyPatch) -> None:
    job = json.loads((ROOT / "test_input.json").read_text())
    job["input"]["options"]["output_format"] = "json"
    processor = WhisperProcessor("base")
    monkeypatch.setattr("src.rp_handler.get_processor", lambda: processor)
    try:
        answer = handler(job)
    finally:
        processor.close()
    whole, shortened = answer_in(ROOT / "docs" / "output.md"), answer_in(README)
    assert keys(answer) == keys(whole)
    assert is_part_of(shortened, whole)
    assert list(differences(shortened, whole)) == []
    assert_spoken(whole["transcription"]["text"], "demo.ogg")
    if answer["metadata"]["compute_type"] == whole["metadata"]["compute_type"]:
        assert list(differences(whole, answer)) == []


@pytest.mark.process
@pytest.mark.parametrize("name", list(TEXTS))
def test_each_make_target_named_exists(name: str) -> None:
    for target in set(re.findall(r"(?:^ *|`|&& |=\S+ )make ([a-z][a-z-]+)", TEXTS[name], re.MULTILINE)):
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.process
@pytest.mark.parametrize(
    ("command", "variables", "run"),
    [
        (["demo"], {}, "base builder/demo.py"),
        (["serve"], {}, "base handler.py --rp_serve_api --rp_api_port 8000"),
        (["platform"], {}, "base -m tests.platform --port 8080"),
        (["serve", "PORT=9000", "MODEL=turbo"], {}, "turbo handler.py --rp_serve_api --rp_api_port 9000"),
        (["platform", "PORT=9000"], {"WHISPER_MODEL": "small"}, "small -m tests.platform --port 9000"),
        (["platform"], {"MODEL": "turbo", "WHISPER_MODEL": "small"}, "turbo -m tests.platform --port 8080"),
    ],
)
def test_make_passes_model_and_port_on(command: list[str], variables: dict[str, str], run: str, tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$WHISPER_MODEL $*"\n')
    python.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != "WHISPER_MODEL"} | variables
    made = subprocess.run(
        ["make", "--silent", *command, f"BIN={tmp_path}", "READY=", "WEIGHTS="],
        cwd=ROOT,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert made.stdout.splitlines()[-1] == run


@pytest.mark.process
@pytest.mark.parametrize(
    ("given", "variables", "fetched"),
    [
        ([], {}, "base"),
        (["MODEL=turbo"], {}, "turbo"),
        ([], {"WHISPER_MODEL": "small"}, "small"),
        (["MODEL=openai/whisper-tiny"], {}, "openai/whisper-tiny"),
        (["MODEL=tests/data"], {}, None),
    ],
)
def test_make_fetches_the_model_that_is_asked_for(
    given: list[str], variables: dict[str, str], fetched: str | None
) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "WHISPER_MODEL"} | variables
    plan = ["make", "--always-make", "-n", "serve", *given]
    planned = subprocess.run(plan, cwd=ROOT, env=environment, check=True, capture_output=True, text=True).stdout
    assert re.findall(r"development_weights\.py (.+)", planned) == ([fetched] if fetched else [])


@pytest.mark.parametrize("name", TEXTS)
def test_each_file_named_exists(name: str) -> None:
    named = re.findall(
        r"(?<![\w/.-])(?:src|api|deploy|builder|benchmarks|tests|client|docs|\.runpod)/[\w/.-]*\w", TEXTS[name]
    )
    missing = [path for path in set(named) if not (ROOT / path).exists()]
    assert not missing


@pytest.mark.parametrize("name", TEXTS)
def test_each_module_named_exists(name: str) -> None:
    for module in set(re.findall(r"python -m ((?:src|client|benchmarks|tests)\.[\w.]+)", TEXTS[name])):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module


@pytest.mark.parametrize("name", TEXTS)
def test_each_link_and_anchor_leads_somewhere(name: str) -> None:
    document = ROOT / name
    for link in _LINK.findall(_CODE_BLOCK.sub("", TEXTS[name])):
        if re.match(r"[a-z]+:", link):
            continue
        file, _, anchor = link.partition("#")
        target = (document.parent / file).resolve() if file else document
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text()), link


def test_the_index_of_programs_links_to_each_page() -> None:
    pages = {path.name for path in (ROOT / "docs" / "clients").glob("*.md")} - {"README.md"}
    assert set(re.findall(r"\((\S+?\.md)\)", TEXTS["docs/clients/README.md"])) == pages


def test_the_newest_release_of_the_changelog_is_the_version() -> None:
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$", TEXTS["CHANGELOG.md"], re.MULTILINE)
    assert released[0] == __version__
    assert answer_in(ROOT / "docs" / "output.md")["metadata"]["worker_version"] == __version__
