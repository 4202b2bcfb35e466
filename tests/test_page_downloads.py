"""What comes out of a transcript over HTTP: files, cues, captioned video, peaks and the playable copy."""

from __future__ import annotations

import io
import json
import subprocess
import time
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import imageio_ffmpeg
import numpy as np
import pysubs2
import pytest
import srt
from numpy.typing import NDArray

from api.http import page_video
from api.page.exports import MEDIA_TYPES
from api.page.media import read_header
from api.page.settings import PageSettings
from media.video import video_of
from tests.support.http_api import SENTENCES, Api, ScriptedTranscriber, api_on_loopback, wait_until
from tests.support.media import encode
from tests.support.page_api import Browser, Response

pytestmark = pytest.mark.process

PAGE = "/page/api"
TALK = ("-f", "lavfi", "-i", "sine=frequency=300:duration=6")
FILM = ("-f", "lavfi", "-i", "color=gray:size=320x180:rate=5:duration=6", *TALK, "-pix_fmt", "yuv420p")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("page") / "page"


@pytest.fixture(scope="module")
def api(folder: Path) -> Iterator[Api]:
    settings = PageSettings(folder, "worker", reserve_bytes=0)
    with api_on_loopback(ScriptedTranscriber(keep_uploads=False), page=settings) as api:
        yield api


@pytest.fixture(scope="module")
def browser(api: Api) -> Browser:
    return Browser(api.port)


def transcribed(browser: Browser, recording: Path, title: str = "") -> str:
    """The id of a finished transcript of a file."""
    return finished(browser, upload=browser.upload(recording.read_bytes(), recording.name), title=title)


def finished(browser: Browser, **body: Any) -> str:
    response = browser.post(f"{PAGE}/transcripts", body)
    assert response.status == 201, response.body
    transcript_id: str = response.json["id"]
    wait_until(lambda: record_of(browser, transcript_id)["state"] == "done")
    return transcript_id


def record_of(browser: Browser, transcript_id: str) -> Any:
    return browser.get(f"{PAGE}/transcripts/{transcript_id}").json


def get(browser: Browser, transcript_id: str, path: str) -> Response:
    return browser.get(f"{PAGE}/transcripts/{transcript_id}/{path}")


def when_made(browser: Browser, transcript_id: str, path: str) -> Response:
    """The answer as soon as it is no longer 202."""
    answers: list[Response] = []

    def is_made() -> bool:
        answers.append(get(browser, transcript_id, path))
        assert answers[-1].status != 202 or 0 <= answers[-1].json["fraction"] <= 1
        return answers[-1].status != 202

    wait_until(is_made)
    return answers[-1]


@pytest.fixture(scope="module")
def film(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    encode(*FILM, str(path))
    return transcribed(browser, path)


@pytest.fixture(scope="module")
def address(browser: Browser) -> str:
    return finished(browser, url="https://example.org/talk.mp3", title='Tea: "日本" & <b>\u202egpj')


def test_files_have_the_corrected_text_and_names(browser: Browser) -> None:
    transcript_id = finished(browser, url="https://example.org/corrected.mp3")
    line = get(browser, transcript_id, "document").json["lines"][0]
    words = [[" Corrected.", line["start"], line["end"], None]]
    change = {
        "editor": "a",
        "lines": [{**line, "based_on": line["revision"], "words": words}],
        "speakers": {"SPEAKER_00": "Anna"},
    }
    body = json.dumps(change).encode()
    assert browser.ask("PATCH", f"{PAGE}/transcripts/{transcript_id}", body).status == 200
    cues = list(srt.parse(get(browser, transcript_id, "export/srt").body.decode()))
    assert [cue.content for cue in cues] == ["Anna: Corrected.", "Speaker 2: What is it?", "Anna: It is noon."]
    text = get(browser, transcript_id, "export/txt?times=true").body.decode()
    assert text == "0:00  Anna: Corrected.\n\n0:02  Speaker 2: What is it?\n\n0:04  Anna: It is noon.\n"
    assert get(browser, transcript_id, "export/txt?names=0").body.decode().startswith("Corrected.\n")


def test_ebu_stl_begins_at_the_timecode_that_is_asked_for(browser: Browser) -> None:
    transcript_id = finished(browser, url="https://example.org/talk.mp3")
    content = get(browser, transcript_id, "export/stl?stl_start=10:00:00:00&stl_frame_rate=30").body
    assert (content[3:11], content[256:264]) == (b"STL30.01", b"10000000")
    assert list(content[1024 + 5 : 1024 + 9]) == [10, 0, 0, 0]
    path = f"{PAGE}/transcripts/{transcript_id}/export/stl"
    for wrong, says in (
        ("stl_start=10:00", "stl_start: should be a timecode such as 10:00:00:00"),
        ("stl_start=10:00:00:27", "stl_start: should be a timecode from 00:00:00:00 to 23:59:59:24"),
        ("stl_frame_rate=24", "stl_frame_rate: should be 25 or 30"),
    ):
        refused = browser.get(f"{path}?{wrong}")
        assert (refused.status, refused.json["error"]["message"][: len(says)]) == (400, says)


def test_what_a_file_cannot_hold_is_told(browser: Browser) -> None:
    transcript_id = finished(browser, url="https://example.org/lost.mp3")
    assert get(browser, transcript_id, "export/stl").headers["x-warnings"] is None
    line = get(browser, transcript_id, "document").json["lines"][0]
    words = [[" 你好", line["start"], line["end"], None]]
    change = {"editor": "a", "lines": [{**line, "based_on": line["revision"], "words": words}]}
    browser.ask("PATCH", f"{PAGE}/transcripts/{transcript_id}", json.dumps(change).encode())
    file = get(browser, transcript_id, "export/stl")
    asked = browser.ask("HEAD", f"{PAGE}/transcripts/{transcript_id}/export/stl")
    (warning,) = json.loads(asked.headers["x-warnings"])
    assert "for 2 characters of the text, which are replaced (你 好)" in warning
    assert (asked.body, file.headers["x-warnings"]) == (b"", asked.headers["x-warnings"])
    archive = zipfile.ZipFile(io.BytesIO(get(browser, transcript_id, "export/zip").body))
    (name,) = (name for name in archive.namelist() if name.endswith(".warnings.txt"))
    assert archive.read(name).decode() == f"{warning}\n"


@pytest.mark.parametrize("name", [*MEDIA_TYPES, "zip"])
def test_a_file_has_its_type_and_the_title_as_its_name(browser: Browser, address: str, name: str) -> None:
    response = get(browser, address, f"export/{name}?preset=broadcast")
    assert response.status == 200
    assert response.headers["content-type"] == MEDIA_TYPES.get(name, "application/zip")
    disposition = response.headers["content-disposition"]
    assert disposition.startswith("attachment; ")
    assert unquote(disposition.rpartition("UTF-8''")[2]) == f"Tea 日本 & b gpj.{name}"
    assert response.headers["x-content-type-options"] == "nosniff"


def test_the_archive_has_all_files(browser: Browser, address: str) -> None:
    archive = zipfile.ZipFile(io.BytesIO(get(browser, address, "export/zip").body))
    assert [name.rpartition(".")[2] for name in archive.namelist()] == list(MEDIA_TYPES)
    assert archive.read("Tea 日本 & b gpj.srt") == get(browser, address, "export/srt").body


@pytest.mark.parametrize(
    ("path", "status", "param"),
    [
        ("export/pdf", 404, None),
        ("export/srt?preset=cinema", 400, "preset"),
        ("export/docx?unsure_below=50", 400, "unsure_below"),
        ("export/srt?max_line_width=0", 400, "max_line_width"),
        ("export/txt?times=perhaps", 400, "times"),
        ("cues?from=x", 400, "from"),
        ("cues?to=-1", 400, "to"),
        ("cues?to=nan", 400, "to"),
        ("video", 404, None),
    ],
)
def test_what_makes_no_sense_is_refused(
    browser: Browser, address: str, path: str, status: int, param: str | None
) -> None:
    response = get(browser, address, path)
    assert (response.status, response.json["error"]["param"]) == (status, param)


@pytest.mark.parametrize("path", ["export/srt", "export/zip", "cues", "peaks", "video", "media?copy=playable"])
def test_a_stranger_gets_nothing(api: Api, film: str, path: str) -> None:
    assert get(Browser(api.port), film, path).status == 404


def test_cues_are_those_of_the_files(browser: Browser, address: str) -> None:
    cues = get(browser, address, "cues?preset=broadcast").json["cues"]
    files = list(srt.parse(get(browser, address, "export/srt?preset=broadcast").body.decode()))
    assert [" ".join([f"{cue['voice']}:", *cue["lines"]]) for cue in cues] == [cue.content for cue in files]
    assert [cue["start"] for cue in cues] == [cue.start.total_seconds() for cue in files]
    assert [cue["line_ids"] for cue in cues] == [["00000000"], ["00000001"], ["00000002"]]


def test_cues_of_a_part_keep_the_names_of_the_whole(browser: Browser, address: str) -> None:
    cues = get(browser, address, "cues?from=2.0&to=3.0").json["cues"]
    assert [(cue["voice"], cue["lines"]) for cue in cues] == [("Speaker 2", [SENTENCES[1]])]


def test_peaks_are_made_once_and_kept(browser: Browser, film: str, folder: Path) -> None:
    response = when_made(browser, film, "peaks")
    assert (response.status, response.headers["x-peaks-per-second"]) == (200, "20")
    assert len(response.body) == pytest.approx(120, abs=2)
    assert min(response.body[1:-2]) > 20
    assert (folder / "media" / film / "peaks").read_bytes() == response.body
    assert get(browser, film, "peaks").status == 200


@pytest.mark.parametrize("path", ["peaks", "media?copy=playable"])
def test_a_recording_that_is_elsewhere_has_no_waveform(browser: Browser, address: str, path: str) -> None:
    response = get(browser, address, path)
    assert (response.status, response.code) == (404, "no_media")


def test_a_copy_that_browsers_play_comes_in_ranges(browser: Browser, tmp_path: Path) -> None:
    encode(*TALK, str(tmp_path / "a.wma"))
    transcript_id = transcribed(browser, tmp_path / "a.wma")
    assert record_of(browser, transcript_id)["media"] == {"kind": "audio", "playable": False}
    whole = when_made(browser, transcript_id, "media?copy=playable")
    assert whole.headers["content-type"] == "audio/mp4"
    assert whole.headers["content-security-policy"] == "sandbox"
    part = browser.get(f"{PAGE}/transcripts/{transcript_id}/media?copy=playable", range="bytes=4-7")
    assert (part.status, part.body) == (206, b"ftyp")


def test_a_damaged_recording_is_told_of_in_a_sentence(browser: Browser, tmp_path: Path) -> None:
    encode(*TALK, str(tmp_path / "a.flac"))
    content = (tmp_path / "a.flac").read_bytes()
    header, _, _ = content.partition(b"\xff\xf8")
    (tmp_path / "a.flac").write_bytes(header + bytes(range(256)) * 40)
    transcript_id = transcribed(browser, tmp_path / "a.flac")
    response = when_made(browser, transcript_id, "peaks")
    assert (response.status, response.code) == (422, "media_failed")
    assert str(tmp_path) not in response.json["error"]["message"]


def make_video(browser: Browser, transcript_id: str, **body: Any) -> Any:
    """The record when its captioned video is there, or could not be made."""
    response = browser.post(f"{PAGE}/transcripts/{transcript_id}/video", body)
    assert response.status == 202, response.body
    assert response.json["video"]["state"] == "working"
    wait_until(lambda: record_of(browser, transcript_id)["video"]["state"] != "working")
    return record_of(browser, transcript_id)


def picture_at(path: Path, seconds: float) -> NDArray[np.uint8]:
    arguments = ["-v", "error", "-ss", str(seconds), "-i", str(path), "-frames:v", "1", "-f", "rawvideo"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), *arguments, "-pix_fmt", "gray", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    return np.frombuffer(done.stdout, np.uint8).reshape(180, 320)


def test_captions_become_a_track(browser: Browser, film: str, tmp_path: Path) -> None:
    record = make_video(browser, film, captions="mux")
    assert record["video"] == {
        "state": "done",
        "fraction": 1.0,
        "captions": "mux",
        "revision": record["revision"],
        "begun": record["video"]["begun"],
        "suffix": ".mp4",
        "warnings": [],
    }
    response = get(browser, film, "video")
    assert response.headers["content-type"] == "video/mp4"
    assert unquote(response.headers["content-disposition"]).endswith("film.captioned.mp4")
    path = tmp_path / "captioned.mp4"
    path.write_bytes(response.body)
    tracks = video_of(path, read_header(path)).tracks
    assert [(track.kind, track.codec) for track in tracks] == [
        ("Video", "h264"),
        ("Audio", "aac"),
        ("Subtitle", "mov_text"),
    ]
    encode("-i", str(path), str(tmp_path / "read.srt"))
    assert [event.plaintext for event in pysubs2.load(str(tmp_path / "read.srt"))] == [
        "Speaker 1: Good morning.",
        "Speaker 2: What is it?",
        "Speaker 1: It is noon.",
    ]
    archive = zipfile.ZipFile(io.BytesIO(get(browser, film, "export/zip").body))
    assert archive.read("film.captioned.mp4") == response.body


def test_captions_are_drawn_into_the_picture(browser: Browser, film: str, tmp_path: Path) -> None:
    assert make_video(browser, film, captions="burn", names=False)["video"]["state"] == "done"
    path = tmp_path / "burnt.mp4"
    path.write_bytes(get(browser, film, "video").body)
    spoken, silent = picture_at(path, 0.5), picture_at(path, 5.7)
    assert spoken[120:].max() > 230  # white letters at the bottom
    assert spoken[:120].max() < 150
    assert silent.max() < 150
    assert [track.kind for track in video_of(path, read_header(path)).tracks] == ["Video", "Audio"]


def test_what_a_captioned_video_has_lost_is_said(browser: Browser, tmp_path: Path) -> None:
    encode(*FILM, str(tmp_path / "film.avi"))
    video = make_video(browser, transcribed(browser, tmp_path / "film.avi"), captions="mux")["video"]
    (warning,) = video["warnings"]
    assert (video["suffix"], warning.partition(",")[0]) == (".mkv", "the captioned video is a .mkv file")


def test_a_recording_without_picture_gets_no_captions(browser: Browser, tmp_path: Path) -> None:
    encode(*TALK, str(tmp_path / "a.mp3"))
    transcript_id = transcribed(browser, tmp_path / "a.mp3")
    video = make_video(browser, transcript_id, captions="burn")["video"]
    assert (video["state"], video["error"]) == ("failed", "the recording has no picture: captions need a video")


@pytest.mark.parametrize(
    "body", [{}, {"captions": "paint"}, {"captions": ["mux"]}, [], {"captions": "mux", "preset": 1}]
)
def test_a_wrong_order_for_a_video_is_refused(browser: Browser, film: str, body: Any) -> None:
    assert browser.post(f"{PAGE}/transcripts/{film}/video", body).status == 400


def test_a_full_disk_gets_no_video_and_is_said(
    api: Api, browser: Browser, film: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api.page, "settings", replace(api.page.settings, reserve_bytes=1 << 60))
    response = browser.post(f"{PAGE}/transcripts/{film}/video", {"captions": "mux"})
    assert (response.status, response.code) == (507, "no_space")


def test_a_captioned_video_that_is_removed_the_moment_it_is_made_stays_removed(
    browser: Browser, film: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(page_video, "_REPORT_S", 3.0)
    path = folder / "media" / film / "captioned"
    path.unlink(missing_ok=True)
    browser.post(f"{PAGE}/transcripts/{film}/video", {"captions": "mux"})
    wait_until(path.exists)
    browser.ask("DELETE", f"{PAGE}/transcripts/{film}/video")
    time.sleep(3.5)
    assert record_of(browser, film)["video"] is None


def test_of_two_captioned_videos_at_once_the_last_one_is_made(browser: Browser, film: str) -> None:
    address = f"{PAGE}/transcripts/{film}/video"
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda mode: browser.post(address, {"captions": mode}), ["mux", "burn"] * 3))
    wait_until(lambda: record_of(browser, film)["video"]["state"] != "working")
    video = record_of(browser, film)["video"]
    assert (video["state"], video["suffix"]) == ("done", ".mp4")


def test_a_captioned_video_is_cancelled(browser: Browser, tmp_path: Path, folder: Path) -> None:
    second = ("-f", "lavfi", "-i", "testsrc2=size=640x360:rate=30:duration=1", "-f", "lavfi", "-i", "sine=duration=1")
    encode(*second, "-shortest", str(tmp_path / "second.mp4"))
    encode("-stream_loop", "90", "-i", str(tmp_path / "second.mp4"), "-c", "copy", str(tmp_path / "long.mp4"))
    transcript_id = transcribed(browser, tmp_path / "long.mp4")
    browser.post(f"{PAGE}/transcripts/{transcript_id}/video", {"captions": "burn"})
    wait_until(lambda: any((folder / "media" / transcript_id).glob("captioned.part*")))
    response = browser.ask("DELETE", f"{PAGE}/transcripts/{transcript_id}/video")
    assert (response.status, response.json["video"]) == (200, None)
    assert [path.name for path in (folder / "media" / transcript_id).iterdir()] == ["recording"]


def test_what_was_made_goes_with_the_transcript(browser: Browser, tmp_path: Path, folder: Path) -> None:
    encode(*TALK, str(tmp_path / "a.mp3"))
    transcript_id = transcribed(browser, tmp_path / "a.mp3")
    when_made(browser, transcript_id, "peaks")
    assert browser.ask("DELETE", f"{PAGE}/transcripts/{transcript_id}").status == 204
    assert not (folder / "media" / transcript_id).exists()
