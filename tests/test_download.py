"""`src.download` against real servers on loopback, well-behaved and hostile ones."""

import base64
import gzip
import logging
import os
import resource
import socket
import ssl
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from src import public_http
from src.download import decode_base64, download
from src.download import fetch as fetch_audio
from src.errors import Cancelled, DownloadFailed, InvalidInput, OutOfResources, TooLarge, UnsupportedMedia, WorkerError
from src.job_control import JobControl
from src.public_http import RetryPolicy, is_public
from src.request.audio_source import AudioSource
from src.sources.transfer import RETRY_POLICY
from src.version import __version__
from tests.support.properties import examples
from tests.support.servers import ScriptedHandler, ScriptedServer, running

CONTENT = os.urandom(300_000)
SECRET = "X-Signature=s3cr3t"
POLICY = RetryPolicy(pauses=(0.01, 0.02, 0.04), timeouts=(10.0, 30.0))


PATHS = [
    *("private-name.mp3", "/home/me/private-name.mp3", "./private-name", "~/private-name.mp3", "..\\private-name.mp3"),
    *("file:///home/me/private-name.mp3", "C:\\private-name.mp3", "c:/private-name.mp3", "\\\\server\\private-name"),
    *("//a.example/private-name.mp3", "a.example/private-name.mp3", "localhost:8000/private-name.mp3", ""),
]


class Server(ScriptedServer):
    def url(self, path: str = "/recordings/private-name.mp3") -> str:
        return f"http://127.0.0.1:{self.server_port}{path}?{SECRET}"


@pytest.fixture
def serve(monkeypatch):
    """Starts a server that plays a script, in a worker that may download from loopback."""
    monkeypatch.setenv("RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS", "true")
    with ExitStack() as servers:
        yield lambda *script: servers.enter_context(running(Server(*script)))


def fetch(
    url: str,
    folder: Path,
    max_bytes: int = 1_000_000,
    timeout: float = 20.0,
    policy: RetryPolicy = POLICY,
    headers: dict[str, str] | None = None,
) -> bytes:
    return download(url, folder, max_bytes=max_bytes, timeout=timeout, policy=policy, headers=headers).read_bytes()


@contextmanager
def refused(error: type[WorkerError], folder: Path, match: str | None = None):
    """Expects `error`, with a message that gives nothing away, and nothing left in `folder`."""
    with pytest.raises(error, match=match) as caught:
        yield
    message = str(caught.value)
    for secret in ("s3cr3t", "Signature", "127.0.0.1", "169.254", "private-name", "recordings", "://1", "\n"):
        assert secret not in message
    assert list(folder.iterdir()) == []


def whole(handler: ScriptedHandler) -> None:
    handler.answer(200, CONTENT)


def half(**headers):
    """Declares the whole file and hangs up half-way."""

    def play(handler: ScriptedHandler) -> None:
        handler.answer(200, CONTENT[:150_000], Content_Length=str(len(CONTENT)), **headers)

    return play


def ranged(handler: ScriptedHandler) -> None:
    """Honours the Range header of the request."""
    start = int(handler.headers["Range"].removeprefix("bytes=").removesuffix("-"))
    last = len(CONTENT) - 1
    handler.answer(206, CONTENT[start:], Content_Range=f"bytes {start}-{last}/{len(CONTENT)}")


def status(code: int):
    return lambda handler: handler.answer(code, b"no")


# What works


def test_a_file_arrives_whole_under_a_neutral_name(serve, tmp_path):
    server = serve(whole)
    target = download(server.url(), tmp_path, max_bytes=len(CONTENT), timeout=20)
    assert target == tmp_path / "media"
    assert target.read_bytes() == CONTENT
    assert [request["Accept-Encoding"] for request in server.requests] == ["identity"]


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_followed(code, serve, tmp_path):
    target = serve(whole)
    server = serve(redirect(target.url(), code))
    assert fetch(server.url(), tmp_path) == CONTENT


def redirect(location: str, code: int = 302, **headers):
    return lambda handler: handler.answer(code, b"elsewhere", Location=location, **headers)


def test_five_redirects_are_followed(serve, tmp_path):
    server = serve(*[redirect("again?and=again")] * 5, whole)
    assert fetch(server.url(), tmp_path) == CONTENT


def test_a_chunked_body_arrives_whole(serve, tmp_path):
    assert fetch(serve(chunked(CONTENT)).url(), tmp_path) == CONTENT


def chunked(body: bytes, end: bytes = b"0\r\n\r\n"):
    def play(handler: ScriptedHandler) -> None:
        handler.answer(Content_Length=None, Transfer_Encoding="chunked")
        for at in range(0, len(body), 50_000):
            part = body[at : at + 50_000]
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        handler.wfile.write(end)

    return play


# What breaks, and goes on


@pytest.mark.parametrize(
    ("headers", "condition"),
    [
        ({}, None),
        ({"ETag": '"v1"'}, '"v1"'),
        ({"ETag": 'W/"v1"'}, None),
        ({"Last_Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}, "Mon, 01 Jan 2024 00:00:00 GMT"),
    ],
)
def test_a_broken_transfer_is_resumed(headers, condition, serve, tmp_path):
    server = serve(half(**headers), ranged)
    assert fetch(server.url(), tmp_path) == CONTENT
    assert server.requests[1]["Range"] == "bytes=150000-"
    assert server.requests[1]["If-Range"] == condition


def test_a_broken_transfer_is_resumed_after_a_redirect(serve, tmp_path):
    target = serve(half(ETag='"v1"'), ranged)
    server = serve(redirect(target.url()))
    assert fetch(server.url(), tmp_path) == CONTENT
    for request in (server.requests[1], target.requests[1]):
        assert (request["Range"], request["If-Range"]) == ("bytes=150000-", '"v1"')


def test_the_next_address_is_tried_if_one_has_no_route(serve, tmp_path, monkeypatch):
    server = serve(whole)
    monkeypatch.setattr(public_http, "resolve_and_validate", lambda host, port: ["::1", "127.0.0.1"])
    assert fetch(server.url(), tmp_path) == CONTENT
    assert len(server.requests) == 1


def test_a_server_without_ranges_sends_the_whole_file_again(serve, tmp_path):
    assert fetch(serve(half(), whole).url(), tmp_path) == CONTENT


@pytest.mark.parametrize(
    ("code", "first", "last", "total", "tag"),
    [
        (206, 150_000, 150_008, 150_009, None),
        (200, 150_000, 150_008, 150_009, None),
        (206, 150_000, 299_999, 300_000, '"v2"'),
        (200, 149_999, 299_999, 300_000, '"v1"'),
    ],
    ids=["another length", "another length, status 200", "another ETag", "another place"],
)
def test_a_resumption_with_a_different_file_is_discarded(code, first, last, total, tag, serve, tmp_path):
    def wrong(handler: ScriptedHandler) -> None:
        tags = {"ETag": tag} if tag else {}
        handler.answer(code, b"x" * (last - first + 1), Content_Range=f"bytes {first}-{last}/{total}", **tags)

    server = serve(half(ETag='"v1"'), wrong, whole)
    assert fetch(server.url(), tmp_path) == CONTENT
    assert server.requests[2]["Range"] is None


def test_a_range_that_is_not_satisfiable_is_dropped(serve, tmp_path):
    assert fetch(serve(half(), status(416), whole).url(), tmp_path) == CONTENT


def test_a_chunked_body_that_breaks_is_fetched_again(serve, tmp_path):
    server = serve(chunked(CONTENT[:99_000], end=b""), chunked(CONTENT))
    assert fetch(server.url(), tmp_path) == CONTENT
    assert server.requests[1]["Range"] is None


@pytest.mark.parametrize("code", [408, 429, 500, 503])
def test_a_transient_error_is_retried(code, serve, tmp_path):
    assert fetch(serve(status(code), whole).url(), tmp_path) == CONTENT


def test_a_silent_server_is_retried(serve, tmp_path):
    policy = RetryPolicy(pauses=(0.0,), timeouts=(1.0, 0.2))
    assert fetch(serve(lambda _: time.sleep(0.6), whole).url(), tmp_path, policy=policy) == CONTENT


# What does not work


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_a_link_that_may_have_expired_fails_at_once(code, serve, tmp_path):
    server = serve(status(code))
    with refused(DownloadFailed, tmp_path, f"HTTP status {code}; if the link is signed, it may have expired"):
        fetch(server.url(), tmp_path)
    assert len(server.requests) == 1


@pytest.mark.parametrize("code", [204, 206, 300, 304, 400, 405, 451])
def test_any_other_status_fails_at_once(code, serve, tmp_path):
    server = serve(lambda handler: handler.answer(code))
    with refused(DownloadFailed, tmp_path, f"HTTP status {code}$"):
        fetch(server.url(), tmp_path)
    assert len(server.requests) == 1


@pytest.mark.parametrize("play", [status(500), half(), chunked(CONTENT, end=b""), chunked(CONTENT, end=b"zz\r\n")])
def test_the_number_of_attempts_is_limited(play, serve, tmp_path):
    server = serve(play)
    with refused(DownloadFailed, tmp_path, "tried 4 times"):
        fetch(server.url(), tmp_path)
    assert len(server.requests) == 4


def test_a_closed_port(serve, tmp_path):
    server = serve(whole)
    server.shutdown()
    server.server_close()
    with refused(DownloadFailed, tmp_path, "the URL's host refuses connections"):
        fetch(server.url(), tmp_path)


def test_a_host_that_does_not_exist(serve, tmp_path):
    with refused(DownloadFailed, tmp_path, "the URL's host nowhere.invalid cannot be resolved"):
        fetch(f"https://nowhere.invalid/private-name?{SECRET}", tmp_path)


def test_a_redirect_to_a_host_that_does_not_exist_is_not_named(serve, tmp_path):
    server = serve(lambda handler: handler.answer(302, Location="https://inner.invalid/a"))
    with refused(DownloadFailed, tmp_path, "the URL's host cannot be resolved"):
        fetch(server.url(), tmp_path)


def test_a_server_that_does_not_speak_tls(serve, tmp_path):
    with refused(DownloadFailed, tmp_path, "TLS"):
        fetch(serve(whole).url().replace("http:", "https:"), tmp_path)


@pytest.mark.parametrize("headers", [{}, {"Content_Type": "text/html"}, {"Content_Length": None}])
def test_an_empty_file(headers, serve, tmp_path):
    server = serve(lambda handler: handler.answer(**headers))
    with refused(DownloadFailed, tmp_path, "empty file"):
        fetch(server.url(), tmp_path)


def test_an_endless_redirect(serve, tmp_path):
    server = serve(lambda handler: handler.answer(302, Location="/again"))
    with refused(DownloadFailed, tmp_path, "redirected more than 5 times"):
        fetch(server.url(), tmp_path)
    assert len(server.requests) == 6


@pytest.mark.parametrize(
    "location",
    [
        *("file:///etc/passwd", "ftp://127.0.0.1/x", "http://[::1", "http://x:y/", "", None, "http://127.0.0.1\t/x"),
        *("http://127.0.0.1:1\\@127.0.0.1:2/", "http://127.0.0.1/\\x", "\\\\127.0.0.1\\x", "http://127.0.0.1/\x01"),
    ],
)
def test_a_redirect_to_an_invalid_target(location, serve, tmp_path):
    server = serve(lambda handler: handler.answer(302, Location=location))
    with refused(DownloadFailed, tmp_path, "redirected to what is no http:// or https:// URL"):
        fetch(server.url(), tmp_path)
    assert len(server.requests) == 1


@pytest.mark.parametrize("path", ["/my%20talk.mp3", "/my talk.mp3", "/caf\u00c3\u00a9.mp3"])  # UTF-8 read as Latin-1
def test_a_redirect_to_a_path_as_servers_write_it(path, serve, tmp_path):
    server = serve(redirect(path), whole)
    assert fetch(server.url(), tmp_path) == CONTENT
    assert server.paths[1] in ("/my%20talk.mp3", "/caf%C3%A9.mp3")


# What comes along with a redirect

ENDLESS: dict[str, dict[str, str | None]] = {
    "declared": {"Content_Length": "1000000000000"},
    "until it hangs up": {"Content_Length": None},
    "chunked": {"Content_Length": None, "Transfer_Encoding": "chunked"},
    "gzip": {"Content_Length": None, "Content_Encoding": "gzip"},
}


@pytest.mark.parametrize("framing", ENDLESS)
def test_an_endless_body_of_a_redirect_is_not_read(framing, serve, tmp_path):
    written, hung_up = [0] * 6, []
    block = b"%x\r\n%s\r\n" % (1 << 16, bytes(1 << 16))  # one chunk, where bodies are chunked

    def endless(handler: ScriptedHandler) -> None:
        hop = len(handler.server.requests) - 1
        end = time.monotonic() + 5
        try:
            handler.answer(302, Location="/again", **ENDLESS[framing])
            while time.monotonic() < end and written[hop] < 100_000_000:
                handler.wfile.write(block)
                written[hop] += len(block)
        except (BrokenPipeError, ConnectionResetError):
            hung_up.append(hop)

    server = serve(endless)
    tracemalloc.start()
    try:
        with refused(DownloadFailed, tmp_path, "redirected more than 5 times"):
            fetch(server.url(), tmp_path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    end = time.monotonic() + 20
    while len(hung_up) < 6 and time.monotonic() < end:
        time.sleep(0.01)
    assert sorted(hung_up) == list(range(6))
    assert max(written) < 20_000_000  # what the system buffers
    assert peak < 5_000_000


def elsewhere(url: str) -> str:
    """The same server by its other name: another host."""
    return url.replace("127.0.0.1", "localhost")


def test_neither_password_nor_cookie_goes_to_another_host(serve, tmp_path):
    target = serve(whole)
    server = serve(
        redirect("/same-host", Set_Cookie="id=s3cr3t; Path=/"), redirect(elsewhere(target.url()), Set_Cookie="id=2")
    )
    assert fetch(server.url().replace("://", "://user:s3cr3t@"), tmp_path) == CONTENT
    assert [request["Authorization"] is not None for request in server.requests] == [True, True]
    assert target.requests[0]["Authorization"] is None
    assert [request["Cookie"] for request in (*server.requests, *target.requests)] == [None, "id=s3cr3t", None]


def test_cookies_of_a_chain_are_forgotten_after_it(serve, tmp_path):
    server = serve(redirect("/file", Set_Cookie="id=1; Path=/"), status(503), redirect("/file"), whole)
    assert fetch(server.url(), tmp_path) == CONTENT
    assert [request["Cookie"] for request in server.requests] == [None, "id=1", None, None]


@pytest.mark.parametrize("cookie", ["id=1; Domain=example.com", "id=1; Domain=com", "id=1; Secure", "id=1; Path=/no"])
def test_a_cookie_for_something_else_is_not_sent(cookie, serve, tmp_path):
    server = serve(redirect("/file", Set_Cookie=cookie), whole)
    assert fetch(server.url(), tmp_path) == CONTENT
    assert [request["Cookie"] for request in server.requests] == [None, None]


HEADERS = {"Authorization": "Bearer s3cr3t", "X-Key": "k", "user-agent": "browser"}


def test_the_callers_headers_are_sent_with_every_request_to_its_own_origin(serve, tmp_path):
    server = serve(redirect("/same"), half(), redirect("/same"), ranged)
    assert fetch(server.url(), tmp_path, headers=HEADERS) == CONTENT
    assert [(request["Authorization"], request["X-Key"]) for request in server.requests] == [("Bearer s3cr3t", "k")] * 4
    assert [request.get_all("User-Agent") for request in server.requests] == [["browser"]] * 4


@pytest.mark.parametrize("change", ["the port", "the host", "the scheme"])
def test_the_callers_headers_are_not_sent_to_another_origin(change, serve, tmp_path):
    target = serve(whole)
    location = elsewhere(target.url()) if change == "the host" else target.url()
    if change == "the scheme":
        server = serve(redirect(target.url().replace("http:", "https:")))
        with refused(DownloadFailed, tmp_path, "TLS"):
            fetch(server.url(), tmp_path, headers=HEADERS)
        return
    server = serve(redirect(location))
    assert fetch(server.url(), tmp_path, headers=HEADERS) == CONTENT
    assert [target.requests[0][name] for name in ("Authorization", "X-Key")] == [None, None]
    assert "worker-whisper/" in target.requests[0]["User-Agent"]


def test_the_callers_headers_are_not_sent_when_another_origin_leads_back(serve, tmp_path):
    other: Server = serve(lambda handler: redirect(server.url("/chosen-by-the-other"))(handler))
    server: Server = serve(redirect(other.url()), whole)
    assert fetch(server.url(), tmp_path, headers=HEADERS) == CONTENT
    assert [request["X-Key"] for request in server.requests] == ["k", None]


def test_the_worker_names_itself(serve, tmp_path):
    server = serve(whole)
    fetch(server.url(), tmp_path)
    assert server.requests[0].get_all("User-Agent") == [f"worker-whisper/{__version__}"]


@pytest.mark.parametrize(
    "coding", ["base64", "utf-8", "UTF-8", "binary", "none", "buffer", "identity", "aws-chunked", ""]
)
def test_a_content_encoding_that_is_no_compression_is_ignored(coding, serve, tmp_path):
    server = serve(lambda handler: handler.answer(200, CONTENT, Content_Encoding=coding))
    assert fetch(server.url(), tmp_path) == CONTENT


@pytest.mark.parametrize("wrapping", ["{}\n", "{} ", " {}", "\t{}\r\n", "\ufeff{}", "{}\u200b", "\u00a0{}\u2060", "{}"])
def test_what_copying_leaves_around_a_url_is_stripped(wrapping, serve, tmp_path):
    assert fetch(wrapping.format(serve(whole).url()), tmp_path) == CONTENT


def test_passwords_in_netrc_are_not_sent(serve, tmp_path, monkeypatch):
    netrc, folder = tmp_path / "netrc", tmp_path / "job"
    netrc.write_text("machine 127.0.0.1 login user password s3cr3t")
    folder.mkdir()
    monkeypatch.setenv("NETRC", str(netrc))
    server = serve(redirect("/again"), whole)
    assert fetch(server.url(), folder) == CONTENT
    assert [request["Authorization"] for request in server.requests] == [None, None]


def faulty_header(handler: ScriptedHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nA: b\r\nfaulty\r\nContent-Length: 2\r\n\r\n\xff\xfb")


def test_nothing_of_a_url_is_logged(serve, tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    target = serve(faulty_header)
    assert fetch(serve(redirect(target.url())).url(), tmp_path, headers={"X-Key": "s3cr3t"}) == b"\xff\xfb"
    logged = caplog.text + "".join(capfd.readouterr())
    for private in ("s3cr3t", "Signature", "private-name", "recordings"):
        assert private not in logged


# Size and time


def test_a_declared_size_over_the_limit_is_not_fetched(serve, tmp_path):
    server = serve(lambda handler: handler.answer(200, b"x", Content_Length="99999999999"))
    with refused(TooLarge, tmp_path, r"limit of 0\.9537 MiB"):
        fetch(server.url(), tmp_path)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "play", [chunked(CONTENT), lambda handler: handler.answer(200, CONTENT, Content_Length="many")]
)
def test_an_undeclared_size_over_the_limit_is_cut_short(play, serve, tmp_path):
    with refused(TooLarge, tmp_path):
        fetch(serve(play).url(), tmp_path, max_bytes=len(CONTENT) - 1)


def test_bytes_after_the_declared_length_are_not_read(serve, tmp_path):
    server = serve(lambda handler: handler.answer(200, CONTENT, Content_Length="1000"))
    assert fetch(server.url(), tmp_path) == CONTENT[:1000]


@pytest.fixture(scope="module")
def bomb() -> bytes:
    return gzip.compress(bytes(50_000_000))


@pytest.mark.parametrize(
    "coding", ["gzip", "GZIP", "x-gzip", "deflate", "br", "zstd", "compress", "identity, gzip", "base64,gzip"]
)
def test_a_compressed_body_is_refused(coding, bomb, serve, tmp_path):
    server = serve(lambda handler: handler.answer(200, bomb, Content_Encoding=coding))
    with refused(DownloadFailed, tmp_path, "compressed"):
        fetch(server.url(), tmp_path)


def drip_body(handler: ScriptedHandler) -> None:
    handler.answer(Content_Length="1000")
    for _ in range(100):
        handler.wfile.write(b"x")
        time.sleep(0.05)


def drip_header(handler: ScriptedHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    for _ in range(100):
        handler.wfile.write(b"x")
        time.sleep(0.05)


def drip_chunk_size(handler: ScriptedHandler) -> None:
    handler.answer(Content_Length=None, Transfer_Encoding="chunked")
    handler.wfile.write(b"9;")
    for _ in range(100):
        handler.wfile.write(b"x")
        time.sleep(0.05)


def go_on(handler: ScriptedHandler) -> None:
    end = time.monotonic() + 3
    while time.monotonic() < end:
        handler.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


def silent(_: ScriptedHandler) -> None:
    time.sleep(2)


def redirect_to_silence(handler: ScriptedHandler) -> None:
    time.sleep(0.1)
    (silent if len(handler.server.requests) > 1 else redirect("/again"))(handler)


@pytest.mark.parametrize("drip", [drip_body, drip_header, drip_chunk_size, silent, redirect_to_silence])
def test_the_time_limit_holds_for_a_server_that_sends_slowly(drip, serve, tmp_path):
    with refused(DownloadFailed, tmp_path, "longer than its time limit"):
        fetch(serve(drip).url(), tmp_path, timeout=0.4)


@pytest.mark.parametrize("play", [drip_body, drip_header, drip_chunk_size, silent, redirect_to_silence, go_on])
@pytest.mark.parametrize("end", ["the time limit", "a cancelled job"])
def test_neither_thread_nor_socket_outlives_a_download(play, end, serve, tmp_path):
    server, control = serve(play), JobControl()
    before = open_sockets()
    if end == "a cancelled job":
        threading.Timer(0.3, control.cancel, ["the job was cancelled"]).start()
    with refused(WorkerError, tmp_path, "longer than its time limit|the job was cancelled"):
        download(server.url(), tmp_path, max_bytes=1_000_000, timeout=0.4 if "time" in end else 20, control=control)
    assert not [thread for thread in threading.enumerate() if thread.name == "download"]
    assert open_sockets() <= before + len(server.requests)  # the server's own ends


def open_sockets() -> int:
    """Of this process, which is the servers' too."""
    return sum((Path("/dev/fd") / entry.name).is_socket() for entry in Path("/proc/self/fd").iterdir())


def test_a_connection_that_is_not_accepted_ends_when_the_job_is_cancelled(serve, tmp_path):
    """A full backlog: the handshake does not end."""
    control = JobControl()
    with socket.socket() as full, ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        serve(whole)
        threading.Timer(0.3, control.cancel, ["the job was cancelled"]).start()
        with refused(Cancelled, tmp_path):
            download(f"http://127.0.0.1:{full.getsockname()[1]}/", tmp_path, max_bytes=9, timeout=20, control=control)
    assert not [thread for thread in threading.enumerate() if thread.name == "download"]


@pytest.fixture
def serve_tls(serve, tmp_path_factory, monkeypatch):
    """As `serve`, by TLS, with a certificate for localhost that the worker trusts."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = tmp_path_factory.mktemp("tls") / "localhost.pem"
    plain = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pem.write_bytes(key.private_bytes(*plain) + certificate.public_bytes(Encoding.PEM))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    def start(*script) -> str:
        server = serve(*script)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        return elsewhere(server.url()).replace("http:", "https:")

    return start


def test_a_file_arrives_by_tls(serve_tls, tmp_path):
    assert fetch(serve_tls(whole), tmp_path) == CONTENT


def test_a_certificate_for_another_name_is_refused(serve_tls, tmp_path):
    with refused(DownloadFailed, tmp_path, "check its TLS certificate"):
        fetch(serve_tls(whole).replace("localhost", "127.0.0.1"), tmp_path)


@pytest.mark.parametrize("play", [drip_body, drip_header, go_on])
def test_no_thread_outlives_a_download_by_tls(play, serve_tls, tmp_path):
    with refused(DownloadFailed, tmp_path, "longer than its time limit"):
        fetch(serve_tls(play), tmp_path, timeout=0.5)
    assert not [thread for thread in threading.enumerate() if thread.name == "download"]


def test_a_tls_handshake_without_an_end_ends_with_the_job(serve, tmp_path):
    control = JobControl()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        serve(whole)
        threading.Timer(0.3, control.cancel, ["the job was cancelled"]).start()
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/"
        with refused(Cancelled, tmp_path):
            download(url, tmp_path, max_bytes=9, timeout=20, control=control)
    assert not [thread for thread in threading.enumerate() if thread.name == "download"]


# Where the worker has nothing left


def test_a_full_disk_is_the_workers_trouble(serve, tmp_path):
    for fill in (lambda: fetch(serve(whole).url(), tmp_path), lambda: decode("/" * 40_000, tmp_path)):
        (tmp_path / "media").symlink_to("/dev/full")
        with refused(OutOfResources, tmp_path, "the worker's disk is full: send the job again later"):
            fill()


@pytest.mark.parametrize("play", [whole, lambda handler: handler.answer(200, CONTENT, Content_Length=None)])
def test_a_short_write_is_seen(play, serve, tmp_path):
    """Of a file that may grow to less than its size, the system writes a part and reports success."""
    server = serve(play)
    with lowered(resource.RLIMIT_FSIZE, 290_000), refused(OutOfResources, tmp_path, "a file of this size"):
        fetch(server.url(), tmp_path)
    assert len(server.requests) == 1


@contextmanager
def lowered(limit: int, value: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(limit)
    resource.setrlimit(limit, (value, hard))
    try:
        yield
    finally:
        resource.setrlimit(limit, (soft, hard))


@pytest.mark.parametrize("room", [0, 1])
def test_a_worker_without_descriptors_says_so(room, serve, tmp_path):
    """With none left for the file, or one, but none for the socket."""
    url = serve(whole).url()
    taken: list[int] = []
    with lowered(resource.RLIMIT_NOFILE, len(list(Path("/proc/self/fd").iterdir())) + 64):
        try:
            with suppress(OSError):
                while True:
                    taken.append(os.open(os.devnull, os.O_RDONLY))
            for _ in range(room):
                os.close(taken.pop())
            with pytest.raises(OutOfResources, match="the worker has too many files open"):
                fetch(url, tmp_path)
        finally:
            for number in taken:
                os.close(number)


def recording_pauses(policy: RetryPolicy, pauses: list[float]) -> RetryPolicy:
    return replace(policy, pause=lambda _, seconds: pauses.append(seconds))


def test_retries_end_with_the_time_limit(serve, tmp_path):
    pauses: list[float] = []
    policy = RetryPolicy(
        pauses=(0.1, 60.0, 60.0), timeouts=(10.0, 30.0), pause=lambda _, seconds: pauses.append(seconds)
    )
    with refused(DownloadFailed, tmp_path, r"HTTP status 503 \(tried 2 times\)"):
        fetch(serve(status(503)).url(), tmp_path, timeout=20, policy=policy)
    assert pauses == [0.1]


def test_pauses_between_attempts_double(serve, tmp_path):
    pauses: list[float] = []
    policy = recording_pauses(RETRY_POLICY, pauses)
    with refused(DownloadFailed, tmp_path, "tried 4 times"):
        fetch(serve(status(503)).url(), tmp_path, policy=policy)
    assert pauses == [0.5, 1.0, 2.0]


# Where a URL may point


@pytest.mark.parametrize(
    ("address", "public"),
    [
        *(
            (address, True)
            for address in ("8.8.8.8", "1.1.1.1", "192.0.1.1", "172.32.0.1", "100.128.0.1", "168.63.129.17")
        ),
        *((address, True) for address in ("2001:4860:4860::8888", "2606:4700::1", "2a00::1", "2002:808:808::1")),
        *((address, True) for address in ("::ffff:8.8.8.8", "64:ff9b::808:808")),
        *((address, False) for address in ("0.0.0.0", "10.1.2.3", "127.0.0.1", "169.254.169.254", "172.16.0.1")),
        *((address, False) for address in ("192.168.1.1", "100.64.0.1", "100.100.100.200", "192.0.0.192", "192.0.2.1")),
        *((address, False) for address in ("192.88.99.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1")),
        *(
            (address, False)
            for address in ("240.0.0.1", "255.255.255.255", "168.63.129.16", "::", "::1", "::127.0.0.1")
        ),
        *((address, False) for address in ("::ffff:127.0.0.1", "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "fec0::1")),
        *((address, False) for address in ("64:ff9b::a9fe:a9fe", "64:ff9b:1::808:808", "2002:7f00:1::", "ff02::1")),
        *((address, False) for address in ("2002:a9fe:a9fe::1", "2001:0:7f00:1::", "2001:0:808:808::5601:fefe")),
        *((address, False) for address in ("2001:db8::1", "2001:20::1", "3fff::1", "5f00::1", "fc00::1", "fd00::1")),
        *((address, False) for address in ("fe80::1", "fe80::1%eth0", "100::1", "::1", "", "localhost", "1.2.3")),
    ],
)
def test_public_addresses(address, public):
    assert is_public(address) == public


@pytest.mark.parametrize("address", ["2002:7f00:1::", "192.0.0.192", "168.63.129.16", "fec0::1", "3fff::1"])
def test_an_address_that_the_sdk_lets_pass_is_refused_all_the_same(address, tmp_path, monkeypatch):
    monkeypatch.delenv("RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS", raising=False)
    monkeypatch.setattr(public_http, "resolve_and_validate", lambda *_: ["8.8.8.8", address])
    monkeypatch.setattr(socket.socket, "connect", lambda *_: pytest.fail("a connection"))
    with refused(DownloadFailed, tmp_path, "public address"):
        fetch("http://hostile.example/", tmp_path)


@pytest.mark.parametrize(
    "url",
    [
        *("http://", "http:///a.mp3", "http:/example.com/a", "http://[::1/a.mp3", "http://example.com:port/"),
        *(
            "http://example.com:99999/",
            "http://example.com:0/",
            "http://example.com/\r\nX: y",
            "http://example.com/\x00",
        ),
        *("http://example.com/a\tb", "http://exam ple.com/", "http://example.com\\@127.0.0.1/", "http://a.example/\\b"),
        *("http://a.example/a\u200bb", "http://" + "a" * 70 + ".com/"),
    ],
)
def test_a_malformed_url(url, tmp_path):
    with refused(InvalidInput, tmp_path, "malformed"):
        fetch(url, tmp_path)


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        *((path, "cannot see your disk: send the file as base64, or use the client") for path in PATHS),
        ("gs://bucket/private-name.mp3", "give a signed https:// URL"),
        ("volume:in/private-name.mp3", 'is an object, {"volume": "in/talk.mp4"}'),
        ("blob:https://a.example/private-name", "only in the browser that made it: send the file as base64"),
        ("ftp://a.example/private-name.mp3", "by http://, https:// and s3:// only"),
        ("gopher://a.example/private-name", "by http://, https:// and s3:// only"),
        ("magnet:?xt=urn:btih:private-name", "by http://, https:// and s3:// only"),
    ],
)
def test_what_is_no_http_url_is_answered_with_its_remedy(url, remedy, tmp_path):
    with refused(InvalidInput, tmp_path, remedy):
        fetch(url, tmp_path)


def test_blanks_in_a_path_are_quoted(serve, tmp_path):
    server = serve(whole)
    assert fetch(server.url("/my talk, part 1.mp3"), tmp_path) == CONTENT
    assert server.paths[0].startswith("/my%20talk,%20part%201.mp3?")


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "[::1]", "0.0.0.0", "10.0.0.1", "192.168.1.1", "172.16.0.1", "100.64.0.1"),
        *("169.254.169.254", "2130706433", "0x7f000001", "0177.0.0.1", "127.1", "[::ffff:127.0.0.1]", "[fd00::1]"),
        *("user:password@127.0.0.1", "127.0.0.1:6379", "[2002:7f00:1::]", "[fec0::1]", "192.88.99.1", "168.63.129.16"),
    ],
)
def test_a_private_address_is_refused(host, tmp_path, monkeypatch):
    monkeypatch.delenv("RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS", raising=False)
    with refused(DownloadFailed, tmp_path, "public address.* RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS=true|cannot be"):
        fetch(f"http://{host}/recordings/private-name?{SECRET}", tmp_path)


def test_a_private_server_sees_no_request(serve, tmp_path, monkeypatch):
    server = serve(whole)
    monkeypatch.delenv("RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS")
    with refused(DownloadFailed, tmp_path, "public address"):
        fetch(server.url(), tmp_path)
    assert server.requests == []


def test_a_redirect_to_a_private_address_is_refused(serve, tmp_path, monkeypatch):
    target = serve(whole)

    def redirect(handler: ScriptedHandler) -> None:
        monkeypatch.delenv("RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS")  # as if this server's own address were public
        handler.answer(302, Location=target.url())

    with refused(DownloadFailed, tmp_path, "public address"):
        fetch(serve(redirect).url(), tmp_path)
    assert target.requests == []


def test_every_host_is_connected_to_at_its_validated_address(serve, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(public_http, "resolve_and_validate", lambda host, _: asked.append(host) or ["127.0.0.1"])
    server: Server = serve(
        lambda handler: redirect(f"http://b.invalid:{server.server_port}/")(handler), redirect("/c"), whole
    )
    assert fetch(f"http://a.invalid:{server.server_port}/recording", tmp_path) == CONTENT
    assert asked == ["a.invalid", "b.invalid", "b.invalid"]
    assert [request["Host"] for request in server.requests] == [f"{host}:{server.server_port}" for host in asked]


def test_a_url_that_must_go_through_a_proxy_is_refused(serve, tmp_path, monkeypatch):
    server, proxy = serve(whole), serve(whole)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_port}")
    with refused(DownloadFailed, tmp_path, "need a proxy"):
        fetch(server.url(), tmp_path)
    assert (server.requests, proxy.requests) == ([], [])
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert fetch(server.url(), tmp_path) == CONTENT


# Base64


@pytest.mark.parametrize(
    ("content", "refusal", "message"),
    [
        (b"", InvalidInput, "the file is empty"),
        (b"x" * 101, TooLarge, "the limit of"),
        (b"<!DOCTYPE html><html>", UnsupportedMedia, "the file is a web page"),
    ],
)
def test_an_upload_is_checked_like_every_recording(
    content: bytes, refusal: type[WorkerError], message: str, tmp_path: Path
) -> None:
    upload = tmp_path / "upload"
    upload.write_bytes(content)
    with pytest.raises(refusal, match=message):
        fetch_audio(AudioSource.of_upload(upload), tmp_path, max_bytes=100, timeout=1)


def test_an_upload_stays_where_it_is(tmp_path: Path) -> None:
    upload, folder = tmp_path / "upload", tmp_path / "job"
    upload.write_bytes(CONTENT)
    folder.mkdir()
    assert fetch_audio(AudioSource.of_upload(upload), folder, max_bytes=1_000_000, timeout=1) == upload
    assert list(folder.iterdir()) == []


def decode(text: str, folder: Path, max_bytes: int = 1_000_000) -> bytes:
    return decode_base64(text, folder, max_bytes=max_bytes).read_bytes()


many = examples(100)


@many
@given(
    data=st.binary().map(lambda data: b"\xff" + data),  # no text, which is refused
    urlsafe=st.booleans(),
    padded=st.booleans(),
    prefixed=st.booleans(),
    width=st.integers(1, 80),
)
def test_every_spelling_of_base64_decodes_to_the_bytes(data, urlsafe, padded, prefixed, width, tmp_path):
    text = (base64.urlsafe_b64encode if urlsafe else base64.b64encode)(data).decode()
    text = text if padded else text.rstrip("=")
    text = "\r\n\t ".join(text[at : at + width] for at in range(0, len(text), width))
    text = f" data:audio/mpeg;name=a;base64, {text}\n" if prefixed else text
    assert decode(text, tmp_path) == data


@pytest.mark.parametrize("head", ["data:video/webm;codecs=vp8,opus;base64,", 'data:a/b;codecs="vorbis, opus";base64,'])
def test_a_data_uri_may_have_commas_in_its_parameters(head, tmp_path):
    assert decode(head + base64.b64encode(CONTENT).decode(), tmp_path) == CONTENT


@many
@given(data=st.binary().map(lambda data: b"\xff\xfb\xef\xfb\xef\xbe" + data + b"\0"), newline=st.booleans())
def test_base64_whose_pluses_a_form_has_made_blanks_of(data, newline, tmp_path):
    text = base64.b64encode(data).decode().replace("+", " ")
    assert text.startswith("//vv    ")
    assert decode(text + "\n" if newline else text, tmp_path) == data


@pytest.mark.parametrize("width", [64, 76])
def test_base64_in_lines_that_a_shell_has_joined_with_blanks(width, tmp_path):
    text = base64.b64encode(CONTENT[:1000]).decode()
    assert decode(" ".join(text[at : at + width] for at in range(0, len(text), width)), tmp_path) == CONTENT[:1000]


def test_a_single_blank_in_base64_is_judged_by_the_length(tmp_path):
    text = base64.b64encode(b"\xff" * 30).decode()
    assert decode(f"{text[:8]} {text[8:]}", tmp_path) == b"\xff" * 30
    assert decode("/ v7", tmp_path) == base64.b64decode("/+v7")


@many
@given(text=st.text(alphabet=st.sampled_from("AQg=+/-_ ,:;data64\n\x00é"), max_size=30))
def test_any_other_string_is_refused_with_a_sentence(text, tmp_path):
    try:
        decode(text, tmp_path)
    except (InvalidInput, UnsupportedMedia) as error:
        assert "base64" in str(error) or "a text" in str(error) or "JSON" in str(error)
        assert list(tmp_path.iterdir()) == []
    else:
        (tmp_path / "media").unlink()


@pytest.mark.parametrize(
    "text", ["A", "AAAAA", "AA=", "A===", "AAA==", "AA==AA==", "AAAA====", "=", "AA*A", "AÀAA", "data:audio/wav,AAAA"]
)
def test_invalid_base64(text, tmp_path):
    with refused(InvalidInput, tmp_path, "not valid base64"):
        decode(text, tmp_path)


@pytest.mark.parametrize("text", ["", " \n", "data:audio/wav;base64,"])
def test_empty_base64(text, tmp_path):
    with refused(InvalidInput, tmp_path, "empty"):
        decode(text, tmp_path)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_the_size_limit_of_base64_is_inclusive(size, tmp_path):
    text = base64.b64encode(bytes(size)).decode()
    assert decode(text, tmp_path, max_bytes=size) == bytes(size)
    (tmp_path / "media").unlink()
    with refused(TooLarge, tmp_path, "larger than the limit"):
        decode(text, tmp_path, max_bytes=size - 1)


@pytest.mark.slow
@pytest.mark.timeout(20)  # seconds: linear in the size, so well under one
def test_twenty_megabytes_of_base64(tmp_path):
    data = os.urandom(15_000_000)
    assert decode(base64.encodebytes(data).decode(), tmp_path, max_bytes=len(data)) == data
