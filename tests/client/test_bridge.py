"""The bridge's jobs on an endpoint: shared, cancelled and repeated as callers come and go, and nothing is left."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import wave
from collections.abc import Awaitable, Callable
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import pytest
import requests

from api.openai.errors import to_error
from api.transcriber import Answer, Job, JobTrack, Listener
from client.bridge import EndpointTranscriber
from client.job_request import RunSettings
from client.settings import EndpointSettings
from client.transport.endpoint import Endpoint
from client.transport.journal import file_sha256, make_key
from tests.client.conftest import CLIPS, settings_of, wait_until
from tests.client.scripted_worker import ScriptedWorker, make_answer
from tests.platform.emulator import Platform
from tests.support.files import entries_under

LIMIT = 160_000
PARTS = 4
"""Number of parts of the long recording under that limit."""

T = TypeVar("T")


@pytest.fixture
def upload(tmp_path: Path) -> Path:
    """A recording of one job."""
    return Path(shutil.copy(CLIPS / "demo.ogg", tmp_path / "upload"))


@pytest.fixture
def long_upload(tmp_path: Path) -> Path:
    """A recording of several jobs."""
    return Path(shutil.copy(CLIPS / "long.ogg", tmp_path / "upload"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "bridge"
    folder.mkdir()
    return folder


def serve(endpoint: Endpoint, folder: Path, act: Callable[[EndpointTranscriber], Awaitable[T]], **settings: Any) -> T:
    """Return what `act` returns; it uses a bridge."""

    async def run() -> T:
        bridge = EndpointTranscriber(endpoint, RunSettings(request_limit=LIMIT), folder, **settings)
        try:
            return await act(bridge)
        finally:
            bridge.close()

    return asyncio.run(run())


def transcribe(endpoint: Endpoint, folder: Path, job: Job, **settings: Any) -> Answer:
    return serve(endpoint, folder, lambda bridge: bridge.run(job, Listener()), **settings)


async def until(condition: Callable[[], object]) -> None:
    await asyncio.to_thread(wait_until, condition)


def statuses(platform: Platform) -> list[str]:
    return sorted(job.status for job in platform.jobs.values())


def files_in(folder: Path) -> list[Path]:
    return [path for path in entries_under(folder) if path.is_file()]


@pytest.mark.process
def test_an_upload_is_transcribed_and_nothing_of_it_is_left(
    platform: Platform, endpoint: Endpoint, upload: Path, folder: Path
) -> None:
    with ScriptedWorker(platform, lambda _: make_answer("hello")) as worker:
        answer = transcribe(endpoint, folder, Job({"options": {"language": "en"}}, upload))
    assert answer["transcription"]["text"] == "hello"
    assert worker.jobs[0]["input"]["options"] == {"language": "en"}
    assert base64.b64decode(worker.jobs[0]["input"]["audio"]["base64"]) == upload.read_bytes()
    assert list(folder.iterdir()) == []


@pytest.mark.process
def test_tracks_are_one_job_and_a_track_that_cannot_be_read_is_named(
    platform: Platform, endpoint: Endpoint, upload: Path, folder: Path, tmp_path: Path
) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    url = "https://example.org/eve.wav"
    tracks = [JobTrack("Ada", upload), JobTrack("Ben", upload, 2.5), JobTrack("Eve", url)]
    with ScriptedWorker(platform, lambda _: make_answer("hello")) as worker:
        answer = transcribe(endpoint, folder, Job({"options": {"language": "en"}}, tracks=tracks))
        refused = transcribe(endpoint, folder, Job({"options": {}}, tracks=[*tracks[:1], JobTrack("Ben", empty)]))
    content = base64.b64encode(upload.read_bytes()).decode()
    assert answer["transcription"]["text"] == "hello"
    assert [job["input"]["audio"] for job in worker.jobs] == [
        [
            {"base64": content, "name": "Ada"},
            {"base64": content, "name": "Ben", "offset": 2.5},
            {"url": url, "name": "Eve"},
        ]
    ]
    assert refused == {"error": "Ben: the file is not a recording: it is empty", "error_type": "UnsupportedMedia"}
    assert list(folder.iterdir()) == []


@pytest.mark.process
def test_a_transcript_in_the_endpoints_bucket_is_fetched(
    platform: Platform, endpoint: Endpoint, upload: Path, folder: Path
) -> None:
    whole = make_answer("hello")["output"]
    handler = partial(SimpleHTTPRequestHandler, directory=str(upload.parent))
    (upload.parent / "transcription.json").write_text(json.dumps(whole["transcription"]))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as bucket:
        threading.Thread(target=bucket.serve_forever, args=(0.02,), daemon=True).start()
        links = {"json": f"http://127.0.0.1:{bucket.server_port}/transcription.json"}
        with ScriptedWorker(platform, lambda _: {"output": {"files": links, "metadata": whole["metadata"]}}):
            answer = transcribe(endpoint, folder, Job({"options": {}}, upload))
        bucket.shutdown()
    assert answer["transcription"] == whole["transcription"]


@pytest.mark.process
def test_a_large_upload_is_sent_in_parts_and_its_segments_come_in_order(
    platform: Platform, endpoint: Endpoint, long_upload: Path, folder: Path
) -> None:
    segments: list[dict[str, Any]] = []
    progress: list[float] = []
    listener = Listener(segments.extend, lambda _stage, fraction: progress.append(fraction))
    with ScriptedWorker(platform, lambda _: make_answer("part", 20.0)) as worker:
        job = Job({"options": {}}, long_upload)
        answer = serve(endpoint, folder, lambda bridge: bridge.run(job, listener))
    starts = [start for start, _ in answer["metadata"]["parts"]]
    assert len(worker.jobs) == len(starts) == PARTS
    assert [segment["start"] for segment in segments] == pytest.approx([start + 1.0 for start in starts])
    assert [segment["id"] for segment in segments] == list(range(PARTS))
    assert progress == sorted(progress)
    assert progress[-1] == pytest.approx(1.0)
    assert list(folder.iterdir()) == []


@pytest.mark.slow
@pytest.mark.process
def test_the_job_of_a_caller_that_hangs_up_is_cancelled(
    platform: Platform, endpoint: Endpoint, long_upload: Path, folder: Path
) -> None:
    async def hang_up(bridge: EndpointTranscriber) -> None:
        call = asyncio.create_task(bridge.run(Job({"options": {}}, long_upload), Listener()))
        await until(lambda: len(platform.jobs) == PARTS)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        long_upload.unlink()
        await until(lambda: statuses(platform) == ["CANCELLED"] * PARTS)

    serve(endpoint, folder, hang_up, retry_window_s=0.1)


@pytest.mark.slow
@pytest.mark.process
def test_a_recording_whose_caller_hangs_up_is_compressed_no_further(
    endpoint: Endpoint, folder: Path, tmp_path: Path
) -> None:
    upload = tmp_path / "upload"
    with wave.open(str(upload), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes(os.urandom(16_000) * 2 * 3600)  # an hour, which takes many seconds

    async def hang_up(bridge: EndpointTranscriber) -> None:
        call = asyncio.create_task(bridge.run(Job({"options": {}}, upload), Listener()))
        await until(lambda: any(folder.rglob("sound.ogg")))
        call.cancel()
        await asyncio.to_thread(wait_until, lambda: not any(folder.rglob("the file")), 3.0)  # when the work has ended

    serve(endpoint, folder, hang_up, retry_window_s=0.1)


@pytest.mark.slow
@pytest.mark.process
def test_a_caller_that_sends_a_recording_again_gets_the_result_of_the_first_job(
    platform: Platform, endpoint: Endpoint, upload: Path, folder: Path
) -> None:
    async def call_twice(bridge: EndpointTranscriber) -> Answer:
        first = asyncio.create_task(bridge.run(Job({"options": {}}, upload), Listener()))
        await until(lambda: statuses(platform) == ["IN_PROGRESS"])
        first.cancel()
        again = upload.rename(upload.with_name("another upload"))
        second = asyncio.create_task(bridge.run(Job({"options": {}}, again), Listener()))
        await asyncio.sleep(0.5)
        worker.release()
        return await second

    with ScriptedWorker(platform, lambda _: make_answer("hello")) as worker:
        worker.held_after = 0
        answer = serve(endpoint, folder, call_twice, retry_window_s=5.0)
    assert answer["transcription"]["text"] == "hello"
    assert statuses(platform) == ["COMPLETED"]
    assert list(folder.iterdir()) == []


@pytest.mark.slow
@pytest.mark.process
def test_a_job_goes_on_while_its_caller_gives_up_again_and_again(
    platform: Platform, endpoint: Endpoint, upload: Path, folder: Path
) -> None:
    async def call_often(bridge: EndpointTranscriber) -> Answer:
        for _ in range(8):
            call = asyncio.create_task(bridge.run(Job({"options": {}}, upload), Listener()))
            await asyncio.wait([call], timeout=0.2)
            call.cancel()
            await asyncio.sleep(0.5)
        worker.release()
        return await bridge.run(Job({"options": {}}, upload), Listener())

    with ScriptedWorker(platform, lambda _: make_answer("hello")) as worker:
        worker.held_after = 0
        answer = serve(endpoint, folder, call_often, retry_window_s=1.0)
    assert answer["transcription"]["text"] == "hello"
    assert statuses(platform) == ["COMPLETED"]


@pytest.mark.slow
@pytest.mark.process
def test_a_result_that_no_caller_waits_for_is_kept_for_a_moment_only(
    platform: Platform, endpoint: Endpoint, upload: Path, folder: Path
) -> None:
    async def call_again(bridge: EndpointTranscriber) -> None:
        job = Job({"options": {}}, upload)
        first = asyncio.create_task(bridge.run(job, Listener()))
        await until(lambda: statuses(platform) == ["IN_PROGRESS"])
        first.cancel()
        worker.release()
        await until(lambda: statuses(platform) == ["COMPLETED"] and not files_in(folder))
        assert (await bridge.run(job, Listener()))["transcription"]["text"] == "hello"
        assert len(platform.jobs) == 1
        assert (await bridge.run(job, Listener()))["transcription"]["text"] == "hello"
        assert len(platform.jobs) == 2

    with ScriptedWorker(platform, lambda _: make_answer("hello")) as worker:
        worker.held_after = 0
        serve(endpoint, folder, call_again, retry_window_s=5.0)


@pytest.mark.slow
@pytest.mark.process
def test_finished_parts_of_a_failed_recording_are_not_sent_again(
    platform: Platform, endpoint: Endpoint, long_upload: Path, folder: Path
) -> None:
    failures = iter(range(3))

    def answer(job: dict[str, Any]) -> dict[str, Any]:
        first_jobs = [earlier["input"]["audio"] for earlier in worker.jobs[:PARTS]]
        is_last = first_jobs.index(job["input"]["audio"]) == PARTS - 1
        if is_last and next(failures, None) is not None:
            return {"error": "crashed", "output": {"error_type": "Internal"}}
        return make_answer("done")

    async def call_twice(bridge: EndpointTranscriber) -> tuple[Answer, Answer]:
        job = Job({"options": {}}, long_upload)
        return await bridge.run(job, Listener()), await bridge.run(job, Listener())

    with ScriptedWorker(platform, answer) as worker:
        first, second = serve(endpoint, folder, call_twice)
    assert first == {"error": "crashed", "error_type": "Internal"}
    assert second["transcription"]["text"] == "done done done done"
    assert len(worker.jobs) == PARTS + 3
    assert list(folder.iterdir()) == []


@pytest.mark.slow
@pytest.mark.process
def test_more_recordings_than_allowed_at_once_wait(
    platform: Platform, endpoint: Endpoint, upload: Path, folder: Path
) -> None:
    stages: list[str] = []

    async def call_both(bridge: EndpointTranscriber) -> list[Answer]:
        first = asyncio.create_task(bridge.run(Job({"options": {"language": "en"}}, upload), Listener()))
        await until(lambda: len(platform.jobs) == 1)
        listener = Listener(on_progress=lambda stage, _: stages.append(stage))
        second = asyncio.create_task(bridge.run(Job({"options": {"language": "de"}}, upload), listener))
        await until(lambda: stages == ["waiting for other recordings"])
        assert len(platform.jobs) == 1
        worker.release()
        return [await first, await second]

    with ScriptedWorker(platform, lambda _: make_answer("hello")) as worker:
        worker.held_after = 0
        answers = serve(endpoint, folder, call_both, recordings=1)
    assert [answer["transcription"]["text"] for answer in answers] == ["hello", "hello"]


@pytest.mark.slow
@pytest.mark.process
def test_a_recording_that_waits_for_others_is_removed_soon_after_its_caller_hangs_up(
    platform: Platform, endpoint: Endpoint, upload: Path, folder: Path
) -> None:
    stages: list[str] = []

    async def call_both(bridge: EndpointTranscriber) -> Answer:
        first = asyncio.create_task(bridge.run(Job({"options": {"language": "en"}}, upload), Listener()))
        await until(lambda: len(platform.jobs) == 1)
        listener = Listener(on_progress=lambda stage, _: stages.append(stage))
        second = asyncio.create_task(bridge.run(Job({"options": {"language": "de"}}, upload), listener))
        await until(lambda: stages and len(list(folder.iterdir())) == 2)
        second.cancel()
        await until(lambda: len(list(folder.iterdir())) == 1)
        worker.release()
        return await first

    with ScriptedWorker(platform, lambda _: make_answer("hello")) as worker:
        worker.held_after = 0
        answer = serve(endpoint, folder, call_both, recordings=1, retry_window_s=0.1)
    assert answer["transcription"]["text"] == "hello"
    assert len(platform.jobs) == 1


@pytest.mark.parametrize(
    "job",
    [
        Job({"audio": "https://example.org/a.mp3", "options": {"language": "en"}, "reference": "r1"}),
        Job(
            {"audio": {"url": "https://example.org/a.mp3", "headers": {"x": "y"}}, "webhook": {"url": "https://h.org"}}
        ),
        Job(
            {"audio": {"base64": "AAAA"}},
            fields={"policy": {"executionTimeout": 9000}, "s3Config": {"bucketName": "b"}},
        ),
        Job({"openai_route": "/v1/models"}),
    ],
)
def test_a_request_that_fits_is_sent_as_it_is(platform: Platform, endpoint: Endpoint, folder: Path, job: Job) -> None:
    output = {"answer": "as it is"} if "audio" not in job.input else make_answer("hello")["output"]
    with ScriptedWorker(platform, lambda _: {"output": output}) as worker:
        answer = transcribe(endpoint, folder, job)
    assert worker.jobs[0]["input"] == job.input
    (sent,) = platform.jobs.values()
    assert sent.request == {"policy": sent.request["policy"], "input": job.input, **job.fields}
    assert answer.get("answer") == "as it is" or answer["transcription"]["text"] == "hello"
    assert list(folder.iterdir()) == []


@pytest.mark.process
def test_a_request_with_a_large_recording_is_sent_in_parts(
    platform: Platform, endpoint: Endpoint, long_upload: Path, folder: Path
) -> None:
    audio = {"base64": base64.b64encode(long_upload.read_bytes()).decode()}
    with ScriptedWorker(platform, lambda _: make_answer("part")) as worker:
        answer = transcribe(endpoint, folder, Job({"audio": audio, "options": {"output_format": "srt"}}))
    assert len(worker.jobs) == PARTS
    assert answer["transcription"]["srt"].count("-->") == PARTS


LARGE = base64.b64encode(bytes(LIMIT)).decode()


@pytest.mark.parametrize(
    ("job_input", "fields", "message"),
    [
        ({"audio": {"base64": LARGE}, "webhook": {"url": "https://h.org"}}, {}, "webhook cannot go with"),
        ({"audio": {"base64": LARGE}}, {"s3Config": {}}, "s3Config cannot go with"),
        ({"audio": {"base64": LARGE}, "options": "all"}, {}, "options: give an object"),
        ({"audio": {"base64": LARGE[:-1] + "!"}}, {}, "audio.base64 is not base64"),
        ({"reference": LARGE}, {}, "larger than 0.16 MB"),
        ({"openai_route": "/v1/audio/transcriptions"}, {}, "send the request to that route here"),
        ({"audio": {"base64": LARGE}}, {}, "the file is not a recording: it is of an unknown type"),
    ],
)
@pytest.mark.process
def test_wrong_input_is_refused_without_a_job(
    platform: Platform,
    endpoint: Endpoint,
    folder: Path,
    job_input: dict[str, Any],
    fields: dict[str, Any],
    message: str,
) -> None:
    answer = transcribe(endpoint, folder, Job(job_input, fields=fields))
    assert message in answer["error"]
    assert to_error(answer).status == 400
    assert platform.jobs == {}
    assert list(folder.iterdir()) == []


@pytest.mark.process
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is not a recording: it is empty"),
        (b"<html>", "the file is not a recording: it is text"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "the file is not a recording: it is image/png"),
        ((CLIPS / "demo.ogg").read_bytes()[:60], "the file has no audio that can be decoded"),
    ],
)
def test_an_upload_that_is_no_recording_is_refused_without_a_job(
    platform: Platform, endpoint: Endpoint, folder: Path, upload: Path, content: bytes, message: str
) -> None:
    upload.write_bytes(content)
    answer = transcribe(endpoint, folder, Job({"options": {}}, upload))
    assert answer["error"].startswith(message)
    assert answer["error_type"] == "UnsupportedMedia"
    assert platform.jobs == {}


@pytest.mark.process
@pytest.mark.parametrize(
    ("error_type", "status"),
    [("InvalidInput", 400), ("TooLarge", 413), ("UnsupportedMedia", 400), ("Internal", 500), ("OutOfResources", 503)],
)
def test_the_workers_errors_are_passed_on(
    platform: Platform, endpoint: Endpoint, folder: Path, upload: Path, error_type: str, status: int
) -> None:
    failure = {"error": "something is wrong", "output": {"error_type": error_type}}
    with ScriptedWorker(platform, lambda _: failure):
        answer = transcribe(endpoint, folder, Job({"options": {}}, upload))
    assert answer == {"error": "something is wrong", "error_type": error_type}
    assert to_error(answer).status == status


@pytest.mark.process
def test_an_endpoint_that_repeats_the_key_is_not_repeated(
    platform: Platform, endpoint: Endpoint, folder: Path, upload: Path
) -> None:
    failure = {
        "error": f"{'x' * 1000} {settings_of(platform).api_key} {'y' * 5000}",
        "output": {"error_type": "Internal"},
    }
    with ScriptedWorker(platform, lambda _: failure):
        answer = transcribe(endpoint, folder, Job({"options": {}}, upload))
    assert answer["error"].startswith("x" * 1000 + " RunPod's key ")
    assert len(answer["error"]) < 3000


@pytest.mark.process
def test_a_wrong_key_says_whose(platform: Platform, folder: Path, upload: Path) -> None:
    right = settings_of(platform)
    wrong = Endpoint(EndpointSettings(right.base_url, right.endpoint_id, "secret"))
    answer = transcribe(wrong, folder, Job({"options": {}}, upload))
    assert answer["error"].startswith("the API key is wrong: check --api-key or RUNPOD_API_KEY")
    error = to_error(answer)
    assert (error.status, error.should_retry) == (502, False)


@pytest.mark.process
def test_a_folder_that_cannot_be_written_is_named_by_the_variable_that_moves_it(
    endpoint: Endpoint, folder: Path, upload: Path
) -> None:
    work_folder = folder / make_key(file_sha256(upload), {"options": {}}, {}, False)
    work_folder.mkdir()
    (work_folder / "journal").write_text("a file where a folder has to be")
    answer = transcribe(endpoint, folder, Job({"options": {}}, upload))
    assert answer["error"].startswith("the cache the temporary folder/journal cannot be written")
    assert answer["error"].endswith("set TMPDIR to another folder")
    assert answer["error_type"] == "OutOfResources"


@pytest.mark.process
def test_an_endpoint_out_of_reach_is_named_without_its_address(folder: Path, upload: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        endpoint = Endpoint(EndpointSettings(f"http://{address}/v2", "ep", "key"), retry_timeout_s=0.5)
        answer = transcribe(endpoint, folder, Job({"options": {}}, upload))
    assert answer["error"].startswith("the endpoint cannot be reached: check the network")
    assert address not in answer["error"]
    error = to_error(answer)
    assert (error.status, error.should_retry) == (503, True)


@pytest.mark.slow
@pytest.mark.process
def test_an_endpoint_without_workers_is_given_up(
    platform: Platform, endpoint: Endpoint, folder: Path, upload: Path
) -> None:
    answer = transcribe(endpoint, folder, Job({"options": {}}, upload), no_worker_s=0.5)
    assert answer["error"].startswith("the endpoint has no workers: set its maximum number of workers to 1 or more")
    assert to_error(answer).status == 502
    assert statuses(platform) == ["CANCELLED"]


@pytest.mark.slow
@pytest.mark.process
def test_a_busy_worker_is_waited_for(platform: Platform, endpoint: Endpoint, folder: Path, upload: Path) -> None:
    def answer(_job: dict[str, Any]) -> dict[str, Any]:
        threading.Event().wait(1.0)
        return make_answer("hello")

    async def call_both(bridge: EndpointTranscriber) -> list[Answer]:
        jobs = [Job({"options": {"language": language}}, upload) for language in ("en", "de")]
        return await asyncio.gather(*(bridge.run(job, Listener()) for job in jobs))

    with ScriptedWorker(platform, answer):
        answers = serve(endpoint, folder, call_both, no_worker_s=0.1)
    assert [answer["transcription"]["text"] for answer in answers] == ["hello", "hello"]


@pytest.mark.process
def test_streamed_segments_reach_the_caller_before_the_end(
    platform: Platform, endpoint: Endpoint, folder: Path, upload: Path
) -> None:
    segments: list[dict[str, Any]] = []

    def answer(job: dict[str, Any]) -> dict[str, Any]:
        address = f"{platform.url}/job-stream/scripted/{job['id']}"
        for start in (0.0, 2.0):
            chunk = {"output": {"segments": [{"start": start, "end": start + 1, "text": " word"}]}}
            requests.post(address, data=json.dumps(chunk), headers={"Authorization": platform.worker_key}, timeout=5)
        wait_until(lambda: len(segments) == 2)
        return make_answer("word word")

    with ScriptedWorker(platform, answer):
        listener = Listener(segments.extend)
        serve(endpoint, folder, lambda bridge: bridge.run(Job({"options": {}}, upload), listener))
    assert [(segment["id"], segment["start"]) for segment in segments] == [(0, 0.0), (1, 2.0)]


MODEL_LIST = {"object": "list", "data": [{"id": name} for name in ("turbo", "large-v3", "whisper-1")]}
REFUSAL = {"error": "audio: is missing", "output": {"error_type": "InvalidInput"}}


@pytest.mark.parametrize(
    ("answer", "models"), [({"output": MODEL_LIST}, ["turbo", "large-v3"]), (REFUSAL, ["large-v2"])]
)
def test_a_worker_is_asked_for_its_models_once_and_only_when_another_one_is_wanted(
    platform: Platform, endpoint: Endpoint, folder: Path, answer: dict[str, Any], models: list[str]
) -> None:
    async def ask(bridge: EndpointTranscriber) -> None:
        assert await bridge.models() == []
        assert await bridge.models("whisper-1") == []
        assert platform.jobs == {}
        assert await bridge.models("large-v2") == await bridge.models("large-v2") == models
        assert [job.request["input"] for job in platform.jobs.values()] == [{"openai_route": "/v1/models"}]

    with ScriptedWorker(platform, lambda _: answer):
        serve(endpoint, folder, ask)


def test_the_options_are_the_workers(folder: Path) -> None:
    bridge = EndpointTranscriber(Endpoint(EndpointSettings("http://localhost")), RunSettings(), folder)
    assert {"language", "diarize", "output_format"} <= set(bridge.option_schemas())


_BRIDGE = """
import asyncio, sys
from pathlib import Path
from api.transcriber import Job, Listener
from client.bridge import EndpointTranscriber
from client.job_request import RunSettings
from client.settings import EndpointSettings
from client.transport.endpoint import Endpoint

base_url, endpoint_id, key, upload, resume, folder, limit = sys.argv[1:]

async def begin():
    call = asyncio.create_task(bridge.run(Job({"options": {}}, Path(upload), resume=Path(resume)), Listener()))
    await asyncio.to_thread(sys.stdin.read)
    call.cancel()

async def main():
    global bridge
    endpoint = Endpoint(EndpointSettings(base_url, endpoint_id, key))
    bridge = EndpointTranscriber(endpoint, RunSettings(request_limit=int(limit)), Path(folder))
    await begin()

asyncio.run(main())
bridge.close()
"""


def jobs_in(resume: Path) -> tuple[int, int]:
    """The numbers of running and of finished jobs that are recorded in a folder."""
    outputs = {path.stem for path in resume.rglob("*.json")} - {"parts", "warnings"}
    return len([*resume.rglob("*.job")]), len(outputs)


@pytest.mark.slow
@pytest.mark.process
@pytest.mark.parametrize("is_killed", [False, True], ids=["stopped", "killed"])
def test_a_resumed_recording_runs_none_of_its_jobs_again(
    platform: Platform, endpoint: Endpoint, long_upload: Path, tmp_path: Path, is_killed: bool
) -> None:
    resume = tmp_path / "transcript" / "resume"
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    address = settings_of(platform)
    places = [str(path) for path in (long_upload, resume, tmp_path / "first")]
    command = [sys.executable, "-c", _BRIDGE, address.base_url, address.endpoint_id, address.api_key, *places]
    with ScriptedWorker(platform, lambda _: make_answer("part", 20.0)) as worker:
        worker.held_after = 1
        with subprocess.Popen([*command, str(LIMIT)], stdin=subprocess.PIPE) as bridge:
            try:
                wait_until(lambda: jobs_in(resume) == (PARTS - 1, 1), 60)
            finally:
                (bridge.kill if is_killed else bridge.stdin.close)()
        worker.release()
        answer = transcribe(endpoint, tmp_path / "second", Job({"options": {}}, long_upload, resume=resume))
    assert len(answer["metadata"]["parts"]) == PARTS
    assert statuses(platform) == ["COMPLETED"] * PARTS
    assert files_in(tmp_path / "transcript") == []


@pytest.mark.slow
@pytest.mark.process
def test_the_parts_of_a_resumed_recording_survive_a_bridge_in_which_it_only_waits(
    platform: Platform, endpoint: Endpoint, upload: Path, folder: Path, tmp_path: Path
) -> None:
    resume = tmp_path / "resume"

    async def wait(bridge: EndpointTranscriber) -> None:
        first = asyncio.create_task(bridge.run(Job({"options": {}}, upload), Listener()))
        await until(lambda: platform.jobs)
        second = asyncio.create_task(
            bridge.run(Job({"options": {"language": "en"}}, upload, resume=resume), Listener())
        )
        await until(lambda: any(resume.iterdir()) if resume.exists() else False)
        (next(resume.iterdir()) / "part").touch()
        for call in (first, second):
            call.cancel()

    serve(endpoint, folder, wait, recordings=1)
    assert [path.name for path in files_in(resume)] == ["part"]
