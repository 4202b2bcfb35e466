"""Jobs in the form of OpenAI's API on a queue: a route and its body in JSON, answered with the route's body."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.audio import Transcription, TranscriptionDiarized, TranscriptionVerbose

from src.delivery.chunks import json_size, split_text
from src.errors import InvalidInput
from src.request.openai_jobs import asks_for_models, is_openai_input, to_answer, to_input
from src.request.validation import parse_input
from src.serving.async_handler import handle, stream
from tests.support.clips import CLIPS, as_base64, assert_spoken
from tests.support.job_outputs import SAID, output
from tests.support.openai_types import assert_is
from tests.support.properties import examples

ROUTE = "/v1/audio/transcriptions"

MODELS = ["turbo", "base"]

URL = "https://example.com/a.mp3"


def job(body: Any, route: Any = ROUTE, **beside: Any) -> dict[str, Any]:
    return {"id": "job-1", "input": {"openai_route": route, "openai_input": body, **beside}}


def recording(clip: str) -> dict[str, Any]:
    """As OpenRouter's clients send it."""
    return {"model": "whisper-1", "input_audio": {"data": as_base64(CLIPS / clip), "format": clip.rpartition(".")[2]}}


@pytest.mark.model
@pytest.mark.process
def test_a_recording_is_answered_in_the_requested_format() -> None:
    body = recording("demo.ogg") | {"language": "en"}
    answer: Any = asyncio.run(handle(job(body)))
    assert_spoken(answer["text"], "demo.ogg")
    assert_is(Transcription, answer, without=["logprobs"])
    words = {"response_format": "verbose_json", "timestamp_granularities": ["word"]}
    answer = asyncio.run(handle(job(body | words)))
    assert_is(TranscriptionVerbose, answer, without=["segments"])
    assert_spoken(" ".join(word["word"] for word in answer["words"]), "demo.ogg")
    subtitles = asyncio.run(handle(job(body | {"response_format": "srt"})))
    assert isinstance(subtitles, str)
    assert subtitles.startswith("1\n00:00:")


@pytest.mark.model
@pytest.mark.process
def test_a_streaming_worker_answers_with_the_body_alone() -> None:
    async def chunks(answer: AsyncIterator[Any]) -> list[Any]:
        return [chunk async for chunk in answer]

    body = recording("demo.ogg") | {"response_format": "diarized_json", "stream": True}
    (answer,) = asyncio.run(chunks(stream(job(body))))
    assert_is(TranscriptionDiarized, answer)
    assert_spoken(answer["text"].removeprefix("A: "), "demo.ogg")


@pytest.mark.model
def test_the_models_need_no_recording() -> None:
    answer: Any = asyncio.run(handle({"input": {"openai_route": "/v1/models"}}))
    assert [model["id"] for model in answer["data"]] == ["tiny.en", "whisper-1"]


@pytest.mark.model
@pytest.mark.process
def test_silence_is_an_empty_text() -> None:
    assert asyncio.run(handle(job(recording("silence.flac") | {"response_format": "text"}))) == ""


@pytest.mark.model
@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (job({"url": URL, "temperature": 2}), "openai_input.temperature: should be a number from 0 to 1"),
        (
            job({"url": URL, "model": "nova-3"}),
            'openai_input.model: there is no such model here, give one of "tiny.en"',
        ),
        (job({"url": URL, "model": "whisper-1", "beam_size": 99}), "options.beam_size: should be at most 20"),
        (job({}), "openai_input.input_audio: missing"),
        (job(None), "openai_input: the body should be an object"),
        (job({"url": URL}, "/v1/audio/speech"), 'openai_route: should be one of "/v1/audio/transcriptions"'),
        (job({"url": URL}, ["x"]), "openai_route: should be one of"),
        (job({"url": URL}, options={}), "options: unknown key beside openai_route"),
    ],
)
def test_errors_are_the_workers(raw: dict[str, Any], expected: str) -> None:
    answer: Any = asyncio.run(handle(raw))
    assert answer["error_type"] == "InvalidInput"
    assert answer["error"].startswith(expected)


@pytest.mark.parametrize(
    ("body", "options"),
    [
        ({"url": URL}, {"output_format": ["text"]}),
        ({"url": URL, "model": "Systran/faster-whisper-base"}, {"model": "base", "output_format": ["text"]}),
        ({"url": URL, "model": "whisper-1", "response_format": "srt"}, {"output_format": ["srt"]}),
        ({"url": URL, "diarize": True, "prompt": "Ada"}, {"diarize": True, "initial_prompt": "Ada"}),
    ],
)
def test_a_body_becomes_options_of_a_job(body: dict[str, Any], options: dict[str, Any]) -> None:
    hook = {"webhook": "https://e.x/hook", "reference": "episode 12", "upload": {"prefix": "a"}}
    ours = to_input(job(body, **hook)["input"], MODELS)
    assert ours == {"audio": {"url": URL}, "options": ours["options"], **hook}
    assert ours["options"].items() >= options.items()
    assert parse_input(ours).reference == "episode 12"


def test_a_translation_has_its_route() -> None:
    ours = to_input(job({"url": URL}, "/v1/audio/translations")["input"], MODELS)
    assert ours["options"]["task"] == "translate"


def test_what_has_no_effect_is_a_warning() -> None:
    raw = job({"url": URL, "model": "whisper-large-v3", "user": "7"})["input"]
    answer: Any = to_answer(
        output(to_input(raw, MODELS)["options"], warnings=["the recording is cut off"]), raw, MODELS
    )
    assert answer["warnings"] == [
        "the model large-v3 is not loaded here: turbo has answered",
        "user has no effect here",
        "the recording is cut off",
    ]


@pytest.mark.parametrize("answer", [{"error": "it failed", "error_type": "Internal"}, {"files": {}, "metadata": {}}])
def test_an_error_and_an_answer_in_files_stay_the_workers(answer: dict[str, Any]) -> None:
    assert to_answer(answer, job({"url": URL})["input"], MODELS) is answer


def test_a_long_text_is_streamed_in_pieces() -> None:
    raw = job({"url": URL, "response_format": "text"})["input"]
    text = to_answer(output({"output_format": ["text"]}, texts=[*SAID] * 500), raw, MODELS)
    assert isinstance(text, str)
    pieces = list(split_text(text, 1000))
    assert "".join(pieces) == text
    assert all(json_size(piece) <= 1000 for piece in pieces)
    assert list(split_text("")) == [""]


@pytest.mark.parametrize(
    ("raw", "its"),
    [
        (job({})["input"], True),
        ({"openai_route": "/v1/models"}, True),
        ({"audio": URL}, False),
        ("openai_route", False),
    ],
)
def test_its_jobs_are_recognized_by_their_route(raw: Any, its: bool) -> None:
    assert is_openai_input(raw) is its
    assert asks_for_models(raw) is (its and raw["openai_route"] == "/v1/models")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=8,
)


@examples(200)
@given(json_values, st.sampled_from([ROUTE, "/v1/audio/translations", "x"]) | json_values, st.booleans())
def test_any_job_of_this_form_is_converted_or_refused(body: Any, route: Any, has_audio: bool) -> None:
    if has_audio and isinstance(body, dict):
        body = {**body, "url": URL}
    try:
        ours = to_input(job(body, route)["input"], MODELS)
        parse_input(ours)
    except InvalidInput as error:
        json.dumps(str(error))
