"""What the README says is so: its tables are the code's, its requests are taken, its commands exist and run."""

from __future__ import annotations

import json
import re
import subprocess
from typing import Any

import pytest

from builder.write_tables import with_tables
from src.request.validation import parse_input
from src.rp_handler import handler
from tests.support.clips import ROOT, assert_spoken

README = (ROOT / "README.md").read_text()


def json_blocks() -> list[dict[str, Any]]:
    return [json.loads(block) for block in re.findall(r"```json\n(.*?)```", README, re.DOTALL)]


def keys(value: Any) -> Any:
    """The shape of an answer: its keys, and those of the first of each list."""
    if isinstance(value, dict):
        return {key: keys(item) for key, item in value.items()}
    return keys(value[0]) if isinstance(value, list) and value and isinstance(value[0], dict) else None


def test_the_tables_are_those_of_the_code() -> None:
    assert with_tables(README) == README, "run builder/write_tables.py"


@pytest.mark.parametrize("request_body", [block for block in json_blocks() if "input" in block])
def test_each_request_is_valid(request_body: dict[str, Any]) -> None:
    parse_input(request_body["input"])


@pytest.mark.model
@pytest.mark.process
def test_the_answer_has_the_shape_and_the_words_that_are_shown() -> None:
    shown = next(block for block in json_blocks() if "transcription" in block)
    job = json.loads((ROOT / "test_input.json").read_text())
    job["input"]["options"]["output_format"] = "json"
    answer = handler(job)
    assert keys(answer) == keys(shown)
    assert_spoken(answer["transcription"]["text"], "demo.ogg")
    assert_spoken(shown["transcription"]["text"], "demo.ogg", max_errors=0)


@pytest.mark.process
def test_each_make_target_that_is_named_exists() -> None:
    for target in set(re.findall(r"(?:^    |`|&& )make ([a-z-]+)", README, re.MULTILINE)):
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


def test_each_file_that_is_named_exists() -> None:
    for name in set(re.findall(r"(?:src|builder|benchmarks|tests)/[\w/]+\.(?:py|sh)", README)):
        assert (ROOT / name).is_file(), name
