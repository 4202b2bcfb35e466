"""The HTTP API over a real connection: OpenAI's SDK, errors, keys, and callers that hang up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.support.http_api import SEGMENTS, SENTENCES, Api, api_on_loopback

TEXT = " ".join(SENTENCES)
CLIP = ("clip.wav", b"RIFF....WAVE")


@pytest.fixture
def api(no_files_left: Any) -> Iterator[Api]:
    with api_on_loopback() as api:
        yield api


def client_of(api: Api, key: str = "none", **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{api.url}/v1", api_key=key, max_retries=0, **options)


def test_the_sdk_gets_a_text(api: Api) -> None:
    with client_of(api) as client:
        answer = client.audio.transcriptions.create(file=CLIP, model="whisper-1", language="en", prompt="Names: Ada.")
    assert answer.text == TEXT
    assert answer.to_dict()["usage"] == {"type": "duration", "seconds": 6.0}
    assert api.transcriber.uploads == [CLIP[1]]
    assert api.transcriber.jobs[0].input == {
        "language": "en",
        "initial_prompt": "Names: Ada.",
        "output_format": ["text"],
    }


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
    assert api.transcriber.jobs[0].input["diarize"] is True


def test_the_sdk_gets_a_translation(api: Api) -> None:
    with client_of(api) as client, pytest.warns(DeprecationWarning, match="deprecated"):
        answer = client.audio.translations.create(file=CLIP, model="whisper-1")
    assert answer.text == TEXT
    assert api.transcriber.jobs[0].input["task"] == "translate"


def test_the_sdk_gets_a_stream(api: Api) -> None:
    api.transcriber.segments = SEGMENTS
    with client_of(api) as client:
        events = list(
            client.audio.transcriptions.create(file=CLIP, model="whisper-1", stream=True, include=["logprobs"])
        )
    assert [event.type for event in events] == ["transcript.text.delta"] * 3 + ["transcript.text.done"]
    *deltas, done = events
    assert "".join(getattr(event, "delta", "") for event in deltas) == getattr(done, "text", None) == TEXT
