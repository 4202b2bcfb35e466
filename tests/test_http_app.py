"""The HTTP API over a real connection: OpenAI's SDK, errors, keys, and callers that hang up."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPConnection
from pathlib import Path
from types import MappingProxyType
from typing import Any

import openai
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from api.http import connections, middleware, openai_routes
from api.http.door import DoorSettings
from tests.support.files import entries_under
from tests.support.http_api import (
    ANSWER,
    BOUNDARY,
    SEGMENTS,
    SENTENCES,
    STL,
    Api,
    ScriptedTranscriber,
    api_on_loopback,
    form,
    part,
    post,
    read_all,
)
from tests.support.properties import examples

TEXT = " ".join(SENTENCES)
FORM = {"content-type": f"multipart/form-data; boundary={BOUNDARY}"}
NONE: Mapping[str, Any] = MappingProxyType({})
CLIP = ("clip.wav", b"RIFF....WAVE")


@pytest.fixture
def api(no_files_left: Any) -> Iterator[Api]:
    with api_on_loopback() as api:
        yield api


def client_of(api: Api, key: str = "none", **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{api.url}/v1", api_key=key, max_retries=0, **options)


@dataclass(frozen=True)
class Response:
    status: int
    headers: Message
    body: bytes

    @property
    def error(self) -> str:
        error = json.loads(self.body)["error"]
        assert set(error) == {"message", "type", "param", "code"}
        return str(error["message"])


def call(
    api: Api, method: str, path: str, body: bytes = b"", headers: Mapping[str, Any] = MappingProxyType({})
) -> Response:
    connection = HTTPConnection("127.0.0.1", api.port, timeout=20)
    connection.request(method, path, body, dict(headers))
    answer = connection.getresponse()
    response = Response(answer.status, answer.headers, answer.read())
    connection.close()
    assert "x-request-id" in response.headers
    return response


def form_of(**fields: str) -> bytes:
    return form(
        *(part(name, value.encode()) for name, value in {"model": "whisper-1", **fields}.items()), part("file", b"RIFF")
    )


def ask(
    api: Api, path: str = "/v1/audio/transcriptions", headers: Mapping[str, Any] = MappingProxyType({}), **fields: str
) -> Response:
    return call(api, "POST", path, form_of(**fields), {**FORM, **headers})


def wait_for(condition: Any, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it has not become true in time"
        time.sleep(0.01)


def test_the_sdk_gets_a_text(api: Api) -> None:
    with client_of(api) as client:
        answer = client.audio.transcriptions.create(file=CLIP, model="whisper-1", language="en", prompt="Names: Ada.")
    assert answer.text == TEXT
    assert answer.to_dict()["usage"] == {"type": "duration", "seconds": 6.0}
    assert api.transcriber.uploads == [CLIP[1]]
    options = {"language": "en", "initial_prompt": "Names: Ada.", "output_format": ["text"]}
    assert api.transcriber.jobs[0].input == {"options": options}


@pytest.mark.parametrize(
    ("response_format", "start"),
    [
        ("text", "Good morning."),
        ("srt", "1\n00:00:00,000"),
        ("vtt", "WEBVTT"),
        ("tsv", "start\tend"),
        ("lrc", "[00:00"),
    ],
)
def test_the_sdk_gets_texts_as_they_are(api: Api, response_format: Any, start: str) -> None:
    with client_of(api) as client:
        answer: Any = client.audio.transcriptions.create(file=CLIP, model="turbo", response_format=response_format)
    assert answer.startswith(start)


def test_the_sdk_gets_bytes(api: Api) -> None:
    with client_of(api) as client:
        raw = client.audio.transcriptions.with_raw_response
        answer = raw.create(file=CLIP, model="turbo", response_format="stl")  # type: ignore[call-overload]
    assert (answer.content, answer.headers["content-type"]) == (STL, "application/octet-stream")


def test_the_sdk_gets_words_and_segments(api: Api) -> None:
    with client_of(api) as client:
        answer = client.audio.transcriptions.create(
            file=CLIP, model="whisper-1", response_format="verbose_json", timestamp_granularities=["word", "segment"]
        )
    assert [segment.start for segment in answer.segments] == [0.0, 2.0, 4.0]
    assert [word.word for word in answer.words] == ["Good"]


def test_the_sdk_gets_speakers(api: Api) -> None:
    with client_of(api) as client:
        answer: Any = client.audio.transcriptions.create(
            file=CLIP, model="gpt-4o-transcribe-diarize", response_format="diarized_json", chunking_strategy="auto"
        )
    assert [segment.speaker for segment in answer.segments] == ["A", "B", "A"]
    assert api.transcriber.jobs[0].input["options"]["diarize"] is True


def test_the_sdk_gets_a_translation(api: Api) -> None:
    with client_of(api) as client, pytest.warns(DeprecationWarning, match="deprecated"):
        answer = client.audio.translations.create(file=CLIP, model="whisper-1")
    assert answer.text == TEXT
    assert api.transcriber.jobs[0].input["options"]["task"] == "translate"


def test_the_sdk_gets_a_stream(api: Api) -> None:
    api.transcriber.segments = SEGMENTS
    with client_of(api) as client:
        events = list(
            client.audio.transcriptions.create(file=CLIP, model="whisper-1", stream=True, include=["logprobs"])
        )
    assert [event.type for event in events] == ["transcript.text.delta"] * 3 + ["transcript.text.done"]
    *deltas, done = events
    assert "".join(getattr(event, "delta", "") for event in deltas) == getattr(done, "text", None) == TEXT


def test_the_sdk_gets_a_stream_of_speakers(api: Api) -> None:
    with client_of(api) as client:
        events: list[Any] = list(
            client.audio.transcriptions.create(
                file=CLIP, model="gpt-4o-transcribe-diarize", response_format="diarized_json", stream=True
            )
        )
    segments = [event for event in events if event.type == "transcript.text.segment"]
    assert [segment.speaker for segment in segments] == ["A", "B", "A"]


def test_a_format_that_cannot_stream_is_answered_whole(api: Api) -> None:
    answer = ask(api, stream="true", response_format="srt")
    assert answer.status == 200
    assert answer.headers["x-ignored-fields"] == "stream"
    assert answer.body.startswith(b"1\n00:00:00,000")


@pytest.mark.slow
def test_the_async_sdk_gets_64_texts_at_once(api: Api) -> None:
    api.transcriber.seconds = 0.2

    async def transcribe_all() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{api.url}/v1", api_key="none", max_retries=0) as client:
            jobs = (client.audio.transcriptions.create(file=CLIP, model="whisper-1") for _ in range(64))
            return [answer.text for answer in await asyncio.gather(*jobs)]

    assert asyncio.run(transcribe_all()) == [TEXT] * 64
    wait_for(lambda: api.door.requests == 0)


def test_models_are_listed(api: Api) -> None:
    with client_of(api) as client:
        assert {"turbo", "base", "whisper-1"} <= {model.id for model in client.models.list()}
        assert client.models.retrieve("openai/whisper-large-v3-turbo").id == "openai/whisper-large-v3-turbo"
        with pytest.raises(openai.NotFoundError, match="there is no such model here") as error:
            client.models.retrieve("gpt-4o")
    assert error.value.code == "model_not_found"


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/audio/transcriptions"])
def test_addresses_may_lack_the_version(api: Api, path: str) -> None:
    assert ask(api, path).status == 200


def test_parameters_of_the_address_are_named_as_ignored(api: Api) -> None:
    answer = ask(api, "/v1/audio/transcriptions?api-version=1&response_format=srt", unheard_of="1")
    assert (answer.status, answer.headers["x-ignored-fields"]) == (200, "unheard_of, api-version, response_format")


def test_an_answer_says_what_its_body_has_no_place_for(api: Api) -> None:
    api.transcriber.answer = {**ANSWER, "metadata": {**ANSWER["metadata"], "warnings": ["Ünsure\r\nx-evil: 1"]}}
    began = time.monotonic()
    answer = ask(api, model="distil-whisper/distil-large-v3", unheard_of="1", response_format="text")
    assert answer.headers["x-model"] == "turbo"
    assert answer.headers["x-ignored-fields"] == "unheard_of"
    assert json.loads(answer.headers["x-warnings"])[1] == "Ünsure\r\nx-evil: 1"
    assert "x-evil" not in answer.headers
    assert 0 <= int(answer.headers["openai-processing-ms"]) <= 1000 * (time.monotonic() - began) + 1


def test_warnings_that_a_header_has_no_room_for_are_counted(api: Api) -> None:
    warnings = ["ä" * 500, *(f"{number}: {'x' * 100}" for number in range(30))]
    api.transcriber.answer = {**ANSWER, "metadata": {**ANSWER["metadata"], "warnings": warnings}}
    header = ask(api, response_format="srt").headers["x-warnings"]
    *shown, rest = json.loads(header)
    assert 3900 < len(header) <= 4096
    assert shown == warnings[: len(shown)]
    assert rest == f"{len(warnings) - len(shown)} more"


@pytest.mark.parametrize(
    ("error_type", "exception", "retries"),
    [
        ("InvalidInput", openai.BadRequestError, "false"),
        ("UnsupportedMedia", openai.BadRequestError, "false"),
        ("TooLarge", openai.APIStatusError, "false"),
        ("OutOfMemory", openai.InternalServerError, "false"),
        ("OutOfResources", openai.InternalServerError, "true"),
        ("Internal", openai.InternalServerError, "false"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_a_failed_job_raises_the_sdks_exceptions(
    api: Api, error_type: str, exception: type[openai.APIStatusError], retries: str, stream: bool
) -> None:
    api.transcriber.answer = {"error": "it cannot be done", "error_type": error_type}
    with client_of(api) as client, pytest.raises(exception, match="it cannot be done") as error:
        client.audio.transcriptions.create(file=CLIP, model="whisper-1", stream=stream)
    assert error.value.response.headers["x-should-retry"] == retries


def test_an_error_after_a_stream_began_is_its_last_event(api: Api) -> None:
    api.transcriber.segments = SEGMENTS[:1]
    api.transcriber.answer = {"error": "the device failed", "error_type": "Internal"}
    deltas: list[str] = []
    with client_of(api) as client:
        stream = client.audio.transcriptions.create(file=CLIP, model="whisper-1", stream=True)
        with pytest.raises(openai.APIError, match="the device failed"):
            deltas.extend(event.type for event in stream)
    assert deltas == ["transcript.text.delta"]
    wait_for(lambda: api.door.requests == 0)


def test_a_stream_that_the_servers_end_cuts_off_ends_with_an_error(no_files_left: Path) -> None:
    request = post("/v1/audio/transcriptions", form_of(stream="true"))
    with ExitStack() as stack:
        transcriber = ScriptedTranscriber(segments=SEGMENTS[:1], held=True)
        with api_on_loopback(transcriber) as api:
            connection = stack.enter_context(api.connect())
            connection.sendall(request)
            received = b""
            while b"transcript.text.delta" not in received:
                received += connection.recv(65536)
        received += read_all(connection)
    events = [json.loads(line[6:]) for line in received.splitlines() if line.startswith(b"data: ")]
    assert [event["type"] for event in events] == ["transcript.text.delta", "error"]
    assert events[-1]["error"]["message"] == "the server stops: send the request again"
    assert transcriber.cancelled == 1


@pytest.mark.parametrize("segments", [[], SEGMENTS[:1]], ids=["before the answer", "in a stream"])
def test_a_bug_is_answered_with_the_requests_id_and_logged_without_content(
    api: Api, caplog: pytest.LogCaptureFixture, segments: list[Any]
) -> None:
    api.transcriber.segments = segments
    api.transcriber.answer = ValueError("secret words of a recording")
    answer = ask(api, headers={"x-request-id": "mine-1"}, stream="true")
    assert answer.status == (200 if segments else 500)
    assert "the server failed: its log has the request mine-1" in answer.body.decode()
    assert "secret" not in answer.body.decode() + caplog.text
    assert re.search(r"request mine-1 failed: ValueError at http_api\.py:\d+", caplog.text)


@pytest.mark.parametrize(
    ("method", "path", "status", "sentence"),
    [
        ("GET", "/v1/audio/transcriptions", 405, "this path takes POST"),
        ("DELETE", "/v1/models", 405, "this path takes GET, HEAD"),
        ("POST", "/", 405, "this path takes GET, HEAD"),
        ("POST", "/v1/v1/audio/transcriptions", 404, "there is no such path: send recordings to /v1/audio/transcript"),
        ("POST", "/v1/audio/transcriptions/", 404, "there is no such path: send recordings to /v1/audio/transcript"),
        ("POST", "/v1/audio/speech", 404, "there is no such path: send recordings to /v1/audio/transcript"),
        (
            "GET",
            "/%00%ff%2e%2e/..%2f%0d%0ax-evil:%201",
            404,
            "there is no such path: send recordings to /v1/audio/transcript",
        ),
        ("GET", "/v1/models/%00%ff%0d%0a", 404, "model: there is no such model here"),
        ("OPTIONS", "/v1/audio/transcriptions", 405, "this path takes POST"),
    ],
)
def test_a_wrong_path_or_method_is_refused_in_openais_form(
    api: Api, method: str, path: str, status: int, sentence: str
) -> None:
    answer = call(api, method, path)
    assert (answer.status, answer.error.startswith(sentence)) == (status, True), answer.error
    assert "evil" not in answer.headers
    assert ("allow" in answer.headers) == (status == 405)


@pytest.mark.parametrize("path", ["/v1/audio/transcriptions", "/health", "/nowhere"])
def test_a_body_with_two_lengths_is_refused(api: Api, path: str) -> None:
    second = b"GET /ping HTTP/1.1\r\nhost: a\r\n\r\n"
    both = f"POST {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"
    answer = api.send(both.encode() + second)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"has content-length and transfer-encoding: send one of them" in answer
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    ("sent", "used"), [("abc-1.2_X", "abc-1.2_X"), ("a b", None), ("é", None), ("x" * 129, None), ("", None)]
)
def test_each_answer_has_its_requests_id(api: Api, sent: str, used: str | None) -> None:
    answer = ask(api, headers={"x-request-id": sent})
    given = answer.headers["x-request-id"]
    assert given == used or (used is None and re.fullmatch(r"req_[0-9a-f]{32}", given))
    assert api.transcriber.request_ids == [given]


def test_a_comment_keeps_a_silent_stream_open(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(openai_routes, "HEARTBEAT_SECONDS", 0.05)
    api.transcriber.seconds = 0.3
    answer = ask(api, stream="true")
    assert answer.body.startswith(b": at work\n\n: at work\n\n")
    assert answer.body.count(b"event: transcript.text.done\n") == 1
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert (answer.headers["cache-control"], answer.headers["x-accel-buffering"]) == ("no-cache", "no")


@pytest.mark.parametrize(
    ("fields", "segments"),
    [({}, []), ({"stream": "true"}, []), ({"stream": "true"}, SEGMENTS)],
    ids=["whole", "stream before it began", "stream"],
)
def test_a_caller_who_hangs_up_ends_the_job(no_files_left: Path, fields: dict[str, str], segments: list[Any]) -> None:
    with api_on_loopback(ScriptedTranscriber(seconds=60, segments=segments)) as api:
        with api.connect() as connection:
            connection.sendall(post("/v1/audio/transcriptions", form_of(**fields)))
            wait_for(lambda: api.transcriber.jobs)
            if segments:
                assert connection.recv(10)
        wait_for(lambda: api.transcriber.cancelled == 1 and api.door.requests == 0)
        wait_for(lambda: not entries_under(no_files_left))


def test_a_caller_who_hangs_up_does_not_wait_for_the_names_of_models(no_files_left: Path) -> None:
    class Cold(ScriptedTranscriber):
        async def models(self, wanted: str | None = None) -> list[str]:
            await asyncio.sleep(60)
            return []

    with api_on_loopback(Cold()) as api:
        with api.connect() as connection:
            connection.sendall(post("/v1/audio/transcriptions", form_of()))
            wait_for(lambda: any(path.name == "upload" for path in entries_under(no_files_left)))
        wait_for(lambda: api.door.requests == 0)
        wait_for(lambda: not entries_under(no_files_left))


def test_a_caller_who_does_not_read_a_stream_is_given_up(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "READ_SECONDS", 0.2)
    api.transcriber.segments = [{**SEGMENTS[0], "text": "x" * 1_000_000}] * 20
    api.transcriber.seconds = 60
    with api.connect() as connection:
        connection.sendall(post("/v1/audio/transcriptions", form_of(stream="true")))
        wait_for(lambda: api.transcriber.jobs)
        wait_for(lambda: api.door.requests == 0)


@pytest.mark.parametrize(("first", "then", "whole"), [(1.2, 0.0, False), (0.0, 0.06, True)], ids=["late", "slowly"])
def test_a_large_answer_is_for_callers_who_read_it(
    api: Api, monkeypatch: pytest.MonkeyPatch, first: float, then: float, whole: bool
) -> None:
    monkeypatch.setattr(connections, "READ_SECONDS", 0.4)
    size = 20_000_000
    api.transcriber.answer = {**ANSWER, "transcription": {"text": "x" * size}}
    received = b"-"
    total = 0
    with api.connect() as connection:
        connection.sendall(post("/v1/audio/transcriptions", form_of(response_format="text")))
        time.sleep(first)
        with suppress(ConnectionResetError):
            while received:
                time.sleep(then)
                received = connection.recv(2**20)
                total += len(received)
    assert (total > size) == whole


def test_requests_over_the_limit_are_refused_before_their_body(no_files_left: Path) -> None:
    with api_on_loopback(ScriptedTranscriber(seconds=60), DoorSettings(max_requests=1)) as api:
        with api.connect() as connection:
            connection.sendall(post("/v1/audio/transcriptions", form_of()))
            wait_for(lambda: api.transcriber.jobs)
            with client_of(api) as client, pytest.raises(openai.RateLimitError, match="1 requests at once") as error:
                client.audio.transcriptions.create(file=CLIP, model="whisper-1")
            assert call(api, "GET", "/v1/models").status == 200
        assert error.value.response.headers["retry-after"] == "5"
        wait_for(lambda: api.door.requests == 0)


KEYS = DoorSettings(api_keys=frozenset({"first-key", "Schlüssel"}))


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer first-key"},
        {"authorization": "bearer  first-key "},
        {"x-api-key": "first-key"},
        {"authorization": "Bearer Schlüssel".encode()},
        {"authorization": "Basic Zm9v", "x-api-key": "first-key"},
    ],
)
def test_a_right_key_is_let_in(no_files_left: Path, headers: dict[str, Any]) -> None:
    with api_on_loopback(settings=KEYS) as api:
        assert ask(api, headers=headers).status == 200


@pytest.mark.parametrize(
    ("headers", "sentence"),
    [
        ({}, "an API key is missing: send `Authorization: Bearer KEY`"),
        ({"authorization": "Basic first-key"}, "an API key is missing: send `Authorization: Bearer KEY`"),
        ({"authorization": "first-key"}, "an API key is missing: send `Authorization: Bearer KEY`"),
        ({"authorization": "Bearer"}, "an API key is missing: send `Authorization: Bearer KEY`"),
        ({"authorization": "Bearer first-ke"}, "the API key is wrong: send `Authorization: Bearer KEY`"),
        ({"authorization": "Bearer first-key2"}, "the API key is wrong: send `Authorization: Bearer KEY`"),
        ({"x-api-key": b"\xff"}, "the API key is wrong: send `Authorization: Bearer KEY`"),
    ],
)
def test_a_wrong_key_is_refused(no_files_left: Path, headers: dict[str, Any], sentence: str) -> None:
    with api_on_loopback(settings=KEYS) as api:
        for path in ("/v1/audio/transcriptions", "/run", "/v2/any/run", "/asr", "/nowhere"):
            answer = ask(api, path, headers=headers)
            assert (answer.status, answer.error) == (401, sentence)
            assert answer.headers["www-authenticate"] == "Bearer"
        assert api.transcriber.jobs == []


def test_a_wrong_key_is_refused_before_the_body_is_sent(no_files_left: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "LINGER_SECONDS", 0.1)
    with api_on_loopback(settings=KEYS) as api:
        assert api.send(post("/v1/audio/transcriptions", b"", length=1000)).startswith(b"HTTP/1.1 401")


@pytest.mark.slow
def test_a_thousand_wrong_keys_change_nothing(no_files_left: Path) -> None:
    with api_on_loopback(settings=KEYS) as api:
        connection = HTTPConnection("127.0.0.1", api.port, timeout=20)
        for number in range(1000):
            connection.request("GET", "/v1/models", headers={"authorization": f"Bearer wrong-{number}"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 401
        connection.close()
        with client_of(api, "first-key") as client:
            assert client.audio.transcriptions.create(file=CLIP, model="whisper-1").text == TEXT
        with client_of(api, "other") as client, pytest.raises(openai.AuthenticationError) as error:
            client.models.list()
    assert error.value.code == "invalid_api_key"


@pytest.mark.parametrize("path", ["/health", "/ping"])
def test_open_paths_need_no_key(no_files_left: Path, path: str) -> None:
    with api_on_loopback(settings=KEYS) as api:
        assert call(api, "GET", path).status != 401


def test_pages_of_a_set_origin_may_read_answers(no_files_left: Path) -> None:
    settings = DoorSettings(api_keys=KEYS.api_keys, cors_origins=("https://page.example",))
    origin = {"origin": "https://page.example"}
    with api_on_loopback(settings=settings) as api:
        asked = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
        preflight = call(api, "OPTIONS", "/v1/audio/transcriptions", headers={**origin, **asked})
        refused = ask(api, headers=origin)
        answered = ask(api, headers={**origin, "x-api-key": "first-key"})
        other = call(api, "OPTIONS", "/v1/models", headers={"origin": "https://evil.example", **asked})
    assert (preflight.status, refused.status, answered.status) == (200, 401, 200)
    for answer in (preflight, refused, answered):
        assert answer.headers["access-control-allow-origin"] == "https://page.example"
        assert "x-request-id" in answer.headers
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    assert "x-warnings" in answered.headers["access-control-expose-headers"]
    assert "access-control-allow-origin" not in other.headers


@pytest.mark.parametrize(
    ("origin", "host", "status"),
    [
        (None, "anything.example", 200),
        ("https://page.example", "127.0.0.1:8000", 200),
        ("http://127.0.0.1:8000", "127.0.0.1:8000", 200),
        ("http://localhost:8000", "localhost:8000", 200),
        ("http://[::1]:8000", "[::1]:8000", 200),
        ("http://[::1]", "[::1]", 200),
        ("http://nas", "nas", 200),
        ("https://evil.example", "127.0.0.1:8000", 403),
        ("http://127.0.0.1:3000", "127.0.0.1:8000", 403),
        ("http://rebound.example:8000", "rebound.example:8000", 403),
        ("http://1.2.3.4.example", "1.2.3.4.example", 403),
        ("null", "127.0.0.1:8000", 403),
    ],
)
def test_without_keys_foreign_pages_cannot_send_jobs(
    no_files_left: Path, origin: str | None, host: str, status: int
) -> None:
    with api_on_loopback(settings=DoorSettings(cors_origins=("https://page.example",))) as api:
        answer = ask(api, headers={"host": host, **({} if origin is None else {"origin": origin})})
    assert answer.status == status
    assert len(api.transcriber.jobs) == (status == 200)


NAMES = st.one_of(
    st.sampled_from([
        "model", "language", "languages[]", "keywords[]", "prompt", "response_format", "temperature", "include[]",
        "timestamp_granularities[]", "stream", "chunking_strategy", "chunking_strategy[type]",
        "chunking_strategy[threshold]", "known_speaker_names[]", "known_speaker_references[]", "diarize", "beam_size",
        "vad_threshold", "custom_vocabulary", "file", "url", "task",
    ]),
    st.text(max_size=20),
)  # fmt: skip
VALUES = st.one_of(
    st.sampled_from([
        "", "true", "whisper-1", "json", "verbose_json", "diarized_json", "srt", "0", "1e999", "nan", "-1", "auto",
        "en", "word", "segment", "logprobs", "server_vad", "{", "[1, 2]", '{"type": "server_vad"}', "9" * 400,
        "http://[", "\0", "data:audio/wav;base64,aaaa",
    ]),
    st.text(max_size=50),
)  # fmt: skip


@examples(300)
@example([("unheard_of", "x"), ("", "x")])
@example([(" ", "x")])
@given(fields=st.lists(st.tuples(NAMES, VALUES), max_size=12))
def test_no_form_is_a_fault_of_the_server(api: Api, fields: list[tuple[str, str]]) -> None:
    parts = [part(re.sub(r'[\r\n"]', "", name), value.encode()) for name, value in fields]
    answer = call(api, "POST", "/v1/audio/transcriptions", form(*parts, part("file", b"RIFF")), FORM)
    assert answer.status in (200, 400, 404), answer.body
