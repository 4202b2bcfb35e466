"""The page's transcripts over HTTP: made, run, read, changed and removed, by the visitor whose they are."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from api.http import page_routes
from api.page.settings import PageSettings
from tests.support.http_api import ANSWER, SEGMENTS, Api, ScriptedTranscriber, api_on_loopback, wait_until
from tests.support.page_api import Browser, Response

TRANSCRIPTS = "/page/api/transcripts"
URL = "https://example.org/talks/episode%2012.mp3"


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
