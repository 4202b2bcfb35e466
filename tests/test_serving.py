"""The asyncio handlers for the SDK."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from src.job_control import JobControl
from src.serving import async_handler
from src.settings import get_settings
from tests.support.cancellation import EndlessJob
from tests.support.clips import CLIPS, as_base64, assert_spoken

DEMO = {"id": "job-1", "input": {"audio": {"base64": as_base64(CLIPS / "demo.ogg")}}}


@pytest.mark.model
@pytest.mark.process
def test_the_event_loop_is_not_blocked_by_a_job() -> None:
    async def run_and_count_turns() -> tuple[Any, int]:
        answer, turns = asyncio.ensure_future(async_handler.handle(DEMO)), 0
        while not answer.done():
            await asyncio.sleep(0.005)
            turns += 1
        return await answer, turns

    answer, turns = asyncio.run(run_and_count_turns())
    assert_spoken(answer["transcription"]["text"], "demo.ogg")
    assert turns > 5


def test_cancelling_the_task_cancels_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    job = EndlessJob()
    monkeypatch.setattr(async_handler, "handler", job)
    asyncio.run(job.cancel_task_of(async_handler.handle({"id": "a"})))
    assert job.cancelled.wait(5)


def test_the_last_job_on_a_lost_device_asks_for_a_fresh_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    together = threading.Barrier(3)

    def fails(job: dict[str, Any], control: JobControl) -> dict[str, Any]:
        together.wait(10)
        return {"error": "lost", "refresh_worker": True}

    monkeypatch.setattr(async_handler, "handler", fails)

    async def all_at_once() -> list[Any]:
        return await asyncio.gather(*(async_handler.handle({"id": str(number)}) for number in range(3)))

    answers = asyncio.run(all_at_once())
    assert [answer["error"] for answer in answers] == ["lost"] * 3
    assert 1 <= sum("refresh_worker" in answer for answer in answers) <= 3


@pytest.mark.model
@pytest.mark.process
def test_a_stream_ends_with_the_whole_answer() -> None:
    async def chunks() -> list[Any]:
        return [chunk async for chunk in async_handler.stream(DEMO)]

    *streamed, whole = asyncio.run(chunks())
    segments = [segment for chunk in streamed for segment in chunk["segments"]]
    assert segments == whole["transcription"]["segments"]
    assert_spoken(whole["transcription"]["text"], "demo.ogg")


def test_a_streams_error_begins_with_its_type() -> None:
    async def chunks() -> list[Any]:
        return [chunk async for chunk in async_handler.stream({"id": "job-1", "input": {}})]

    (refusal,) = asyncio.run(chunks())
    assert refusal["error_type"] == "InvalidInput"
    assert refusal["error"].startswith("InvalidInput: ")


def test_streaming_is_for_the_platform_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMING", "true")
    get_settings.cache_clear()
    try:
        assert (
            async_handler.configuration()["handler"] is async_handler.handle
        )  # `python handler.py` takes no generators
        monkeypatch.setenv("RUNPOD_WEBHOOK_GET_JOB", "http://127.0.0.1/job-take/$ID?")
        assert async_handler.configuration()["handler"] is async_handler.stream
        assert async_handler.configuration()["return_aggregate_stream"]
    finally:
        get_settings.cache_clear()
