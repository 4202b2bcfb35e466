"""Metrics for Prometheus: requests and jobs by route, seconds of audio, times, errors, and what the worker adds.

A label's values are bounded: routes are templates such as `/status/{id}`, never a request's path.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import Message, Receive, Scope, Send

from api.http.middleware import ANSWER_STARTS, HttpMiddleware
from api.live.recognizer import Completed, Delta, Failed, LiveEvent
from api.openai.errors import ERROR_TYPES
from api.transcriber import Answer, find_seconds

disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each, with the time of its first sample

UNKNOWN_ROUTE = "unknown"

ENDPOINT_PREFIX = "/v2/{endpoint}"
"""Of routes that exist without it too, with the same function."""

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200)
"""Bounds of the histograms: from a clip of some seconds to a recording of a day."""


class Metrics:
    """The counts of one server.

    Attributes:
        jobs_in_flight: jobs that are accepted and not finished.
        jobs_waiting: those of them that have not begun.
        upload_bytes: bytes of request bodies that were received.
    """

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self.jobs_in_flight = Gauge(
            "whisper_jobs_in_flight", "Jobs that are accepted and not finished.", registry=registry
        )
        self.jobs_waiting = Gauge(
            "whisper_jobs_waiting", "Jobs that are accepted and have not begun.", registry=registry
        )
        self.upload_bytes = Counter(
            "whisper_upload_bytes", "Bytes of request bodies that were received.", registry=registry
        )
        self._requests = Counter("whisper_requests", "Requests.", ["route", "status"], registry=registry)
        self._request_seconds = Histogram(
            "whisper_request_seconds",
            "From a request's headers to the end of its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._jobs = Counter("whisper_jobs", "Finished jobs.", ["route"], registry=registry)
        self._job_seconds = Histogram(
            "whisper_job_seconds",
            "From a job's acceptance to its answer.",
            ["route"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._processing_seconds = Histogram(
            "whisper_processing_seconds",
            "From a job's start to its transcript, download included.",
            buckets=_SECONDS,
            registry=registry,
        )
        self._audio_seconds = Counter("whisper_audio_seconds", "Audio of finished jobs.", registry=registry)
        self._errors = Counter(
            "whisper_job_errors", "Jobs that ended with an error.", ["error_type"], registry=registry
        )
        self._live_sessions = Gauge("whisper_live_sessions", "Live streams that are open.", registry=registry)
        self._live_utterances = Counter(
            "whisper_live_utterances", "Utterances of live streams that ended.", ["result"], registry=registry
        )
        self._live_deltas = Counter(
            "whisper_live_deltas", "Pieces of text that were sent before their utterance had ended.", registry=registry
        )
        self._live_audio_seconds = Counter(
            "whisper_live_audio_seconds", "Audio of the utterances of live streams.", registry=registry
        )

    def observe(self, route: str, answer: Answer, seconds: float) -> None:
        """Count a finished job.

        Args:
            route: the template of the route that received the job.
            answer: the job's.
            seconds: from the job's acceptance to its answer.
        """
        self._jobs.labels(route).inc()
        self._job_seconds.labels(route).observe(seconds)
        if "error" in answer:
            error_type = str(answer.get("error_type"))
            self._errors.labels(error_type if error_type in ERROR_TYPES else "other").inc()  # an endpoint may send any
            return
        self._audio_seconds.inc(find_seconds(answer, "audio_duration"))
        self._processing_seconds.observe(find_seconds(answer, "processing_time"))

    def observe_request(self, route: str, status: int | None, seconds: float) -> None:
        """Count a request by the class of its status, such as `2xx`; None: the caller left without an answer."""
        self._requests.labels(route, f"{status // 100}xx" if status else "none").inc()
        self._request_seconds.labels(route).observe(seconds)

    def watch_live_sessions(self, count: Callable[[], int]) -> None:
        """Read the number of live streams from here."""
        self._live_sessions.set_function(count)

    def observe_live(self, event: LiveEvent) -> None:
        """Count an event of a live stream."""
        if isinstance(event, Delta):
            self._live_deltas.inc()
        elif isinstance(event, Completed):
            self._live_utterances.labels("completed").inc()
            self._live_audio_seconds.inc(event.seconds)
        elif isinstance(event, Failed):
            self._live_utterances.labels("failed").inc()

    def add_collector(self, collector: Collector) -> None:
        """Add metrics that are read whenever the metrics are, such as the fill of the engine's batches."""
        self._registry.register(collector)

    def render(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class MeasureRequests(HttpMiddleware):
    """Middleware that counts requests; it belongs around all others, so that it sees refusals too.

    A handshake of WebSocket is a request with the status 101, which ends once it is answered.
    """

    scopes = frozenset({"http", "websocket"})

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and count it once its answer has ended."""
        started = time.perf_counter()
        metrics: Metrics = scope["app"].state.door.metrics
        status: int | None = None
        is_counted = False

        def count() -> None:
            nonlocal is_counted
            if not is_counted:
                is_counted = True
                metrics.observe_request(route_template(scope), status, time.perf_counter() - started)

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] in ANSWER_STARTS:
                status = message.get("status", 101)
            await send(message)
            if message["type"] == "websocket.accept":
                count()

        try:
            await self._app(scope, receive, send_and_note)
        except Exception:
            status = status or 500  # as Starlette answers, outside of all middleware
            raise
        finally:
            count()


def route_template(scope: Scope) -> str:
    """The template of a routed request, without `ENDPOINT_PREFIX`."""
    route: Route | WebSocketRoute | None = scope.get("route")
    return UNKNOWN_ROUTE if route is None else route.path.removeprefix(ENDPOINT_PREFIX)


async def show_metrics(request: Request) -> Response:
    """`/metrics`."""
    metrics: Metrics = request.app.state.door.metrics
    return Response(metrics.render(), media_type=CONTENT_TYPE_LATEST)


ROUTES = [Route("/metrics", show_metrics)]
