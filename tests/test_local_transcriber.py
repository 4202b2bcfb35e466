"""What HTTP mode runs jobs with: order, cancellation, progress, and the end of a lost device."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from api.transcriber import Answer, Job, JobTrack, Listener, request_id
from src.job_control import JobControl
from src.request.validation import parse_input
from src.serving import local_transcriber
from src.serving.local_transcriber import LocalTranscriber
from src.settings import get_settings
from src.whisper_processor import WhisperProcessor
from tests.support.cancellation import EndlessJob
from transcript.transcript import Segment

Handler = Callable[[dict[str, Any], JobControl], Answer]
SILENT = Listener()


@pytest.fixture
def run_with(monkeypatch: pytest.MonkeyPatch) -> Callable[[Handler], LocalTranscriber]:
    """Makes a transcriber that runs a given handler."""

    def make(handler: Handler, on_lost: Callable[[], None] = lambda: None) -> LocalTranscriber:
        monkeypatch.setattr(local_transcriber, "handler", handler)
        return LocalTranscriber(cast(WhisperProcessor, None), on_lost)

    return make


def test_an_upload_is_the_jobs_recording_and_the_requests_id_is_its_name(run_with, tmp_path: Path) -> None:
    taken = []
    transcriber = run_with(lambda job, control: taken.append(job) or {})

    async def run() -> None:
        request_id.set("req-1")
        await transcriber.run(Job({"options": {}}, tmp_path, {"policy": {"ttl": 1}}), SILENT)
        await transcriber.run(Job({"audio": "a"}, fields={"id": "job-1"}), SILENT)

    asyncio.run(run())
    first, second = taken
    assert first["input"]["audio"].upload == tmp_path
    assert (first["id"], first["policy"], first["input"]["options"]) == ("req-1", {"ttl": 1}, {})
    assert second == {"id": "job-1", "input": {"audio": "a"}}


def test_tracks_are_the_jobs_tracks_with_their_names_and_offsets(run_with, tmp_path: Path) -> None:
    taken = []
    transcriber = run_with(lambda job, control: taken.append(job) or {})
    url = "https://example.org/ben.wav"
    tracks = [JobTrack("Ada", tmp_path / "0", 2.5), JobTrack("Ben", url)]
    asyncio.run(transcriber.run(Job({"options": {}}, tracks=tracks), SILENT))
    job_input = parse_input(taken[0]["input"])
    assert job_input.has_tracks
    assert [(track.name, track.upload, track.url, track.offset) for track in job_input.audio] == [
        ("Ada", tmp_path / "0", None, 2.5),
        ("Ben", None, url, None),
    ]


def test_jobs_beyond_the_limit_wait_in_order_and_can_be_cancelled_meanwhile(run_with) -> None:
    begun: list[str] = []
    go_on = threading.Event()

    def hold(job: dict[str, Any], control: JobControl) -> Answer:
        begun.append(job["id"])
        go_on.wait(10)
        return {"id": job["id"]}

    limit = get_settings().max_concurrency
    names = [str(number) for number in range(limit + 3)]

    async def run() -> list[Any]:
        transcriber = run_with(hold)
        jobs = [asyncio.ensure_future(transcriber.run(Job({}, fields={"id": name}), SILENT)) for name in names]
        while len(begun) < limit:
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        assert len(begun) == limit
        jobs[limit].cancel()
        go_on.set()
        return await asyncio.gather(*jobs, return_exceptions=True)

    answers = asyncio.run(run())
    assert isinstance(answers[limit], asyncio.CancelledError)
    assert begun[limit:] == names[limit + 1 :]


def test_cancelling_the_coroutine_cancels_the_job(run_with) -> None:
    job = EndlessJob()

    async def run() -> None:
        await job.cancel_task_of(run_with(job).run(Job({}), SILENT))

    asyncio.run(run())
    assert job.cancelled.wait(5)


def test_the_listener_hears_on_the_event_loop_before_the_answer(run_with) -> None:
    heard: list[Any] = []

    def work(job: dict[str, Any], control: JobControl) -> Answer:
        control.progress("transcribing", 2.0, 8.0)
        control.segment(Segment(0, 0, 0.0, 1.0, " Hello.", [], 0.0, -0.1, 1.0, 0.0))
        control.progress("aligning")
        return {}

    async def run() -> None:
        loop_thread = threading.get_ident()
        listener = Listener(
            lambda segments: heard.append((threading.get_ident() == loop_thread, segments[0]["text"])),
            lambda stage, fraction: heard.append((threading.get_ident() == loop_thread, stage, fraction)),
        )
        await run_with(work).run(Job({}), listener)

    asyncio.run(run())
    assert heard == [(True, "transcribing", 0.25), (True, " Hello."), (True, "aligning", 0.0)]


def test_no_segments_are_made_for_a_listener_that_wants_none(run_with) -> None:
    asked = []
    transcriber = run_with(lambda job, control: asked.append(control.streams) or {})
    asyncio.run(transcriber.run(Job({}), SILENT))
    assert asked == [False]


def test_a_lost_device_ends_the_process_after_the_answer(run_with) -> None:
    lost = []
    transcriber = run_with(lambda job, control: {"error": "lost", "refresh_worker": True}, lambda: lost.append(True))
    assert asyncio.run(transcriber.run(Job({}), SILENT)) == {"error": "lost", "refresh_worker": True}
    assert lost == [True]


def test_a_bridge_can_ask_for_the_models(run_with, monkeypatch: pytest.MonkeyPatch) -> None:
    transcriber = run_with(lambda job, control: {"error": "a recording is missing"})
    monkeypatch.setattr(transcriber, "_processor", SimpleNamespace(model_names=["turbo", "base"]))
    answer = asyncio.run(transcriber.run(Job({"openai_route": "/v1/models"}), SILENT))
    assert [model["id"] for model in answer["data"]] == ["turbo", "base", "whisper-1"]


def test_the_schemas_of_options_stand_alone(run_with) -> None:
    schemas = run_with(lambda job, control: {}).option_schemas()
    assert {"language", "diarize", "speakers"} <= set(schemas)
    assert "$ref" not in str(schemas)
