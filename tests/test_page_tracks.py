"""Tracks of a conversation on the page: several uploads, one job, one transcript, and a mix to play."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from threading import Event
from typing import Any

import imageio_ffmpeg
import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.concurrency import run_in_threadpool

from api.page import kept_answer, track_jobs, tracks
from api.page.ffmpeg import Stopped
from api.page.jobs import MAX_ATTEMPTS
from api.page.records import Record, Source, Track
from api.page.settings import PageSettings
from api.page.store import Store
from api.page.threads import until_stopped
from api.page.tracks import Clock, clocks_of, track_file, write_mix
from src.request import tracks as worker_tracks
from tests.support.http_api import ANSWER, Api, ScriptedTranscriber, api_on_loopback, wait_until
from tests.support.media import SAMPLE_RATE, main_frequency, sine, write_wav
from tests.support.page_api import Browser

TRANSCRIPTS = "/page/api/transcripts"
PLACES = [{"name": "Ada", "offset": 0.0, "drift_ppm": 0.0}, {"name": "Ben", "offset": 1.0, "drift_ppm": 900.0}]
SPEAKERS_KNOWN = "diarize has no effect: the tracks say who speaks"


@pytest.fixture
def transcriber() -> ScriptedTranscriber:
    return ScriptedTranscriber(answer={**ANSWER, "metadata": {**ANSWER["metadata"], "tracks": PLACES}})


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


def recording(path: Path, frequency: float, seconds: float) -> bytes:
    return write_wav(path, sine(frequency, seconds)[:, None]).read_bytes()


def begin(browser: Browser, **recordings: bytes) -> Any:
    """The record of a new transcript of tracks, by their speakers' names."""
    given = [{"upload": browser.upload(content, f"{name}.wav"), "name": name} for name, content in recordings.items()]
    response = browser.post(TRANSCRIPTS, {"tracks": given, "options": {"diarize": True, "language": "en"}})
    assert response.status == 201, response.body
    return response.json


def ended(browser: Browser, transcript_id: str) -> Any:
    """The record, once its job has ended."""
    path = f"{TRANSCRIPTS}/{transcript_id}"
    wait_until(lambda: browser.get(path).json["state"] not in ("waiting", "working"))
    return browser.get(path).json


def samples_of(content: bytes, folder: Path) -> NDArray[np.int16]:
    (folder / "mix").write_bytes(content)
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(folder / "mix"), "-ac", "1", "-ar"]
    done = subprocess.run([*command, str(SAMPLE_RATE), "-f", "s16le", "-"], check=True, capture_output=True)
    return np.frombuffer(done.stdout, "<i2")


@pytest.mark.process
def test_tracks_are_one_job_and_their_mix_is_the_recording_of_its_transcript(
    browser: Browser, transcriber: ScriptedTranscriber, folder: Path, tmp_path: Path
) -> None:
    ada, ben = recording(tmp_path / "ada.wav", 400, 1.0), recording(tmp_path / "ben.wav", 1000, 4.0)
    begun = begin(browser, Ada=ada, Ben=ben)
    told = [{"name": name, "url": None, "offset": None} for name in ("Ada", "Ben")]
    source = {"kind": "tracks", "name": "Ada, Ben", "size": len(ada + ben), "url": None, "tracks": told}
    assert (begun["title"], begun["source"], begun["media"]) == ("Ada, Ben", source, None)
    record = ended(browser, begun["id"])
    assert (record["state"], record["media"]) == ("done", {"kind": "audio", "playable": True})
    assert record["warnings"] == [SPEAKERS_KNOWN]
    [job] = transcriber.jobs
    assert [(one.name, Path(one.recording).read_bytes()) for one in job.tracks] == [("Ada", ada), ("Ben", ben)]
    assert job.upload is None
    assert job.input == {"options": {"language": "en", "output_format": "json", "word_timestamps": True}}
    assert list((folder / "uploads").iterdir()) == []

    answer = browser.get(f"{TRANSCRIPTS}/{record['id']}/media")
    assert answer.headers["content-disposition"] == "inline; filename*=UTF-8''Ada%2C%20Ben.m4a"
    mix = samples_of(answer.body, tmp_path)
    assert len(mix) / SAMPLE_RATE == pytest.approx(1.0 + 4.0 * 1.0009, abs=0.05)
    half = SAMPLE_RATE // 2
    assert main_frequency(mix[:half]) == pytest.approx(400, abs=2)
    assert main_frequency(mix[2 * SAMPLE_RATE : 4 * SAMPLE_RATE]) == pytest.approx(1000 / 1.0009, abs=0.5)
    assert np.abs(mix[1100 * 16 : 1300 * 16]).max() == pytest.approx(8000, rel=0.2)

    assert browser.post(f"{TRANSCRIPTS}/{record['id']}/retry", {}).status == 200
    assert ended(browser, record["id"])["state"] == "done"
    assert [one.name for one in transcriber.jobs[1].tracks] == ["Ada", "Ben"]
    assert browser.ask("DELETE", f"{TRANSCRIPTS}/{record['id']}").status == 204
    assert list((folder / "media").iterdir()) == []


@pytest.mark.process
def test_a_mix_that_fails_anew_leaves_the_earlier_one_and_says_so(
    browser: Browser, folder: Path, tmp_path: Path
) -> None:
    record = ended(browser, begin(browser, Ada=recording(tmp_path / "ada.wav", 400, 1.0))["id"])
    track = track_file(folder / "media" / record["id"], 0)
    track.write_bytes(b"text")
    assert browser.post(f"{TRANSCRIPTS}/{record['id']}/retry", {}).status == 200
    again = ended(browser, record["id"])
    assert (again["state"], again["media"]) == ("done", {"kind": "audio", "playable": True})
    assert again["warnings"][0].startswith("what is played is the tracks' earlier mix, whose times may be others, as")
    assert {path.name for path in track.parent.iterdir()} <= {"recording", "track-00", "resume", "peaks"}


@pytest.mark.parametrize(("attempts", "mixes"), [(1, True), (MAX_ATTEMPTS - 1, False)])
def test_a_server_that_ended_while_it_mixed_does_not_run_the_job_again(
    transcriber: ScriptedTranscriber, folder: Path, monkeypatch: pytest.MonkeyPatch, attempts: int, mixes: bool
) -> None:
    token = "t" * 43
    source = Source("tracks", "Ada", 5, tracks=[Track("Ada")])
    place = folder / "media" / "one"
    place.mkdir(parents=True)
    track_file(place, 0).write_bytes(b"sound")
    kept_answer.keep(place, ANSWER)
    store = Store(folder)
    store.add(Record("one", sha256(token.encode()).hexdigest(), "Ada", source, {}, state="working", attempts=attempts))
    store.close()
    mixed: list[Path] = []
    monkeypatch.setattr(track_jobs, "write_mix", lambda tracks, clocks, target, *rest: mixed.append(target))
    with api_on_loopback(transcriber, page=PageSettings(folder, "worker", reserve_bytes=0)) as api:
        record = ended(Browser(api.port, f"worker-whisper-visitor-{api.port}={token}"), "one")
    assert (record["state"], record["preview"]) == ("done", "Good morning. What is it? It is noon.")
    assert transcriber.jobs == []
    assert mixed == ([place / "recording"] if mixes else [])
    assert any("there is no mix of them" in warning for warning in record["warnings"]) is not mixes
    assert kept_answer.find(place) is None


def test_a_track_may_be_at_a_url_and_have_an_offset(browser: Browser, transcriber: ScriptedTranscriber) -> None:
    given = [
        {"upload": browser.upload(b"sound", "ada.wav"), "name": "Ada", "offset": 2.5},
        {"url": "https://example.org/ben.wav", "name": "O’Brien"},
    ]
    record = ended(browser, browser.post(TRANSCRIPTS, {"tracks": given}).json["id"])
    [job] = transcriber.jobs
    assert [(one.name, one.offset) for one in job.tracks] == [("Ada", 2.5), ("O’Brien", None)]
    assert [one.recording for one in job.tracks][1] == "https://example.org/ben.wav"
    assert (record["source"]["size"], record["media"]) == (None, None)
    assert record["warnings"] == ["the tracks cannot be played, as not all of them are on this server"]


@pytest.mark.process
def test_tracks_that_cannot_be_mixed_have_a_transcript_and_a_warning_that_names_the_track(
    browser: Browser, tmp_path: Path
) -> None:
    record = ended(browser, begin(browser, Ada=recording(tmp_path / "ada.wav", 400, 1.0), Ben=b"text")["id"])
    assert (record["state"], record["media"]) == ("done", None)
    assert record["warnings"] == [
        "the tracks cannot be played, as there is no mix of them: Ben: the file is not audio or video in a format that "
        "can be read",
        SPEAKERS_KNOWN,
    ]


@pytest.mark.process
def test_a_mix_that_is_not_wanted_any_more_leaves_the_earlier_one(tmp_path: Path) -> None:
    track, mix, stop = tmp_path / "ada.wav", tmp_path / "recording", Event()
    recording(track, 400, 20.0)
    mix.write_bytes(b"earlier")
    stop.set()
    with pytest.raises(Stopped):
        write_mix({"Ada": track}, [Clock()], mix, stop, 1 << 30, lambda _: None)
    assert mix.read_bytes() == b"earlier"
    assert {path.name for path in tmp_path.iterdir()} == {"ada.wav", "recording"}


def test_work_on_a_thread_is_stopped_and_awaited_when_its_job_is_cancelled() -> None:
    begun, stop, ended = Event(), Event(), Event()

    def work() -> None:
        begun.set()
        if stop.wait(20):
            ended.set()

    async def run() -> None:
        job = asyncio.create_task(until_stopped(run_in_threadpool(work), stop))
        await asyncio.to_thread(begun.wait)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        assert ended.is_set()

    asyncio.run(run())


def test_an_upload_that_is_not_there_leaves_the_others(browser: Browser, folder: Path) -> None:
    upload = browser.upload(b"sound", "ada.wav")
    given = [{"upload": upload, "name": "Ada"}, {"upload": "other", "name": "Ben"}]
    assert browser.post(TRANSCRIPTS, {"tracks": given}).code == "no_such_upload"
    assert browser.get(f"/page/api/uploads/{upload}").json["received"] == 5
    assert browser.get(TRANSCRIPTS).json == {"transcripts": []}
    assert list((folder / "media").iterdir()) == []


@pytest.mark.parametrize(
    ("metadata", "clocks"),
    [
        ({"tracks": PLACES}, [Clock(), Clock(1.0, 0.0009)]),
        ({"tracks": PLACES[:1]}, [Clock(), Clock()]),
        ({"tracks": [{"offset": float("nan"), "drift_ppm": "1"}, None]}, [Clock(), Clock()]),
        ({"tracks": [{"offset": -1.0}, {"offset": 1e9, "drift_ppm": 2000.0}]}, [Clock(), Clock()]),
        ({}, [Clock(), Clock()]),
        (None, [Clock(), Clock()]),
    ],
)
def test_clocks_are_those_of_the_answer_within_limits(metadata: Any, clocks: list[Clock]) -> None:
    assert clocks_of({"metadata": metadata}, 2) == clocks


def test_limits_are_the_workers() -> None:
    assert (tracks.MAX_TRACKS, tracks.MAX_OFFSET_S) == (worker_tracks.MAX_TRACKS, worker_tracks.MAX_OFFSET_S)
