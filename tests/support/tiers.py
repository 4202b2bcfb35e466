"""pytest plugin: the tiers of tests, held to their markers, with the slowest files first.

`make test-fast` runs what has no marker, `make test` all but `slow`, `make test-all` everything. An audit hook fails
each test that starts a process or opens a model's weights without the marker for it, so that the markers stay true.
"""

from __future__ import annotations

import json
import os
import sys
from collections import defaultdict
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.support import properties  # noqa: F401 - loads the profile

ROOT = Path(__file__).resolve().parents[2]
MODELS = (str(ROOT / "models"), str((ROOT / "models").resolve()))
SECONDS = Path(__file__).with_name("seconds.json")
"""Seconds that each file of tests takes, as `RECORD_SECONDS=1 make test-all` records them; new files come first."""

PROCESS_EVENTS = frozenset({"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system"})


class Guard:
    """Watches the running test for processes and model files."""

    def __init__(self) -> None:
        self.forbidden: frozenset[str] = frozenset()
        self.violations: list[str] = []

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.forbidden:
            return
        if event in PROCESS_EVENTS:
            self._refuse("process", f"starts a process: {arguments[0] if arguments else event}")
        elif event == "open" and _is_weights(arguments[0]):
            self._refuse("model", f"opens {arguments[0]}")

    def take_violations(self) -> list[str]:
        """Returns what the running test has violated, and forgets it."""
        violations, self.violations = self.violations, []
        return violations

    def _refuse(self, marker: str, reason: str) -> None:
        if marker in self.forbidden:
            self.violations.append(f"The test {reason}. Mark it with pytest.mark.{marker}.")
            raise PermissionError(self.violations[-1])


def _is_weights(path: object) -> bool:
    return isinstance(path, str) and path.startswith(MODELS) and Path(path).is_file()


guard = Guard()
sys.addaudithook(guard)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    guard.forbidden = frozenset(marker for marker in ("model", "process") if not item.get_closest_marker(marker))
    guard.violations = []
    try:
        return (yield)
    finally:
        guard.forbidden = frozenset()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    violations = guard.take_violations()
    if report.passed and violations:  # the code under test caught the hook's exception
        report.outcome, report.longrepr = "failed", violations[0]
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the slowest files first: the processes then end together."""
    seconds: dict[str, float] = json.loads(SECONDS.read_text())
    items.sort(key=lambda item: -seconds.get(item.nodeid.partition("::")[0], float("inf")))


seconds_taken: defaultdict[str, float] = defaultdict(float)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    seconds_taken[report.nodeid.partition("::")[0]] += report.duration


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Records the files' seconds where RECORD_SECONDS is set, in the process that gathers the results."""
    if os.environ.get("RECORD_SECONDS") and not hasattr(session.config, "workerinput"):
        seconds = json.loads(SECONDS.read_text()) | {file: round(taken, 1) for file, taken in seconds_taken.items()}
        SECONDS.write_text(json.dumps(dict(sorted(seconds.items())), indent=2) + "\n")
