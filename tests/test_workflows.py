"""GitHub's workflows agree with the Makefile and the package. `make lint` checks their form."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.support.clips import ROOT

WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / ".github" / "workflows").glob("*.yml")}
STEPS: list[dict[str, Any]] = [
    step for workflow in WORKFLOWS.values() for job in workflow["jobs"].values() for step in job.get("steps", [])
]


def test_their_make_targets_exist() -> None:
    commands = [step["run"] for step in STEPS if "run" in step]
    used = {target for command in commands for target in re.findall(r"\bmake ([a-z-]+)", command)}
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert used
    assert used <= targets


@pytest.mark.parametrize("job", ["fast", "client"])
def test_each_python_of_the_package_is_tested(job: str) -> None:
    classifiers = re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text())
    assert WORKFLOWS["test"]["jobs"][job]["strategy"]["matrix"]["python-version"] == classifiers


def test_a_release_waits_for_the_tests_and_the_image() -> None:
    jobs = WORKFLOWS["release"]["jobs"]
    assert jobs["release"]["needs"] == "image"
    assert jobs["image"]["needs"] == "test"
    called = {jobs[name]["uses"].rpartition("/")[2].removesuffix(".yml") for name in ("test", "image")}
    assert called == {"test", "image"}
    for name in called:
        assert "workflow_call" in WORKFLOWS[name][True], "YAML reads `on` as true"


def test_only_the_jobs_that_publish_may_write() -> None:
    writing = {
        (workflow, name, scope)
        for workflow, content in WORKFLOWS.items()
        for name, job in content["jobs"].items()
        for scope, access in job.get("permissions", {}).items()
        if access == "write"
    }
    assert writing == {
        ("image", "image", "packages"),
        ("release", "image", "packages"),
        ("release", "release", "contents"),
    }
    assert all(content["permissions"] == {"contents": "read"} for content in WORKFLOWS.values())
