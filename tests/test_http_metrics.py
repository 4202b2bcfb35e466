"""`/metrics`: what is counted, under labels whose values are bounded."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from api.http.metrics import ROUTES, UNKNOWN_ROUTE, MeasureRequests, Metrics
from client.errors import WORKER_ERROR_TYPES  # which another test holds against the worker's

BRIDGE_ERROR_TYPES = ("EndpointUnreachable", "EndpointRefused", "EndpointFailed")

DOCS = Path(__file__).resolve().parents[1] / "docs" / "production.md"


async def answer(request: Request) -> Response:
    return PlainTextResponse("", status_code=int(request.path_params["id"]))


async def fail(request: Request) -> Response:
    raise RuntimeError("a bug")


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def client(metrics: Metrics) -> Iterator[TestClient]:
    routes = [Route("/answer/{id}", answer), Route("/v2/{endpoint}/answer/{id}", answer), Route("/fail", fail), *ROUTES]
    app = Starlette(routes=routes, middleware=[Middleware(MeasureRequests)])
    app.state.door = SimpleNamespace(metrics=metrics)
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def samples(text: str) -> dict[tuple[str, ...], float]:
    """The samples of `/metrics` by their name and their labels' values."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def read(metrics: Metrics) -> dict[tuple[str, ...], float]:
    return samples(metrics.render().decode())


def test_requests_are_counted_by_route_and_class_of_status(client: TestClient) -> None:
    for path in ("/answer/200", "/answer/204", "/v2/local/answer/200", "/answer/404", "/fail"):
        client.get(path)
    counts = samples(client.get("/metrics").text)
    assert counts["whisper_requests_total", "/answer/{id}", "2xx"] == 3
    assert counts["whisper_requests_total", "/answer/{id}", "4xx"] == 1
    assert counts["whisper_requests_total", "/fail", "5xx"] == 1
    assert counts["whisper_request_seconds_count", "/answer/{id}"] == 4


def test_paths_that_no_route_has_add_no_series(client: TestClient) -> None:
    for number in range(20):
        client.get(f"/no-such-path-{number}")
    routes = {labels[1] for labels in samples(client.get("/metrics").text) if labels[0] == "whisper_requests_total"}
    assert routes == {UNKNOWN_ROUTE}


def test_a_job_adds_its_audio_and_its_times(metrics: Metrics) -> None:
    metrics.observe("/asr", {"metadata": {"audio_duration": 90.5, "processing_time": 3.0}}, 4.0)
    metrics.observe("/asr", {"metadata": {"audio_duration": 9.5, "processing_time": 0.2}}, 0.3)
    counts = read(metrics)
    assert counts["whisper_jobs_total", "/asr"] == 2
    assert counts["whisper_audio_seconds_total",] == 100.0
    assert counts["whisper_processing_seconds_sum",] == 3.2
    assert counts["whisper_job_seconds_sum", "/asr"] == 4.3


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {},
        {"audio_duration": None},
        {"audio_duration": float("nan")},
        {"audio_duration": float("inf")},
        {"audio_duration": -1},
        {"audio_duration": 10**400},
        {"audio_duration": "an hour"},
    ],
)
def test_an_answer_without_sound_metadata_counts_no_audio(metrics: Metrics, metadata: Any) -> None:
    metrics.observe("/run", {"metadata": metadata}, 1.0)
    assert read(metrics)["whisper_audio_seconds_total",] == 0.0


def test_failed_jobs_are_counted_by_type_and_unknown_types_together(metrics: Metrics) -> None:
    for error_type in ("TooLarge", "TooLarge", "invented", "invented, too", None, ["unhashable"]):
        metrics.observe("/run", {"error": "a sentence", "error_type": error_type}, 1.0)
    counts = {labels: value for labels, value in read(metrics).items() if labels[0] == "whisper_job_errors_total"}
    assert counts == {("whisper_job_errors_total", "TooLarge"): 2, ("whisper_job_errors_total", "other"): 4}


def test_the_types_of_errors_are_the_workers_and_the_bridges(metrics: Metrics) -> None:
    types = {*WORKER_ERROR_TYPES, *BRIDGE_ERROR_TYPES}
    for error_type in types:
        metrics.observe("/run", {"error": "a sentence", "error_type": error_type}, 1.0)
    assert types == {labels[1] for labels in read(metrics) if labels[0] == "whisper_job_errors_total"}


def test_a_collector_is_read_at_each_scrape(client: TestClient, metrics: Metrics) -> None:
    fills = iter([0.25, 0.75])

    class Batches(Collector):
        def collect(self) -> Iterator[GaugeMetricFamily]:
            yield GaugeMetricFamily("whisper_batch_fill", "Share of the batch's slots in use.", value=next(fills))

    metrics.add_collector(Batches())
    seen = [samples(client.get("/metrics").text)["whisper_batch_fill",] for _ in range(2)]
    assert seen == [0.25, 0.75]


def test_the_documented_metrics_are_those_of_the_server(metrics: Metrics) -> None:
    page = DOCS.read_text().partition("## Metrics")[2].partition("\n## ")[0]
    documented = {name.removesuffix("_total") for name in re.findall(r"`(whisper_\w+)`", page)}
    assert documented == {family.name for family in text_string_to_metric_families(metrics.render().decode())}
