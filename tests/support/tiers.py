"""pytest plugin: the tiers of tests, held to their markers, with the dearest files first.

`make test-fast` runs what has no marker, `make test` all but `slow`, `make test-all` everything. An audit hook fails
each test that starts a process or opens a model's weights without the marker for it, so that the markers stay true. A
file whose `pytestmark` keeps all of it out of the tier is not imported: many such files import large packages.
"""

from __future__ import annotations

import ast
import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.support import properties  # noqa: F401 - loads the profile

ROOT = Path(__file__).resolve().parents[2]
MODELS = (str(ROOT / "models"), str((ROOT / "models").resolve()))
SECONDS = Path(__file__).with_name("seconds.json")
"""CPU seconds of each file's tests by tier, as `RECORD_SECONDS=1 make test-all` records them; new files come first."""

LIMITS_S = {"fast": 150.0, "test": 1150.0}
"""CPU seconds that all tests of a tier may take, as recorded on two shared cores: no more than on 2026-11-30.

The aim is a minute for `make test-fast` and five for `make test`, some 80 and 450 s.
"""

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


class Clock:
    """CPU time, which other programs of the machine change less than they change the time of day."""

    def __init__(self) -> None:
        self.taken = 0.0

    def take_seconds(self) -> float:
        """Returns the seconds since the last call, of this process and of those it started that have ended since."""
        times = os.times()
        before, self.taken = self.taken, times.user + times.system + times.children_user + times.children_system
        return self.taken - before


guard = Guard()
clock = Clock()
sys.addaudithook(guard)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    guard.forbidden = frozenset(marker for marker in ("model", "process") if not item.get_closest_marker(marker))
    guard.violations = []
    clock.take_seconds()
    try:
        return (yield)
    finally:
        guard.forbidden = frozenset()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    report.user_properties.append(("cpu_seconds", clock.take_seconds()))
    violations = guard.take_violations()
    if report.passed and violations:  # the code under test caught the hook's exception
        report.outcome, report.longrepr = "failed", violations[0]
    return report


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leaves out, unread, a file of which `-m "not MARKER"` runs nothing."""
    left_out = set(re.findall(r"not (\w+)", config.option.markexpr))
    if " or " in config.option.markexpr or not left_out or collection_path.suffix != ".py":
        return None
    return True if left_out & _marks_of_file(collection_path) else None


def _marks_of_file(path: Path) -> set[str]:
    """Returns the names of the markers in the file's `pytestmark`."""
    for statement in ast.parse(path.read_bytes()).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="pytestmark")], value=value):
                return {node.attr for node in ast.walk(value) if isinstance(node, ast.Attribute)}
    return set()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the slowest files first: the processes then end together."""
    seconds = {file: sum(by_tier.values()) for file, by_tier in recorded_seconds().items()}
    items.sort(key=lambda item: -seconds.get(item.nodeid.partition("::")[0], float("inf")))


def tier_of(markers: Iterable[str]) -> str:
    """Returns the first tier that runs a test with these markers: `fast`, `test` or `all`."""
    names = set(markers)
    return "all" if "slow" in names else "test" if names & {"model", "process"} else "fast"


def recorded_seconds() -> dict[str, dict[str, float]]:
    """Returns the CPU seconds of each file's tests by tier."""
    seconds: dict[str, dict[str, float]] = json.loads(SECONDS.read_text())
    return seconds


seconds_taken: defaultdict[str, defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    file = report.nodeid.partition("::")[0]
    told: dict[str, Any] = dict(report.user_properties)
    seconds_taken[file][tier_of(report.keywords)] += told.get("cpu_seconds", 0.0)  # nothing if its process crashed


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Records the files' seconds where RECORD_SECONDS is set, in the process that gathers the results."""
    if os.environ.get("RECORD_SECONDS") and not hasattr(session.config, "workerinput"):
        taken = {
            file: {tier: round(seconds, 1) for tier, seconds in sorted(by_tier.items())}
            for file, by_tier in seconds_taken.items()
        }
        SECONDS.write_text(json.dumps(dict(sorted((recorded_seconds() | taken).items())), indent=1) + "\n")
