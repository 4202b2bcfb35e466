"""Streamed transcriptions: events of OpenAI's API, read by the installed `openai` package."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from openai import APIError, OpenAI
from openai.types.audio import (
    TranscriptionTextDeltaEvent,
    TranscriptionTextDoneEvent,
    TranscriptionTextSegmentEvent,
)

from api.openai.errors import ApiError
from api.openai.events import Event, encode_error, encode_event, final_events, segment_events
from api.openai.request import SpeechRequest, parse_form
from src.request.options import Options
from tests.support.job_outputs import SAID, output
from tests.support.openai_types import assert_is

SCHEMAS = Options.model_json_schema()["properties"]

TEXT = "".join(SAID).strip()

TYPES: dict[str, Any] = {
    "transcript.text.delta": TranscriptionTextDeltaEvent,
    "transcript.text.segment": TranscriptionTextSegmentEvent,
    "transcript.text.done": TranscriptionTextDoneEvent,
}


def asked(*fields: tuple[str, str]) -> SpeechRequest:
    return parse_form([("stream", "true"), *fields], "transcribe", SCHEMAS)


def streamed(request: SpeechRequest, answer: dict[str, Any], segments: list[dict[str, Any]]) -> Iterator[Event]:
    """The events of a job that reports these segments one by one, as its caller gets them."""
    sent = ""
    for segment in segments:
        for event in segment_events([segment], request, sent):
            sent += event["delta"]
            yield event
    yield from final_events(answer, request, sent)


def texts_of(events: list[Event]) -> tuple[str, str]:
    """All deltas together, and the text at the end."""
    return "".join(event.get("delta", "") for event in events), events[-1]["text"]


@pytest.mark.parametrize("response_format", ["json", "text", "verbose_json"])
def test_a_delta_for_each_segment_and_the_whole_at_the_end(response_format: str) -> None:
    request = asked(("response_format", response_format))
    answer = output(request.options)
    events = list(streamed(request, answer, answer["transcription"]["segments"]))
    assert [event["type"] for event in events] == ["transcript.text.delta"] * len(SAID) + ["transcript.text.done"]
    assert texts_of(events) == (TEXT, TEXT)
    for event in events[:-1]:
        assert_is(TranscriptionTextDeltaEvent, event, without=["logprobs", "segment_id"])
    assert_is(TranscriptionTextDoneEvent, events[-1], without=["logprobs"])
    done = events[-1]
    assert (done["usage"]["seconds"], done["languages"]) == (7, [{"code": "de"}])
    assert [(segment["start"], segment["end"], segment["text"]) for segment in done["segments"]] == [
        (float(number), number + 1.0, text) for number, text in enumerate(SAID)
    ]


@pytest.mark.parametrize("streamed_segments", range(len(SAID) + 1))
def test_what_was_not_streamed_comes_at_the_end(streamed_segments: int) -> None:
    answer = output(asked().options)
    segments = answer["transcription"]["segments"][:streamed_segments]
    assert texts_of(list(streamed(asked(), answer, segments))) == (TEXT, TEXT)


def test_a_text_that_differs_from_what_was_streamed_is_in_the_last_event() -> None:
    answer = output(asked().options)
    changed = [dict(segment, text=" Uh.") for segment in answer["transcription"]["segments"][:1]]
    assert texts_of(list(streamed(asked(), answer, changed))) == ("Uh.", TEXT)


def test_speakers_come_with_the_whole_text() -> None:
    request = asked(("response_format", "diarized_json"))
    answer = output(request.options, speakers=["SPEAKER_01", "SPEAKER_00", "SPEAKER_00", "SPEAKER_01"])
    events = list(streamed(request, answer, answer["transcription"]["segments"]))
    pair = ["transcript.text.delta", "transcript.text.segment"]
    assert [event["type"] for event in events] == [*pair * len(SAID), "transcript.text.done"]
    assert texts_of(events) == ("A: Good morning.\nB: How are you?\nA: Fine.",) * 2
    assert [event["segment_id"] for event in events if "segment_id" in event] == [
        f"seg_{number:03d}" for number in (1, 2, 3, 4)
    ]
    found = [event for event in events if event["type"] == "transcript.text.segment"]
    assert [segment["speaker"] for segment in found] == [*"ABBA"]
    assert events[-1]["segments"] == found
    for segment in found:
        assert_is(TranscriptionTextSegmentEvent, segment)


@pytest.mark.parametrize("fields", [[("diarize", "true")], [("channels", "SPLIT")]])
def test_a_text_with_labels_is_not_streamed_without_them(fields: list[tuple[str, str]]) -> None:
    request = asked(*fields)
    answer = output(asked().options, speakers=["SPEAKER_00"] * len(SAID))
    events = list(streamed(request, answer, answer["transcription"]["segments"]))
    assert texts_of(events) == (f"SPEAKER_00: {TEXT}",) * 2


def test_deltas_have_the_log_probabilities_of_their_segments() -> None:
    request = asked(("include[]", "logprobs"))
    answer = output(request.options)
    segments = answer["transcription"]["segments"]
    for segment in segments:
        segment["logprobs"] = [{"token": segment["text"], "logprob": -0.5, "bytes": [*segment["text"].encode()]}]
    for count in (0, len(SAID)):
        events = list(streamed(request, answer, segments[:count]))
        tokens = [token["token"] for event in events[:-1] for token in event["logprobs"]]
        assert tokens == [token["token"] for token in events[-1]["logprobs"]] == [*SAID]
        for event in events[:-1]:
            assert_is(TranscriptionTextDeltaEvent, event, without=["segment_id"])
        assert_is(TranscriptionTextDoneEvent, events[-1])


def test_the_last_event_of_verbose_json_has_the_words_that_were_asked_for() -> None:
    request = asked(("response_format", "verbose_json"), ("timestamp_granularities[]", "word"))
    done = final_events(output(request.options), request, "")[-1]
    assert [word["word"] for word in done["words"]] == [text.strip() for text in SAID]


def test_silence_is_one_event_with_an_empty_text() -> None:
    events = list(streamed(asked(), output(asked().options, texts=[]), []))
    assert [event["type"] for event in events] == ["transcript.text.done"]
    assert (events[0]["text"], events[0]["languages"], events[0]["segments"]) == ("", [], [])


def test_a_text_without_its_segments_is_answered_all_the_same() -> None:
    answer = output(asked().options)
    files = {"files": {}, "transcription": {"text": TEXT, "language": "de"}, "metadata": answer["metadata"]}
    assert texts_of(final_events(files, asked(), "")) == (TEXT, TEXT)
    assert "segments" not in final_events(files, asked(), "")[-1]
    with pytest.raises(ApiError, match="delivered as files"):
        final_events(files, asked(("response_format", "diarized_json")), "")


def test_the_last_event_has_the_workers_warnings() -> None:
    answer = output(asked().options, warnings=["the recording is cut off"])
    assert final_events(answer, asked(), "")[-1]["warnings"] == ["the recording is cut off"]


def test_an_event_is_its_type_and_one_line_for_any_client() -> None:
    lines = encode_event({"type": "transcript.text.delta", "delta": "a\u2028\u0085b\r\n\ud800"}).decode("ascii")
    assert lines.splitlines() == [
        "event: transcript.text.delta",
        'data: {"type": "transcript.text.delta", "delta": "a\\u2028\\u0085b\\r\\n\\ud800"}',
        "",
    ]
    assert lines.endswith("\n\n")


def read_by_sdk(sent: bytes) -> Iterator[Any]:
    """The events as the `openai` package reads them from an answer with this body."""
    answer = httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=sent)
    transport = httpx2.MockTransport(lambda _: answer)
    with OpenAI(api_key="x", base_url="http://localhost/v1", http_client=httpx2.Client(transport=transport)) as client:
        yield from client.audio.transcriptions.create(file=("a.mp3", b"x"), model="whisper-1", stream=True)


def test_the_openai_package_reads_the_stream() -> None:
    request = asked(("response_format", "diarized_json"))
    answer = output(request.options, speakers=["SPEAKER_00"] * len(SAID))
    events = list(streamed(request, answer, []))
    read = list(read_by_sdk(b"".join(map(encode_event, events))))
    assert [type(event) for event in read] == [TYPES[event["type"]] for event in events]
    assert [json.loads(event.to_json()) for event in read] == events
    assert read[-1].usage.total_tokens == 0


def test_the_openai_package_raises_an_error_in_a_stream() -> None:
    delta = encode_event({"type": "transcript.text.delta", "delta": "Good"})
    error = ApiError(503, "the worker's disk is full", type="server_error")
    events = read_by_sdk(delta + encode_error(error))
    assert next(events).delta == "Good"
    with pytest.raises(APIError, match="the worker's disk is full"):
        next(events)
