"""Outputs and errors of finished jobs."""

from __future__ import annotations

import json
from typing import Any

import pytest

from client.errors import JobFailed, OptionRefused
from client.transport.jobs import execution_policy, extract_output, join_chunks

ANSWER = {"transcription": {"text": "ab", "segments": [1, 2], "language": "en"}, "metadata": {"model": "m"}}


@pytest.mark.parametrize(
    ("status", "sentence", "error_type"),
    [
        ({"status": "FAILED", "error": "no audio", "output": {"error_type": "UnsupportedMedia"}}, "no audio", "Unsupp"),
        ({"status": "FAILED", "error": json.dumps({"error_message": "boom"})}, "boom", "FAILED"),
        ({"status": "FAILED", "error": "TooLarge: it is: too long"}, "^it is: too long$", "TooLarge"),
        ({"status": "FAILED", "error": "ffmpeg: too long"}, "^ffmpeg: too long$", "FAILED"),
        ({"status": "FAILED"}, "without a reason", "FAILED"),
        ({"status": "COMPLETED"}, "without output", "COMPLETED"),
        (
            {"status": "COMPLETED", "output": [{"segments": []}, {"error": "bad", "error_type": "Internal"}]},
            "bad",
            "Int",
        ),
        ({"status": "CANCELLED"}, "was cancelled", "CANCELLED"),
        ({"status": "TIMED_OUT"}, "exceeded its time limit", "TIMED_OUT"),
    ],
)
def test_a_job_without_a_transcript_has_failed(status: dict[str, Any], sentence: str, error_type: str) -> None:
    with pytest.raises(JobFailed, match=sentence) as failure:
        extract_output({"id": "1", **status})
    assert failure.value.error_type.startswith(error_type)


@pytest.mark.parametrize(
    ("message", "is_option"),
    [
        ("options.langage: unknown key", True),
        ("options: should be an object", True),
        ('options.model: should be one of the endpoint\'s WHISPER_MODELS, base, did you mean "base"?', True),
        ("options.caption_font: the worker has no font of that name", True),
        ("the model tiny.en only transcribes English", True),
        ("webhook: give a URL", True),
        ("webhook.url: should be a public address", True),
        ("audio_track: the recording has no track 3", False),
        ("audio.url: should be a public address", False),
    ],
)
def test_a_refusal_that_every_recording_would_meet_is_told_from_others(message: str, is_option: bool) -> None:
    with pytest.raises(JobFailed) as failure:
        extract_output({"status": "FAILED", "error": message, "output": {"error_type": "InvalidInput"}})
    assert isinstance(failure.value, OptionRefused) == is_option


def test_the_output_of_a_stream_is_its_last_chunk() -> None:
    assert join_chunks([{"segments": [{"id": 0}]}, {"segments": []}, ANSWER]) == ANSWER


def test_a_fragmented_output_is_joined() -> None:
    fragments = [{"text": "a"}, {"text": "b"}, {"segments": [1]}, {"segments": [2]}, {"language": "en"}]
    chunks: list[Any] = [{"segments": [{"id": 0}]}, *({"transcription": fragment} for fragment in fragments)]
    assert join_chunks([*chunks, {"metadata": {"model": "m"}}]) == ANSWER
    chunks += [{"translation": {"text": "c"}}, {"translation": {"text": "d"}}]
    assert join_chunks([*chunks, {"metadata": {"model": "m"}}]) == {**ANSWER, "translation": {"text": "cd"}}


def test_long_recordings_get_more_than_the_platforms_ten_minutes() -> None:
    assert execution_policy(3600.0)["executionTimeout"] == (600 + 7200) * 1000
    assert execution_policy(None)["executionTimeout"] == 3 * 3600 * 1000
    assert execution_policy(3600.0, timeout_s=50)["executionTimeout"] == 50_000
    assert all(
        allowed["ttl"] > allowed["executionTimeout"] for allowed in (execution_policy(1.0), execution_policy(None))
    )
