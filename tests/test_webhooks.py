"""`src.delivery.webhooks` against real servers on loopback, verified by the package that receivers use."""

from __future__ import annotations

import base64
import json
import logging
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime
from threading import Thread

import pytest
import standardwebhooks
from pydantic import SecretStr, ValidationError

from src import public_http
from src.delivery import webhooks
from src.delivery.webhooks import COMPLETED, FAILED, PROGRESS, RETRY_POLICY, ProgressNotifier, check_secret, notify
from src.public_http import RetryPolicy
from src.request.schema import Webhook
from tests.support.servers import ScriptedHandler, ScriptedServer, running

pytestmark = pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")

KEY = "whsec_" + base64.b64encode(bytes(range(32))).decode()
SECRET = SecretStr(KEY)
TIMEOUTS = (5.0, 15.0)
POLICY = RetryPolicy(pauses=(0.01, 0.02, 0.04, 0.08), timeouts=TIMEOUTS)
ANSWER = {"transcription": {"text": "Grüße, 世界"}, "metadata": {"model": "tiny.en"}}


class Server(ScriptedServer):
    @property
    def hook(self) -> Webhook:
        return Webhook(url=f"http://127.0.0.1:{self.server_port}/private-name?token=s3cr3t")

    @property
    def payloads(self) -> list[dict]:
        return [json.loads(body) for _, body in self.received]

    @property
    def ids(self) -> list[str]:
        return [headers["webhook-id"] for headers, _ in self.received]


@pytest.fixture
def serve(monkeypatch):
    """Starts a server that plays a script, for a worker that may call loopback."""
    monkeypatch.setenv("RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS", "true")
    with ExitStack() as servers:
        yield lambda *script: servers.enter_context(running(Server(*script)))


def send(
    hook: Webhook,
    event: str = COMPLETED,
    data=ANSWER,
    secret: SecretStr | None = SECRET,
    budget: float = 20.0,
    policy: RetryPolicy = POLICY,
):
    """`notify`, whose sentence must give nothing away."""
    sentence = notify(hook, event, data, job_id="job-1", secret=secret, budget=budget, policy=policy)
    for private in ("s3cr3t", "token", "private-name", "127.0.0.1", "://", "Grüße", KEY, "answer-body", "\n"):
        assert private not in (sentence or "")
    return sentence


def status(code: int, **headers: str):
    return lambda handler: handler.answer(code, b"answer-body", **headers)


def hang_up(handler: ScriptedHandler) -> None:
    handler.connection.shutdown(socket.SHUT_RDWR)


def drip_header(handler: ScriptedHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    for _ in range(40):
        handler.wfile.write(b"x")
        time.sleep(0.05)


def recording_pauses(policy: RetryPolicy, pauses: list[float]) -> RetryPolicy:
    return replace(policy, pause=lambda _, seconds: pauses.append(seconds))


def silent(_: ScriptedHandler) -> None:
    time.sleep(2)


def settled(condition) -> bool:
    """True if `condition` becomes true within twenty seconds."""
    end = time.monotonic() + 20
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


def nothing_in_flight() -> bool:
    return not any(thread.name == "webhook" for thread in threading.enumerate())


# What arrives


def test_an_event_is_signed_by_standard_webhooks(serve):
    server, began = serve(status(200)), time.time()
    assert send(server.hook) is None
    [(headers, body)] = server.received
    payload = standardwebhooks.Webhook(KEY).verify(body, dict(headers))
    assert payload.keys() == {"type", "timestamp", "data"}
    assert (payload["type"], payload["data"]) == (COMPLETED, {"id": "job-1", **ANSWER})
    assert payload["timestamp"].endswith("Z")
    sent = datetime.fromisoformat(payload["timestamp"].replace("Z", "+00:00")).timestamp()
    assert began - 1 <= sent <= time.time()  # it is in whole seconds
    assert headers["Content-Type"] == "application/json"
    assert headers["webhook-id"] == "msg_job-1_transcription_completed"


def test_another_key_does_not_verify(serve):
    server = serve(status(200))
    send(server.hook)
    [(headers, body)] = server.received
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook("whsec_" + base64.b64encode(bytes(32)).decode()).verify(body, dict(headers))


def test_without_a_secret_there_is_no_signature(serve):
    server = serve(status(200))
    assert send(server.hook, secret=None) is None
    [(headers, _)] = server.received
    assert {name for name in headers if name.startswith("webhook-")} == {"webhook-id", "webhook-timestamp"}


def test_an_id_has_no_full_stop(serve):
    server = serve(status(200))
    notify(server.hook, FAILED, {"error": "no"}, job_id="a.b\r\nc/ü-1", secret=SECRET)
    assert server.ids == ["msg_a_b__c__-1_transcription_failed"]


@pytest.mark.parametrize(("characters", "whole"), [(400_000, True), (1_200_000, False)])
def test_a_large_answer_leaves_out_the_transcription(characters, whole, serve):
    server = serve(status(200))
    data = {"transcription": "x" * characters, "metadata": {"model": "tiny.en"}}
    assert send(server.hook, data=data) is None
    [payload] = server.payloads
    rest = {"metadata": data["metadata"], "transcription_omitted": True}
    assert payload["data"] == {"id": "job-1", **(data if whole else rest)}


def test_every_event_has_the_jobs_id_and_the_callers_reference(serve):
    server = serve(status(200))
    for event in (COMPLETED, FAILED):
        notify(server.hook, event, {"metadata": {}}, job_id="a.b", reference="Ticket 7", secret=SECRET)
    notifier = ProgressNotifier(server.hook, job_id="a.b", reference="Ticket 7", secret=SECRET)
    notifier.report("transcribe", 1, 2)
    notifier.close()
    notify(server.hook, COMPLETED, {}, job_id="a.b", secret=SECRET)
    named = [(payload["data"]["id"], payload["data"].get("reference")) for payload in server.payloads]
    assert named == [("a.b", "Ticket 7")] * 3 + [("a.b", None)]


def test_a_progress_event_without_a_thread_to_send_it_is_dropped(serve, monkeypatch):
    def refuse(_: Thread) -> None:
        raise RuntimeError("can't start new thread")

    server = serve(status(200))
    notifier = ProgressNotifier(server.hook, job_id="job-1", secret=SECRET)
    with monkeypatch.context() as limited:
        limited.setattr(Thread, "start", refuse)
        notifier.report("transcribe", 1, 2)
    notifier.close()
    assert server.requests == []


def test_the_callers_headers_are_sent_and_change_none_of_the_workers(serve):
    server = serve(status(500), status(200))
    hook = server.hook.model_copy(update={"headers": {"Authorization": "Bearer s3cr3t", "user-agent": "x"}})
    assert send(hook) is None
    for headers, body in server.received:
        assert headers["Authorization"] == "Bearer s3cr3t"
        assert headers.get_all("User-Agent") == ["x"]
        standardwebhooks.Webhook(KEY).verify(body, dict(headers))
    assert "s3cr3t" not in repr(hook)


@pytest.mark.parametrize("code", [200, 201, 202, 204, 299])
def test_any_2xx_is_delivered(code, serve):
    server = serve(lambda handler: handler.answer(code))
    assert send(server.hook) is None
    assert len(server.received) == 1


# What is tried again


def test_every_attempt_has_the_same_id_and_body(serve):
    server = serve(status(500), hang_up, status(503), hang_up, status(200))
    assert send(server.hook) is None
    assert len(server.received) == 5
    assert len(set(server.ids)) == 1
    assert len({body for _, body in server.received}) == 1
    for headers, body in server.received:
        standardwebhooks.Webhook(KEY).verify(body, dict(headers))


def test_a_later_attempt_is_signed_anew(serve):
    server = serve(status(500), status(200))
    assert send(server.hook, policy=RetryPolicy(pauses=(1.1,), timeouts=TIMEOUTS)) is None
    (first, _), (second, body) = server.received
    assert int(second["webhook-timestamp"]) > int(first["webhook-timestamp"])
    standardwebhooks.Webhook(KEY).verify(body, dict(second))


@pytest.mark.parametrize("code", [408, 425, 429, 500, 502, 503, 504])
def test_a_transient_error_is_retried(code, serve):
    server = serve(status(code), status(200))
    assert send(server.hook) is None
    assert len(server.received) == 2


@pytest.mark.parametrize("code", [400, 401, 404, 410, 422])
def test_any_other_error_is_final(code, serve):
    server = serve(status(code))
    assert (
        send(server.hook)
        == f"the webhook transcription.completed was not delivered: its URL answers with HTTP status {code}"
    )
    assert len(server.received) == 1


def test_the_number_of_attempts_is_limited(serve):
    server = serve(status(500))
    assert "HTTP status 500 (tried 5 times)" in send(server.hook)
    assert len(server.received) == 5


def test_a_short_retry_after_is_honoured(serve):
    pauses: list[float] = []
    server = serve(status(429, Retry_After="3"), status(200))
    assert send(server.hook, policy=recording_pauses(POLICY, pauses)) is None
    assert pauses == [3.0]


def test_pauses_between_attempts_double(serve):
    pauses: list[float] = []
    assert "tried 5 times" in send(serve(status(500)).hook, policy=recording_pauses(RETRY_POLICY, pauses))
    assert pauses == [0.5, 1.0, 2.0, 4.0]


@pytest.mark.parametrize("after", ["3600", "999999999"])
def test_a_long_retry_after_ends_the_attempts(after, serve):
    server = serve(status(503, Retry_After=after))
    assert send(server.hook).endswith("its URL answers with HTTP status 503")


@pytest.mark.parametrize("after", ["", "-1", "soon", "Wed, 21 Oct 2015 07:28:00 GMT", "9" * 5000])
def test_any_other_retry_after_is_ignored(after, serve):
    assert send(serve(status(503, Retry_After=after), status(200)).hook) is None


def test_a_closed_port(serve):
    server = serve(status(200))
    server.shutdown()
    server.server_close()
    assert "its host refuses connections (tried 5 times)" in send(server.hook)


def test_a_host_that_does_not_exist(serve):
    assert "the host name of its URL cannot be resolved" in send(Webhook(url="https://nowhere.invalid/private-name"))


def test_a_host_that_cannot_be_a_name(serve):
    assert send(Webhook(url=f"http://{'a' * 70}.com/private-name")).endswith("its URL is malformed")


def test_a_response_that_is_not_http(serve):
    def two_lengths(handler: ScriptedHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n")

    server = serve(two_lengths, lambda handler: handler.wfile.write(b"answer-body\r\n\r\n"))
    assert "the connection to its host failed (tried 5 times)" in send(server.hook)


def test_a_server_that_does_not_speak_tls(serve):
    hook = Webhook(url=serve(status(200)).hook.url.replace("http:", "https:"))
    assert "check its TLS certificate" in send(hook)


# Redirects


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_failure(code, serve):
    target = serve(status(200))
    server = serve(status(code, Location=target.hook.url))
    assert f"HTTP status {code}; redirects are not followed" in send(server.hook)
    assert (len(server.received), target.requests) == (1, [])


@pytest.mark.parametrize("code", [200, 302])
def test_the_body_of_a_response_is_not_read(code, serve):
    written: Counter[str] = Counter()
    hung_up = threading.Event()

    def endless(handler: ScriptedHandler) -> None:
        handler.answer(code, Location="/again", Content_Length="1000000000000")
        try:
            while True:
                written["bytes"] += handler.wfile.write(bytes(1 << 16))
        finally:
            hung_up.set()

    assert (send(serve(endless).hook) is None) == (code == 200)
    assert hung_up.wait(20)
    assert written["bytes"] < 20_000_000  # what the system buffers


# Time


@pytest.mark.parametrize("play", [drip_header, silent])
def test_the_budget_holds_for_a_server_that_sends_slowly(play, serve):
    with endless(play) as held:
        # A silent socket meets its own limit at the same moment, and either may come first.
        assert send(serve(held).hook, budget=0.4).endswith("it took longer than 0.4 s")


@contextmanager
def endless(play: Callable[[ScriptedHandler], object]) -> Iterator[Callable[[ScriptedHandler], object]]:
    """`play`, again and again until the block ends or the client hangs up."""
    ended = threading.Event()

    def play_on(handler: ScriptedHandler) -> None:
        while not ended.is_set():
            play(handler)

    try:
        yield play_on
    finally:
        ended.set()


def go_on(handler: ScriptedHandler) -> None:
    """Answers without an end; the connection's end is an error."""
    while True:
        handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


@pytest.mark.parametrize("play", [drip_header, silent, go_on])
def test_no_thread_outlives_the_budget(play, serve):
    with endless(play) as held:
        assert "it took longer than" in send(serve(held).hook, budget=0.3)
        assert settled(nothing_in_flight)


@pytest.mark.parametrize("play", [drip_header, silent, go_on])
def test_no_thread_outlives_a_progress_event(play, serve, monkeypatch):
    monkeypatch.setattr(webhooks, "_PROGRESS_BUDGET_S", 60.0)  # only `close` ends it
    with endless(play) as held:
        notifier = ProgressNotifier(serve(held).hook, job_id="job-1", secret=SECRET, join_timeout=0.2)
        notifier.report("transcribe", 1, 2)
        time.sleep(0.1)
        notifier.close()
        assert settled(nothing_in_flight)


@pytest.mark.parametrize("play", [drip_header, silent, go_on])
def test_a_progress_event_ends_while_its_job_goes_on(play, serve, monkeypatch):
    monkeypatch.setattr(webhooks, "_PROGRESS_BUDGET_S", 0.2)
    with endless(play) as held:
        notifier = ProgressNotifier(serve(held).hook, job_id="job-1", secret=SECRET)
        notifier.report("transcribe", 1, 2)
        assert settled(nothing_in_flight)
    notifier.close()


def test_a_slow_server_is_reported_in_a_sentence(serve):
    assert send(serve(drip_header).hook, budget=0.3).endswith("was not delivered: it took longer than 0.3 s")


def test_retries_end_with_the_budget(serve):
    pauses: list[float] = []
    policy = recording_pauses(RetryPolicy(pauses=(0.1, 60.0), timeouts=TIMEOUTS), pauses)
    assert "(tried 2 times)" in send(serve(status(503)).hook, budget=20, policy=policy)
    assert pauses == [0.1]


def test_nothing_is_sent_after_the_budget(serve, monkeypatch):
    server, held = serve(status(200)), hold_before_sending(monkeypatch)
    assert "it took longer than 0.1 s" in send(server.hook, budget=0.1)
    held.set()
    time.sleep(0.2)
    assert server.received == []


def hold_before_sending(monkeypatch) -> threading.Event:
    """Hosts are resolved only when this event is set; nothing can interrupt that."""
    held = threading.Event()
    monkeypatch.setattr(public_http, "resolve_and_validate", lambda *_: held.wait(5) and ["127.0.0.1"])
    return held


# Where a URL may point


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "10.0.0.1", "169.254.169.254", "100.64.0.1", "[::ffff:127.0.0.1]"]
)
def test_a_private_address_is_refused(host, monkeypatch):
    monkeypatch.delenv("RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS", raising=False)
    assert send(Webhook(url=f"http://{host}/private-name")).endswith("it must be http(s) at a public address")


def test_a_private_server_sees_no_connection(serve, monkeypatch):
    server = serve(status(200))
    monkeypatch.delenv("RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS")
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a connection"))
    assert "public address" in send(server.hook)
    assert server.requests == []


def test_the_sdk_connects_to_the_validated_address(serve, monkeypatch):
    server = serve(status(200))
    monkeypatch.setattr(public_http, "resolve_and_validate", lambda host, port: ["127.0.0.1"])
    assert send(Webhook(url=f"http://hooks.invalid:{server.server_port}/private-name")) is None
    assert server.received[0][0]["Host"] == f"hooks.invalid:{server.server_port}"


def test_a_name_that_changes_its_address_is_resolved_once(serve, monkeypatch):
    server, asked, connected = serve(status(200)), [], []
    monkeypatch.delenv("RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS")

    def rebinding(host, port, *_, **__):
        asked.append(host)
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14" if len(asked) == 1 else "127.0.0.1", port))
        ]

    def connect(_, address):
        connected.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr(socket.socket, "connect", connect)
    hook = Webhook(url=f"http://rebind.invalid:{server.server_port}/")
    assert "its host refuses connections" in send(hook, policy=RetryPolicy(pauses=(), timeouts=TIMEOUTS))
    assert (asked, connected) == (["rebind.invalid"], ["93.184.215.14"])
    assert server.requests == []


def test_the_next_address_is_tried_if_one_has_no_route(serve, monkeypatch):
    server = serve(status(200))
    monkeypatch.setattr(public_http, "resolve_and_validate", lambda host, port: ["::1", "127.0.0.1"])
    assert send(server.hook) is None


def test_a_proxy_of_the_environment_is_not_used(serve, monkeypatch):
    server, proxy = serve(status(200)), serve(status(200))
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_port}")
    assert send(server.hook) is None
    assert (len(server.received), proxy.requests) == (1, [])


# Nothing fails a job, nothing leaks


@pytest.mark.parametrize(
    ("data", "secret"), [({"x": float("nan")}, SECRET), ({"x": object()}, SECRET), ({"x": "\ud800"}, SECRET)]
)
def test_unserializable_data_is_reported_in_a_sentence(data, secret, serve):
    server = serve(status(200))
    assert "the worker failed on it" in send(server.hook, data=data, secret=secret)
    assert server.requests == []


def faulty_header(handler: ScriptedHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 500 No\r\n answer-body\r\nfaulty\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize("play", [status(200), status(500), hang_up, faulty_header, drip_header])
def test_neither_url_nor_payload_is_logged(play, serve, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    hook = serve(play).hook
    send(hook, budget=0.2)
    notifier = ProgressNotifier(hook, job_id="job-1", secret=SECRET, join_timeout=0.2)
    notifier.report("transcribe", 1, 2)
    notifier.close()
    logged = caplog.text + "".join(capfd.readouterr()) + repr(hook)
    for private in ("s3cr3t", "private-name", KEY, "Grüße", "answer-body"):
        assert private not in logged


@pytest.mark.process
def test_the_signer_is_loaded_when_something_is_signed():
    code = "import sys, src.delivery.webhooks; sys.exit('standardwebhooks' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


# What a job may ask, what the environment may hold


@pytest.mark.parametrize(
    "url", ["https://example.com/hook", "http://user:pw@example.com:8080/a?b=c#d", "http://[::1]/"]
)
def test_a_valid_url(url):
    assert Webhook.model_validate({"url": url, "progress": True}).url == url
    assert Webhook.model_validate(url) == Webhook(url=url)
    assert Webhook.model_validate(f" {url}\n").url == url
    assert not Webhook(url=url).progress


@pytest.mark.parametrize(
    "url",
    ["hook", "//example.com", "ftp://example.com", "http://", "http://[::1", "http://a\r\nb", "http://a\\@b/"],
)
def test_a_malformed_url(url):
    with pytest.raises(ValidationError, match="the URL is malformed: it must be http:// or https:// and name a host"):
        Webhook(url=url)


@pytest.mark.parametrize(
    "raw",
    [
        *(12, True, ["https://a.b"], {}, {"url": None}, {"url": ""}, {"url": "https://a.b/" + "c" * 8192}),
        *({"url": "https://a.b", "headers": {"webhook-id": "x"}}, {"url": "https://a.b", "headers": {"A": 1}}),
        *({"url": "https://a.b", "progress": "yes please"}, {"url": "https://a.b", "secret": "x"}),
    ],
)
def test_any_other_input_is_refused(raw):
    with pytest.raises(ValidationError):
        Webhook.model_validate(raw)


@pytest.mark.parametrize("size", [24, 25, 26, 32, 64])
def test_a_valid_secret(size):
    key = "whsec_" + base64.b64encode(b"\xff" * size).decode()
    check_secret(SecretStr(key))
    standardwebhooks.Webhook(key)


def test_no_secret_is_valid():
    check_secret(None)


@pytest.mark.parametrize(
    "value",
    [
        *(
            "",
            "whsec_",
            "s3cr3t",
            KEY.removeprefix("whsec_"),
            KEY.replace("whsec", "whsk"),
            KEY.rstrip("="),
            KEY + "\n",
        ),
        *(" " + KEY, KEY.upper(), "whsec_" + "_-" * 16, "whsec_" + "é" * 32, "whsec_" + "A" * 31 + "\0"),
        *("whsec_" + base64.b64encode(bytes(size)).decode() for size in (1, 23, 65)),
    ],
)
def test_an_invalid_secret_is_reported_but_not_shown(value):
    with pytest.raises(
        ValueError, match=r"^WEBHOOK_SECRET is not a key: it must be whsec_ and the base64 of"
    ) as caught:
        check_secret(SecretStr(value))
    assert len(value.strip()) < 7 or value.strip() not in str(caught.value)


# Progress


def test_progress_arrives_signed_and_in_order(serve):
    server = serve(status(200))
    now = 0.0
    notifier = ProgressNotifier(server.hook, job_id="job-1", secret=SECRET, clock=lambda: now)
    for sent, done in enumerate((0, 30, 60)):
        now += 1.0
        while len(server.received) == sent:  # reports are dropped while the previous event is in flight
            notifier.report("transcribe", done, 60)
            time.sleep(0.01)
    notifier.close()
    assert [payload["data"] for payload in server.payloads] == [
        {"id": "job-1", "stage": "transcribe", "percent": percent} for percent in (0, 50, 100)
    ]
    assert {payload["type"] for payload in server.payloads} == {PROGRESS}
    assert server.ids == [f"msg_job-1_transcription_progress_{number}" for number in (1, 2, 3)]
    for headers, body in server.received:
        standardwebhooks.Webhook(KEY).verify(body, dict(headers))


def test_an_unknown_total_is_zero_percent(serve):
    server = serve(status(200))
    notifier = ProgressNotifier(server.hook, job_id="job-1", secret=None)
    notifier.report("download", 0.0, 0.0)
    notifier.close()
    assert server.payloads[0]["data"] == {"id": "job-1", "stage": "download", "percent": 0}


def test_progress_neither_blocks_nor_accumulates(serve):
    answered, ended = threading.Event(), threading.Event()

    def hold(_: ScriptedHandler) -> None:
        ended.wait(10)
        answered.set()

    server = serve(hold)
    notifier = ProgressNotifier(server.hook, job_id="job-1", secret=SECRET, min_interval=0.0, join_timeout=0.1)
    for done in range(1000):
        notifier.report("transcribe", done, 1000)
    assert settled(lambda: len(server.received) == 1)
    notifier.close()
    assert not answered.is_set()
    assert len(server.received) == 1
    ended.set()


def test_progress_keeps_its_minimum_interval(serve):
    server = serve(status(200))
    now = 0.0
    notifier = ProgressNotifier(
        server.hook, job_id="job-1", secret=SECRET, min_interval=1.0, join_timeout=5.0, clock=lambda: now
    )
    notifier.report("transcribe", 0, 2)
    for seconds, done in ((0.99, 1), (1.0, 2)):
        now = seconds
        assert settled(nothing_in_flight)
        notifier.report("transcribe", done, 2)
    notifier.close()
    assert [payload["data"]["percent"] for payload in server.payloads] == [0, 100]


def test_progress_is_not_retried(serve):
    server = serve(status(500))
    notifier = ProgressNotifier(server.hook, job_id="job-1", secret=SECRET)
    notifier.report("transcribe", 1, 2)
    notifier.close()
    assert len(server.received) == 1


def test_progress_never_comes_after_completed(serve, monkeypatch):
    server = serve(status(200))
    held = hold_before_sending(monkeypatch)
    notifier = ProgressNotifier(server.hook, job_id="job-1", secret=SECRET, join_timeout=0.1)
    notifier.report("transcribe", 1, 2)  # about to connect when the job ends
    notifier.close()
    held.set()
    assert send(server.hook) is None
    notifier.report("transcribe", 2, 2)
    assert settled(nothing_in_flight)
    assert [payload["type"] for payload in server.payloads] == [COMPLETED]


def test_a_broken_progress_webhook_is_ignored(serve, monkeypatch):
    monkeypatch.delenv("RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS")
    notifier = ProgressNotifier(serve(status(200)).hook, job_id="job-1", secret=SecretStr("wrong"))
    notifier.report("transcribe", 1, 2)
    notifier.close()
    notifier.close()


def test_without_progress_there_is_nothing_to_close(serve):
    ProgressNotifier(serve(status(200)).hook, job_id="job-1", secret=SECRET).close()
