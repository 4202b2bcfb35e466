"""The page's transcripts over HTTP: made, run, read, changed and removed, by the visitor whose they are."""

from __future__ import annotations

import gzip
import json
import stat
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from api.http import page_events
from api.http.app import create_app
from api.http.door import DoorSettings
from api.page import store
from api.page.settings import PageSettings
from api.page.tables import StoreUnusable
from tests.support.http_api import ANSWER, SEGMENTS, Api, ScriptedTranscriber, api_on_loopback, served, wait_until
from tests.support.page_api import Browser, Response

TRANSCRIPTS = "/page/api/transcripts"
URL = "https://example.org/talks/episode%2012.mp3"
ADDRESS = "should be an address that begins with https:// or http://"
OFFSET = "should be seconds from 0 to 43200, or left out"
TRACK = "should be an object with name and either upload or url"
NAME = "a name should be 1 to 60 letters, digits, spaces and . ' ’ · -, but not like SPEAKER_00"


def track(upload: str, name: str) -> dict[str, str]:
    return {"upload": upload, "name": name}


@pytest.fixture
def transcriber() -> ScriptedTranscriber:
    return ScriptedTranscriber()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "page"


@pytest.fixture
def api(transcriber: ScriptedTranscriber, folder: Path) -> Iterator[Api]:
    with api_on_loopback(transcriber, page=PageSettings(folder, "worker", reserve_bytes=0)) as api:
        yield api


@pytest.fixture
def browser(api: Api) -> Browser:
    return Browser(api.port)


@pytest.fixture
def stranger(api: Api) -> Browser:
    return Browser(api.port)


def begin(browser: Browser, **body: Any) -> Any:
    """The record of a new transcript."""
    response = browser.post(TRANSCRIPTS, {"url": URL, **body})
    assert response.status == 201, response.body
    return response.json


def patch(browser: Browser, transcript_id: str, **body: Any) -> Response:
    return browser.ask("PATCH", f"{TRANSCRIPTS}/{transcript_id}", json.dumps(body).encode())


def state_of(browser: Browser, transcript_id: str) -> str:
    return browser.get(f"{TRANSCRIPTS}/{transcript_id}").json["state"]


def finished(browser: Browser, **body: Any) -> Any:
    """The record of a new transcript whose job has ended."""
    transcript_id = begin(browser, **body)["id"]
    wait_until(lambda: state_of(browser, transcript_id) not in ("waiting", "working"))
    return browser.get(f"{TRANSCRIPTS}/{transcript_id}").json


def document_of(browser: Browser, transcript_id: str) -> Any:
    return browser.get(f"{TRANSCRIPTS}/{transcript_id}/document").json


def test_a_url_is_transcribed_and_its_document_read(browser: Browser, transcriber: ScriptedTranscriber) -> None:
    record = begin(browser, options={"language": "en", "output_format": "srt", "word_timestamps": False})
    assert (record["state"], record["title"], record["source"]["name"]) == ("waiting", "episode 12", "episode 12.mp3")
    wait_until(lambda: state_of(browser, record["id"]) == "done")
    assert transcriber.jobs[0].input == {
        "audio": {"url": URL},
        "options": {"language": "en", "output_format": "json", "word_timestamps": True},
    }
    done = browser.get(f"{TRANSCRIPTS}/{record['id']}").json
    assert (done["duration"], done["language"], done["model"], done["revision"]) == (6.0, "en", "turbo", 1)
    assert done["preview"] == "Good morning. What is it? It is noon."
    assert "owner" not in done
    document = document_of(browser, record["id"])
    assert document["speakers"] == {"SPEAKER_00": "", "SPEAKER_01": ""}
    assert document["lines"][1] == {
        "id": "00000001",
        "start": 2.0,
        "end": 3.5,
        "speaker": "SPEAKER_01",
        "revision": 1,
        "words": [[" What is it?", 2.0, 3.5, 0.9]],
    }


def test_the_folder_is_private_and_nothing_of_a_removed_transcript_is_left(
    browser: Browser, folder: Path, transcriber: ScriptedTranscriber
) -> None:
    transcriber.held = True
    record = begin(browser)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert (folder / "media" / record["id"]).is_dir()
    wait_until(lambda: transcriber.jobs)
    assert browser.ask("DELETE", f"{TRANSCRIPTS}/{record['id']}").status == 204
    assert transcriber.cancelled == 1
    assert list((folder / "media").iterdir()) == []
    assert browser.get(TRANSCRIPTS).json == {"transcripts": []}
    assert browser.get(f"{TRANSCRIPTS}/{record['id']}").code == "no_transcript"


def test_transcripts_are_listed_the_newest_first(browser: Browser) -> None:
    first, second = begin(browser, title="First"), begin(browser, title="Second")
    assert [record["id"] for record in browser.get(TRANSCRIPTS).json["transcripts"]] == [second["id"], first["id"]]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("POST", "/cancel"),
        ("POST", "/retry"),
        ("GET", "/document"),
        ("GET", "/changes?since=0"),
    ],
)
def test_a_stranger_reaches_nothing_of_a_transcript(
    browser: Browser, stranger: Browser, method: str, path: str
) -> None:
    record = finished(browser)
    response = stranger.ask(method, f"{TRANSCRIPTS}/{record['id']}{path}", b"{}")
    assert (response.status, response.code) == (404, "no_transcript")
    assert stranger.get(TRANSCRIPTS).json == {"transcripts": []}
    assert document_of(browser, record["id"])["revision"] == record["revision"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({}, "the body should be a JSON object with either upload, url or tracks"),
        ([], "the body should be a JSON object with either upload, url or tracks"),
        ({"url": URL, "upload": "x"}, "the body should be a JSON object with either upload, url or tracks"),
        ({"url": 3}, "url: should be a text of at most 2048 characters"),
        ({"url": "file:///etc/passwd"}, "url: should be an address that begins with https:// or http://"),
        ({"url": "https://[::1"}, "url: should be an address that begins with https:// or http://"),
        ({"url": "https:// a"}, "url: should be an address that begins with https:// or http://"),
        ({"url": f"https://example.org/{'a' * 2048}"}, "url: should be a text of at most 2048 characters"),
        ({"url": URL, "options": []}, "options: should be an object of at most 2000000 characters"),
        ({"url": URL, "options": {"a": "b" * 2_000_000}}, "options: should be an object of at most 2000000 characters"),
        ({"url": URL, "title": "a" * 201}, "title: should be a text of at most 200 characters"),
        ({"url": URL, "title": 3}, "title: should be a text of at most 200 characters"),
        ({"upload": 3}, "upload: should be a text of at most 200 characters"),
        ({"tracks": []}, "tracks: should be a list of 1 to 16 tracks"),
        ({"tracks": [{}] * 17}, "tracks: should be a list of 1 to 16 tracks"),
        ({"tracks": ["x"]}, f"tracks.0: {TRACK}"),
        ({"tracks": [{"upload": "x"}]}, "tracks.0.name: should be a text of at most 60 characters"),
        ({"tracks": [{**track("x", "Ada"), "url": URL}]}, f"tracks.0: {TRACK}"),
        ({"tracks": [{"url": "s3://b/a", "name": "Ada"}]}, f"tracks.0.url: {ADDRESS}"),
        ({"tracks": [{**track("x", "Ada"), "offset": -1}]}, f"tracks.0.offset: {OFFSET}"),
        ({"tracks": [track("x", "Ada"), track("y", "<b>")]}, f"tracks.1.name: {NAME}"),
        ({"tracks": [track("x", "Ada"), track("y", " Ada ")]}, "tracks: two have the same name: give each its own"),
        ({"tracks": [track("x", "Ada"), track("x", "Ben")]}, "tracks: two have the same recording: give each its own"),
    ],
)
def test_a_wrong_beginning_is_refused_with_what_would_be_right(
    browser: Browser, transcriber: ScriptedTranscriber, body: Any, message: str
) -> None:
    response = browser.post(TRANSCRIPTS, body)
    assert (response.status, response.json["error"]["message"]) == (400, message)
    assert transcriber.jobs == []


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000, b'{"title": NaN}', b"null", b"3"])
@pytest.mark.parametrize(("method", "path"), [("POST", ""), ("PATCH", "/ID"), ("POST", "/ID/retry")])
def test_a_body_that_is_no_object_is_refused(browser: Browser, method: str, path: str, body: bytes) -> None:
    record = finished(browser)
    assert browser.ask(method, TRANSCRIPTS + path.replace("ID", record["id"]), body).status == 400
    assert document_of(browser, record["id"])["revision"] == 1


def test_halves_of_characters_do_no_harm(browser: Browser) -> None:
    half = b'{"url": "https://example.org/a.mp3", "title": "a\\ud800b", "options": {"initial_prompt": "\\ud800"}}'
    record = browser.ask("POST", TRANSCRIPTS, half).json
    assert record["title"] == "a b"
    assert browser.get(f"{TRANSCRIPTS}/{record['id']}").status == 200


def test_a_running_jobs_lines_are_in_its_document(browser: Browser, transcriber: ScriptedTranscriber) -> None:
    transcriber.segments, transcriber.held = SEGMENTS[:2], True
    record = begin(browser)
    wait_until(lambda: len(document_of(browser, record["id"])["lines"]) == 2)
    assert patch(browser, record["id"], deleted=[{"id": "00000000", "based_on": 0}]).code == "not_done"
    assert patch(browser, record["id"], title="New title").status == 200
    transcriber.held = False
    wait_until(lambda: state_of(browser, record["id"]) == "done")
    assert browser.get(f"{TRANSCRIPTS}/{record['id']}").json["title"] == "New title"
    assert len(document_of(browser, record["id"])["lines"]) == 3


def test_a_running_job_can_be_cancelled_and_tried_again(browser: Browser, transcriber: ScriptedTranscriber) -> None:
    transcriber.held = True
    path = f"{TRANSCRIPTS}/{begin(browser)['id']}"
    wait_until(lambda: transcriber.jobs)
    assert browser.post(f"{path}/retry", {}).code == "not_ended"
    assert browser.post(f"{path}/cancel", {}).json["state"] == "cancelled"
    assert browser.post(f"{path}/cancel", {}).json["state"] == "cancelled"
    transcriber.held = False
    assert browser.post(f"{path}/retry", {"options": {"language": "de"}}).json["options"] == {"language": "de"}
    wait_until(lambda: browser.get(path).json["state"] == "done")
    assert transcriber.jobs[-1].input["options"]["language"] == "de"


def test_a_failed_job_says_why(browser: Browser, transcriber: ScriptedTranscriber) -> None:
    transcriber.answer = {"error": "there is no audio", "error_type": "UnsupportedMedia"}
    record = finished(browser)
    assert (record["state"], record["error"]["message"]) == ("failed", "there is no audio")


def test_edits_are_kept_and_conflicts_returned(browser: Browser) -> None:
    transcript_id = finished(browser)["id"]
    line = {**document_of(browser, transcript_id)["lines"][0], "based_on": 1}
    line["words"][0][0] = " Good evening."
    first = patch(browser, transcript_id, editor="tab1", lines=[line], speakers={"SPEAKER_00": "Anna"}, title="New")
    assert first.json == {"revision": 2, "conflicts": []}
    second = patch(browser, transcript_id, editor="tab2", lines=[{**line, "start": 0.5}]).json
    assert [conflict["revision"] for conflict in second["conflicts"]] == [2]
    removed = patch(browser, transcript_id, deleted=[{"id": line["id"], "based_on": 2}]).json
    gone = patch(browser, transcript_id, lines=[{**line, "based_on": 2}]).json
    assert gone["conflicts"] == [{"id": "00000000", "revision": removed["revision"], "deleted": True}]
    changes = browser.get(f"{TRANSCRIPTS}/{transcript_id}/changes?since=1").json
    assert (changes["deleted"], changes["speakers"]["SPEAKER_00"], changes["title"]) == (["00000000"], "Anna", "New")
    assert browser.get(f"{TRANSCRIPTS}/{transcript_id}").json["edited"]


@pytest.mark.slow
def test_as_many_long_lines_as_may_be_changed_at_once_are_taken(browser: Browser) -> None:
    transcript_id = finished(browser)["id"]
    words = [[f" word{number}, and", number, number + 1, 0.5] for number in range(100)]
    lines = [{"id": f"1{number:07}", "start": number, "end": number + 100, "words": words} for number in range(500)]
    assert patch(browser, transcript_id, lines=lines).json == {"revision": 2, "conflicts": []}
    assert len(document_of(browser, transcript_id)["lines"]) == 503


@pytest.mark.parametrize("since", ["", "-1", "x", "9" * 30, "²"])
def test_a_wrong_revision_is_refused(browser: Browser, since: str) -> None:
    path = f"{TRANSCRIPTS}/{finished(browser)['id']}/changes?since={quote(since)}"
    assert browser.get(path).json["error"]["message"] == "since: should be a revision, a number from 0"


@pytest.mark.parametrize("transcript_id", ["..", "%2e%2e%2f", "a" * 5000, "%00", "*"])
def test_an_id_is_only_looked_up(browser: Browser, transcript_id: str) -> None:
    assert browser.get(f"{TRANSCRIPTS}/{transcript_id}").status == 404


def test_options_are_those_of_the_transcriber(browser: Browser) -> None:
    answer = browser.get("/page/api/options").json
    assert answer["models"] == ["turbo", "base"]
    assert answer["schemas"]["diarize"] == {"type": "boolean"}


def test_a_document_is_compressed_for_those_who_take_it(browser: Browser, transcriber: ScriptedTranscriber) -> None:
    transcriber.answer = {**ANSWER, "transcription": {"segments": SEGMENTS * 100}}
    path = f"{TRANSCRIPTS}/{finished(browser)['id']}/document"
    compressed = browser.get(path, **{"accept-encoding": "gzip, br"})
    assert compressed.headers["content-encoding"] == "gzip"
    assert json.loads(gzip.decompress(compressed.body)) == browser.get(path).json


def test_transcripts_of_one_visitor_have_a_limit(
    browser: Browser, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setattr(store, "MAX_TRANSCRIPTS_OF_ONE", 1)
    record = begin(browser)
    response = browser.post(TRANSCRIPTS, {"url": URL})
    assert (response.status, response.code) == (409, "too_many")
    assert [path.name for path in (folder / "media").iterdir()] == [record["id"]]


def test_the_disk_is_not_filled(transcriber: ScriptedTranscriber, folder: Path) -> None:
    settings = PageSettings(folder, "worker", reserve_bytes=1 << 60)
    with api_on_loopback(transcriber, page=settings) as api:
        response = Browser(api.port).post(TRANSCRIPTS, {"url": URL})
    assert (response.status, response.code) == (507, "no_space")


def test_a_folder_that_is_in_use_is_refused_with_a_sentence(
    api: Api, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.page.tables._LOCK_WAIT_S", 0.1)
    with pytest.raises(StoreUnusable, match="another server uses the page's folder: end it"):
        create_app(ScriptedTranscriber(), DoorSettings(), page=PageSettings(folder, "worker"))


def test_a_folder_that_cannot_be_made_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnusable, match="the page's folder cannot be written") as end:
        create_app(ScriptedTranscriber(), DoorSettings(), page=PageSettings(tmp_path / "file" / "page", "worker"))
    assert str(tmp_path) not in str(end.value)


def test_what_a_killed_server_has_left_of_removed_transcripts_is_removed(folder: Path) -> None:
    (folder / "media" / "stray").mkdir(parents=True)
    (folder / "media" / "stray" / "recording").touch()
    with api_on_loopback(page=PageSettings(folder, "worker", reserve_bytes=0)):
        wait_until(lambda: not any((folder / "media").iterdir()))


class Listening:
    """A tab that reads events."""

    def __init__(self, browser: Browser) -> None:
        self._connection = HTTPConnection("127.0.0.1", browser.port, timeout=20)
        headers = {"cookie": browser.cookie, "sec-fetch-site": "same-origin"}
        self._connection.request("GET", "/page/api/events", headers=headers)
        self.response = self._connection.getresponse()
        assert self.next() == ("hello", {})

    def next(self) -> tuple[str, Any]:
        """The next event; heartbeats are passed over."""
        lines: list[str] = []
        while not lines or lines[-1]:
            line = self.response.readline().decode().rstrip("\n")
            lines += [] if line.startswith(":") or (not line and not lines) else [line]
        return lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: "))

    def until(self, name: str) -> Any:
        while True:
            found, data = self.next()
            if found == name:
                return data

    def close(self) -> None:
        self.response.close()
        self._connection.close()


@pytest.fixture
def tab(browser: Browser) -> Iterator[Listening]:
    listening = Listening(browser)
    yield listening
    listening.close()


_BEGUN = {
    **{"state": "waiting", "fraction": 0.0, "revision": 0, "speakers": {}, "preview": "", "warnings": []},
    **dict.fromkeys(("duration", "language", "model", "processing_time")),
}


def test_a_tab_is_told_of_what_happens_in_another_one(browser: Browser, tab: Listening) -> None:
    record = finished(browser)
    first = tab.until("record")
    assert first == {**record, **_BEGUN, "updated": first["updated"]}
    while tab.until("record")["state"] != "done":
        pass
    line = {"id": "00000009", "start": 9, "end": 10, "words": []}
    patch(browser, record["id"], editor="tab1", lines=[line])
    assert tab.until("edited") == {"id": record["id"], "revision": 2, "editor": "tab1"}
    assert tab.until("record")["revision"] == 2
    browser.ask("DELETE", f"{TRANSCRIPTS}/{record['id']}")
    assert tab.until("removed") == {"id": record["id"]}


def test_a_silent_stream_has_a_heartbeat(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_events, "HEARTBEAT_S", 0.05)
    tab = Listening(browser)
    assert tab.response.readline() == b":\n"
    tab.close()


def test_a_tab_that_is_closed_is_forgotten(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_events, "HEARTBEAT_S", 0.02)
    app = create_app(ScriptedTranscriber(), DoorSettings(), page=PageSettings(folder, "worker"))
    with served(app) as port:
        tab = Listening(Browser(port))
        assert app.state.page.events.count == 1
        tab.close()
        wait_until(lambda: app.state.page.events.count == 0)


@pytest.mark.process
def test_an_upload_becomes_the_recording_of_its_transcript(
    browser: Browser, stranger: Browser, transcriber: ScriptedTranscriber, folder: Path
) -> None:
    clip = (Path(__file__).parent / "data" / "demo.ogg").read_bytes()
    about = {"name": "A talk.ogg", "size": len(clip), "fingerprint": "x"}
    upload_id = browser.post("/page/api/uploads", about).json["id"]
    assert browser.post(TRANSCRIPTS, {"upload": upload_id}).code == "incomplete_upload"
    assert browser.ask("PUT", f"/page/api/uploads/{upload_id}?offset=0", clip).status == 200
    assert stranger.post(TRANSCRIPTS, {"upload": upload_id}).status == 404
    record = browser.post(TRANSCRIPTS, {"upload": upload_id, "kind": "microphone"}).json
    assert record["source"] == {
        "kind": "microphone",
        "name": "A talk.ogg",
        "size": len(clip),
        "url": None,
        "tracks": [],
    }
    assert (record["title"], record["media"]) == ("A talk", {"kind": "audio", "playable": True})
    wait_until(lambda: state_of(browser, record["id"]) == "done")
    assert transcriber.uploads == [clip]
    assert browser.post(TRANSCRIPTS, {"upload": upload_id}).status == 404
    assert list((folder / "uploads").iterdir()) == []


@pytest.mark.process
def test_a_file_that_is_no_recording_has_no_media_and_its_job_says_why(
    browser: Browser, transcriber: ScriptedTranscriber
) -> None:
    transcriber.answer = {"error": "the file is not audio or video", "error_type": "UnsupportedMedia"}
    upload_id = browser.post("/page/api/uploads", {"name": "a.mp3", "size": 4, "fingerprint": "x"}).json["id"]
    browser.ask("PUT", f"/page/api/uploads/{upload_id}?offset=0", b"text")
    record = browser.post(TRANSCRIPTS, {"upload": upload_id}).json
    assert record["media"] is None
    wait_until(lambda: state_of(browser, record["id"]) == "failed")
