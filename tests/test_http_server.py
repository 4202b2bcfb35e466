"""The server around an application that loads slowly: its health path, its signals, and connections that misbehave."""

from __future__ import annotations

import http.client
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any

import pytest

from tests.support.clips import ROOT
from tests.support.http_api import read_all, wait_until
from tests.support.servers import free_port

pytestmark = pytest.mark.process

Start = Callable[..., "Served"]


class Served:
    """A running `tests.support.loading_app`."""

    def __init__(self, *arguments: object, ports: int = 1, descriptors: tuple[int, int] | None = None) -> None:
        self.ports = [free_port() for _ in range(ports)]
        command = ["-m", "tests.support.loading_app", "--ports", *map(str, self.ports), *map(str, arguments)]
        self.process = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        if descriptors:
            resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE, descriptors)

    def get(self, path: str, port: int = 0) -> tuple[int, str]:
        """The status and body of an answer, once the server listens."""
        with closing(http.client.HTTPConnection("127.0.0.1", port or self.ports[0], timeout=20)) as connection:
            wait_until(lambda: connects(connection))
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()

    def refuses(self) -> bool:
        """True if it takes no new connections."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.ports[0], timeout=20)) as connection:
            return not connects(connection)

    def socket(self) -> socket.socket:
        """A connection, once the server listens."""
        self.get("/ping")
        return socket.create_connection(("127.0.0.1", self.ports[0]), timeout=10)

    def wait_until_ready(self) -> None:
        wait_until(lambda: self.get("/ping")[0] == 200)

    def end(self) -> tuple[int, str, str]:
        """Its exit code, and what it printed."""
        output, errors = self.process.communicate(timeout=20)
        return self.process.returncode, output, errors


def connects(connection: http.client.HTTPConnection) -> bool:
    try:
        connection.connect()
    except OSError:
        return False
    return True


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts servers, which do not outlive the test."""
    started: list[Served] = []

    def start_one(*arguments: object, **options: Any) -> Served:
        started.append(Served(*arguments, **options))
        return started[-1]

    yield start_one
    for served in started:
        served.process.kill()
        served.process.communicate()


def test_the_health_path_says_204_while_the_application_loads_and_200_afterwards(start: Start) -> None:
    served = start("--load-seconds", 1)
    assert served.get("/ping") == (204, "")
    served.wait_until_ready()
    assert served.get("/ping") == (200, '{"status": "ready"}')


def test_other_requests_wait_until_the_application_is_loaded(start: Start) -> None:
    served = start("--load-seconds", 0.5)
    assert served.get("/early") == (200, "early")


@pytest.mark.slow
def test_all_ports_serve_the_health_path(start: Start) -> None:
    served = start(ports=2)
    served.wait_until_ready()
    assert [served.get("/ping", port)[0] for port in served.ports] == [200, 200]


def test_a_failed_load_ends_the_process_with_its_sentence(start: Start) -> None:
    served = start("--load-seconds", 0.5, "--fails", "sentence")
    status, body = served.get("/early")
    assert status == 503
    assert "the server stops" in body
    assert served.end() == (1, "", "it cannot start: the weights are damaged\n")


@pytest.mark.slow
def test_a_bug_in_the_load_ends_the_process_with_its_traceback(start: Start) -> None:
    code, _, errors = start("--fails", "bug").end()
    assert code == 1
    assert errors.endswith("ZeroDivisionError: a bug\n")


def test_a_port_in_use_is_one_sentence(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        code, _, errors = start("--ports", port).end()
    assert code == 1
    assert (
        errors == f"it cannot listen at port {port} of 127.0.0.1: another program listens there, choose another port\n"
    )


@pytest.mark.slow
@pytest.mark.parametrize("host", ["203.0.113.7", "no host", "a" * 300, "[::1]"])
def test_a_host_that_is_not_this_machines_is_one_sentence(start: Start, host: str) -> None:
    code, _, errors = start("--host", host).end()
    assert code == 1
    assert errors.startswith("it cannot listen at port ")
    assert errors.count("\n") == 1


def test_sigterm_finishes_what_runs_and_refuses_what_is_new(start: Start) -> None:
    served = start()
    served.wait_until_ready()
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(served.get, "/1")
        assert "begun 1" in [served.process.stdout.readline().strip() for _ in range(2)]
        served.process.send_signal(signal.SIGTERM)
        wait_until(served.refuses)
        assert running.result() == (200, "1")
    warning = "stopping once the running requests are answered; a second signal cancels them\n"
    assert served.end() == (0, "shutdown\nended\n", warning)


@pytest.mark.slow
def test_sigterm_while_the_application_loads_ends_at_once(start: Start) -> None:
    served = start("--load-seconds", 60)
    with ThreadPoolExecutor(1) as thread:
        assert served.get("/ping")[0] == 204
        waiting = thread.submit(served.get, "/early")
        time.sleep(0.1)
        served.process.send_signal(signal.SIGTERM)
        assert waiting.result()[0] == 503
    assert served.end() == (0, "", "")  # which waits less than the application loads


@pytest.mark.slow
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_cancels_what_runs(start: Start, second: signal.Signals) -> None:
    served = start()
    served.wait_until_ready()
    with served.socket() as connection:
        connection.sendall(b"GET /30 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert "begun 30" in [served.process.stdout.readline().strip() for _ in range(2)]
        served.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        served.process.send_signal(second)
        code, output, errors = served.end()
    assert code == 1
    assert output == "cancelled\n"
    assert "Traceback" not in errors


HALF_A_HEAD = b"GET /ping HTT"
UNREAD_BODY = b"POST /now HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("beginning", "drip"), [(b"", b""), (HALF_A_HEAD, b""), (HALF_A_HEAD, b"P"), (UNREAD_BODY, b"x")]
)
def test_a_request_that_does_not_end_loses_its_connection(start: Start, beginning: bytes, drip: bytes) -> None:
    served = start("--head-seconds", 0.5)
    served.wait_until_ready()
    began = time.monotonic()
    with served.socket() as connection:
        connection.sendall(beginning)
        while is_open(connection):
            assert time.monotonic() - began < 20, "the connection was kept"
            try:
                connection.sendall(drip)
            except OSError:
                break
    assert time.monotonic() - began > 0.3


def is_open(connection: socket.socket) -> bool:
    """Reads for a tenth of a second; False if the other end has closed."""
    connection.settimeout(0.1)
    try:
        return connection.recv(1000) != b""
    except TimeoutError:
        return True
    except OSError:
        return False


@pytest.mark.slow
def test_a_request_may_take_longer_than_its_head(start: Start) -> None:
    served = start("--head-seconds", 0.3)
    served.wait_until_ready()
    assert served.get("/1") == (200, "1")


@pytest.mark.slow
def test_answers_on_one_connection_do_not_wait_for_acknowledgements(start: Start) -> None:
    served = start()
    served.wait_until_ready()
    times = []
    with closing(http.client.HTTPConnection("127.0.0.1", served.ports[0], timeout=20)) as connection:
        for _ in range(30):
            began = time.monotonic()
            connection.request("GET", "/now")
            assert connection.getresponse().read() == b"now"
            times.append(time.monotonic() - began)
    assert min(times[-10:]) < 0.04  # after which Linux acknowledges, once a connection has had some exchanges


@pytest.mark.slow
def test_it_may_have_as_many_descriptors_as_the_system_lets_it(start: Start) -> None:
    served = start(descriptors=(64, 2048))
    served.wait_until_ready()
    with ExitStack() as sockets:
        for _ in range(100):
            sockets.enter_context(served.socket())
        assert resource.prlimit(served.process.pid, resource.RLIMIT_NOFILE) == (2048, 2048)


@pytest.mark.slow
@pytest.mark.parametrize(("path", "pause"), [("/1", 0.2), ("/1", 0), ("/now", 0.2)])
def test_a_body_that_is_no_http_ends_its_connection_without_a_traceback(start: Start, path: str, pause: float) -> None:
    served = start()
    served.wait_until_ready()
    with served.socket() as connection:
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        time.sleep(pause)
        connection.sendall(b"no chunk\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 400" if path == "/1" else b"HTTP/1.1 200")
    time.sleep(1.2)
    served.process.send_signal(signal.SIGTERM)
    assert "Traceback" not in served.end()[2]


def test_a_huge_head_is_refused(start: Start) -> None:
    served = start()
    served.wait_until_ready()
    with served.socket() as connection:
        connection.sendall(b"GET /ping HTTP/1.1\r\n" + b"a: b\r\n" * 20_000)
        assert connection.recv(100).startswith(b"HTTP/1.1 400")


@pytest.mark.slow
def test_idle_connections_do_not_keep_others_out(start: Start) -> None:
    served = start("--max-connections", 5)
    served.wait_until_ready()
    idle = [served.socket() for _ in range(20)]
    assert served.get("/ping")[0] == 200
    assert sum(map(is_open, idle)) <= 5
    for connection in idle:
        connection.close()


NEVER_READ = b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n"
WAITING = b"GET /60 HTTP/1.1\r\nHost: a\r\n\r\n"


@pytest.mark.slow
@pytest.mark.parametrize("request_", [NEVER_READ, WAITING], ids=["answers are not read", "answers take long"])
def test_requests_that_were_not_admitted_do_not_keep_others_out(start: Start, request_: bytes) -> None:
    served = start("--max-connections", 5)
    served.wait_until_ready()
    with ExitStack() as sockets:
        admitted = sockets.enter_context(served.socket())
        admitted.sendall(b"GET /2 HTTP/1.1\r\nHost: a\r\nX-Admit: 1\r\n\r\n")
        for _ in range(10):
            sockets.enter_context(served.socket()).sendall(request_)
        time.sleep(0.2)
        assert [served.get("/ping")[0] for _ in range(5)] == [200] * 5
        assert admitted.recv(1000).startswith(b"HTTP/1.1 200")


@pytest.mark.slow
def test_a_caller_who_reads_nothing_is_given_up(start: Start) -> None:
    served = start("--unread-seconds", 1)
    served.wait_until_ready()
    with served.socket() as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        time.sleep(4)
        with pytest.raises(ConnectionResetError):
            read_all(connection)


def test_answers_do_not_name_the_server_and_the_log_no_urls(start: Start) -> None:
    served = start()
    served.wait_until_ready()
    with served.socket() as connection:
        connection.sendall(b"GET /ping?key=secret HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"uvicorn" not in connection.recv(1000)
        connection.sendall(b"nonsense\r\n\r\n")
        connection.recv(1000)
    served.process.send_signal(signal.SIGTERM)
    _, output, errors = served.end()
    assert "secret" not in output + errors
    assert "Traceback" not in errors
