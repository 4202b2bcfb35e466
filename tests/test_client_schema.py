"""The client imports nothing from the worker; the facts that both know are compared here."""

from __future__ import annotations

from builder.write_tables import SCHEMA, THRESHOLDS, schema, thresholds
from client import known_voices as client_voices
from client.errors import WORKER_ERROR_TYPES
from src import errors
from src.request.known_voices import EMBEDDING_SIZE
from src.request.option_values import MAX_VOICES


def test_the_clients_schema_is_the_workers() -> None:
    assert SCHEMA.read_text() == schema(), "run builder/write_tables.py"


def test_the_clients_speaker_thresholds_are_the_workers() -> None:
    assert THRESHOLDS.read_text() == thresholds(), "run builder/write_tables.py"


def test_the_clients_error_types_are_the_workers() -> None:
    assert set(WORKER_ERROR_TYPES) == {error.error_type for error in _subclasses(errors.WorkerError)}


def test_the_clients_limits_of_known_voices_are_the_workers() -> None:
    assert (client_voices.EMBEDDING_SIZE, client_voices.MAX_VOICES) == (EMBEDDING_SIZE, MAX_VOICES)


def _subclasses(error: type[errors.WorkerError]) -> list[type[errors.WorkerError]]:
    """The class and its subclasses, those of `src.errors` alone."""
    return [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, error)]
