"""The endpoint's API under faults: requests are retried, but no job is submitted twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from client.errors import EndpointFailed, EndpointUnusable, SubmissionUncertain
from client.settings import EndpointSettings
from client.transport import endpoint as module
from client.transport.endpoint import Endpoint, NoSuchJob
from tests.client.conftest import settings_of
from tests.platform.emulator import Fault, Platform

LARGE = "x" * 9_000_000
"""More than a connection's buffers hold."""


@pytest.mark.parametrize("fault", [Fault.ERROR_429, Fault.ERROR_500, Fault.ERROR_502])
def test_a_refused_submission_is_retried(platform: Platform, endpoint: Endpoint, fault: Fault) -> None:
    platform.faults.next("run", fault)
    job = endpoint.submit({"n": 1}, policy={"ttl": 100_000})
    assert platform.faults.count("run") == 1
    assert list(platform.jobs) == [job]
    assert platform.job(job).request == {"input": {"n": 1}, "policy": {"ttl": 100_000}}


@pytest.mark.parametrize("fault", [Fault.DROP, Fault.BROKEN_JSON])
def test_a_submission_without_a_clear_answer_is_not_retried(
    platform: Platform, endpoint: Endpoint, fault: Fault
) -> None:
    platform.faults.next("run", fault)
    with pytest.raises(SubmissionUncertain, match="not sent again"):
        endpoint.submit({"n": 1})
    assert platform.jobs == {}


def test_a_submission_interrupted_during_the_upload_is_retried(platform: Platform, endpoint: Endpoint) -> None:
    platform.faults.next("run", Fault.DROP)
    endpoint.submit({"audio": LARGE})
    assert platform.faults.count("run") == 1
    assert len(platform.jobs) == 1


@pytest.mark.parametrize("fault", [Fault.ERROR_429, Fault.ERROR_502, Fault.BROKEN_JSON, Fault.DROP])
def test_status_queries_are_retried(platform: Platform, endpoint: Endpoint, fault: Fault) -> None:
    job = endpoint.submit({"n": 1})
    platform.faults.next("status", fault)
    assert endpoint.status(job)["status"] == "IN_QUEUE"
    assert platform.faults.count("status") == 1


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (lambda endpoint: endpoint.status("unknown"), "does not know the job"),
        (lambda endpoint: endpoint.submit({"audio": "x" * 10_000_000}), "larger than the platform accepts"),
        (lambda endpoint: endpoint.submit({"n": 1}, webhook="me"), "webhook"),
    ],
)
def test_a_refusal_is_reported_and_not_retried(
    endpoint: Endpoint, act: Callable[[Endpoint], object], sentence: str
) -> None:
    with pytest.raises(EndpointFailed, match=sentence):
        act(endpoint)


@pytest.mark.parametrize(
    ("act", "error", "sentence"),
    [
        (lambda endpoint: endpoint.submit({"n": 1}), SubmissionUncertain, "not sent again"),
        (lambda endpoint: endpoint.status("job-1"), EndpointFailed, "answer is larger than"),
        (lambda endpoint: endpoint.health(), EndpointFailed, "answer is larger than"),
    ],
)
@pytest.mark.parametrize("limit", ["bytes", "seconds"])
def test_an_answer_without_an_end_is_not_read_to_it(
    monkeypatch: pytest.MonkeyPatch,
    act: Callable[[Endpoint], object],
    error: type[Exception],
    sentence: str,
    limit: str,
) -> None:
    monkeypatch.setattr(module, "MAX_ANSWER_BYTES", 10_000_000 if limit == "bytes" else 1 << 60)
    monkeypatch.setattr(module, "ANSWER_TIMEOUT_S", 600.0 if limit == "bytes" else 0.3)
    reason = sentence if limit == "bytes" else "not sent again|cannot be reached"
    with endless_answers() as address, pytest.raises(error, match=reason):
        act(Endpoint(EndpointSettings(address, "ep", "key"), retry_timeout_s=0.1))


@contextmanager
def endless_answers() -> Iterator[str]:
    """The address of an endpoint whose answers never end."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                while True:
                    self.wfile.write(b"x" * 100_000)
                    time.sleep(0.001)

        do_POST = do_GET  # noqa: N815 (the name that http.server calls)

        def log_message(self, *_: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=[0.01]).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v2"
    finally:
        server.shutdown()
        server.server_close()


def test_the_error_for_a_wrong_key_does_not_contain_the_key(platform: Platform) -> None:
    settings = settings_of(platform)
    with pytest.raises(EndpointFailed, match="the API key is wrong") as failure:
        Endpoint(EndpointSettings(settings.base_url, settings.endpoint_id, "secret-key")).health()
    assert "secret" not in str(failure.value) + repr(settings)


def test_an_unreachable_address_is_given_up(platform: Platform) -> None:
    settings = settings_of(platform)
    platform.close()
    with pytest.raises(EndpointFailed, match="cannot be reached"):
        Endpoint(settings, retry_timeout_s=0.5).health()
    platform.start()  # for the fixture, which closes it


def test_the_first_failure_is_reported_at_once_and_once(platform: Platform) -> None:
    messages: list[str] = []
    endpoint = Endpoint(settings_of(platform), retry_timeout_s=10.0, on_retry=messages.append)
    for fault in (Fault.ERROR_500, Fault.ERROR_502):
        platform.faults.next("health", fault)
    endpoint.health()
    assert messages == ["the endpoint answers 500: injected: ERROR_500; trying again"]
    platform.faults.next("health", Fault.ERROR_429)
    endpoint.health()
    assert [message[:24] for message in messages] == ["the endpoint answers 500", "the endpoint answers 429"]


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://nowhere.invalid:80"])
def test_an_address_that_never_answered_is_given_up_soon(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    assert module.FIRST_CONTACT_TIMEOUT_S <= 10
    monkeypatch.setattr(module, "FIRST_CONTACT_TIMEOUT_S", 2.0)
    messages: list[str] = []
    started = time.monotonic()
    with pytest.raises(EndpointUnusable, match="cannot be reached"):
        Endpoint(EndpointSettings(f"{address}/v2", "ep", "key"), on_retry=messages.append).submit({"n": 1})
    assert time.monotonic() - started < 20 < module.RETRY_TIMEOUT_S / 4
    assert len(messages) == 1
    assert messages[0].endswith("trying again")


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("", "no worker's local API at this address: .* a platform's has a path, such as /v2"),
        ("/v3", "check --endpoint or RUNPOD_ENDPOINT_ID, .*, and the base URL, which ends in /v2"),
        ("/v2/other", "check --endpoint or RUNPOD_ENDPOINT_ID"),
    ],
)
def test_the_error_for_a_wrong_address_says_which_part_is_wrong(platform: Platform, path: str, sentence: str) -> None:
    settings = settings_of(platform)
    base_url = settings.base_url.removesuffix("/v2") + path
    with pytest.raises(EndpointUnusable, match=sentence):
        Endpoint(EndpointSettings(base_url, settings.endpoint_id, settings.api_key)).health()


def test_cancelling_ends_a_job_and_ignores_unknown_ones(platform: Platform, endpoint: Endpoint) -> None:
    job = endpoint.submit({"n": 1})
    endpoint.cancel(job)
    assert platform.job(job).status == "CANCELLED"
    endpoint.cancel("unknown")
    with pytest.raises(NoSuchJob):
        endpoint.stream("unknown")
