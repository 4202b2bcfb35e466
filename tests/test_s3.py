"""Files in a bucket of the job or of the endpoint, on a real S3 server, and the errors of failed uploads."""

from __future__ import annotations

import json
import logging
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import botocore.loaders  # type: ignore[import-untyped]
import botocore.session  # type: ignore[import-untyped]
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st
from moto.server import ThreadedMotoServer
from pydantic import SecretStr, ValidationError

from src import buckets as buckets_module
from src import public_http
from src.buckets import Bucket, check_bucket_settings, find_bucket
from src.delivery.s3 import UploadFailed, folder_of, upload_files
from src.errors import Cancelled, InvalidInput
from src.job_control import JobControl
from src.public_http import RetryPolicy
from src.request.schema import UploadRequest, validate_prefix
from src.settings import Settings, SettingsError
from tests.support.clips import ROOT
from tests.support.http_api import wait_until
from tests.support.servers import running

SECRET = "wJalrXUtnFEMI-K7MDENG-SECRET"
ACCESS = "AKIAIOSFODNN7EXAMPLE"
LOADER = botocore.loaders.create_loader()
TIMEOUTS = (5.0, 15.0)
QUICK = RetryPolicy(pauses=(0.01, 0.01, 0.01), timeouts=TIMEOUTS)
FILES = {"transcript.json": '{"text": "日本語"}'.encode(), "transcript.srt": b"1\n", "transcript.txt": b""}


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    s3 = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    s3.start()
    host, port = s3.get_host_and_port()
    yield f"http://{host}:{port}"
    s3.stop()


@pytest.fixture(scope="module")
def s3(server: str) -> Any:
    client = boto3.client(
        "s3", endpoint_url=server, aws_access_key_id="x", aws_secret_access_key="x", region_name="us-east-1"
    )
    client.create_bucket(Bucket="results")
    client.create_bucket(Bucket=time.strftime("%m-%y"))
    return client


@pytest.fixture
def private_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS", "true")


@pytest.fixture(autouse=True)
def descriptions_of_services_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are megabytes of JSON, which each client of boto reads anew."""
    monkeypatch.setattr(botocore.session, "create_loader", lambda _paths: LOADER)


@pytest.fixture(autouse=True)
def nothing_leaked(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], no_files_left: Path
) -> Iterator[None]:
    """In no test is a secret or a link logged, is there a bar on stderr, or a file left behind."""
    caplog.set_level(logging.INFO)
    before = set(ROOT.iterdir())
    yield
    printed = capfd.readouterr()
    logged = [record.getMessage() for record in caplog.records if record.name != "werkzeug"]  # the server's own
    output = "\n".join((*logged, printed.out, printed.err))
    assert not [word for word in (SECRET, ACCESS, "Signature", "Progress on", "B/s", "%|") if word in output]
    assert set(ROOT.iterdir()) <= before | {ROOT / ".hypothesis", ROOT / ".pytest_cache", ROOT / "__pycache__"}


def bucket(url: str, name: str | None = "results", **changes: Any) -> Bucket:
    return Bucket(url, ACCESS, SECRET, name, **changes)


def config(url: str, **changes: Any) -> dict[str, Any]:
    return {"accessId": ACCESS, "accessSecret": SECRET, "bucketName": "results", "endpointUrl": url} | changes


def settings(**changes: Any) -> Settings:
    empty = dict.fromkeys(
        ("bucket_endpoint_url", "bucket_access_key_id", "bucket_secret_access_key", "bucket_name"), None
    )
    return Settings().model_copy(update=empty | changes)


def endpoint(url: str, **changes: Any) -> Settings:
    needed = {
        "bucket_endpoint_url": url,
        "bucket_access_key_id": ACCESS,
        "bucket_secret_access_key": SecretStr(SECRET),
    }
    return settings(**needed | changes)


def assert_leaks_nothing(error: BaseException, *more: str) -> None:
    message = str(error)
    assert "\n" not in message
    assert not message.endswith(".")
    assert not [word for word in (SECRET, ACCESS, "://", "127.0.0.1", *more) if word in message]


@pytest.fixture(params=["s3Config", "BUCKET_*", "BUCKET_* without a name"])
def found(request: pytest.FixtureRequest, server: str, private_allowed: None) -> Bucket | None:
    if request.param == "s3Config":
        return find_bucket(config(server), settings())
    return find_bucket(None, endpoint(server, bucket_name="results" if request.param == "BUCKET_*" else None))


def test_files_are_downloaded_by_their_links(found: Bucket, s3: Any) -> None:
    links = upload_files(found, "transcripts/job-1", FILES)
    assert list(links) == list(FILES)
    for name, data in FILES.items():
        answer = requests.get(links[name], timeout=10)
        assert answer.status_code == 200
        assert answer.content == data
        assert "X-Amz-Expires=604800" in links[name]
        stored = s3.get_object(Bucket=found.name or time.strftime("%m-%y"), Key=f"transcripts/job-1/{name}")
        assert stored["Body"].read() == data


def test_files_have_a_content_type(server: str, s3: Any) -> None:
    links = upload_files(
        bucket(server), "types", {f"a.{suffix}": b"x" for suffix in ("json", "txt", "srt", "vtt", "tsv")}
    )
    types = {name: requests.get(link, timeout=10).headers["Content-Type"] for name, link in links.items()}
    assert types == {
        "a.json": "application/json",
        "a.txt": "text/plain; charset=utf-8",
        "a.srt": "application/x-subrip; charset=utf-8",
        "a.vtt": "text/vtt; charset=utf-8",
        "a.tsv": "text/tab-separated-values; charset=utf-8",
    }


def test_a_file_over_the_size_of_a_part_is_stored_whole(server: str, s3: Any) -> None:
    data = bytes(range(256)) * 80_000  # 20 MB
    links = upload_files(bucket(server), "large", {"transcript.json": data})
    assert requests.get(links["transcript.json"], timeout=30).content == data


@pytest.mark.parametrize("nothing", [None, {}, {"accessId": "", "endpointUrl": None}])
def test_without_a_bucket_there_is_none(nothing: Any) -> None:
    assert find_bucket(nothing, settings()) is None
    assert find_bucket(nothing, endpoint("", bucket_access_key_id="", bucket_secret_access_key=SecretStr(""))) is None


def test_the_jobs_bucket_takes_precedence(private_allowed: None) -> None:
    both = find_bucket(config("http://127.0.0.1:1"), endpoint("http://127.0.0.1:2"))
    assert both == Bucket("http://127.0.0.1:1", ACCESS, SECRET, "results", of_job=True)


@pytest.mark.parametrize("key", ["accessId", "accessSecret", "bucketName", "endpointUrl"])
@pytest.mark.parametrize("wrong", [None, "", 7, ["x"], "käse", "a\r\nHost: b", "x" * 5000])
def test_a_wrong_key_of_s3_config_is_named(key: str, wrong: Any, private_allowed: None) -> None:
    with pytest.raises(InvalidInput, match=rf"s3Config.*{key}") as error:
        find_bucket(config("http://127.0.0.1:9") | {key: wrong}, settings())
    assert_leaks_nothing(error.value, "xxx", "Host", "käse")


@pytest.mark.parametrize("wrong", ["text", ["accessId"], 3, True])
def test_s3_config_is_an_object(wrong: Any) -> None:
    with pytest.raises(InvalidInput, match="s3Config must be an object"):
        find_bucket(wrong, settings())


@pytest.mark.parametrize(
    "url",
    [
        "ftp://files.example.com",
        "files.example.com",
        "https://",
        "https://[::1",
        "https://a.example:0",
        "https://a.example:99999",
        "https://user:word@files.example.com",
        "https://files.example.com/?x=1",
        "https://files.example.com/#x",
        "https://files example.com",
        "file:///etc/passwd",
    ],
)
def test_an_endpoint_is_an_http_address(url: str) -> None:
    with pytest.raises(InvalidInput, match="endpointUrl must be the http:// or https://") as error:
        find_bucket(config(url), settings())
    assert "example" not in str(error.value)
    with pytest.raises(SettingsError, match="BUCKET_ENDPOINT_URL must be the http:// or https://"):
        check_bucket_settings(endpoint(url))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:9000",
        "http://169.254.169.254",
        "http://10.0.0.7",
        "http://[::1]:9000",
        "http://[::ffff:10.0.0.1]",
        "http://localhost",
        "http://2130706433",
        "https://no-such-host.invalid",
        f"https://{'a' * 70}.example",
    ],
)
def test_a_jobs_bucket_is_at_a_public_address(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS", raising=False)
    with pytest.raises(InvalidInput, match="public address") as error:
        find_bucket(config(url), settings())
    assert_leaks_nothing(error.value, "169.254", "::1", "localhost", "aaa", "no-such-host")


def test_the_endpoints_own_bucket_may_be_private(server: str, s3: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS", raising=False)
    own = find_bucket(None, endpoint(server, bucket_name="results"))
    assert own
    assert upload_files(own, "own", {"a.txt": b"x"})


@pytest.mark.parametrize("name", ["results", "foo--use1-az4--x-s3", "arn:aws:s3:us-west-2:123456789012:accesspoint/x"])
def test_the_address_is_checked_again_on_connecting(
    name: str, server: str, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that was public while the recording was transcribed, or that boto puts before the host."""
    monkeypatch.delenv("RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS", raising=False)
    hostile = bucket(server.replace("127.0.0.1", "localhost"), name, of_job=True)
    with pytest.raises(UploadFailed, match=r"not at a public address|cannot be resolved") as error:
        upload_files(hostile, "again", {"a.txt": b"x"}, policy=QUICK)
    assert_leaks_nothing(error.value)
    assert s3.list_objects_v2(Bucket="results", Prefix="again")["KeyCount"] == 0


@pytest.mark.parametrize("name", ["arn:aws:s3:us-west-2:123456789012:accesspoint/x", "../results", "a/b", "-a", "a?b"])
def test_a_jobs_bucket_has_a_plain_name(name: str, private_allowed: None) -> None:
    with pytest.raises(InvalidInput, match=r"s3Config\.bucketName must be the plain name"):
        find_bucket(config("http://127.0.0.1:9", bucketName=name), settings())


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"bucket_endpoint_url": None}, "BUCKET_ENDPOINT_URL"),
        ({"bucket_access_key_id": ""}, "BUCKET_ACCESS_KEY_ID"),
        ({"bucket_secret_access_key": None}, "BUCKET_SECRET_ACCESS_KEY"),
        ({"bucket_endpoint_url": None, "bucket_access_key_id": None}, "BUCKET_ENDPOINT_URL, BUCKET_ACCESS_KEY_ID"),
    ],
)
def test_a_bucket_with_missing_variables_is_reported(changes: dict[str, Any], missing: str) -> None:
    for ask in (check_bucket_settings, lambda half: find_bucket(None, half)):
        with pytest.raises(SettingsError, match=f"set {missing} too") as error:
            ask(endpoint("https://s3.example.com", **changes))
        assert_leaks_nothing(error.value)


def test_a_name_alone_is_not_a_bucket() -> None:
    with pytest.raises(SettingsError, match="BUCKET_ENDPOINT_URL, BUCKET_ACCESS_KEY_ID, BUCKET_SECRET_ACCESS_KEY"):
        check_bucket_settings(settings(bucket_name="results"))


def test_all_variables_or_none_are_valid() -> None:
    check_bucket_settings(settings())
    check_bucket_settings(endpoint("https://s3.example.com", bucket_name="results"))


def test_a_bucket_does_not_show_its_credentials() -> None:
    shown = repr(bucket("https://s3.example.com"))
    assert SECRET not in shown
    assert ACCESS not in shown


def test_a_missing_bucket_is_reported_by_its_error_code(server: str) -> None:
    with pytest.raises(UploadFailed, match=r"^the bucket refused the files \(NoSuchBucket\)$"):
        upload_files(bucket(server, "nowhere"), "p", FILES)


@pytest.fixture
def refusing() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A server that refuses every key, as S3 does, and keeps the headers that it got."""
    got: list[dict[str, str]] = []

    class Refusal(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            got.append(dict(self.headers))
            body = (
                f"<Error><Code>SignatureDoesNotMatch</Code><Message>{SECRET}</Message>"
                f"<AWSAccessKeyId>{ACCESS}</AWSAccessKeyId><StringToSign>AWS4-HMAC-SHA256</StringToSign></Error>"
            ).encode()
            self.send_response(403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusal) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", got
        server.shutdown()


def test_wrong_keys_are_reported_without_the_servers_message(
    refusing: tuple[str, list[dict[str, str]]],
) -> None:
    url, got = refusing
    with pytest.raises(UploadFailed, match=r"^the bucket refused the files \(SignatureDoesNotMatch\)$"):
        upload_files(bucket(url), "p", FILES)
    assert len(got) == 1  # the rest is not tried
    assert not [header for header in got[0] if "checksum" in header.lower() or "trailer" in header.lower()]


def test_a_closed_port_is_reported() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(UploadFailed, match=r"^the bucket's host refuses connections \(tried 4 times\)$") as error:
        upload_files(bucket(url), "p", FILES, policy=QUICK)
    assert_leaks_nothing(error.value)


def test_a_silent_server_does_not_block_the_job() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(UploadFailed, match=r"within 0\.5 s") as error:
            upload_files(bucket(f"http://127.0.0.1:{silent.getsockname()[1]}"), "p", FILES, timeout=0.5)
        wait_until(no_upload_runs)
    assert_leaks_nothing(error.value)


def test_a_cancelled_job_ends_its_upload() -> None:
    control = JobControl()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        threading.Timer(0.2, control.cancel, ["the job was cancelled"]).start()
        with pytest.raises(Cancelled, match="the job was cancelled"):
            upload_files(bucket(f"http://127.0.0.1:{silent.getsockname()[1]}"), "p", FILES, on_cancel=control.on_cancel)
        wait_until(no_upload_runs)


def test_a_host_whose_lookup_does_not_end_holds_up_neither_a_job_nor_its_cancellation(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held, control = threading.Event(), JobControl()
    monkeypatch.setattr(public_http, "resolve_and_validate", lambda *_: held.wait(30) and [])
    monkeypatch.setattr(buckets_module, "LOOKUP_TIMEOUT_S", 0.1)
    try:
        with pytest.raises(InvalidInput, match="must name a host that resolves to a public address"):
            find_bucket(config("http://slow.example"), settings())
        monkeypatch.setattr(buckets_module, "LOOKUP_TIMEOUT_S", 30.0)
        threading.Timer(0.1, control.cancel, ["the job was cancelled"]).start()
        with pytest.raises(Cancelled):
            find_bucket(config("http://slow.example"), settings(), control.on_cancel)
    finally:
        held.set()


@pytest.mark.slow
def test_a_slow_bucket_gets_its_files_block_by_block() -> None:
    """The time to connect is also the limit of each write, and not that of the file."""
    got = []

    class Slow(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            left = int(self.headers["Content-Length"])
            while left:
                left -= len(self.rfile.read1(400_000))
                time.sleep(0.01)
            got.append(self.headers["Transfer-Encoding"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    policy = RetryPolicy(pauses=(), timeouts=(0.5, 15.0))
    with running(ThreadingHTTPServer(("127.0.0.1", 0), Slow)) as server:
        url = f"http://127.0.0.1:{server.server_port}"
        upload_files(bucket(url), "p", {"a.json": bytes(30_000_000), "b.txt": b""}, policy=policy)
    assert got == [None, None]


def no_upload_runs() -> bool:
    return not [thread for thread in threading.enumerate() if thread.name == "upload"]


@contextmanager
def answering(play: Callable[[Any], None]) -> Iterator[tuple[str, list[str]]]:
    """A server that answers each PUT with `play`; yields its URL and the paths that it was asked for."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_PUT(self) -> None:
            self.close_connection = True
            self.rfile.read(int(self.headers["Content-Length"]))
            paths.append(self.path)
            with suppress(OSError):
                play(self)

        def log_message(self, *_: Any) -> None: ...

    with running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        yield f"http://127.0.0.1:{server.server_port}", paths


def status(code: int, body: bytes = b"", **headers: str) -> Callable[[Any], None]:
    def play(handler: Any) -> None:
        handler.send_response(code)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return play


@pytest.mark.parametrize("code", [200, 403, 500])
def test_an_answer_without_an_end_is_not_read(code: int) -> None:
    written = [0]
    hung_up = threading.Event()

    def endless(handler: Any) -> None:
        handler.send_response(code)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        try:
            while written[0] < 200_000_000:
                written[0] += handler.wfile.write(b"10000\r\n" + bytes(1 << 16) + b"\r\n")
        finally:
            hung_up.set()

    with answering(endless) as (url, paths):
        with nullcontext() if code == 200 else pytest.raises(UploadFailed, match=f"HTTP status {code}"):
            upload_files(bucket(url), "p", {"a.txt": b"x"}, policy=RetryPolicy(pauses=(), timeouts=TIMEOUTS))
        assert len(paths) == 1
        assert hung_up.wait(20)
    assert written[0] < 20_000_000  # what the system buffers


def drip_header(handler: Any) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        handler.wfile.write(b"x")
        time.sleep(0.05)


def drip_refusal(handler: Any) -> None:
    handler.wfile.write(b"HTTP/1.1 403 No\r\n\r\n")
    while True:
        handler.wfile.write(b"x")
        time.sleep(0.05)


def go_on(handler: Any) -> None:
    while True:
        handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


@pytest.mark.slow
@pytest.mark.parametrize("play", [drip_header, drip_refusal, go_on])
def test_no_thread_outlives_the_time_limit(play: Callable[[Any], None]) -> None:
    with answering(play) as (url, _):
        with pytest.raises(UploadFailed, match=r"within 0\.3 s"):
            upload_files(bucket(url), "p", {"a.txt": b"x"}, timeout=0.3)
        wait_until(no_upload_runs)


@pytest.mark.parametrize("code", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(code: int, server: str, s3: Any) -> None:
    with answering(status(code, Location=f"{server}/results/inside/a.txt")) as (url, paths):
        with pytest.raises(UploadFailed, match=f"HTTP status {code}"):
            upload_files(bucket(url), "p", {"a.txt": b"x"})
        assert len(paths) == 1
    assert s3.list_objects_v2(Bucket="results", Prefix="inside")["KeyCount"] == 0


@pytest.mark.parametrize("code", [408, 429, 500, 503])
def test_a_transient_error_is_retried(code: int) -> None:
    busy = status(code, b"<Error><Code>SlowDown</Code></Error>")
    with answering(busy) as (url, paths):
        with pytest.raises(UploadFailed, match=r"^the bucket refused the files \(SlowDown\) \(tried 4 times\)$"):
            upload_files(bucket(url), "p", {"a.txt": b"x"}, policy=QUICK)
        assert len(paths) == 4


def test_a_name_that_changes_its_address_is_resolved_once(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a resolver of the caller's may answer: a public address to the checks, then one inside."""
    monkeypatch.delenv("RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS", raising=False)
    asked: list[str] = []
    connected: list[str] = []

    def rebinding(host: str, port: int, *_: Any, **__: Any) -> Any:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("93.184.215.14", port))]

    def connect(_: socket.socket, address: tuple[str, int]) -> None:
        connected.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", rebinding)
    monkeypatch.setattr(socket.socket, "connect", connect)
    found = find_bucket(config("http://rebind.example:9000"), settings())
    assert found
    with pytest.raises(UploadFailed):
        upload_files(found, "p", {"a.txt": b"x"}, policy=RetryPolicy(pauses=(), timeouts=TIMEOUTS))
    assert asked == ["rebind.example", "rebind.example"]  # once by the check, once for the connection
    assert connected == ["93.184.215.14"]


def wrong_region(region: str) -> Callable[[Any], None]:
    body = f"<Error><Code>AuthorizationQueryParametersError</Code><Region>{region}</Region></Error>".encode()
    return status(400, body)


def region_of(url: str) -> str:
    return parse_qs(urlsplit(url).query)["X-Amz-Credential"][0].split("/")[2]


def test_files_and_links_are_signed_for_the_region_that_the_bucket_names() -> None:
    answers = [wrong_region("eu-north-1"), status(200), status(200)]
    with answering(lambda handler: answers.pop(0)(handler)) as (url, paths):
        links = upload_files(bucket(url), "p", {"a.txt": b"x", "b.txt": b"y"})
    assert [region_of(path) for path in paths] == ["us-east-1", "eu-north-1", "eu-north-1"]
    assert [region_of(link) for link in links.values()] == ["eu-north-1"] * 2


def test_a_bucket_that_keeps_naming_another_region_is_given_up() -> None:
    with answering(wrong_region("eu-north-1")) as (url, paths):
        with pytest.raises(UploadFailed, match="one region after the other"):
            upload_files(bucket(url), "p", {"a.txt": b"x"})
        assert len(paths) == 2


def test_the_content_type_is_signed_and_the_body_is_not() -> None:
    with answering(status(200)) as (url, paths):
        upload_files(bucket(url), "p", {"a.srt": b"x"})
    query = parse_qs(urlsplit(paths[0]).query)
    assert query["X-Amz-SignedHeaders"] == ["content-type;host"]
    assert not [name for name in query if "checksum" in name.lower()]


@pytest.mark.parametrize("name", ["results", "results--use1-az4--x-s3", None])
def test_boto_itself_sends_nothing(name: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also for a name that it would ask Amazon for a session with."""
    monkeypatch.setattr("botocore.httpsession.URLLib3Session.send", lambda *_: pytest.fail("a request by boto"))
    with answering(status(200)) as (url, paths):
        upload_files(bucket(url, name), "p", {"a.txt": b"x"})
    assert len(paths) == 1


def test_a_file_on_disk_is_streamed(server: str, s3: Any, tmp_path: Path) -> None:
    video = tmp_path / "video.mp4"
    with video.open("wb") as file:
        file.truncate(60_000_000)
    links = upload_files(bucket(server), "streamed", {"video.mp4": video})
    assert s3.head_object(Bucket="results", Key="streamed/video.mp4")["ContentLength"] == 60_000_000
    assert list(links) == ["video.mp4"]


def test_without_boto_nothing_is_written_to_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(UploadFailed, match="boto3"):
        upload_files(bucket("https://s3.example.com"), "p", FILES)


@pytest.mark.parametrize(
    "prefix", ["transcripts", "a/b/c", "year=2026/month=11", "v1.2_(final)!", "team/", "...x", "a" * 200]
)
def test_a_folder_is_a_prefix(prefix: str) -> None:
    assert validate_prefix(prefix) == prefix.removesuffix("/")
    assert UploadRequest(prefix=prefix).prefix == prefix.removesuffix("/")


@pytest.mark.parametrize(
    "prefix",
    ["", "/", "/etc", "..", "../x", "a/../b", "a/./b", "a//b", "a/b//", "...", "a\\b", "a b", "a\n", "a\0b", "\u202ea",
     "\ud800", "a?b", "a#b", "a%2e%2e", "~", "a" * 201, "ü"],
)  # fmt: skip
def test_a_hostile_prefix_is_refused(prefix: str) -> None:
    with pytest.raises(ValueError, match="must be a folder") as error:
        validate_prefix(prefix)
    assert_leaks_nothing(error.value)
    if prefix:  # an empty one is the default, as in all of a job's input
        with pytest.raises(ValidationError):
            UploadRequest(prefix=prefix)


@given(st.text(max_size=300))
def test_an_accepted_prefix_stays_in_its_folder(prefix: str) -> None:
    try:
        taken = validate_prefix(prefix)
    except ValueError:
        return
    assert not taken.startswith("/")
    assert not {"", ".", ".."} & set(taken.split("/"))
    assert taken.isascii()
    assert taken.isprintable()


@given(st.text(max_size=300))
def test_a_job_id_is_one_folder(job_id: str) -> None:
    assert re.fullmatch("transcripts/[0-9A-Za-z_-]{1,200}", folder_of("transcripts", job_id))


def test_a_key_is_not_escaped_in_its_link(server: str, s3: Any) -> None:
    prefix = validate_prefix("v1.2_(it's)!*/year=2026")
    links = upload_files(bucket(server), folder_of(prefix, "job 1/u2"), {"transcript.txt": b"x"})
    assert requests.get(links["transcript.txt"], timeout=10).content == b"x"
    kept = s3.list_objects_v2(Bucket="results", Prefix="v1.2")["Contents"]
    assert [entry["Key"] for entry in kept] == [f"{prefix}/job_1_u2/transcript.txt"]


@pytest.mark.process
def test_boto_is_not_imported_before_it_is_needed() -> None:
    script = (
        "import sys, json, src.delivery.answer, src.delivery.s3, src.download; "
        "print(json.dumps(sorted({'boto3', 'botocore'} & {*sys.modules})))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
