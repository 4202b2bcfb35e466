"""Uploads in pieces: whole after cut connections and restarts, bounded, and one visitor's alone."""

from __future__ import annotations

import hashlib
import json
import os
import random
import socket
import struct
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from api.http.door import DoorSettings
from api.page import uploads
from api.page.settings import PageSettings
from api.page.uploads import About, NoSpace, NoSuchUpload, TooManyUploads, Uploads
from tests.support.http_api import Api, ScriptedTranscriber, api_on_loopback, read_all, wait_until
from tests.support.page_api import Browser, Response

UPLOADS = "/page/api/uploads"
TRANSCRIPTS = "/page/api/transcripts"
MIB = 1024**2
ABOUT = About("a-visitor", "talk.mp3", 10, "fingerprint")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "page"


@pytest.fixture
def api(folder: Path) -> Iterator[Api]:
    with api_on_loopback(page=PageSettings(folder, "worker", reserve_bytes=0)) as api:
        yield api


@pytest.fixture
def browser(api: Api) -> Browser:
    return Browser(api.port)


def begin(browser: Browser, size: int, name: str = "talk.mp3", fingerprint: str = "f") -> Response:
    return browser.post(UPLOADS, {"name": name, "size": size, "fingerprint": fingerprint})


def begun(browser: Browser, size: int) -> str:
    """The id of a new upload."""
    upload_id: str = begin(browser, size).json["id"]
    return upload_id


def put(browser: Browser, upload_id: str, offset: Any, body: bytes, **headers: str) -> Response:
    return browser.ask("PUT", f"{UPLOADS}/{upload_id}?offset={offset}", body, headers)


def received(browser: Browser, upload_id: str) -> int:
    count: int = browser.get(f"{UPLOADS}/{upload_id}").json["received"]
    return count


def half_sent(browser: Browser, upload_id: str, offset: int, piece: bytes, sent: int) -> socket.socket:
    """A connection over which a part of a piece was sent."""
    connection = socket.create_connection(("127.0.0.1", browser.port), 10)
    head = (
        f"PUT {UPLOADS}/{upload_id}?offset={offset} HTTP/1.1\r\nhost: localhost\r\ncookie: {browser.cookie}\r\n"
        f"sec-fetch-site: same-origin\r\ncontent-length: {len(piece)}\r\nconnection: close\r\n\r\n"
    )
    connection.sendall(head.encode() + piece[:sent])
    return connection


def cut_once_received(api: Api, connection: socket.socket, *, is_reset: bool) -> None:
    """Cut a connection whose request has come, and wait until the server knows."""
    wait_until(lambda: api.door.requests)
    if is_reset:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
    wait_until(lambda: not api.door.requests)


def files_of(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "uploads").iterdir())


@pytest.mark.process  # ffmpeg looks at the recording
def test_a_file_in_pieces_becomes_the_recording_of_a_transcript(browser: Browser, api: Api, folder: Path) -> None:
    content = random.Random(1).randbytes(3 * MIB + 7)
    assert begin(browser, len(content)).json["received"] == 0
    upload_id = begun(browser, len(content))
    for offset in range(0, len(content), MIB):
        piece = content[offset : offset + MIB]
        answer = put(browser, upload_id, offset, piece).json
        assert answer == {
            "id": upload_id, "received": offset + len(piece), "size": len(content), "name": "talk.mp3"
        }  # fmt: skip
    assert browser.post(TRANSCRIPTS, {"upload": upload_id}).status == 201
    wait_until(lambda: api.transcriber.uploads)
    assert api.transcriber.uploads == [content]
    assert files_of(folder) == []


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("seed", range(3))
def test_what_is_uploaded_over_cut_connections_and_restarts_is_the_file(folder: Path, seed: int) -> None:
    chance = random.Random(seed)
    content = chance.randbytes(6 * MIB + 1)
    transcriber = ScriptedTranscriber()
    cookie, upload_id, is_whole = "", "", False
    while not is_whole:
        with api_on_loopback(transcriber, page=PageSettings(folder, "worker", reserve_bytes=0)) as api:
            browser = Browser(api.port, cookie.replace("PORT", str(api.port)))
            cookie = browser.cookie.replace(str(api.port), "PORT")
            for _ in range(chance.randint(1, 5)):
                state = begin(browser, len(content)).json
                assert upload_id in ("", state["id"]), "the upload began anew"
                upload_id, start = state["id"], state["received"]
                piece = content[start : start + chance.randint(1, 2 * MIB)]
                if piece and chance.random() < 0.7:
                    sent = chance.randrange(len(piece))
                    connection = half_sent(browser, upload_id, start, piece, sent)
                    cut_once_received(api, connection, is_reset=chance.random() < 0.5)
                    assert start <= received(browser, upload_id) <= start + sent
                elif piece:
                    assert put(browser, upload_id, start, piece).json["received"] == start + len(piece)
            is_whole = received(browser, upload_id) == len(content)
            if is_whole:
                assert browser.post(TRANSCRIPTS, {"upload": upload_id}).status == 201
                wait_until(lambda: transcriber.uploads)
    recording = transcriber.uploads[0]
    assert recording is not None
    assert hashlib.sha256(recording).digest() == hashlib.sha256(content).digest()


def test_the_same_piece_sent_many_times_at_once_is_written_once(browser: Browser, folder: Path) -> None:
    content = random.Random(2).randbytes(4 * MIB)
    upload_id = begun(browser, len(content))
    with ThreadPoolExecutor(8) as pool:
        while (start := received(browser, upload_id)) < len(content):
            pieces = [content[start : start + length * 100_000] for length in (3, 9, 1, 5, 9, 2, 7, 4)]
            answers = list(pool.map(lambda piece, at=start: put(browser, upload_id, at, piece), pieces))
            assert {answer.status for answer in answers} <= {200, 409}
            assert all(answer.json["received"] >= start for answer in answers)
    assert (folder / "uploads" / f"{upload_id}.part").read_bytes() == content


def test_a_piece_that_hangs_gives_way_to_the_next(browser: Browser, api: Api, folder: Path) -> None:
    content = random.Random(3).randbytes(MIB)
    upload_id = begun(browser, len(content))
    hanging = half_sent(browser, upload_id, 0, content, 300_000)
    wait_until(lambda: received(browser, upload_id) == 300_000)
    assert put(browser, upload_id, 300_000, content[300_000:400_000]).json["received"] == 400_000
    hanging.sendall(b"x" * (len(content) - 300_000))
    answer = read_all(hanging)
    hanging.close()
    assert b" 409 " in answer.partition(b"\r\n")[0]
    assert b"wrong_offset" in answer
    assert put(browser, upload_id, 400_000, content[400_000:]).json["received"] == MIB
    assert (folder / "uploads" / f"{upload_id}.part").read_bytes() == content


def test_a_file_whose_connection_fell_silent_goes_on_at_once(browser: Browser) -> None:
    upload_id = begun(browser, 1000)
    with half_sent(browser, upload_id, 0, b"x" * 1000, 400):
        wait_until(lambda: received(browser, upload_id) == 400)
        again = begin(browser, 1000).json
        assert (again["id"], again["received"]) == (upload_id, 400)
        assert put(browser, upload_id, 400, b"y" * 600).json["received"] == 1000


@pytest.mark.parametrize(
    ("offset", "body", "status", "code"),
    [
        (4, b"456", 200, None),
        (0, b"0123", 409, "wrong_offset"),
        (3, b"3", 409, "wrong_offset"),
        (5, b"5", 409, "wrong_offset"),
        (10**14, b"", 409, "wrong_offset"),
        (4, b"", 200, None),
        (4, b"4567890", 413, None),
        (-1, b"", 400, None),
        ("", b"", 400, None),
        ("4.0", b"", 400, None),
        ("4&offset=0x", b"", 400, None),
        ("9" * 4000, b"", 400, None),
        ("٤", b"", 400, None),
    ],
)
def test_only_the_next_bytes_are_taken(
    browser: Browser, folder: Path, offset: Any, body: bytes, status: int, code: str | None
) -> None:
    upload_id = begun(browser, 10)
    put(browser, upload_id, 0, b"0123")
    quoted = offset if isinstance(offset, int) or offset.isascii() else "%D9%A4"
    response = put(browser, upload_id, quoted, body)
    assert response.status == status, response.body
    if status != 200:
        assert response.code == code
    if code == "wrong_offset":
        assert response.json["received"] == 4
    taken = b"0123" + (body if status == 200 else b"")
    assert (folder / "uploads" / f"{upload_id}.part").read_bytes() == taken


def test_bytes_beyond_the_size_are_cut_also_without_a_length(browser: Browser, api: Api, folder: Path) -> None:
    upload_id = begun(browser, 10)
    head = (
        f"PUT {UPLOADS}/{upload_id}?offset=0 HTTP/1.1\r\nhost: localhost\r\ncookie: {browser.cookie}\r\n"
        "sec-fetch-site: same-origin\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
    )
    answer = api.send(head.encode() + b"4\r\n0123\r\n9\r\n456789xyz\r\n0\r\n\r\n")
    assert b" 413 " in answer.partition(b"\r\n")[0]
    assert b"0123456789".startswith((folder / "uploads" / f"{upload_id}.part").read_bytes())


def test_a_piece_has_a_largest_size_and_no_encoding(browser: Browser) -> None:
    upload_id = begun(browser, 20 * MIB)
    assert put(browser, upload_id, 0, bytes(8 * MIB + 1)).status == 413
    assert put(browser, upload_id, 0, b"x", **{"content-encoding": "gzip"}).status == 415
    assert received(browser, upload_id) == 0


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, 200),
        ({"size": 1000}, 200),
        ({"size": 1001}, 413),
        ({"size": 10**30}, 413),
        ({"size": 0}, 400),
        ({"size": -1}, 400),
        ({"size": True}, 400),
        ({"size": 1.5}, 400),
        ({"size": "10"}, 400),
        ({"size": None}, 400),
        ({"name": "n" * 255}, 200),
        ({"name": "n" * 256}, 400),
        ({"name": None}, 400),
        ({"name": "../../../etc/passwd\n\0"}, 200),
        ({"name": "<img src=x onerror=alert(1)>"}, 200),
        ({"name": "\ud800"}, 200),
        ({"fingerprint": "f" * 128}, 200),
        ({"fingerprint": "f" * 129}, 400),
        ({"fingerprint": 7}, 400),
        ({"owner": "another"}, 200),
        ({"more": "x" * 9000}, 413),
    ],
)
def test_an_upload_is_described_within_limits(folder: Path, change: dict[str, Any], status: int) -> None:
    settings = DoorSettings(max_upload_bytes=1000)
    page = PageSettings(folder, "worker", reserve_bytes=0)
    with api_on_loopback(settings=settings, page=page) as api:
        browser = Browser(api.port)
        response = browser.post(UPLOADS, {"name": "talk.mp3", "size": 10, "fingerprint": "f", **change})
        assert response.status == status, response.body
        assert len(files_of(folder)) == (2 if status == 200 else 0)
        others = {path.name for path in folder.iterdir() if "sqlite" not in path.name}
        assert others == {"uploads", "media", "own-visitor"}


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"7", b'{"size": 1', b"\xff"])
def test_a_body_that_describes_no_upload_is_refused(browser: Browser, body: bytes) -> None:
    assert browser.ask("POST", UPLOADS, body).status == 400


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "take"])
@pytest.mark.parametrize("whose", ["another visitor's", "nobody's", "a path"])
def test_an_upload_is_its_visitors_alone(api: Api, folder: Path, method: str, whose: str) -> None:
    owner, stranger = Browser(api.port), Browser(api.port)
    theirs = begun(owner, 4)
    put(owner, theirs, 0, b"0123")
    upload_id = {"another visitor's": theirs, "nobody's": "A" * 16, "a path": f"..%2Fuploads%2F{theirs}"}[whose]
    if method == "take":
        response = stranger.post(TRANSCRIPTS, {"upload": upload_id})
    else:
        response = stranger.ask(method, f"{UPLOADS}/{upload_id}?offset=4")
    assert (response.status, response.code) in ((404, "no_such_upload"), (404, "not_found"))
    assert received(owner, theirs) == 4
    assert begun(stranger, 4) != theirs


@pytest.mark.process  # ffmpeg looks at the recording
def test_an_upload_is_taken_once_and_only_when_it_is_whole(browser: Browser) -> None:
    upload_id = begun(browser, 4)
    put(browser, upload_id, 0, b"012")
    response = browser.post(TRANSCRIPTS, {"upload": upload_id})
    assert (response.status, response.code) == (409, "incomplete_upload")
    put(browser, upload_id, 3, b"3")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: browser.post(TRANSCRIPTS, {"upload": upload_id}).status, range(4)))
    assert sorted(answers) == [201, 404, 404, 404]
    assert put(browser, upload_id, 4, b"").status == 404


def test_a_removed_upload_leaves_nothing_and_takes_nothing(browser: Browser, api: Api, folder: Path) -> None:
    upload_id = begun(browser, 1000)
    connection = half_sent(browser, upload_id, 0, b"x" * 1000, 400)
    wait_until(lambda: received(browser, upload_id) == 400)
    assert browser.ask("DELETE", f"{UPLOADS}/{upload_id}").status == 204
    assert files_of(folder) == []
    connection.sendall(b"x" * 600)
    assert b" 404 " in read_all(connection).partition(b"\r\n")[0]
    connection.close()
    assert files_of(folder) == []
    assert browser.ask("DELETE", f"{UPLOADS}/{upload_id}").status == 404


def test_a_disk_without_space_is_said(folder: Path) -> None:
    full = PageSettings(folder, "worker", reserve_bytes=1 << 60)
    with api_on_loopback(page=full) as api:
        response = begin(Browser(api.port), 10)
    assert (response.status, response.code) == (507, "no_space")
    assert files_of(folder) == []


def test_a_disk_that_fills_up_ends_the_piece_and_what_was_written_counts(browser: Browser, folder: Path) -> None:
    upload_id = begun(browser, 10)
    part = folder / "uploads" / f"{upload_id}.part"
    part.unlink()
    part.symlink_to("/dev/full")
    response = put(browser, upload_id, 0, b"0123")
    assert (response.status, response.code) == (507, "no_space")
    assert received(browser, upload_id) == 0
    part.unlink()
    assert put(browser, upload_id, 0, b"0123").json["received"] == 4


def test_the_reserve_is_kept_for_later_pieces_too(tmp_path: Path) -> None:
    Uploads(tmp_path, 0).begin(ABOUT)
    later = Uploads(tmp_path, 1 << 60)
    [upload_id] = {path.stem for path in tmp_path.iterdir()}
    with pytest.raises(NoSpace):
        later.open_piece(later.find(ABOUT.owner, upload_id), 0)


def about(number: int, owner: str = "a-visitor") -> About:
    return About(owner, f"{number}.mp3", 10, "fingerprint")


def test_a_visitor_has_a_number_of_uploads_and_idle_ones_give_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "MAX_UPLOADS_OF_ONE", 3)
    store = Uploads(tmp_path, 0)
    first, second, _ = (store.begin(about(number)) for number in range(3))
    with pytest.raises(TooManyUploads):
        store.begin(about(3))
    assert store.begin(about(3, "another-visitor"))
    second.touched = time.time() - uploads.IDLE_SECONDS - 1
    assert store.begin(about(3))
    with pytest.raises(NoSuchUpload):
        store.find("a-visitor", second.id)
    assert store.find("a-visitor", first.id) is first


def test_all_visitors_together_have_a_number_of_uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_UPLOADS", 3)
    store = Uploads(tmp_path, 0)
    kept = [store.begin(about(0, f"visitor-{number}")) for number in range(3)]
    with pytest.raises(TooManyUploads):
        store.begin(about(0, "visitor-3"))
    kept[0].touched = time.time() - uploads.IDLE_SECONDS - 1
    piece = store.open_piece(kept[0], 0)
    with pytest.raises(TooManyUploads):
        store.begin(about(0, "visitor-3"))
    piece.close()
    assert store.begin(about(0, "visitor-3"))


def test_an_upload_is_kept_for_a_week(tmp_path: Path) -> None:
    store = Uploads(tmp_path, 0)
    old, young = store.begin(about(0)), store.begin(about(1))
    for upload, days in ((old, 7.01), (young, 6.99)):
        then = time.time() - days * 24 * 3600
        os.utime(tmp_path / f"{upload.id}.part", (then, then))
    assert {path.stem for path in tmp_path.iterdir()} == {old.id, young.id}
    after_restart = Uploads(tmp_path, 0)
    assert {path.stem for path in tmp_path.iterdir()} == {young.id}
    after_restart.find("a-visitor", young.id).touched -= 3600
    other = after_restart.begin(about(2))
    assert {path.stem for path in tmp_path.iterdir()} == {other.id}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("{id}.json", b"{"),
        ("{id}.json", b"[]"),
        ("{id}.json", b'{"owner": "a-visitor"}'),
        ("{id}.json", json.dumps({"owner": "a", "name": "n", "size": 2, "fingerprint": "f"}).encode()),
        ("{id}.part", None),
        ("{id}.json", None),
    ],
)
def test_what_a_killed_server_left_and_cannot_go_on_is_removed(
    tmp_path: Path, name: str, content: bytes | None
) -> None:
    store = Uploads(tmp_path, 0)
    broken, whole = store.begin(about(0)), store.begin(about(1))
    piece = store.open_piece(broken, 0)
    piece.write(b"0123")
    piece.close()
    path = tmp_path / name.format(id=broken.id)
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    (tmp_path / f"{whole.id}.new").write_bytes(b"{")
    Uploads(tmp_path, 0)
    assert {each.name for each in tmp_path.iterdir()} == {f"{whole.id}.json", f"{whole.id}.part"}


def test_an_upload_is_on_disk_for_the_servers_user_alone(browser: Browser, folder: Path) -> None:
    begun(browser, 10)
    assert (folder / "uploads").stat().st_mode & 0o077 == 0
