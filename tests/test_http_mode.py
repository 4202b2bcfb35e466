"""A worker in HTTP mode, with a real model, as the SDKs of OpenAI and LiteLLM use it."""

from __future__ import annotations

import io
import os
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import pytest
import requests

from tests.support.clips import CLIPS, assert_spoken, words
from tests.support.http_api import wait_until
from tests.support.http_worker import KEY, HttpWorker, http_worker
from tests.support.media import encode
from tests.support.servers import free_port
from tests.support.worker_process import run_python

pytestmark = [pytest.mark.process, pytest.mark.model]

DEMO = CLIPS / "demo.ogg"


@pytest.fixture(scope="module")
def worker() -> Iterator[HttpWorker]:
    """A worker with `tiny.en`, and `base` for translations."""
    with http_worker(WHISPER_MODELS="base", MAX_CONCURRENCY="16", AUDIO_VOLUME=str(CLIPS)) as running:
        yield running


@pytest.fixture(scope="module")
def client(worker: HttpWorker) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{worker.url}/v1", api_key=KEY, max_retries=0) as client:
        yield client


def transcribe(client: openai.OpenAI, clip: Path = DEMO, **fields: Any) -> Any:
    with clip.open("rb") as file:
        return client.audio.transcriptions.create(**{"model": "whisper-1", "file": file, **fields})


def test_the_health_path_tells_of_the_start_in_order(worker: HttpWorker) -> None:
    assert list(worker.timeline) == [204, 200]
    assert worker.timeline[204] < 3  # 0.2 s on a machine that has nothing else to do


def test_json(client: openai.OpenAI) -> None:
    answer = transcribe(client)
    assert_spoken(answer.text, "demo.ogg")
    assert answer.usage.seconds == 7  # of 6.7


@pytest.mark.slow
@pytest.mark.parametrize(
    ("response_format", "beginning"), [("text", "The quick"), ("srt", "1\n00:00:00,"), ("vtt", "WEBVTT\n\n00:")]
)
def test_texts(client: openai.OpenAI, response_format: str, beginning: str) -> None:
    assert transcribe(client, response_format=response_format).startswith(beginning)


@pytest.mark.parametrize(("granularities", "has_words"), [(["segment"], False), (["word"], True)])
def test_verbose_json_has_the_times_that_are_asked_for(
    client: openai.OpenAI, granularities: list[Any], has_words: bool
) -> None:
    answer = transcribe(client, response_format="verbose_json", timestamp_granularities=granularities)
    assert_spoken(answer.text, "demo.ogg")
    assert answer.language == "english"
    assert (answer.words is None) is not has_words
    assert (answer.segments is None) is has_words
    times = [(each.start, each.end) for each in answer.words or answer.segments]
    assert times == sorted(times)
    assert 0 <= times[0][0] < times[-1][1] <= 6.8


def test_a_job_of_runpods_routes_may_name_a_file_of_the_volume(worker: HttpWorker) -> None:
    body = {"input": {"audio": {"volume": "demo.ogg"}, "options": {"output_format": "text"}}}
    answer = requests.post(f"{worker.url}/runsync", json=body, headers={"Authorization": f"Bearer {KEY}"}, timeout=60)
    assert_spoken(answer.json()["output"]["transcription"]["text"], "demo.ogg")


@pytest.mark.parametrize(
    "fields", [{"volume": "demo.ogg"}, {"url": "volume:demo.ogg"}, {"url": {"volume": "demo.ogg"}}]
)
def test_openais_api_names_no_file_of_the_volume(worker: HttpWorker, fields: dict[str, Any]) -> None:
    address, key = f"{worker.url}/v1/audio/transcriptions", {"Authorization": f"Bearer {KEY}"}
    answer = requests.post(address, json={"model": "whisper-1", **fields}, headers=key, timeout=60)
    assert answer.status_code == 400, answer.text


def test_speakers(client: openai.OpenAI) -> None:
    answer = transcribe(client, CLIPS / "dialogue.ogg", response_format="diarized_json", chunking_strategy="auto")
    assert {segment.speaker for segment in answer.segments} == {"A", "B", "C"}


def test_openais_client_keeps_what_verbose_json_says_of_speakers(client: openai.OpenAI) -> None:
    fields = {"response_format": "verbose_json", "timestamp_granularities": ["word", "segment"]}
    answer = transcribe(client, CLIPS / "dialogue.ogg", **fields, extra_body={"diarize": True})
    labels = {"SPEAKER_00", "SPEAKER_01", "SPEAKER_02"}
    assert {segment.speaker for segment in answer.segments} == {word.speaker for word in answer.words} == labels
    assert {speaker["speaker"] for speaker in answer.speakers} == labels


@pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning")  # OpenAI's own route ends, ours stays
def test_a_translation(client: openai.OpenAI) -> None:
    with DEMO.open("rb") as file:
        answer = client.audio.translations.create(model="base", file=file, response_format="verbose_json")
    assert answer.language == "english"
    assert_spoken(answer.text, "demo.ogg", max_errors=3)


def test_a_stream_has_the_text_in_pieces_and_then_as_a_whole(client: openai.OpenAI) -> None:
    *deltas, done = transcribe(client, CLIPS / "long.ogg", stream=True)
    assert len(deltas) > 5
    assert {event.type for event in deltas} == {"transcript.text.delta"}
    assert done.type == "transcript.text.done"
    assert "".join(event.delta for event in deltas).split() == done.text.split()
    assert_spoken(done.text, "long.ogg", max_errors=10)


@pytest.mark.slow
def test_silence_is_an_empty_text(client: openai.OpenAI) -> None:
    assert transcribe(client, CLIPS / "silence.flac").text == ""


def test_our_own_options_are_fields(client: openai.OpenAI) -> None:
    answer = transcribe(client, extra_body={"clip_timestamps": "0,3.7"})
    assert words(answer.text)[-2:] == ["lazy", "dog"]


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"file": ("talk.mp3", b"%PDF-1.7 no recording" * 50)}, openai.BadRequestError, "the file is a PDF"),
        ({"file": ("talk.mp3", b"\xff" * 5000)}, openai.BadRequestError, "the file is not audio or video"),
        ({"language": "klingon"}, openai.BadRequestError, "language"),
        ({"extra_body": {"beam_size": 99}}, openai.BadRequestError, "beam_size"),
        ({"response_format": "docx"}, openai.BadRequestError, "response_format"),
        ({"model": "large-v7"}, openai.NotFoundError, "tiny.en"),
    ],
)
def test_wrong_input_is_the_sdks_own_exception_with_our_sentence(
    client: openai.OpenAI, fields: dict[str, Any], error: type[openai.APIStatusError], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        transcribe(client, **fields)
    assert caught.value.response.headers["x-should-retry"] == "false"


def test_a_wrong_key_is_an_authentication_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.AuthenticationError, match="the API key is wrong"):
        transcribe(client.with_options(api_key="wrong"))


LITELLM = """
import sys, litellm, openai
litellm.telemetry = False
with open("tests/data/demo.ogg", "rb") as file:
    answer = litellm.transcription(model="openai/whisper-1", file=file, api_base=sys.argv[1], api_key=sys.argv[2])
print(answer.text)
try:
    litellm.transcription(
        model="openai/whisper-1", file=("a.mp3", b"%PDF-1.7 no recording" * 50),
        api_base=sys.argv[1], api_key=sys.argv[2]
    )
except openai.BadRequestError as error:
    print("the file is a PDF" in str(error))
"""


@pytest.mark.slow
def test_litellm(worker: HttpWorker) -> None:
    completed = run_python("-c", LITELLM, f"{worker.url}/v1", KEY, LITELLM_LOCAL_MODEL_COST_MAP="True")
    assert completed.returncode == 0, completed.stderr
    text, is_refused = completed.stdout.strip().splitlines()[-2:]
    assert_spoken(text, "demo.ogg")
    assert is_refused == "True"


@pytest.mark.slow
def test_64_requests_at_once_are_all_answered(client: openai.OpenAI) -> None:
    recording = DEMO.read_bytes()

    def ask(number: int) -> str:
        return str(transcribe(client, file=(f"{number}.ogg", io.BytesIO(recording))).text)

    with ThreadPoolExecutor(64) as threads:
        texts = list(threads.map(ask, range(64)))
    for text in texts:
        assert_spoken(text, "demo.ogg")


@pytest.mark.slow
def test_a_client_that_hangs_up_leaves_the_batch(worker: HttpWorker, tmp_path: Path) -> None:
    recording = tmp_path / "an hour.ogg"  # which takes minutes
    encode("-stream_loop", "119", "-i", str(CLIPS / "long.ogg"), "-c", "copy", str(recording))
    with upload(worker, recording):
        wait_until(lambda: worker.metric("whisper_engine_windows_decoding") > 0)
    wait_until(lambda: worker.metric("whisper_jobs_in_flight") == 0)
    wait_until(lambda: worker.metric("whisper_engine_windows_decoding") == 0)
    assert worker.metric("whisper_engine_windows_queued") == 0


def upload(worker: HttpWorker, clip: Path) -> socket.socket:
    """A connection with a whole request, of which no answer is read."""
    body = b"".join(
        (
            b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n',
            b'--b\r\ncontent-disposition: form-data; name="beam_size"\r\n\r\n5\r\n',
            b'--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n',
            clip.read_bytes(),
            b"\r\n--b--\r\n",
        )
    )
    head = (
        "POST /v1/audio/transcriptions HTTP/1.1",
        "host: localhost",
        "content-type: multipart/form-data; boundary=b",
        f"authorization: Bearer {KEY}",
        f"content-length: {len(body)}",
    )
    connection = socket.create_connection(("127.0.0.1", worker.port), timeout=30)
    connection.sendall("\r\n".join([*head, "", ""]).encode() + body)
    return connection


def test_the_log_names_no_url_and_no_text(worker: HttpWorker, client: openai.OpenAI) -> None:
    worker.get("/v1/models?key=secret")
    transcribe(client, prompt="A private prompt.")
    log = "".join(worker.log)
    assert "job.finished" in log
    assert "secret" not in log
    assert "private" not in log
    assert "quick" not in log


@pytest.mark.slow
def test_sigterm_answers_what_runs_and_ends_with_0(tmp_path: Path) -> None:
    with http_worker(TMPDIR=str(tmp_path)) as worker:
        with upload(worker, CLIPS / "long.ogg") as connection:
            wait_until(lambda: worker.metric("whisper_engine_windows_decoding") > 0)
            worker.process.send_signal(signal.SIGTERM)
            assert connection.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
        assert worker.process.wait(60) == 0
        assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_failed_fitness_check_ends_the_start_with_its_sentence(tmp_path: Path) -> None:
    ffmpeg = tmp_path / "ffmpeg"
    ffmpeg.write_text("#!/bin/sh\nexit 1\n")
    ffmpeg.chmod(0o755)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    completed = run_python("handler.py", WORKER_MODE="http", PORT=str(free_port()), PATH=path)
    assert completed.returncode == 1
    assert "worker-whisper cannot start: ffmpeg does not decode the demo's clip" in completed.stderr
    assert "Traceback" not in completed.stderr


@pytest.mark.slow
def test_the_page_is_announced_and_asks_for_a_key(tmp_path: Path) -> None:
    with http_worker(PAGE="auto", PAGE_FOLDER=str(tmp_path / "page")) as worker:
        wait_until(lambda: any("worker.ready" in line and "page=true" in line for line in worker.log))
        assert "<!doctype html>" in worker.get("/")[1]
        assert '"needs_password":true' in worker.get("/page/api/session")[1].replace(" ", "")
        assert worker.get("/page/api/transcripts")[0] == 401
    assert (tmp_path / "page" / "transcripts.sqlite3").is_file()


@pytest.mark.slow
def test_without_a_folder_for_the_page_the_api_is_served_unless_the_page_was_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "file"
    folder.touch()
    sentence = "the page's folder cannot be written"
    with http_worker(PAGE="auto", PAGE_FOLDER=str(folder)) as worker:
        wait_until(lambda: any(f"no web page: {sentence}" in line for line in worker.log))
        assert worker.get("/v1/models")[0] == 200
        assert worker.get("/page/api/session")[0] == 404
    completed = run_python(
        "handler.py", WORKER_MODE="http", PORT=str(free_port()), PAGE="true", PAGE_FOLDER=str(folder)
    )
    assert completed.returncode == 1
    assert f"worker-whisper cannot start: {sentence}" in completed.stderr
    assert "Traceback" not in completed.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"HOST": "0.0.0.0"}, "other machines can connect and no key is set: set API_KEYS, or REQUIRE_API_KEY=false"),
        ({"HOST": "0.0.0.0", "API_KEYS": " , "}, "no key is set"),
        ({"REQUIRE_API_KEY": "true"}, "no key is set"),
        ({"WORKER_MODE": "lb"}, "WORKER_MODE should be auto, queue or http"),
        ({"PORT": "http"}, "PORT should be a whole number"),
        ({"MAX_CONCURRENCY": "0"}, "MAX_CONCURRENCY"),
    ],
)
def test_a_wrong_environment_ends_the_start_with_a_sentence(variables: dict[str, str], sentence: str) -> None:
    completed = run_python("handler.py", **{"WORKER_MODE": "http", "PORT": "18000", **variables})
    assert completed.returncode == 1
    [line] = [line for line in completed.stderr.splitlines() if "worker-whisper cannot start" in line]
    assert sentence in line
    assert "Traceback" not in completed.stderr
