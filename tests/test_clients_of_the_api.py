"""Programs that speak OpenAI's audio API, or whisper-asr-webservice's, get their transcripts from a real server.

Their requests are sent byte for byte, and the answers are read as each program does (tests/support/api_clients.py).
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import srt

from media.sandbox import ffmpeg_executable
from tests.support import api_clients as clients
from tests.support.clips import CLIPS, assert_spoken
from tests.support.http_worker import http_worker

pytestmark = [pytest.mark.model, pytest.mark.process, pytest.mark.slow]

OPUS = (CLIPS / "demo.ogg").read_bytes()
SILENCE = (CLIPS / "silence.flac").read_bytes()


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, int]]:
    """The worker's address."""
    with http_worker(WHISPER_MODEL="base", API_KEYS=clients.KEY) as worker:
        yield "127.0.0.1", worker.port


@pytest.fixture(scope="module")
def keyless_server() -> Iterator[tuple[str, int]]:
    """The address of a worker that asks for no key."""
    with http_worker(WHISPER_MODEL="base", API_KEYS="") as worker:
        yield "127.0.0.1", worker.port


@pytest.fixture(scope="module")
def mp3() -> bytes:
    return converted("-f", "mp3")


@pytest.fixture(scope="module")
def webm() -> bytes:
    """As Chromium's MediaRecorder gives it: Opus in WebM, written without seeking, so without its duration."""
    return converted("-c:a", "copy", "-f", "webm")


@pytest.fixture(scope="module")
def wav() -> bytes:
    return converted("-ac", "1", "-ar", "16000", "-f", "wav")


@pytest.fixture(scope="module")
def pcm() -> bytes:
    """As Bazarr's ffmpeg gives it."""
    return converted("-f", "s16le", "-acodec", "pcm_s16le", "-ac", "1", "-ar", "16000", "-af", "aresample=async=1")


def converted(*arguments: str) -> bytes:
    command = [ffmpeg_executable(), "-v", "error", "-i", str(CLIPS / "demo.ogg"), *arguments, "-"]
    return subprocess.run(command, check=True, capture_output=True).stdout


def assert_segments(segments: list[dict[str, Any]]) -> None:
    """Asserts that segments are in order, within the clip, and say its words."""
    times = [time for segment in segments for time in (segment["start"], segment["end"])]
    assert times == sorted(times)
    assert 0 <= times[0] < times[-1] < 7
    assert_spoken(" ".join(segment["text"] for segment in segments), "demo.ogg")


@pytest.mark.parametrize(("name", "file_first"), [("chunk.mp3", False), ("chunk.mp3", True), ("Größe 1.mp3", False)])
def test_subtitle_edit_gets_lines_with_times(server: tuple[str, int], mp3: bytes, name: str, file_first: bool) -> None:
    answer = clients.send(clients.subtitle_edit(mp3, name, file_first=file_first), server)
    assert (answer.status, answer.media_type) == (200, "application/json")
    assert_segments(answer.json["segments"])


def test_subtitle_edit_gets_lines_with_times_from_a_stream(server: tuple[str, int], mp3: bytes) -> None:
    answer = clients.send(clients.subtitle_edit(mp3, stream=True), server)
    assert (answer.status, answer.media_type) == (200, "text/event-stream")
    read = clients.subtitle_edit_reads(answer.body)
    assert_spoken(read.text, "demo.ogg")
    assert_segments(read.segments)


def test_subtitle_edits_openrouter_engine_gets_lines_with_times(server: tuple[str, int], mp3: bytes) -> None:
    answer = clients.send(clients.subtitle_edit_openrouter(mp3), server)
    assert answer.status == 200
    assert_segments(answer.json["segments"])


def test_subtitle_edit_shows_the_sentence_of_a_refusal(server: tuple[str, int]) -> None:
    answer = clients.send(clients.subtitle_edit(b"no recording", language="en"), server)
    assert answer.status == 400
    assert answer.json["error"]["param"] == "file"


def test_open_webui_gets_the_text(server: tuple[str, int], mp3: bytes) -> None:
    assert_spoken(clients.open_webui_reads(clients.send(clients.open_webui(mp3), server)), "demo.ogg")


def test_open_webui_gets_the_text_by_json(server: tuple[str, int], mp3: bytes) -> None:
    assert_spoken(clients.open_webui_reads(clients.send(clients.open_webui_json(mp3), server)), "demo.ogg")


def test_open_webui_tries_again_without_a_language_that_is_refused(server: tuple[str, int], mp3: bytes) -> None:
    refused = clients.send(clients.open_webui(mp3, language="xx"), server)
    assert refused.status == 400
    assert clients.open_webui_reads(refused).startswith("External: language: ")
    again = clients.send(clients.open_webui(mp3, language=None), server)
    assert_spoken(clients.open_webui_reads(again), "demo.ogg")


def test_n8n_gets_json_for_its_next_node(server: tuple[str, int]) -> None:
    answer = clients.send(clients.n8n(OPUS), server)
    assert (answer.status, answer.media_type) == (200, "application/json")
    assert_spoken(answer.json["text"], "demo.ogg", max_errors=3)  # sampled with temperature 0.2


def test_librechat_gets_the_text_of_a_browsers_recording(server: tuple[str, int], webm: bytes) -> None:
    assert_spoken(clients.librechat_reads(clients.send(clients.librechat(webm), server)), "demo.ogg")


def test_librechat_takes_silence_for_a_failure(server: tuple[str, int]) -> None:
    answer = clients.send(clients.librechat(SILENCE, "audio.flac", "audio/flac"), server)
    assert (answer.status, answer.json["text"]) == (200, "")
    with pytest.raises(ValueError, match="Missing data"):
        clients.librechat_reads(answer)


@pytest.mark.parametrize("stream", [False, True])
def test_home_assistant_gets_the_text(server: tuple[str, int], wav: bytes, stream: bool) -> None:
    answer = clients.send(clients.wyoming_openai(wav, stream=stream), server)
    assert answer.media_type == ("text/event-stream" if stream else "application/json")
    assert_spoken(clients.wyoming_openai_reads(answer), "demo.ogg")


@pytest.mark.parametrize("video_file", [None, "/media/tv/Schön & gut/S01E01.mkv"])
def test_bazarr_learns_the_language(keyless_server: tuple[str, int], pcm: bytes, video_file: str | None) -> None:
    answer = clients.send(clients.bazarr_detect_language(pcm, video_file), keyless_server)
    assert answer.status == 200
    assert (answer.json["language_code"], answer.json["detected_language"]) == ("en", "english")


@pytest.mark.parametrize("task", ["transcribe", "translate"])
def test_bazarr_gets_subtitles_of_pcm_without_a_header(keyless_server: tuple[str, int], pcm: bytes, task: str) -> None:
    answer = clients.send(clients.bazarr_subtitles(pcm, task), keyless_server)
    assert (answer.status, answer.media_type) == (200, "text/plain")
    cues = list(srt.parse(answer.body.decode()))
    assert_spoken(" ".join(cue.content for cue in cues), "demo.ogg")


def test_bazarr_cannot_send_a_key(server: tuple[str, int], pcm: bytes) -> None:
    assert clients.send(clients.bazarr_subtitles(pcm), server).status == 401


@pytest.mark.parametrize(
    ("request_bytes", "name"),
    [
        (clients.subtitle_edit(OPUS), "Subtitle Edit"),
        (clients.open_webui(OPUS), "Open WebUI"),
        (clients.n8n(OPUS), "n8n"),
        (clients.librechat(OPUS), "LibreChat"),
        (clients.wyoming_openai(OPUS, stream=True), "wyoming_openai"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_key_is_refused_in_each_programs_request(
    server: tuple[str, int], request_bytes: bytes, name: str
) -> None:
    answer = clients.send(request_bytes.replace(clients.KEY.encode(), b"sk-wrong"), server)
    assert answer.status == 401
    assert "key" in answer.json["error"]["message"]
