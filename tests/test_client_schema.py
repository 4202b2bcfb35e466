"""The client, which imports nothing of the worker, goes by its schema; both are held together here."""

from __future__ import annotations

from builder.write_tables import SCHEMA, schema
from tests.support.clips import ROOT


def test_the_clients_schema_is_the_workers() -> None:
    assert SCHEMA.read_text() == schema(), "run builder/write_tables.py"


def test_the_client_imports_nothing_of_the_worker() -> None:
    sources = [path.read_text() for path in (ROOT / "client").glob("*.py")]
    assert sources
    assert not [line for text in sources for line in text.splitlines() if line.startswith(("from src", "import src"))]
