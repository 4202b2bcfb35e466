"""The client imports nothing from the worker; the facts that both know are compared here."""

from __future__ import annotations

import pytest

from builder.write_tables import SCHEMA, THRESHOLDS, schema, thresholds
from client import known_voices as client_voices
from client.errors import WORKER_ERROR_TYPES, WrongUsage
from src import errors
from src.request.known_voices import EMBEDDING_SIZE
from src.request.option_values import MAX_VOICES, check_speaker_name


def test_the_clients_schema_is_the_workers() -> None:
    assert SCHEMA.read_text() == schema(), "run builder/write_tables.py"


def test_the_clients_speaker_thresholds_are_the_workers() -> None:
    assert THRESHOLDS.read_text() == thresholds(), "run builder/write_tables.py"


def test_the_clients_error_types_are_the_workers() -> None:
    assert set(WORKER_ERROR_TYPES) == {error.error_type for error in _subclasses(errors.WorkerError)}


def test_the_clients_limits_of_known_voices_are_the_workers() -> None:
    assert (client_voices.EMBEDDING_SIZE, client_voices.MAX_VOICES) == (EMBEDDING_SIZE, MAX_VOICES)


@pytest.mark.parametrize(
    "name",
    [
        *("Ada", "Ada Lovelace", "José-María O'Neill Jr.", "王小明", "x" * 60, "x" * 61, "_", ".", "-a", "a/b", "a\\b"),
        *("SPEAKER_00", "CHANNEL_1", "SPEAKER_x", "<b>", "a:b", "a\0b", "\u202ea", "१२"),
    ],
)  # fmt: skip
def test_the_client_takes_the_names_that_the_worker_takes(name: str) -> None:
    try:
        is_taken = check_speaker_name(name) == name
    except ValueError:
        is_taken = False
    try:
        assert (client_voices.clean_name(name) == name) is is_taken
    except WrongUsage:
        assert not is_taken


def _subclasses(error: type[errors.WorkerError]) -> list[type[errors.WorkerError]]:
    """The class and its subclasses, those of `src.errors` alone."""
    return [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, error)]
