"""What the end of a job means."""

from __future__ import annotations

import json
from typing import Any

import pytest

from client.errors import JobFailed
from client.jobs import joined, output_of, policy

ANSWER = {"transcription": {"text": "ab", "segments": [1, 2], "language": "en"}, "metadata": {"model": "m"}}


@pytest.mark.parametrize(
    ("status", "sentence", "error_type"),
    [
        ({"status": "FAILED", "error": "no audio", "output": {"error_type": "UnsupportedMedia"}}, "no audio", "Unsupp"),
        ({"status": "FAILED", "error": json.dumps({"error_message": "boom"})}, "boom", "FAILED"),
        ({"status": "FAILED", "error": "TooLarge: it is: too long"}, "^it is: too long$", "TooLarge"),
        ({"status": "FAILED", "error": "ffmpeg: too long"}, "^ffmpeg: too long$", "FAILED"),
        ({"status": "FAILED"}, "without a reason", "FAILED"),
        ({"status": "COMPLETED"}, "brought no output", "COMPLETED"),
        (
            {"status": "COMPLETED", "output": [{"segments": []}, {"error": "bad", "error_type": "Internal"}]},
            "bad",
            "Int",
        ),
        ({"status": "CANCELLED"}, "was cancelled", "CANCELLED"),
        ({"status": "TIMED_OUT"}, "longer than it was allowed", "TIMED_OUT"),
    ],
)
def test_a_job_without_a_transcript_failed(status: dict[str, Any], sentence: str, error_type: str) -> None:
    with pytest.raises(JobFailed, match=sentence) as failure:
        output_of({"id": "1", **status})
    assert failure.value.error_type.startswith(error_type)


def test_a_streams_whole_answer_is_its_last_chunk() -> None:
    assert joined([{"segments": [{"id": 0}]}, {"segments": []}, ANSWER]) == ANSWER


def test_an_answer_in_pieces_is_put_together() -> None:
    pieces = [{"text": "a"}, {"text": "b"}, {"segments": [1]}, {"segments": [2]}, {"language": "en"}]
    chunks: list[Any] = [{"segments": [{"id": 0}]}, *({"transcription": piece} for piece in pieces)]
    assert joined([*chunks, {"metadata": {"model": "m"}}]) == ANSWER
    chunks += [{"translation": {"text": "c"}}, {"translation": {"text": "d"}}]
    assert joined([*chunks, {"metadata": {"model": "m"}}]) == {**ANSWER, "translation": {"text": "cd"}}


def test_long_recordings_may_take_longer_than_the_platforms_ten_minutes() -> None:
    assert policy(3600.0)["executionTimeout"] == (600 + 7200) * 1000
    assert policy(None)["executionTimeout"] == 3 * 3600 * 1000
    assert policy(3600.0, timeout=50)["executionTimeout"] == 50_000
    assert all(allowed["ttl"] > allowed["executionTimeout"] for allowed in (policy(1.0), policy(None)))
