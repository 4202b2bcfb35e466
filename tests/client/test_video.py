"""Captioned videos: written beside the transcript, whatever the answer says of their names, or refused in time."""

from __future__ import annotations

import base64
import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from client.endpoint import Endpoint
from client.errors import EndpointFailed, WrongUsage
from client.fanout import Observer
from client.output import text_of
from client.recording import Terms, transcribed
from client.video import save
from tests.client.conftest import CLIPS, command
from tests.platform.emulator import Platform

DATA = bytes(range(256)) * 9


def answer(**video: Any) -> dict[str, Any]:
    return {"captioned_video": {"filename": "captioned.mp4", **video}, "metadata": {}}


@pytest.mark.process
def test_the_video_is_written_beside_the_transcript(served: Platform, folder: Path) -> None:
    video = folder / "clip.mp4"
    shutil.copy(CLIPS / "video.mp4", video)
    asked = ("transcribe", video, "--format", "json", "--captions", "mux", "--highlight-words")
    done = command(*asked, where=served, folder=folder)
    assert "clip.captioned.mp4" in done.stderr
    captioned = (folder / "clip.captioned.mp4").read_bytes()
    assert captioned[4:8] == b"ftyp"
    assert b"moving" in captioned
    told = json.loads((folder / "clip.json").read_text())["captioned_video"]
    assert told == {"filename": "captioned.mp4", "bytes": len(captioned), "encoder": None}
    (folder / "clip.json").unlink()
    assert "--overwrite" in command(*asked, where=served, folder=folder, code=2).stderr


def test_a_recording_of_which_only_the_sound_would_go_is_refused(endpoint: Endpoint, tmp_path: Path) -> None:
    video = tmp_path / "film.mp4"
    video.write_bytes((CLIPS / "video.mp4").read_bytes() + bytes(200_000))
    with pytest.raises(WrongUsage, match=r"captions need the video itself, and film\.mp4 is too large .* ffmpeg -i"):
        transcribed(
            endpoint,
            video,
            {"captions": "burn"},
            Terms(limit=100_000),
            stop=threading.Event(),
            observer=Observer(),
            cache=tmp_path / "cache",
        )


@pytest.mark.parametrize("name", ["../../evil.sh", "captioned.exe", "", None, ".mp4/../x", 7])
def test_a_hostile_name_stays_a_video_in_its_folder(tmp_path: Path, name: Any) -> None:
    output = answer(base64=base64.b64encode(DATA).decode()) | {}
    output["captioned_video"]["filename"] = name
    path = save(output, tmp_path / "talk")
    assert path == tmp_path / "talk.captioned.mkv"
    assert path.read_bytes() == DATA
    assert list(tmp_path.iterdir()) == [path]


def test_a_video_in_the_bucket_is_fetched(tmp_path: Path) -> None:
    class Bucket(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/there" else 403)
            self.send_header("Content-Length", str(len(DATA)))
            self.end_headers()
            self.wfile.write(DATA)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Bucket) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        link = f"http://127.0.0.1:{server.server_port}"
        path = save(answer(url=f"{link}/there"), tmp_path / "talk")
        assert path is not None
        assert path.read_bytes() == DATA
        with pytest.raises(EndpointFailed, match=r"cannot be fetched from the bucket \(HTTPError\)"):
            save(answer(url=f"{link}/gone?signature=secret"), tmp_path / "other")
        server.shutdown()
    assert list(tmp_path.iterdir()) == [path]


def test_no_video_is_no_file(tmp_path: Path) -> None:
    assert save({"metadata": {}}, tmp_path / "talk") is None
    assert save(answer(error="no font"), tmp_path / "talk") is None
    with pytest.raises(EndpointFailed, match="damaged"):
        save(answer(base64="!"), tmp_path / "talk")
    assert list(tmp_path.iterdir()) == []


def test_a_transcript_as_json_does_not_carry_the_video() -> None:
    output = answer(base64="AAAA", bytes=3) | {"transcription": {"text": "x"}}
    assert json.loads(text_of(output, "json"))["captioned_video"] == {"filename": "captioned.mp4", "bytes": 3}
