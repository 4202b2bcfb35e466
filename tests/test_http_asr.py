"""`/asr` and `/detect-language` as Bazarr and other clients of whisper-asr-webservice send them."""

from __future__ import annotations

import io
import json
import wave
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import requests

from api.asr_webservice import parse_asr, to_asr_body
from api.http.asr_routes import write_wav_header
from api.transcriber import Schema
from tests.support.http_api import ANSWER, Api, ScriptedTranscriber, api_on_loopback

SAMPLES = b"".join(number.to_bytes(2, "little", signed=True) for number in range(-8000, 8000))
BAZARR = {"User-Agent": "Subliminal/2.2.1"}
SCHEMA = Path(__file__).resolve().parents[1] / "client" / "job_input.schema.json"
SRT = ANSWER["transcription"]["srt"]


class WithTheWorkersOptions(ScriptedTranscriber):
    def option_schemas(self) -> Mapping[str, Schema]:
        return json.loads(SCHEMA.read_text())["$defs"]["Options"]["properties"]


@pytest.fixture(scope="module")
def api() -> Iterator[Api]:
    with api_on_loopback(WithTheWorkersOptions()) as api:
        yield api


@pytest.fixture
def transcriber(api: Api) -> ScriptedTranscriber:
    """The transcriber without the jobs of other tests."""
    api.transcriber.jobs.clear()
    api.transcriber.uploads.clear()
    api.transcriber.answer = ANSWER
    return api.transcriber


def post(api: Api, path: str, params: dict[str, str], recording: Any = SAMPLES, **more: Any) -> requests.Response:
    """Send a recording in the way of Bazarr, which uses this library too."""
    return requests.post(f"{api.url}{path}", params=params, files={"audio_file": recording}, timeout=10, **more)


def test_bazarr_gets_subtitles_of_its_samples(api: Api, transcriber: ScriptedTranscriber) -> None:
    params = {"task": "transcribe", "language": "en", "output": "srt", "encode": "false"}
    response = post(api, "/asr", params, headers=BAZARR)
    assert (response.status_code, response.text) == (200, SRT)
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.headers["asr-engine"] == "worker-whisper"
    assert response.headers["content-disposition"] == 'attachment; filename="audio_file.srt"'
    assert "x-ignored-fields" not in response.headers
    [job], [upload] = transcriber.jobs, transcriber.uploads
    assert job.input == {"options": {"task": "transcribe", "language": "en", "output_format": ["srt"]}}
    assert_is_wav(upload, SAMPLES)


def test_the_path_of_bazarrs_video_has_no_effect(api: Api, transcriber: ScriptedTranscriber) -> None:
    params = {"encode": "false", "video_file": "/tv/Séries/Épisode 1.mkv"}
    response = post(api, "/detect-language", params, headers=BAZARR)
    assert (response.status_code, response.headers["x-ignored-fields"]) == (200, "video_file")


@pytest.mark.parametrize("path", ["/asr", "/detect-language"])
def test_fields_of_the_form_have_no_effect_and_are_named(api: Api, transcriber: ScriptedTranscriber, path: str) -> None:
    response = post(api, path, {"unheard_of": "1"}, data={"output": "srt", "language": "de"})
    assert (response.status_code, response.headers["x-ignored-fields"]) == (200, "unheard_of, output, language")
    assert "language" not in transcriber.jobs[0].input["options"]


def test_bazarr_detects_a_language(api: Api, transcriber: ScriptedTranscriber) -> None:
    response = post(api, "/detect-language", {"encode": "false"}, headers=BAZARR)
    assert response.json() == {"detected_language": "english", "language_code": "en", "confidence": 0.99}
    assert_is_wav(transcriber.uploads[0], SAMPLES)


@pytest.mark.parametrize("params", [{}, {"encode": "true"}, {"encode": "1"}])
def test_an_ordinary_file_is_left_as_it_is(api: Api, transcriber: ScriptedTranscriber, params: dict[str, str]) -> None:
    assert post(api, "/asr", params, ("talk.mp3", b"ID3 any bytes")).status_code == 200
    assert transcriber.uploads == [b"ID3 any bytes"]


@pytest.mark.parametrize("output", ["txt", "srt", "vtt", "tsv", "json"])
def test_each_output_names_its_file(api: Api, transcriber: ScriptedTranscriber, output: str) -> None:
    response = post(api, "/asr", {"output": output})
    assert response.headers["content-disposition"] == f'attachment; filename="audio_file.{output}"'
    body = to_asr_body(ANSWER, parse_asr({"output": output}, {}))
    assert (response.content, response.headers["content-type"]) == (body.to_bytes(), body.media_type)


def test_warnings_are_in_a_header(api: Api, transcriber: ScriptedTranscriber) -> None:
    transcriber.answer = {**ANSWER, "metadata": {**ANSWER["metadata"], "warnings": ["the file is cut off: é"]}}
    response = post(api, "/asr", {})
    assert response.headers["x-warnings"] == '["the file is cut off: \\u00e9"]'
    assert response.headers["x-model"] == "turbo"


@pytest.mark.parametrize(
    ("path", "params", "status"),
    [
        ("/asr", {"output": "docx"}, 400),
        ("/asr", {"encode": "perhaps"}, 400),
        ("/asr", {"word_timestamps": "perhaps"}, 400),
        ("/detect-language", {"encode": "perhaps"}, 400),
    ],
)
def test_a_wrong_parameter_is_refused_before_the_job(
    api: Api, transcriber: ScriptedTranscriber, path: str, params: dict[str, str], status: int
) -> None:
    response = post(api, path, params)
    assert (response.status_code, transcriber.jobs) == (status, [])
    assert next(iter(params)) in response.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/asr", "/detect-language"])
def test_a_form_without_a_recording_is_refused(api: Api, transcriber: ScriptedTranscriber, path: str) -> None:
    response = requests.post(f"{api.url}{path}", files={"language": (None, "en")}, timeout=10)
    assert (response.status_code, transcriber.jobs) == (400, [])
    assert "audio_file" in response.json()["error"]["message"]


@pytest.mark.parametrize("encode", ["true", "false"])
def test_an_empty_recording_is_refused(api: Api, transcriber: ScriptedTranscriber, encode: str) -> None:
    response = post(api, "/asr", {"encode": encode}, ("audio_file", b""))
    assert (response.status_code, transcriber.jobs) == (400, [])
    assert "empty" in response.json()["error"]["message"]


@pytest.mark.parametrize("path", ["/asr", "/detect-language"])
def test_a_failed_job_is_an_error(api: Api, transcriber: ScriptedTranscriber, path: str) -> None:
    transcriber.answer = {"error": "the file has no audio", "error_type": "UnsupportedMedia"}
    response = post(api, path, {})
    assert (response.status_code, response.json()["error"]["message"]) == (400, "the file has no audio")


@pytest.mark.parametrize("size", [1, 2, 3, 31_999, 32_000])
def test_samples_of_any_size_become_a_wav_file(tmp_path: Path, size: int) -> None:
    path = tmp_path / "upload"
    path.write_bytes(bytes(44) + SAMPLES[:size])
    write_wav_header(path)
    assert_is_wav(path.read_bytes(), SAMPLES[: size - size % 2])


def test_more_samples_than_a_wav_header_can_name_last_to_the_end(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    with path.open("wb") as file:
        file.truncate(44 + 2**32)  # takes no space
    write_wav_header(path)
    with path.open("rb") as file:
        header = file.read(44)
    assert (header[4:8], header[40:44]) == (b"\xff" * 4, b"\xff" * 4)


def assert_is_wav(content: bytes, samples: bytes) -> None:
    with wave.open(io.BytesIO(content)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (16_000, 1, 2)
        assert file.readframes(file.getnframes()) == samples
    assert len(content) == 44 + len(samples)
    assert int.from_bytes(content[4:8], "little") == len(content) - 8
