"""What a server of the page that was killed, or whose disk was full, leaves to the next one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from api.http.app import create_app
from api.http.door import DoorSettings
from api.page import store as stores
from api.page.records import Record, Source, Track
from api.page.settings import PageSettings
from api.page.store import NotWritten, Store
from api.page.tables import StoreUnusable
from tests.support.http_api import Api, ScriptedTranscriber, api_on_loopback, wait_until
from tests.support.page_api import Browser

CLIPS = Path(__file__).parent / "data"
TOKEN = "t" * 43
ANNA = sha256(TOKEN.encode()).hexdigest()
TRANSCRIPTS = "/page/api/transcripts"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "media").mkdir()
    return tmp_path


def leave(folder: Path, *records: Record) -> None:
    """What the server before has written."""
    store = Store(folder)
    for record in records:
        store.add(record)
    store.close()


def recorded(transcript_id: str, folder: Path, **values: Any) -> Record:
    """A transcript of a file, with its folder."""
    (folder / "media" / transcript_id).mkdir()
    return Record(transcript_id, ANNA, "Talk", Source("file", "talk.mp3", 5), {}, **values)


@contextmanager
def serving(folder: Path) -> Iterator[tuple[Api, Browser]]:
    with api_on_loopback(ScriptedTranscriber(held=True), page=PageSettings(folder, "worker", reserve_bytes=0)) as api:
        yield api, Browser(api.port, f"worker-whisper-visitor-{api.port}={TOKEN}")


def upload(browser: Browser, content: bytes) -> str:
    about = {"name": "talk.mp3", "size": len(content), "fingerprint": "1"}
    upload_id: str = browser.post("/page/api/uploads", about).json["id"]
    assert browser.ask("PUT", f"/page/api/uploads/{upload_id}?offset=0", content).status == 200
    return upload_id


def test_an_upload_is_kept_when_the_server_is_killed_before_its_transcript_has_it(folder: Path) -> None:
    with serving(folder) as (_, browser):
        upload_id = upload(browser, b"audio")
    leave(folder, recorded("one", folder))
    with serving(folder) as (_, browser):
        assert browser.get(TRANSCRIPTS).json["transcripts"] == []
        assert not (folder / "media" / "one").exists()
        assert browser.get(f"/page/api/uploads/{upload_id}").json["received"] == 5


def test_a_transcript_whose_tracks_a_killed_server_had_not_all_taken_is_removed(folder: Path) -> None:
    source = Source("tracks", "Ada, Ben", 10, tracks=[Track("Ada"), Track("Ben", offset=2.5)])
    whole, half = (replace(recorded(name, folder), source=source) for name in ("whole", "half"))
    for file in ("whole/track-00", "whole/track-01", "half/track-00"):
        (folder / "media" / file).write_bytes(b"sound")
    leave(folder, whole, half)
    with serving(folder) as (_, browser):
        assert [each["id"] for each in browser.get(TRANSCRIPTS).json["transcripts"]] == ["whole"]
        assert [path.name for path in (folder / "media").iterdir()] == ["whole"]


def test_an_upload_is_kept_when_there_are_too_many_transcripts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores, "MAX_TRANSCRIPTS_OF_ONE", 0)
    with serving(folder) as (_, browser):
        upload_id = upload(browser, b"audio")
        assert browser.post(TRANSCRIPTS, {"upload": upload_id}).status == 409
        assert browser.get(f"/page/api/uploads/{upload_id}").json["received"] == 5
        assert not list((folder / "media").iterdir())


@pytest.mark.process
def test_a_recording_is_looked_at_by_the_next_server_if_the_one_before_had_not(folder: Path) -> None:
    record = recorded("one", folder)
    (folder / "media" / "one" / "recording").write_bytes((CLIPS / "video.mp4").read_bytes())
    leave(folder, record)
    with serving(folder) as (_, browser):
        wait_until(lambda: browser.get(f"{TRANSCRIPTS}/one").json["media"])
        assert browser.get(f"{TRANSCRIPTS}/one").json["media"] == {"kind": "video", "playable": True}


def test_what_a_killed_server_had_begun_to_write_is_removed(folder: Path) -> None:
    video = {"state": "working", "captions": "mux", "fraction": 0.5}
    leave(folder, recorded("one", folder, state="done", video=video))
    own = folder / "media" / "one"
    (own / "captions-x1").mkdir()
    for name in ("recording", "peaks", "peaks.part", "playable.part.mp4", "captioned", "captions-x1/captions.ass"):
        (own / name).write_bytes(b"x")
    with serving(folder) as (_, browser):
        assert browser.get(f"{TRANSCRIPTS}/one").json["video"]["state"] == "failed"
        assert sorted(path.name for path in own.iterdir()) == ["peaks", "recording"]


def test_on_a_full_disk_a_removal_frees_the_recording_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(folder, recorded("one", folder, state="done"))
    (folder / "media" / "one" / "recording").write_bytes(b"audio")
    remove = Store.remove

    def remove_if_there_is_space(store: Store, transcript_id: str) -> None:
        if (folder / "media" / "one" / "recording").exists():
            raise NotWritten
        remove(store, transcript_id)

    monkeypatch.setattr(Store, "remove", remove_if_there_is_space)
    with serving(folder) as (_, browser):
        assert browser.ask("DELETE", f"{TRANSCRIPTS}/one").status == 204
        assert browser.get(TRANSCRIPTS).json["transcripts"] == []


def test_a_folder_for_uploads_that_cannot_be_used_is_told_and_the_store_released(folder: Path) -> None:
    (folder / "uploads").write_bytes(b"")
    with pytest.raises(StoreUnusable, match="cannot be written"):
        create_app(ScriptedTranscriber(), DoorSettings(), page=PageSettings(folder, "worker"))
    Store(folder).close()
