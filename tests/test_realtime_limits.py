"""What callers of `/v1/realtime` may send and leave undone: each handshake, frame, buffer and silence has a bound."""

from __future__ import annotations

import base64
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from api.http import connections, sockets
from api.http.sockets import SOCKET_SETTINGS, BoundedSocket
from api.live import client_events, log
from tests.support.http_api import Api, api_on_loopback, wait_until
from tests.support.live import Caller, ScriptedLiveRecognizer

PATH = "/v1/realtime?intent=transcription"
TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9


@pytest.fixture
def recognizer() -> ScriptedLiveRecognizer:
    return ScriptedLiveRecognizer()


@pytest.fixture
def api(recognizer: ScriptedLiveRecognizer) -> Iterator[Api]:
    with api_on_loopback(live=recognizer) as api:
        yield api


def handshake(path: str = PATH, method: str = "GET", **changed: str | None) -> bytes:
    lines: dict[str, str | None] = {
        "Host": "localhost",
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
        "Sec-WebSocket-Version": "13",
    }
    lines |= {name.replace("_", "-"): value for name, value in changed.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode("latin-1")


def frame(opcode: int, data: bytes = b"", *, fin: bool = True, masked: bool = True, rsv: int = 0) -> bytes:
    size = len(data)
    length = bytes([size]) if size < 126 else b"\x7e" + struct.pack("!H", size)
    head = bytes([fin << 7 | rsv << 4 | opcode, masked << 7 | length[0]]) + length[1:]
    return head + (bytes(4) if masked else b"") + data


def opened(api: Api) -> socket.socket:
    connection = api.connect()
    connection.sendall(handshake())
    received = b""
    while b"session.created" not in received:
        received += connection.recv(4096)
    return connection


def rest(connection: socket.socket) -> bytes:
    """What comes until the end of a connection, however it ends."""
    received = b""
    try:
        while chunk := connection.recv(65536):
            received += chunk
    except ConnectionError:
        pass
    return received


@pytest.fixture
def server_sockets(monkeypatch: pytest.MonkeyPatch) -> list[BoundedSocket]:
    """The server's side of each connection."""
    made: list[BoundedSocket] = []

    class Recorded(BoundedSocket):
        def connection_made(self, transport: Any) -> None:
            made.append(self)
            super().connection_made(transport)

    monkeypatch.setitem(SOCKET_SETTINGS, "ws", Recorded)
    return made


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (handshake(Sec_WebSocket_Key=None), 400),
        (handshake(Sec_WebSocket_Key="x"), 400),
        (handshake(Sec_WebSocket_Version="12"), 400),
        (handshake(Sec_WebSocket_Protocol="a b,,;"), 400),
        (handshake(method="POST"), 405),
        (handshake(X_Long="a" * 9000), 431),
        (handshake(**{f"X_{number}": "1" for number in range(140)}), 431),
        (handshake(f"{PATH}&x={'a' * 12_000}"), 414),
        (handshake("/nowhere"), 404),
        (handshake(Content_Length="5"), None),
        (handshake(Content_Length="5", Transfer_Encoding="chunked"), None),
    ],
    ids=range(11),
)
def test_a_wrong_handshake_ends_the_connection(
    api: Api, request_: bytes, status: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    with api.connect() as connection:
        connection.sendall(request_)
        answer = rest(connection)
    assert (int(answer.split()[1]) if answer else None) == status
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(TEXT, b"\xff\xfe"), 1007),
        (frame(TEXT, b"{}", masked=False), 1002),
        (frame(3), 1002),
        (frame(TEXT, b"{}", rsv=4), 1002),
        (frame(PING, b"a" * 126), 1002),
        (frame(0, b"a"), 1002),
        (frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"), 1002),
        (frame(CLOSE, b"\x00"), 1002),
        (frame(CLOSE, b"\x03\xe8"), 1000),
        (b"\x82\xff" + struct.pack("!Q", 23 * 2**20) + bytes(4), 1009),
        (b"\x82\xff" + struct.pack("!Q", 2**62) + bytes(4), 1009),
    ],
    ids=range(11),
)
def test_a_wrong_frame_closes_the_connection_with_its_code(
    api: Api, data: bytes, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(api) as connection:
        connection.sendall(data)
        answer = rest(connection)
    assert struct.pack("!H", code) in answer
    assert caplog.messages == []


def test_a_message_in_tiny_parts_is_one_piece_of_memory(server_sockets: list[BoundedSocket], api: Api) -> None:
    parts = 5000
    with opened(api) as connection:
        connection.sendall(frame(BINARY, fin=False) + (frame(0, fin=False) + frame(0, b"a", fin=False)) * parts)
        wait_until(lambda: server_sockets[0].frames and len(server_sockets[0].frames[0]) == parts, 60)
        assert len(server_sockets[0].frames) == 1
        connection.sendall(frame(0) + frame(TEXT, b'{"type": "session.finish"}'))
        assert f'"received_audio_bytes": {parts}'.encode() in rest(connection)


def test_pings_are_not_answered_while_answers_are_not_read(
    server_sockets: list[BoundedSocket], api: Api, recognizer: ScriptedLiveRecognizer
) -> None:
    with opened(api) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        transport = server_sockets[0].transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        for _ in range(8):
            connection.sendall(frame(PING, b"a" * 125) * 1000)
        connection.sendall(frame(BINARY, bytes(1000)))
        wait_until(lambda: recognizer.streams, 60)
        assert transport.get_write_buffer_size() < 200_000


def test_tiny_appends_are_all_heard(api: Api, recognizer: ScriptedLiveRecognizer) -> None:
    with Caller(api.port) as caller:
        caller.update(format={"type": "audio/pcm", "rate": 16000})
        for _ in range(3001):
            caller.append(b"a")
        caller.socket.send(b"abc")
        caller.socket.send(b"")
        caller.send("session.finish")
        assert caller.next("session.finished")["received_audio_bytes"] == 3004
    assert recognizer.streams[0].received == b"a" * 3001 + b"abc"


def test_an_event_has_at_most_so_much_sound(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_events, "MAX_SOUND_BYTES", 2**20)
    with Caller(api.port) as caller:
        caller.update(format={"type": "audio/pcmu"}, turn_detection=None)
        caller.append(bytes(2**20))
        caller.append(bytes(2**20 + 1))
        assert "1 MiB" in caller.next("error", timeout=60)["error"]["message"]
        caller.socket.send(bytes(2**20 + 1))
        assert "1 MiB" in caller.next("error")["error"]["message"]
        caller.send("session.finish")
        assert caller.next("session.finished", timeout=60)["received_audio_bytes"] == 2**20


@pytest.mark.slow
def test_a_slow_reader_is_told_and_the_session_ends(
    api: Api, recognizer: ScriptedLiveRecognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log, "MAX_BYTES", 50_000)
    connection = opened(api)
    with connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(frame(BINARY, bytes(1000)))
        wait_until(lambda: recognizer.streams)
        wrong = frame(TEXT, b"[]") * 2000
        connection.setblocking(False)
        end = time.monotonic() + 60
        while not (api.door.live and api.door.live._kept and _is_too_slow(api)) and time.monotonic() < end:
            try:
                connection.send(wrong)
            except BlockingIOError:
                time.sleep(0.005)
            except ConnectionError:
                break
        connection.setblocking(True)
        connection.settimeout(20)
        received = rest(connection)
    assert b"reader_too_slow" in received[-1000:]
    assert struct.pack("!H", 1008) in received[-10:]
    wait_until(lambda: recognizer.streams[0].calls == ["close"])


def _is_too_slow(api: Api) -> bool:
    assert api.door.live is not None
    readers = [kept.session.log.reader for kept in api.door.live._kept.values()]
    return any(reader is not None and reader.is_too_slow.is_set() for reader in readers)


def test_a_caller_who_reads_nothing_is_given_up(
    server_sockets: list[BoundedSocket], api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "READ_SECONDS", 0.1)
    with opened(api) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        server_sockets[0].transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        connection.setblocking(False)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            try:
                connection.send(frame(TEXT, b"[]") * 2000)
            except BlockingIOError:
                time.sleep(0.005)
            except ConnectionError:
                return
    raise AssertionError("the connection is still open")


@pytest.fixture
def quick_pings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SOCKET_SETTINGS, "ws_ping_interval", 0.1)
    monkeypatch.setitem(SOCKET_SETTINGS, "ws_ping_timeout", 1.0)
    monkeypatch.setattr(sockets, "PING_SECONDS", 1.0)


def test_a_caller_without_a_sign_of_life_is_given_up(quick_pings: None, api: Api) -> None:
    with opened(api) as connection:
        assert struct.pack("!H", 1011) in rest(connection)


def test_a_caller_whose_sound_waits_is_not_taken_for_dead(
    quick_pings: None, server_sockets: list[BoundedSocket], api: Api, recognizer: ScriptedLiveRecognizer
) -> None:
    recognizer.held = True
    with Caller(api.port) as caller:
        for _ in range(3):
            caller.append(bytes(48_000))
        wait_until(lambda: recognizer.streams and recognizer.streams[0].received)
        wait_until(lambda: server_sockets[0].pending_ping_payload)
        time.sleep(2.5)  # more than the time for a pong
        assert not server_sockets[0].disconnected
        recognizer.held = False
        caller.send("session.finish")
        assert caller.next("session.finished")["received_audio_bytes"] == 3 * 48_000


def test_a_quiet_websocket_outlives_the_limit_of_a_requests_head(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEAD_SECONDS", 0.1)
    with Caller(api.port) as caller:
        caller.next()
        time.sleep(0.4)
        assert caller.update()["type"] == "session.updated"


def test_conversations_outlive_a_crowd_of_idle_connections(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 4)
    with Caller(api.port) as first, Caller(api.port) as second:
        crowd = [api.connect() for _ in range(10)]
        for caller in (first, second):
            assert caller.update()["type"] == "session.updated"
        for connection in crowd:
            connection.close()


def test_an_id_and_names_of_the_caller_are_cut_where_they_are_told(api: Api) -> None:
    with Caller(api.port) as caller:
        names: Any = {f"{number}\r\n\x00<é>{'x' * 1000}": 1 for number in range(1000)}
        caller.send("session.update", session={"type": "transcription", **names})
        caller.next("session.updated")
        told = caller.next("session.warning")["message"]
    assert len(told) < 2000
    assert told.isprintable()
    assert told.isascii()


def test_events_that_are_read_by_nobody_do_not_pile_up(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "MAX_EVENTS", 10)
    with Caller(api.port) as caller:
        session = caller.next()["session"]["id"]
        assert api.door.live is not None
        events = api.door.live._kept[session].session.log
        caller.append(bytes(48_000))
        caller.next("input_audio_buffer.speech_started")
        with suppress(ConnectionClosed):  # a busy machine may end the session as too slow
            for _ in range(100):
                caller.socket.send("[]")
        wait_until(lambda: events.last > 20 or events.reader is None)
        assert len(events._texts) == 10
        assert events._bytes == sum(map(len, events._texts))


def test_a_connection_may_close_before_anything_was_read(api: Api) -> None:
    for _ in range(20):
        with api.connect() as connection:
            connection.sendall(handshake())
    wait_until(lambda: api.door.live and not api.door.live.used_slots)


def test_a_connection_that_is_lost_with_much_to_send_is_no_line_of_the_log(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        with opened(api) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.sendall(frame(TEXT, b"x") * 5000)
    wait_until(lambda: api.door.live and not api.door.live.used_slots)
    assert not caplog.records
