"""HTTP mode: the API of the package `api`, in front of the models of this process.

It listens before anything large is imported, and is ready once the fitness checks have passed.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from api.http.addresses import is_loopback
from api.http.server import serve
from src.mode import Listening, ModeError, find_listening

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.types import ASGIApp

    from api.http.door import DoorSettings
    from src.settings import Settings
    from src.whisper_processor import WhisperProcessor

_NAME = "worker-whisper"

_BALANCED_ANSWER_BYTES = 30_000_000 - 100_000
"""RunPod's load balancer carries 30 MB (https://docs.runpod.io/serverless/load-balancing/overview)."""

_ANSWER_BYTES = 256 * 2**20
"""Elsewhere nothing limits an answer but memory, in which it is made."""

_log = logging.getLogger(__name__)
_lost = False


def serve_http(began: float) -> None:
    """Serve until SIGTERM, or until the device fails for good.

    Args:
        began: of the process, by `time.perf_counter`.

    Raises:
        SystemExit: with a sentence.
    """
    try:
        listening = find_listening(os.environ)
    except ModeError as error:
        sys.exit(f"{_NAME} cannot start: {error}")
    load = partial(_load, began, listening)
    serve(load, host=listening.host, ports=listening.ports, health_path=listening.health_path, name=_NAME)
    if _lost:
        sys.exit(f"{_NAME} stops: the device failed, and only a new process can use it again")


def _load(began: float, listening: Listening) -> ASGIApp:
    on_balancer = is_behind_balancer(os.environ)
    if not os.environ.get("MAX_RESULT_BYTES"):
        os.environ["MAX_RESULT_BYTES"] = str(_BALANCED_ANSWER_BYTES if on_balancer else _ANSWER_BYTES)
    os.environ["STREAMING"] = "false"  # of the queue, whose pieces are small

    from src.serving.loading import cannot_start, load
    from src.settings import SettingsError, get_settings

    try:
        settings = get_settings()
    except SettingsError as error:
        raise cannot_start(error) from None
    if not settings.accepted_keys and needs_key(settings, listening.host, on_balancer):
        raise cannot_start(
            "other machines can connect and no key is set: set API_KEYS, or REQUIRE_API_KEY=false to serve everyone"
        )
    loaded = load(began)

    from api.http.door import DoorSettings
    from src import logs

    try:
        for check in loaded.checks:
            check()
    except RuntimeError as error:
        raise cannot_start(error) from None
    door = DoorSettings(
        api_keys=settings.accepted_keys,
        cors_origins=settings.allowed_origins,
        max_upload_bytes=settings.max_audio_bytes,
        upload_seconds=settings.download_timeout,
    )
    app = _create_app(loaded.processor, door, settings, on_balancer)
    logs.event("worker.ready", seconds=round(time.perf_counter() - began, 3), page=app.state.page is not None)
    return app


def _create_app(processor: WhisperProcessor, door: DoorSettings, settings: Settings, on_balancer: bool) -> Starlette:
    from api.http.app import create_app
    from api.page.settings import PageSettings
    from api.page.tables import StoreUnusable
    from src.page_folder import find_page_folder
    from src.serving.engine_metrics import EngineMetrics
    from src.serving.live_recognizer import LocalLiveRecognizer
    from src.serving.loading import cannot_start
    from src.serving.local_transcriber import LocalTranscriber

    transcriber = LocalTranscriber(processor, _stop_since_lost)
    sessions = settings.live_sessions
    live = LocalLiveRecognizer(processor, _stop_since_lost, sessions) if sessions else None
    page = PageSettings(find_page_folder(settings), "worker") if has_page(settings, on_balancer) else None
    try:
        app = create_app(transcriber, door, page=page, live=live)
    except StoreUnusable as error:
        if settings.page == "true":
            raise cannot_start(f"{error} (PAGE_FOLDER)") from None
        _log.warning("no web page: %s (PAGE_FOLDER)", error)
        app = create_app(transcriber, door, live=live)
    app.state.door.metrics.add_collector(EngineMetrics(processor))
    return app


def is_behind_balancer(environment: Mapping[str, str]) -> bool:
    """True for a worker of an endpoint; the endpoint's id alone is also in the shells of its users."""
    return bool(environment.get("RUNPOD_POD_ID") and environment.get("RUNPOD_ENDPOINT_ID"))


def needs_key(settings: Settings, host: str, on_balancer: bool) -> bool:
    """True if HTTP mode may only start with a key.

    Args:
        settings: of the worker.
        host: to listen at.
        on_balancer: behind RunPod's load balancer, which lets RunPod's own keys pass only.
    """
    if settings.require_api_key == "auto":
        return not (on_balancer or is_loopback(host))
    return settings.require_api_key == "true"


def has_page(settings: Settings, on_balancer: bool) -> bool:
    """True if HTTP mode serves the page.

    Args:
        settings: of the worker.
        on_balancer: behind RunPod's load balancer.
    """
    return not on_balancer if settings.page == "auto" else settings.page == "true"


def _stop_since_lost() -> None:
    """Stop as by SIGTERM, after what runs is answered; then the platform, or systemd, starts a new process."""
    global _lost
    _lost = True
    signal.raise_signal(signal.SIGTERM)
