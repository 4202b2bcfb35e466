"""Tests of the built image, by `make test-image`: a container each, confined, with a platform on loopback."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.platform.emulator import Platform

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of these tests start a container."""
    for item in items:
        if item.path.is_relative_to(HERE):
            item.add_marker(pytest.mark.process)


@pytest.fixture(scope="session")
def platform() -> Iterator[Platform]:
    with Platform(hold=0.3) as platform:
        yield platform
