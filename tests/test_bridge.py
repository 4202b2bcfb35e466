"""The bridge with everything real but RunPod: OpenAI's own SDK, the client's process, and a worker's.

The bridge runs in the client's environment, without torch; SDK and worker in the worker's.
"""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import openai
import pytest
import requests

from benchmarks.scoring import count_errors
from media.sandbox import ffmpeg_executable
from tests.platform.emulator import Platform
from tests.platform.routes import ENDPOINT
from tests.platform.worker import ROOT, Worker
from tests.support.http_api import wait_until

pytestmark = [pytest.mark.process, pytest.mark.model]

CLIPS = ROOT / "tests" / "data"
DEMO = CLIPS / "demo.ogg"
TEXT = "the quick brown fox jumps over the lazy dog"


@pytest.fixture(scope="module")
def platform() -> Iterator[Platform]:
    """An endpoint whose worker streams."""
    env = {"WHISPER_MODEL": "tiny.en", "WHISPER_MODELS": "base", "STREAMING": "true"}
    with Platform() as platform, Worker(platform, env=env) as worker:
        worker.wait_ready()
        yield platform


@pytest.fixture(scope="module")
def sdk(platform: Platform, tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    """OpenAI's SDK with the bridge's address."""
    with bridge(platform, tmp_path_factory.mktemp("bridge")) as url, client(url) as sdk:
        yield sdk


@contextmanager
def bridge(platform: Platform, folder: Path, *arguments: str) -> Iterator[str]:
    """Run the bridge's command in the client's environment; yields its base URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = {
        "RUNPOD_BASE_URL": platform.url.rpartition("/")[0],
        "RUNPOD_ENDPOINT_ID": ENDPOINT,
        "RUNPOD_API_KEY": platform.api_key,
    }
    folders = {"TMPDIR": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_CACHE_HOME": str(folder)}
    command: list[str | Path] = [
        ROOT / ".venv-client" / "bin" / "python",
        "-m",
        "client.serve",
        "--no-page",
        "--port",
        str(port),
        *arguments,
    ]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **address, **folders}, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        assert process.wait(20) == 0
    assert "Traceback" not in (folder / "log").read_text()


def client(url: str, **settings: Any) -> openai.OpenAI:
    # Connections are retried while the bridge starts.
    return openai.OpenAI(base_url=url, api_key="none", **{"timeout": 60, "max_retries": 8, **settings})


def run_ffmpeg(*arguments: str | Path) -> bytes:
    return subprocess.run([ffmpeg_executable(), "-v", "error", *arguments], check=True, capture_output=True).stdout


def repeated(clip: Path, times: int, target: Path) -> Path:
    """Write a recording that repeats a clip."""
    run_ffmpeg("-stream_loop", str(times - 1), "-i", clip, "-c", "copy", target)
    return target


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"still not true after {seconds:.0f} s"
        time.sleep(0.05)


def transcribe(sdk: openai.OpenAI, file: Path = DEMO, **fields: Any) -> Any:
    return sdk.audio.transcriptions.create(model="whisper-1", file=file, **fields)


def spoken(text: str) -> str:
    return " ".join("".join(letter for letter in text.lower() if letter.isalpha() or letter.isspace()).split())


@pytest.mark.slow
def test_each_format_comes_as_openai_sends_it(sdk: openai.OpenAI) -> None:
    plain = transcribe(sdk)
    assert TEXT in spoken(plain.text)
    assert plain.usage.seconds == pytest.approx(6.72, abs=1.0)
    assert TEXT in spoken(transcribe(sdk, response_format="text"))
    assert transcribe(sdk, response_format="srt").startswith("1\n00:00:0")
    assert transcribe(sdk, response_format="vtt").startswith("WEBVTT\n\n")
    verbose = transcribe(sdk, response_format="verbose_json", timestamp_granularities=["word", "segment"])
    assert (verbose.language, verbose.task) == ("english", "transcribe")
    assert verbose.duration == pytest.approx(6.72, abs=0.1)
    assert spoken(" ".join(word.word for word in verbose.words)) == spoken(verbose.text)
    starts = [word.start for word in verbose.words]
    assert starts == sorted(starts)
    assert verbose.segments[-1].end <= 6.8


@pytest.mark.slow
def test_speakers_are_told_apart(sdk: openai.OpenAI) -> None:
    fields = {"response_format": "diarized_json", "timestamp_granularities": ["word"]}
    answer = transcribe(sdk, CLIPS / "dialogue.ogg", chunking_strategy="auto", **fields)
    for segment in answer.segments:
        assert {word["speaker"] for word in segment.words} == {segment.speaker}
        assert " ".join(word["word"] for word in segment.words) == segment.text
    assert len({segment.speaker for segment in answer.segments}) == 3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")  # OpenAI switches the route off
def test_another_model_of_the_endpoint_translates(sdk: openai.OpenAI) -> None:
    answer = sdk.audio.translations.create(model="base", file=DEMO, response_format="verbose_json")
    assert "brown fox" in answer.text
    assert answer.language == "english"


@pytest.mark.slow
def test_raw_samples_are_transcribed_as_by_whisper_asr_webservice(sdk: openai.OpenAI) -> None:
    samples = run_ffmpeg("-i", DEMO, "-f", "s16le", "-ac", "1", "-ar", "16000", "-")
    address = str(sdk.base_url).replace("/v1/", "/asr")
    query = {"task": "transcribe", "language": "en", "output": "srt", "encode": "false"}
    answer = requests.post(address, params=query, files={"audio_file": samples}, timeout=60)
    assert answer.ok
    assert answer.text.startswith("1\n00:00:0")


def test_a_stream_gives_the_text_piece_by_piece(sdk: openai.OpenAI) -> None:
    events = list(transcribe(sdk, CLIPS / "long.ogg", stream=True))
    deltas = [event.delta for event in events if event.type == "transcript.text.delta"]
    assert len(deltas) > 3
    assert events[-1].type == "transcript.text.done"
    assert events[-1].text == "".join(deltas)


@pytest.mark.slow
def test_a_recording_in_parts_is_streamed_in_order(platform: Platform, tmp_path: Path) -> None:
    before = len(platform.jobs)
    with bridge(platform, tmp_path, "--payload-limit", "100000") as url, client(url) as sdk:
        events = list(transcribe(sdk, CLIPS / "long.ogg", stream=True))
        whole = transcribe(sdk, CLIPS / "long.ogg").text
    assert len(platform.jobs) - before > 4
    assert events[-1].text == whole
    assert "".join(event.delta for event in events[:-1]).split() == whole.split()


@pytest.mark.slow
def test_a_long_recording_comes_back_whole(platform: Platform, tmp_path: Path) -> None:
    recording = repeated(CLIPS / "long.ogg", 4, tmp_path / "five minutes.ogg")
    text = (CLIPS / "long.txt").read_text() * 4
    folder = tmp_path / "bridge"
    folder.mkdir()
    before = len(platform.jobs)
    with bridge(platform, folder, "--payload-limit", "250000") as url, client(url, timeout=280) as sdk:
        answer = transcribe(sdk, recording, response_format="verbose_json")
    assert len(platform.jobs) - before > 4
    assert answer.duration == pytest.approx(4 * 78.4, abs=2.0)
    assert answer.segments[-1].end == pytest.approx(answer.duration, abs=5.0)
    errors = count_errors(text, answer.text, "en")
    assert errors.edits < 0.03 * errors.total


def test_wrong_input_is_raised_as_the_sdks_own_exceptions(sdk: openai.OpenAI, tmp_path: Path) -> None:
    page = tmp_path / "talk.mp3"
    page.write_text("<html></html>")
    with pytest.raises(openai.BadRequestError, match="the file is not a recording: it is text"):
        transcribe(sdk, page)
    with pytest.raises(openai.BadRequestError, match="language"):
        transcribe(sdk, language="xx")
    with pytest.raises(openai.BadRequestError, match="response_format"):
        transcribe(sdk, response_format="docx")
    with pytest.raises(openai.NotFoundError, match="model"):
        sdk.audio.transcriptions.create(model="llama-3", file=DEMO)


def test_a_refusal_by_the_worker_is_raised_as_well(sdk: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match=r"tiny\.en"):
        transcribe(sdk, language="de")


def test_a_recording_in_json_is_transcribed(sdk: openai.OpenAI, platform: Platform) -> None:
    audio = {"data": base64.b64encode(DEMO.read_bytes()).decode(), "format": "ogg"}
    answer = sdk.post("/audio/transcriptions", body={"model": "whisper-1", "input_audio": audio}, cast_to=dict)
    assert TEXT in spoken(answer["text"])


def test_the_models_are_listed_without_a_job(sdk: openai.OpenAI, platform: Platform) -> None:
    before = len(platform.jobs)
    assert "whisper-1" in [model.id for model in sdk.models.list()]
    assert len(platform.jobs) == before


@pytest.mark.slow
def test_a_caller_that_hangs_up_ends_the_job(platform: Platform, sdk: openai.OpenAI, tmp_path: Path) -> None:
    recording = repeated(CLIPS / "long.ogg", 20, tmp_path / "half an hour.ogg")
    with pytest.raises(openai.APITimeoutError):
        transcribe(sdk.with_options(timeout=2.0, max_retries=0), recording)
    job = list(platform.jobs.values())[-1]
    until(lambda: job.status == "CANCELLED")


@pytest.mark.slow
def test_a_model_that_the_endpoint_lacks_is_replaced_by_its_default_with_a_warning(sdk: openai.OpenAI) -> None:
    with DEMO.open("rb") as file:
        answer = sdk.audio.transcriptions.with_raw_response.create(model="Systran/faster-whisper-large-v3", file=file)
    assert answer.headers["x-model"] == "tiny.en"
    assert "the model large-v3 is not loaded here: tiny.en has answered" in answer.headers["x-warnings"]
    assert [model.id for model in sdk.models.list()] == ["tiny.en", "base", "whisper-1"]


@pytest.mark.slow
def test_a_caller_whose_time_is_up_asks_again_for_the_same_job(platform: Platform, sdk: openai.OpenAI) -> None:
    before = len(platform.jobs)
    impatient = sdk.with_options(timeout=1.5, max_retries=8)
    assert transcribe(impatient, CLIPS / "long.ogg", temperature=0.2).text.startswith("Good morning")
    assert len(platform.jobs) == before + 1


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_litellm_transcribes(sdk: openai.OpenAI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else it is fetched
    import litellm

    with DEMO.open("rb") as file:
        answer = litellm.transcription("openai/whisper-1", file, api_base=str(sdk.base_url), api_key="none")
    assert TEXT in spoken(answer.text)


@pytest.mark.slow
def test_a_key_is_asked_for_if_one_is_set(platform: Platform, tmp_path: Path) -> None:
    with bridge(platform, tmp_path, "--serve-key", "secret") as url, client(url) as sdk:
        with pytest.raises(openai.AuthenticationError, match="the API key is wrong"):
            transcribe(sdk)
        assert TEXT in spoken(transcribe(sdk.with_options(api_key="secret")).text)


@pytest.mark.slow
def test_nothing_of_a_recording_is_left_on_the_disk(platform: Platform, tmp_path: Path) -> None:
    with bridge(platform, tmp_path) as url, client(url) as sdk:
        transcribe(sdk)
        # The upload goes when the whole answer has been sent, a moment after the caller has it.
        wait_until(lambda: {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"log", "in-use", "locked"})
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
