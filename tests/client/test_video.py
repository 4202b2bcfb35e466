"""Captioned videos: saved next to the transcript under a safe name, or refused before anything is sent."""

from __future__ import annotations

import base64
import json
import shutil
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from client.errors import EndpointFailed, WrongUsage
from client.job_request import RunSettings
from client.media.video import save_video
from client.output import file_text
from client.recording import transcribe_recording
from client.transport.endpoint import Endpoint
from client.transport.fanout import ProgressListener
from tests.client.conftest import CLIPS, run_command
from tests.platform.emulator import Platform

DATA = bytes(range(256)) * 9


def make_output(**video: Any) -> dict[str, Any]:
    return {"captioned_video": {"filename": "captioned.mp4", **video}, "metadata": {}}


@pytest.mark.process
def test_the_video_is_saved_next_to_the_transcript(streaming_platform: Platform, folder: Path) -> None:
    video = folder / "clip.mp4"
    shutil.copy(CLIPS / "video.mp4", video)
    arguments = ("transcribe", video, "--format", "json", "--captions", "mux", "--highlight-words")
    done = run_command(*arguments, where=streaming_platform, folder=folder)
    assert "clip.captioned.mp4" in done.stderr
    captioned = (folder / "clip.captioned.mp4").read_bytes()
    assert captioned[4:8] == b"ftyp"
    assert b"moving" in captioned
    facts = json.loads((folder / "clip.json").read_text())["captioned_video"]
    assert facts == {"filename": "captioned.mp4", "bytes": len(captioned), "encoder": None}
    (folder / "clip.json").unlink()
    assert "--overwrite" in run_command(*arguments, where=streaming_platform, folder=folder, code=2).stderr


@pytest.mark.process
def test_captions_are_refused_if_only_the_audio_would_be_sent(endpoint: Endpoint, tmp_path: Path) -> None:
    video = tmp_path / "film.mp4"
    video.write_bytes((CLIPS / "video.mp4").read_bytes() + bytes(200_000))
    with pytest.raises(WrongUsage, match=r"captions need the video itself, and film\.mp4 is too large .* ffmpeg -i"):
        transcribe_recording(
            endpoint,
            video,
            {"captions": "burn"},
            RunSettings(request_limit=100_000),
            stop=threading.Event(),
            listener=ProgressListener(),
            cache=tmp_path / "cache",
        )


@pytest.mark.parametrize("name", ["../../evil.sh", "captioned.exe", "", None, ".mp4/../x", 7])
def test_a_hostile_file_name_is_replaced(tmp_path: Path, name: Any) -> None:
    output = make_output(base64=base64.b64encode(DATA).decode()) | {}
    output["captioned_video"]["filename"] = name
    path = save_video(output, tmp_path / "talk")
    assert path == tmp_path / "talk.captioned.mkv"
    assert path.read_bytes() == DATA
    assert list(tmp_path.iterdir()) == [path]


def test_a_video_in_the_bucket_is_downloaded(tmp_path: Path) -> None:
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
        path = save_video(make_output(url=f"{link}/there"), tmp_path / "talk")
        assert path is not None
        assert path.read_bytes() == DATA
        with pytest.raises(EndpointFailed, match=r"cannot be downloaded from the bucket \(HTTPError\)"):
            save_video(make_output(url=f"{link}/gone?signature=secret"), tmp_path / "other")
        server.shutdown()
    assert list(tmp_path.iterdir()) == [path]


def test_without_a_valid_video_no_file_is_written(tmp_path: Path) -> None:
    assert save_video({"metadata": {}}, tmp_path / "talk") is None
    assert save_video(make_output(error="no font"), tmp_path / "talk") is None
    with pytest.raises(EndpointFailed, match="damaged"):
        save_video(make_output(base64="!"), tmp_path / "talk")
    assert list(tmp_path.iterdir()) == []


def test_a_json_file_does_not_contain_the_video() -> None:
    output = make_output(base64="AAAA", bytes=3) | {"transcription": {"text": "x"}}
    assert json.loads(file_text(output, "json"))["captioned_video"] == {"filename": "captioned.mp4", "bytes": 3}
