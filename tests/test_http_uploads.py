"""Bodies of requests to the HTTP API: forms of all makes, and hostile ones, over raw connections."""

from __future__ import annotations

import json
import re
import resource
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api.http import middleware, uploads
from api.http.door import DoorSettings
from tests.support.files import entries_under
from tests.support.http_api import Api, ScriptedTranscriber, api_on_loopback, form, part, post, read_all

PATH = "/v1/audio/transcriptions"
RECORDING = bytes(range(256)) * 1000 + b"\r\n--a-boundar\r\n--"
MODEL = part("model", b"whisper-1")
FILE = part("file", RECORDING, "clip.mp3")
LIMIT = 1_000_000


@pytest.fixture
def api(no_files_left: Path) -> Iterator[Api]:
    with api_on_loopback(settings=DoorSettings(max_upload_bytes=LIMIT)) as api:
        yield api


def status_of(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


def error_of(answer: bytes) -> tuple[int, str]:
    """The status and the sentence of an error, in OpenAI's form."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert re.search(rb"x-request-id: req_\w+", head)
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return status_of(answer), error["message"]


@pytest.mark.parametrize(
    "parts",
    [
        [MODEL, FILE],
        [FILE, MODEL],
        [MODEL, part("file", RECORDING)],
        [MODEL, part("file", RECORDING, "")],
        [MODEL, part("file", RECORDING, "../../etc/passwd", "content-type: audio/mpeg\r\n")],
        [MODEL, part("file", RECORDING, "блоб", "Content-Transfer-Encoding: binary\r\nX-Other: 1\r\n")],
        [MODEL, part("recording", RECORDING, "a.wav")],
    ],
    ids=["file last", "file first", "no file name", "empty file name", "hostile name", "foreign name", "other field"],
)
@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "chunked"])
def test_a_recording_arrives_whole(api: Api, parts: list[bytes], chunked: bool) -> None:
    assert status_of(api.send(post(PATH, form(*parts), chunked=chunked))) == 200
    assert api.transcriber.uploads == [RECORDING]


def test_a_recording_arrives_whole_byte_by_byte(api: Api) -> None:
    recording = b"\r\n--a-boundary\r\r\n--a-boundar-\r\n\r\n"
    with api.connect() as connection:
        for byte in post(PATH, form(part("file", recording), MODEL)):
            connection.sendall(bytes([byte]))
        assert status_of(read_all(connection)) == 200
    assert api.transcriber.uploads == [recording]


def test_fields_may_come_more_than_once_and_hold_any_text(api: Api) -> None:
    terms = [part("keywords[]", "Ünïcode\r\nwörd".encode()), part("keywords[]", b"")]
    assert status_of(api.send(post(PATH, form(MODEL, *terms, FILE)))) == 200
    assert api.transcriber.jobs[0].input["options"]["custom_vocabulary"] == ["Ünïcode\r\nwörd"]


@pytest.mark.parametrize(
    ("body", "status", "sentence"),
    [
        (form(MODEL), 400, "file: missing: send the recording as a file of the form, or give its address as `url`"),
        (form(), 400, "file: missing: send the recording as a file of the form, or give its address as `url`"),
        (form(FILE, part("url", b"https://example.org/a.mp3")), 400,
         "url: is a second recording beside the file: leave one of them out"),
        (b"", 400, "the form ends early: its closing boundary is missing"),
        (MODEL + FILE, 400, "the form ends early: its closing boundary is missing"),
        (form(MODEL, FILE)[:-6], 400, "the form ends early: its closing boundary is missing"),
        (form(MODEL, part("file", b"", "a.mp3")), 400, "file: is empty, send a recording"),
        (form(part("file", b"https://example.org/a.mp3")), 400, "file: is an address: give it as `url`"),
        (form(FILE, FILE), 400, "file: should be the form's only file: send other fields without a file name"),
        (form(FILE, part("other", b"2", "b.mp3")), 400,
         "file: should be the form's only file: send other fields without a file name"),
        (b"{}", 400, "the body is no valid multipart/form-data"),
        (form(b"--a-boundary\r\n\r\nvalue\r\n"), 400, "a part of the form has no name"),
        (form(b"--a-boundary\r\ncontent-disposition: form-data\r\n\r\nv\r\n"), 400, "a part of the form has no name"),
        (form(part("model", b"\xff\xfe")), 400, "a field of the form is no UTF-8"),
        (form(b'--a-boundary\r\ncontent-disposition: form-data; name="\xff"\r\n\r\n\r\n'), 400,
         "the name of a field is no UTF-8"),
        (form(part("file", b"UklGRg==", "a", "content-transfer-encoding: base64\r\n")), 400,
         "a part of the form has a content-transfer-encoding: send its bytes as they are"),
        (form(part("a", b"", None, "x: y\r\n" * 20)), 400, "the body is no valid multipart/form-data"),
        (form(part("a", b"", None, f"x: {'y' * 5000}\r\n")), 400, "the body is no valid multipart/form-data"),
        (form(*[part("a", b"")] * 2501), 400, "the form has over 2500 parts"),
    ],
)  # fmt: skip
def test_a_wrong_form_is_refused_with_a_sentence(api: Api, body: bytes, status: int, sentence: str) -> None:
    assert error_of(api.send(post(PATH, body))) == (status, sentence)
    assert api.transcriber.jobs == []


@pytest.mark.parametrize(
    ("headers", "status", "sentence"),
    [
        ("content-type: multipart/form-data", 400, "the content type has no boundary: leave it to the HTTP library"),
        ("content-type: multipart/form-data; boundary=", 400,
         "the content type has no boundary: leave it to the HTTP library"),
        (f"content-type: multipart/form-data; boundary={'b' * 300}", 400,
         "the form's boundary is over 256 bytes: leave it to the HTTP library"),
        ("content-type: audio/mpeg", 415, "the content type should be multipart/form-data, or application/json"),
        ("content-type: ;;;=\x80", 415, "the content type should be multipart/form-data, or application/json"),
        ("content-type: application/x-www-form-urlencoded", 415,
         "the content type should be multipart/form-data, or application/json"),
        ("accept: */*", 415, "the content type should be multipart/form-data, or application/json"),
        ("content-type: multipart/form-data; boundary=a\r\ncontent-encoding: gzip", 415,
         "the body is compressed: send it without content-encoding"),
    ],
)  # fmt: skip
def test_wrong_headers_are_refused_with_a_sentence(api: Api, headers: str, status: int, sentence: str) -> None:
    request = f"POST {PATH} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: 4\r\n{headers}\r\n\r\nbody"
    assert error_of(api.send(request.encode("latin-1"))) == (status, sentence)


def test_a_declared_size_over_the_limit_is_refused_before_the_body_is_sent(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(middleware, "LINGER_SECONDS", 0.1)
    answer = api.send(post(PATH, b"", length=LIMIT + 1))
    assert error_of(answer) == (413, f"the body is over {LIMIT} bytes: send a smaller or more compressed file")
    assert b"x-should-retry: false" in answer


@pytest.mark.parametrize("chunked", [False, True], ids=["with a length", "chunked"])
def test_a_caller_who_goes_on_sending_can_read_the_refusal(api: Api, chunked: bool) -> None:
    answer = api.send(post(PATH, form(part("file", b"x" * 20 * LIMIT)), chunked=chunked))
    assert error_of(answer)[0] == 413


def test_a_caller_who_asks_first_is_told_to_go_on_or_refused(api: Api) -> None:
    body = form(MODEL, FILE)
    with api.connect() as connection:
        connection.sendall(post(PATH, b"", "expect: 100-continue", length=len(body)))
        assert connection.recv(65536).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        assert status_of(read_all(connection)) == 200
    with api.connect() as connection:
        connection.sendall(post(PATH, b"", "expect: 100-continue", length=LIMIT + 1))
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("length", ["999999999999999999999999999", "00000000000000009999999"])
def test_a_monstrous_declared_size_is_refused(api: Api, length: str) -> None:
    request = post(PATH, b"").replace(b"content-length: 0", f"content-length: {length}".encode())
    with api.connect() as connection:
        connection.sendall(request)
        assert status_of(connection.recv(65536)) in (400, 413)


def test_a_body_without_a_length_is_cut_off_at_the_limit(api: Api) -> None:
    body = form(MODEL, part("file", b"x" * LIMIT))
    answer = api.send(post(PATH, body, chunked=True))
    assert error_of(answer) == (413, f"the body is over {LIMIT} bytes: send a smaller or more compressed file")


def test_fields_are_held_in_memory_up_to_a_limit(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_FIELD_BYTES", uploads.MIB // 2)
    answer = api.send(post(PATH, form(part("prompt", b"x" * (uploads.MIB // 2 + 1)))))
    assert error_of(answer) == (413, "the fields of the form are over 0.5 MiB")


def test_bodies_in_memory_have_a_limit_together(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_HELD_BYTES", 10_000)
    api.transcriber.seconds = 60
    large = post(PATH, form(part("prompt", b"x" * 6000), FILE))
    with api.connect() as connection:
        connection.sendall(large)
        wait_for(lambda: api.transcriber.jobs)
        status, sentence = error_of(api.send(large))
        assert (status, sentence.partition(":")[0]) == (429, "the server has no memory left for this body")
    wait_for(lambda: api.door.held_bytes == 0)
    api.transcriber.seconds = 0
    assert status_of(api.send(large)) == 200
    body = json.dumps({"model": "whisper-1", "input_audio": {"data": "UklG" * 2500, "format": "wav"}})
    head = f"POST {PATH} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {len(body)}\r\n"
    assert status_of(api.send(f"{head}content-type: application/json\r\n\r\n{body}".encode())) == 429
    wait_for(lambda: api.door.held_bytes == 0)


def test_a_body_that_never_ends_is_given_up(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "LINGER_SECONDS", 0.3)
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    with api.connect() as connection:
        connection.sendall(post(PATH, b"", chunked=True).removesuffix(b"0\r\n\r\n\r\n0\r\n\r\n"))
        connection.sendall(b"%x\r\n%b\r\n" % (len(part("file", b"")) - 2, part("file", b"")[:-2]))
        with pytest.raises(OSError, match=r"reset|[Bb]roken pipe"):
            send_for_a_minute(connection, chunk)
    assert api.transcriber.jobs == []


def test_a_body_that_stalls_is_given_up(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "STALL_SECONDS", 0.2)
    monkeypatch.setattr(middleware, "LINGER_SECONDS", 0.1)
    answer = api.send(post(PATH, MODEL, length=5000))
    assert error_of(answer) == (408, "the body stalled for 0.2 seconds")
    assert b"x-should-retry: true" in answer


def test_a_body_that_drips_is_given_up(no_files_left: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "LINGER_SECONDS", 0.1)
    with api_on_loopback(settings=DoorSettings(upload_seconds=0.4)) as api, api.connect() as connection:
        connection.sendall(post(PATH, part("file", b"")[:-2], length=5000))
        connection.settimeout(0.05)
        answer = b""
        while not answer:
            connection.sendall(b"-")
            try:
                answer = connection.recv(65536)
            except TimeoutError:
                continue
        connection.settimeout(5)
        answer += read_all(connection)
    assert error_of(answer) == (408, "the body took over 0.4 seconds: send a smaller file")


def test_a_caller_who_hangs_up_while_sending_leaves_nothing(api: Api, no_files_left: Path) -> None:
    with api.connect() as connection:
        connection.sendall(post(PATH, form(FILE)[:-100], length=len(form(FILE))))
        wait_for(lambda: any(path.name.startswith("upload") for path in entries_under(no_files_left)))
    wait_for(lambda: api.door.requests == 0 and not entries_under(no_files_left))
    assert api.transcriber.jobs == []


def test_a_full_disk_is_said(api: Api) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        answer = api.send(post(PATH, form(FILE)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert error_of(answer) == (503, "the server has no space for the upload: try again")
    assert b"x-should-retry: true" in answer
    assert status_of(api.send(post(PATH, form(FILE)))) == 200


def test_a_missing_folder_is_no_space(api: Api, tmp_path: Path) -> None:
    api.door.folder = tmp_path / "missing"
    assert status_of(api.send(post(PATH, form(FILE)))) == 503


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "the body is no valid JSON: send an object in UTF-8"),
        (b"{", "the body is no valid JSON: send an object in UTF-8"),
        (b"\xff\xfe{}", "the body is no valid JSON: send an object in UTF-8"),
        (b'{"model": NaN}', "the body is no valid JSON: send an object in UTF-8"),
        (b'{"temperature": 1' + b"0" * 5000 + b"}", "the body is no valid JSON: send an object in UTF-8"),
        (b"[" * 90_000, "the body is no valid JSON: send an object in UTF-8"),
        (b"[" + b"[]," * 100_000 + b"[]]", "the body has over 100000 values"),
    ],
    ids=["empty", "cut", "UTF-16", "NaN", "long number", "deep", "many values"],
)
def test_wrong_json_is_refused_with_a_sentence(api: Api, body: bytes, sentence: str) -> None:
    head = f"POST {PATH} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {len(body)}\r\n"
    answer = api.send(f"{head}content-type: application/json; charset=utf-8\r\n\r\n".encode() + body)
    assert error_of(answer) == (400, sentence)


def test_a_recording_in_json_is_transcribed(api: Api) -> None:
    body = json.dumps({"model": "whisper-1", "input_audio": {"data": "UklGRg==", "format": "wav"}})
    head = f"POST {PATH} HTTP/1.1\r\nhost: h\r\nconnection: close\r\ncontent-length: {len(body)}\r\n"
    assert status_of(api.send(f"{head}content-type: application/json\r\n\r\n{body}".encode())) == 200
    assert api.transcriber.jobs[0].input["audio"] == {"base64": "UklGRg=="}
    assert api.transcriber.jobs[0].upload is None


@pytest.mark.slow
def test_a_large_upload_takes_no_memory(no_files_left: Path) -> None:
    size, block = 300 * uploads.MIB, bytes(uploads.MIB)
    head, tail = part("file", b"")[:-2], b"\r\n" + form()
    with api_on_loopback(ScriptedTranscriber(keep_uploads=False)) as api, api.connect(60) as connection:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        connection.sendall(post(PATH, b"", length=len(head) + size + len(tail)) + head)
        for _ in range(size // len(block)):
            connection.sendall(block)
        connection.sendall(tail)
        assert status_of(read_all(connection)) == 200
        grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown_kib < 30_000


def send_for_a_minute(connection: socket.socket, chunk: bytes) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        connection.sendall(chunk)


def wait_for(condition: Any, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it has not become true in time"
        time.sleep(0.01)
