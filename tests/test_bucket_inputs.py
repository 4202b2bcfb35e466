"""Recordings in a bucket, `s3://bucket/key`: a real S3 server on loopback, also behind a connection that breaks."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import boto3
import pytest
import requests
from moto.server import ThreadedMotoServer
from pydantic import SecretStr

from src import logs
from src.buckets import Bucket, check_bucket_settings, find_bucket, sign_get, signing_client
from src.download import Stores, check_stores, fetch
from src.errors import Cancelled, DownloadFailed, InvalidInput, TooLarge, UnsupportedMedia, WorkerError
from src.job_control import JobControl
from src.public_http import RetryPolicy
from src.request.audio_source import AudioSource
from src.request.s3_address import S3Address
from src.request.validation import parse_input
from src.settings import Settings, SettingsError
from tests.support.servers import ScriptedHandler, ScriptedServer, free_port, running

CONTENT = b"\xff\x00" + os.urandom(299_998)  # its beginning is that of no text and of no picture
KEY = "private name/日本 talk?#%20+.mp3"
SECRET, ACCESS = "wJalrXUtnFEMI-K7MDENG-SECRET", "AKIAIOSFODNN7EXAMPLE"
POLICY = RetryPolicy(pauses=(0.01, 0.01, 0.01), timeouts=(5.0, 15.0))


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    s3 = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    s3.start()
    host, port = s3.get_host_and_port()
    yield f"http://{host}:{port}"
    s3.stop()


@pytest.fixture(scope="module")
def client(server: str) -> Any:
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    client = boto3.client("s3", endpoint_url=server, **keys)
    client.create_bucket(Bucket="inputs")
    return client


@pytest.fixture
def s3(client: Any) -> Any:
    """A client of the server, with one object in one bucket."""
    client.put_object(Bucket="inputs", Key=KEY, Body=CONTENT)
    return client


@pytest.fixture(autouse=True)
def nothing_leaked(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    """Without leave for private addresses, as on an endpoint; and no test logs a secret or a name."""
    monkeypatch.delenv("RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS", raising=False)
    caplog.set_level(logging.INFO)
    yield
    printed = capfd.readouterr()
    logged = [record.getMessage() for record in caplog.records if record.name != "werkzeug"]  # the server's own
    output = "\n".join((*logged, printed.out, printed.err))
    assert not [word for word in (SECRET, ACCESS, "Signature", "private name") if word in output]


def own_bucket(url: str, **changes: Any) -> Bucket:
    return Bucket(url, ACCESS, SECRET, "results", **changes)


def load(
    bucket: Bucket | None,
    folder: Path,
    address: str = f"s3://inputs/{KEY}",
    *,
    max_bytes: int = 1_000_000,
    **options: Any,
) -> bytes:
    source = AudioSource(url=address)
    options = {"timeout": 20.0, "policy": POLICY, **options}
    return fetch(source, folder, max_bytes=max_bytes, stores=Stores(bucket), **options).read_bytes()


def refusal(error: type[WorkerError], folder: Path, call: Callable[[], object]) -> str:
    """The message of an error that gives nothing away and leaves no file."""
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert not [word for word in (SECRET, ACCESS, "127.0.0.1", "://1", "private name", "Amz", "\n") if word in message]
    assert not message.endswith(".")
    assert list(folder.iterdir()) == []
    return message


# What works


@pytest.mark.parametrize("wrapping", ["{}", " {}\n", "\ufeff{}"])
@pytest.mark.parametrize("scheme", ["s3://", "S3://"])
def test_an_object_of_the_endpoints_own_bucket_is_read(
    wrapping: str, scheme: str, server: str, s3: Any, tmp_path: Path
) -> None:
    """At a private address too: the endpoint's owner has set it."""
    assert load(own_bucket(server), tmp_path, wrapping.format(f"{scheme}inputs/{KEY}")) == CONTENT


def test_the_two_forms_in_a_job_are_one(server: str, s3: Any, tmp_path: Path) -> None:
    for audio in (f"s3://inputs/{KEY}", {"url": f"s3://inputs/{KEY}"}):
        options = {"diarize": True, "speakers": {"Ada": audio}}
        job = parse_input({"audio": audio, "options": options})
        for source in (job.audio[0], job.options.voice_samples["Ada"]):
            assert source.s3_address is not None
            assert (source.s3_address.bucket, source.s3_address.key) == ("inputs", KEY)


@pytest.mark.parametrize(
    "key", ["a", "a//b", "a/ b", "..a/b..", "a/.../b", "//a", "k" * 1024, "日" * 341, "a\u202fb", "%2e%2e/a"]
)
def test_a_key_is_taken_as_it_is_written(key: str, server: str, s3: Any, tmp_path: Path) -> None:
    s3.put_object(Bucket="inputs", Key=key, Body=CONTENT[: len(key)])
    assert load(own_bucket(server), tmp_path, f"s3://inputs/{key}") == CONTENT[: len(key)]


def test_the_keys_of_a_job_read_at_a_public_address_only(server: str, s3: Any, tmp_path: Path) -> None:
    bucket = own_bucket(server, of_job=True)
    message = refusal(DownloadFailed, tmp_path, lambda: load(bucket, tmp_path))
    assert message == "the bucket is not at a public address"


def test_the_keys_of_a_job_read_if_private_addresses_are_allowed(
    server: str, s3: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS", "true")
    config = {"accessId": ACCESS, "accessSecret": SECRET, "bucketName": "results", "endpointUrl": server}
    assert load(find_bucket(config, settings()), tmp_path) == CONTENT


@pytest.mark.parametrize("region", [None, "eu-north-1"])
@pytest.mark.parametrize(
    "url",
    ["http://minio:9000", "https://s3.eu-central-1.amazonaws.com", "https://host.example/s3/", "http://[::1]:9000"],
)
def test_a_url_is_signed_as_boto_signs_it(url: str, region: str | None) -> None:
    bucket, address = own_bucket(url), S3Address("a.b_c", KEY + "a~b'(c)*!&=+;:@,$")
    client = signing_client(bucket, region)
    location = {"Bucket": address.bucket, "Key": address.key}
    for _ in range(20):  # until both have the same second
        expected = client.generate_presigned_url("get_object", Params=location, ExpiresIn=60)
        signed = sign_get(bucket, address, region, 60)
        if date_of(signed) == date_of(expected):
            break
    assert signed == expected


def date_of(url: str) -> list[str]:
    return parse_qs(urlsplit(url).query)["X-Amz-Date"]


# Connections that break


@pytest.fixture
def before(server: str, s3: Any) -> Iterator[Callable[..., ScriptedServer]]:
    """Starts a server in front of the real one that plays a script."""
    with ExitStack() as servers:
        yield lambda *script: servers.enter_context(running(ScriptedServer(*(play(server) for play in script))))


def url_of(front: ScriptedServer) -> str:
    return f"http://127.0.0.1:{front.server_port}"


Play = Callable[[ScriptedHandler], None]


def passed_on(server: str, share: float = 1.0, status: int | None = None) -> Play:
    """Passes a request on, and of the answer's body no more than a share; with another status, if one is given."""

    def play(handler: ScriptedHandler) -> None:
        asked = {name: handler.headers[name] for name in ("Range", "If-Match") if handler.headers[name]}
        answer = requests.get(server + handler.path, headers={"Accept-Encoding": "identity", **asked}, timeout=10)
        kept = {name: answer.headers[name] for name in ("ETag", "Content-Range") if name in answer.headers}
        handler.answer(
            status or answer.status_code,
            answer.content[: int(share * len(answer.content))],
            Content_Length=str(len(answer.content)),
            **kept,
        )

    return play


def half(server: str) -> Play:
    return passed_on(server, 0.5)


def with_status_200(server: str) -> Play:
    """As rclone's S3 server, which gives the rest of an object with this status."""
    return passed_on(server, status=200)


def refusing(status: int, body: str = "", **headers: str) -> Callable[[str], Play]:
    return lambda _server: lambda handler: handler.answer(status, body.encode(), **headers)


def error(code: str, more: str = "") -> str:
    return f"<Error><Code>{code}</Code><Message>{SECRET}</Message>{more}<Key>{KEY}</Key></Error>"


@pytest.mark.parametrize("rest", [passed_on, with_status_200])
def test_a_broken_transfer_is_resumed(
    rest: Callable[[str], Play], before: Callable[..., ScriptedServer], tmp_path: Path
) -> None:
    front = before(half, rest)
    assert load(own_bucket(url_of(front)), tmp_path) == CONTENT
    first, second = front.requests
    assert (first["Range"], first["If-Match"]) == (None, None)
    assert second["Range"] == "bytes=150000-"
    assert (second["If-Match"] or "").startswith('"')


def test_an_object_that_is_replaced_meanwhile_is_read_anew(
    before: Callable[..., ScriptedServer], s3: Any, tmp_path: Path
) -> None:
    other = CONTENT[:2] + os.urandom(len(CONTENT) - 2)

    def half_and_replaced(server: str) -> Play:
        def play(handler: ScriptedHandler) -> None:
            half(server)(handler)
            s3.put_object(Bucket="inputs", Key=KEY, Body=other)

        return play

    front = before(half_and_replaced, passed_on)
    assert load(own_bucket(url_of(front)), tmp_path) == other
    assert len(front.requests) == 3


@pytest.mark.parametrize("play", [refusing(503, error("SlowDown")), refusing(500), half], ids=["503", "500", "half"])
def test_the_number_of_attempts_is_limited(
    play: Callable[[str], Play], before: Callable[..., ScriptedServer], tmp_path: Path
) -> None:
    once = play if play is not half else refusing(200, "x" * 9, Content_Length="10")
    front = before(once)
    assert "tried 4 times" in refusal(DownloadFailed, tmp_path, lambda: load(own_bucket(url_of(front)), tmp_path))
    assert len(front.requests) == 4


def test_a_request_is_signed_for_the_region_that_the_bucket_names(
    before: Callable[..., ScriptedServer], tmp_path: Path
) -> None:
    region = error("AuthorizationHeaderMalformed", "<Region>eu-north-1</Region>")
    front = before(refusing(400, region), half, passed_on)
    assert load(own_bucket(url_of(front)), tmp_path) == CONTENT
    credentials = [parse_qs(urlsplit(path).query)["X-Amz-Credential"][0].split("/")[2] for path in front.paths]
    assert credentials == ["us-east-1", "eu-north-1", "eu-north-1"]


# What does not work


@pytest.mark.parametrize(
    ("status", "body", "sentence"),
    [
        (404, error("NoSuchKey"), "the bucket has no such object"),
        (404, error("NoSuchBucket"), "there is no such bucket"),
        (403, error("AccessDenied"), "access to the object is denied (AccessDenied): the keys need s3:GetObject"),
        (403, "", "access to the object is denied (HTTP status 403)"),
        (403, error("InvalidAccessKeyId"), "the bucket refuses the credentials (InvalidAccessKeyId)"),
        (403, error("SignatureDoesNotMatch"), "the bucket refuses the credentials (SignatureDoesNotMatch)"),
        (403, error("InvalidObjectState"), "the object is archived (InvalidObjectState): restore it"),
        (403, error("RequestTimeTooSkewed"), "the bucket refuses the object (RequestTimeTooSkewed)"),
        (404, "", "the bucket refuses the object (HTTP status 404)"),
        (400, error("AuthorizationHeaderMalformed", "<Region>a</Region>"), "names one region after the other"),
        (412, error("PreconditionFailed"), "the bucket refuses the object (PreconditionFailed)"),
        (204, "", "the bucket refuses the object (HTTP status 204)"),
        (301, error("PermanentRedirect"), "the bucket is at another address (PermanentRedirect): give the endpoint"),
        (307, error("TemporaryRedirect"), "the bucket is at another address (TemporaryRedirect): give the endpoint"),
    ],
)
def test_a_refusal_is_a_sentence(
    status: int, body: str, sentence: str, before: Callable[..., ScriptedServer], tmp_path: Path
) -> None:
    front = before(refusing(status, body, Location="http://169.254.169.254/"))
    if "Region" in body:
        other = before(refusing(400, body), refusing(400, body.replace(">a<", ">b<")))
        front = other
    message = refusal(DownloadFailed, tmp_path, lambda: load(own_bucket(url_of(front)), tmp_path))
    assert sentence in message
    assert len(front.requests) == (2 if "Region" in body else 1)


def test_the_real_servers_refusals(server: str, s3: Any, tmp_path: Path) -> None:
    addresses = {"s3://inputs/nothing": "no such object", "s3://nowhere/a.mp3": "no such bucket"}
    for address, sentence in addresses.items():
        assert sentence in refusal(DownloadFailed, tmp_path, lambda: load(own_bucket(server), tmp_path, address))  # noqa: B023


def test_the_limit_of_size_holds(server: str, s3: Any, before: Callable[..., ScriptedServer], tmp_path: Path) -> None:
    assert load(own_bucket(server), tmp_path, max_bytes=len(CONTENT)) == CONTENT
    (tmp_path / "media").unlink()
    undeclared = refusing(200, "x" * 999, Content_Length=None, Connection="close")
    for url, size in ((server, len(CONTENT) - 1), (url_of(before(undeclared)), 998)):
        call = lambda: load(own_bucket(url), tmp_path, max_bytes=size)  # noqa: B023, E731
        assert "larger than the limit" in refusal(TooLarge, tmp_path, call)


@pytest.mark.parametrize("ending", ["the time limit", "a cancelled job"])
def test_a_silent_bucket_ends_with_the_job(ending: str, before: Callable[..., ScriptedServer], tmp_path: Path) -> None:
    control, released = JobControl(), threading.Event()

    def silent(_server: str) -> Play:
        def play(_handler: ScriptedHandler) -> None:
            if ending == "a cancelled job":
                control.cancel("cancelled")
            released.wait(30)

        return play

    front = before(silent)
    timeout = 0.3 if ending == "the time limit" else 20.0
    expected = DownloadFailed if ending == "the time limit" else Cancelled
    try:
        refusal(expected, tmp_path, lambda: load(own_bucket(url_of(front)), tmp_path, timeout=timeout, control=control))
    finally:
        released.set()
        threads = [thread for thread in threading.enumerate() if thread.name == "download"]
        for thread in threads:
            thread.join(20)
    assert not [thread for thread in threads if thread.is_alive()]
    assert list(tmp_path.iterdir()) == []


def test_a_closed_port(tmp_path: Path) -> None:
    bucket = own_bucket(f"http://127.0.0.1:{free_port()}")
    message = refusal(DownloadFailed, tmp_path, lambda: load(bucket, tmp_path))
    assert message == "the bucket's host refuses connections (tried 4 times)"


@pytest.mark.parametrize(
    ("body", "error_type", "sentence"),
    [
        (b"%PDF-1.7\n", UnsupportedMedia, "the file is a PDF document"),
        (b"<html></html>", UnsupportedMedia, "the file is a web page"),
        (b"", DownloadFailed, "the bucket gives an empty file"),
    ],
)
def test_an_object_that_is_no_recording_is_named(
    body: bytes, error_type: type[WorkerError], sentence: str, server: str, s3: Any, tmp_path: Path
) -> None:
    s3.put_object(Bucket="inputs", Key="other", Body=body)
    message = refusal(error_type, tmp_path, lambda: load(own_bucket(server), tmp_path, "s3://inputs/other"))
    assert sentence in message


# Which buckets a job may read


def settings(**changes: Any) -> Settings:
    empty = dict.fromkeys(
        ("bucket_endpoint_url", "bucket_access_key_id", "bucket_secret_access_key", "bucket_name"), None
    )
    return Settings().model_copy(update={**empty, "audio_buckets": "", **changes})


def endpoint(**changes: Any) -> Settings:
    keys = {"bucket_access_key_id": ACCESS, "bucket_secret_access_key": SecretStr(SECRET)}
    return settings(bucket_endpoint_url="http://minio:9000", **keys, **changes)


@pytest.mark.parametrize(
    ("name", "allowed", "readable"),
    [
        ("results", "", {"results"}),
        (None, "", set()),
        ("results", "inputs", {"inputs"}),
        (None, " inputs, results,", {"inputs", "results"}),
        ("results", "*", {"results", "inputs", "other"}),
        (None, "*", {"results", "inputs", "other"}),
    ],
)
def test_the_endpoints_keys_read_only_the_buckets_that_are_named(
    name: str | None, allowed: str, readable: set[str]
) -> None:
    configured = endpoint(bucket_name=name, audio_buckets=allowed)
    check_bucket_settings(configured)
    stores = Stores(find_bucket(None, configured))
    for bucket in ("results", "inputs", "other"):
        source = AudioSource(url=f"s3://{bucket}/a.mp3")
        if bucket in readable:
            check_stores([source], {}, stores)
        else:
            with pytest.raises(InvalidInput, match=r"^audio: the endpoint's keys .* name it in AUDIO_BUCKETS$"):
                check_stores([source], {}, stores)


def test_a_bucket_that_is_not_named_sees_no_request(before: Callable[..., ScriptedServer], tmp_path: Path) -> None:
    front = before(passed_on)
    bucket = own_bucket(url_of(front), readable=frozenset({"results"}))
    assert "AUDIO_BUCKETS" in refusal(InvalidInput, tmp_path, lambda: load(bucket, tmp_path))
    assert front.requests == []


def test_without_keys_the_settings_are_named(tmp_path: Path) -> None:
    message = refusal(InvalidInput, tmp_path, lambda: load(None, tmp_path))
    assert message.startswith("an s3:// address needs the keys of a bucket: set BUCKET_ENDPOINT_URL")
    with pytest.raises(InvalidInput, match=r"^options\.speakers\.Ada: an s3:// address needs"):
        check_stores([AudioSource(url="https://a.example/b")], {"Ada": AudioSource(url="s3://a/b")}, Stores())


@pytest.mark.parametrize("allowed", ["a/b", "arn:aws:s3:us-west-2:1:accesspoint/x", "a b", "../a"])
def test_a_wrong_name_stops_the_start(allowed: str) -> None:
    with pytest.raises(SettingsError, match="AUDIO_BUCKETS"):
        check_bucket_settings(endpoint(audio_buckets=allowed))


def test_buckets_to_read_need_keys() -> None:
    with pytest.raises(SettingsError, match="BUCKET_ENDPOINT_URL"):
        check_bucket_settings(settings(audio_buckets="inputs"))


# Attacks


@pytest.mark.parametrize(
    "address",
    [
        *("s3://", "s3:///a", "s3://inputs", "s3://inputs/", "s3://inputs/folder/", "s3:// inputs/a", "s3://in puts/a"),
        *(
            "s3://inputs/../results/a",
            "s3://inputs/..",
            "s3://inputs/a/../../results/b",
            "s3://inputs/./a",
            "s3://../a",
        ),
        *("s3://user:s3cr3t@inputs/a", "s3://inputs:9000/a", "s3://[::1]/a", "s3://169.254.169.254:80/a"),
        *("s3://arn:aws:s3:us-west-2:123456789012:accesspoint/x/a", "s3://-a/b", "s3://.a/b", "s3://a%2Fb/c"),
        *(
            "s3://inputs\\@evil/a",
            "s3://inputs?x/a",
            "s3://inputs#x/a",
            "s3://inpüts/a",
            "s3://inputs/a\nb",
            "s3://i/a\0",
        ),
        *(
            "s3://inputs/a\r\nHost: evil",
            f"s3://inputs/{'k' * 1025}",
            f"s3://inputs/{'日' * 342}",
            f"s3://{'b' * 256}/a",
        ),
    ],
)
def test_an_address_that_names_no_object_is_refused(address: str) -> None:
    for audio in (address, {"url": address}):
        with pytest.raises(InvalidInput) as caught:
            parse_input({"audio": audio})
        assert "s3:// address" in str(caught.value)
        assert not [word for word in ("evil", "s3cr3t", "kkk") if word in str(caught.value)]


@pytest.mark.parametrize("name", ["foo--use1-az4--x-s3", "foo.mrap", "a-s3alias", "x--ol-s3", "a.b.c"])
def test_a_name_that_boto_takes_for_another_host_stays_at_the_server(
    name: str, before: Callable[..., ScriptedServer], tmp_path: Path
) -> None:
    front = before(refusing(404, error("NoSuchBucket")))
    message = refusal(DownloadFailed, tmp_path, lambda: load(own_bucket(url_of(front)), tmp_path, f"s3://{name}/a.mp3"))
    assert "no such bucket" in message
    assert [urlsplit(path).path for path in front.paths] == [f"/{name}/a.mp3"]


def test_a_redirect_is_not_followed(before: Callable[..., ScriptedServer], tmp_path: Path) -> None:
    target = before(passed_on)
    front = before(refusing(302, Location=url_of(target)))
    refusal(DownloadFailed, tmp_path, lambda: load(own_bucket(url_of(front)), tmp_path))
    assert target.requests == []


def test_an_endless_refusal_is_not_read(before: Callable[..., ScriptedServer], tmp_path: Path) -> None:
    written = [0]

    def endless(_server: str) -> Play:
        def play(handler: ScriptedHandler) -> None:
            handler.send_response(403)
            handler.end_headers()
            while written[0] < 200_000_000:
                written[0] += handler.wfile.write(bytes(1 << 16))

        return play

    refusal(DownloadFailed, tmp_path, lambda: load(own_bucket(url_of(before(endless))), tmp_path))
    assert written[0] < 50_000_000  # what the system buffers


def test_headers_do_not_go_to_a_bucket() -> None:
    with pytest.raises(InvalidInput, match=r'"headers" go with an http\(s\) "url" only'):
        parse_input({"audio": {"url": "s3://inputs/a", "headers": {"Authorization": "s3cr3t"}}})


def test_an_address_in_a_log_line_is_removed() -> None:
    assert "private" not in str(logs._clean(f"failed: s3://inputs/{KEY}", 100))
