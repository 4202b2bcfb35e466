"""Loads all that a worker needs, while the model is loaded on threads (`src.startup`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from src import logs, startup
from src.errors import ModelUnavailable, OutOfMemory
from src.settings import SettingsError, get_settings

if TYPE_CHECKING:
    from src.serving.fitness import Check
    from src.whisper_processor import WhisperProcessor


@dataclass(frozen=True)
class Loaded:
    """What a worker starts with: its processor, and the checks that have to pass before its first job."""

    processor: WhisperProcessor
    checks: Sequence[Check]


def load(began: float) -> Loaded:
    """Import everything, check the settings and load the model.

    Args:
        began: of the process, by `time.perf_counter`.

    Raises:
        SystemExit: with a sentence.
    """
    try:
        settings = get_settings()
        startup.begin()
        logs.set_up(settings.log_format)
        import runpod  # noqa: F401 - takes a second, while the model is loaded

        from src.buckets import check_bucket_settings
        from src.delivery.webhooks import check_secret
        from src.serving import async_handler, fitness  # noqa: F401

        processor = startup.get_processor()
        startup.end()
        check_secret(settings.webhook_secret)
        check_bucket_settings(settings)
        imported, loaded = startup.timeline(began)
        logs.event("worker.loaded", model=processor.model_name, imported=imported, loaded=loaded)
    except (SettingsError, ModelUnavailable, OutOfMemory, ValueError) as error:
        raise cannot_start(error) from None
    return Loaded(processor, fitness.checks(processor, startup.get_self_test()))


def cannot_start(error: object) -> SystemExit:
    """Return what ends the process with a sentence and exit code 1."""
    return SystemExit(f"worker-whisper cannot start: {error}")
