"""RunPod's API on a server of one's own: `/run`, `/runsync`, `/status`, `/stream`, `/cancel`, `/health`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
import requests
import runpod
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette

from api.http import uploads
from api.http.app import create_app
from api.http.door import DoorSettings
from api.http.headers import answer_headers
from api.http.job_routes import parse_submission
from api.http.job_store import JobStore, NoSuchJob, StoreFull
from api.openai.errors import ApiError
from api.transcriber import Answer, Listener
from tests.support.http_api import ANSWER, SEGMENTS, ScriptedTranscriber, served, wait_until

INPUT = {"audio": {"url": "https://example.org/a.mp3"}}
BODY = {"input": INPUT}


@pytest.fixture
def transcriber() -> ScriptedTranscriber:
    return ScriptedTranscriber()


@pytest.fixture
def app(transcriber: ScriptedTranscriber) -> Starlette:
    return create_app(transcriber, DoorSettings(max_requests=4))


@pytest.fixture
def url(app: Starlette) -> Iterator[str]:
    with served(app) as port:
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(params=["", "/v2/local", "/v2/abc-123"], ids=["bare", "v2", "other-endpoint"])
def base(request: pytest.FixtureRequest, url: str) -> str:
    return f"{url}{request.param}"


def post(url: str, body: Any = None, **more: Any) -> Any:
    return requests.post(url, json=body, timeout=10, **more)


def submit(url: str, **more: Any) -> str:
    """Queue a job, and return its id."""
    return post(f"{url}/run", {**BODY, **more}).json()["id"]


def status(url: str, job_id: str) -> Any:
    return requests.get(f"{url}/status/{job_id}", timeout=10).json()


def ended(url: str, job_id: str) -> Any:
    """The job's status once it has ended."""
    wait_until(lambda: status(url, job_id)["status"] not in ("IN_QUEUE", "IN_PROGRESS"))
    return status(url, job_id)


def test_run_answers_with_an_id_and_status_with_the_result(base: str, transcriber: ScriptedTranscriber) -> None:
    queued = post(f"{base}/run", BODY).json()
    assert queued == {"id": queued["id"], "status": "IN_QUEUE"}
    result = ended(base, queued["id"])
    times = {name: result.pop(name) for name in ("delayTime", "executionTime")}
    assert result == {"id": queued["id"], "status": "COMPLETED", "output": ANSWER}
    assert all(isinstance(time, int) and time >= 0 for time in times.values())
    assert transcriber.jobs[0].input == INPUT
    assert transcriber.request_ids == [queued["id"]]


def test_runsync_answers_with_the_result(base: str) -> None:
    result = post(f"{base}/runsync", BODY).json()
    assert (result["status"], result["output"]) == ("COMPLETED", ANSWER)
    assert result["id"].startswith("sync-")
    assert status(base, result["id"])["output"] == ANSWER


def test_runsync_answers_after_its_wait_and_the_job_goes_on(url: str, transcriber: ScriptedTranscriber) -> None:
    transcriber.held, transcriber.progress = True, ()
    result = post(f"{url}/runsync?wait=50", BODY).json()
    assert result == {"id": result["id"], "status": "IN_QUEUE"}
    transcriber.held = False
    assert ended(url, result["id"])["output"] == ANSWER


@pytest.mark.parametrize("wait", ["", "x", "-1", "1.5", "300001", "99999999999999999999", "²"])
def test_a_wrong_wait_is_refused(url: str, wait: str, transcriber: ScriptedTranscriber) -> None:
    response = post(f"{url}/runsync", BODY, params={"wait": wait})
    assert (response.status_code, transcriber.jobs) == (400, [])
    assert response.json() == {"error": '"wait" should be milliseconds, at most 300000'}


def test_a_job_goes_on_when_its_caller_has_left(url: str, transcriber: ScriptedTranscriber) -> None:
    transcriber.held = True
    with pytest.raises(requests.ReadTimeout):
        requests.post(f"{url}/runsync", json=BODY, timeout=0.2)
    transcriber.held = False
    wait_until(lambda: requests.get(f"{url}/health", timeout=10).json()["jobs"]["completed"] == 1)
    assert transcriber.cancelled == 0


def test_progress_is_the_output_until_the_result_is(url: str, transcriber: ScriptedTranscriber) -> None:
    transcriber.held = True
    transcriber.progress = [("downloading", 0.0), ("transcribing", 0.427)]
    job_id = submit(url)
    wait_until(lambda: "output" in status(url, job_id))
    running = status(url, job_id)
    assert running["status"] == "IN_PROGRESS"
    assert running["output"] == {"stage": "transcribing", "percent": 43, "update": 2}
    assert "executionTime" not in running
    transcriber.held = False
    assert ended(url, job_id)["output"] == ANSWER


def test_a_failed_job_has_its_sentence_beside_the_output(url: str, transcriber: ScriptedTranscriber) -> None:
    transcriber.answer = {"error": "the URL is refused", "error_type": "DownloadFailed"}
    failed = ended(url, submit(url))
    assert (failed["status"], failed["error"]) == ("FAILED", "the URL is refused")
    assert failed["output"] == {"error_type": "DownloadFailed"}


@pytest.mark.parametrize(
    ("outcome", "error"),
    [
        (RuntimeError("a path: /etc/passwd"), "the server failed: its log has the request ID"),
        ({"transcription": {"score": float("nan")}}, "the server failed: its log has the request ID"),
        (ApiError(503, "the endpoint cannot be reached"), "the endpoint cannot be reached"),
    ],
    ids=["bug", "not-json", "refusal"],
)
def test_a_transcriber_that_breaks_fails_the_job(
    url: str, transcriber: ScriptedTranscriber, outcome: Any, error: str
) -> None:
    transcriber.answer = outcome
    failed = ended(url, submit(url))
    assert (failed["status"], failed["error"]) == ("FAILED", error.replace("ID", failed["id"]))
    assert requests.get(f"{url}/health", timeout=10).json()["jobs"]["failed"] == 1


def test_a_text_that_utf_8_cannot_spell_is_still_answered(url: str, transcriber: ScriptedTranscriber) -> None:
    transcriber.answer = {"transcription": {"text": "a\ud800b"}}
    assert ended(url, submit(url))["output"] == {"transcription": {"text": "a?b"}}


def test_stream_gives_segments_once_and_the_result_at_last(url: str, transcriber: ScriptedTranscriber) -> None:
    transcriber.held = True
    transcriber.segments = SEGMENTS
    job_id = submit(url)
    wait_until(lambda: status(url, job_id)["status"] == "IN_PROGRESS")
    streamed = requests.get(f"{url}/stream/{job_id}", timeout=10).json()
    chunks = [{"output": {"segments": [segment]}} for segment in SEGMENTS]
    assert streamed == {"status": "IN_PROGRESS", "stream": chunks}
    assert post(f"{url}/stream/{job_id}").json() == {"status": "IN_PROGRESS", "stream": []}
    transcriber.held = False
    ended(url, job_id)
    assert post(f"{url}/stream/{job_id}").json() == {"status": "COMPLETED", "stream": [{"output": ANSWER}]}
    assert post(f"{url}/stream/{job_id}").json() == {"status": "COMPLETED", "stream": []}


def test_cancel_ends_the_job(base: str, transcriber: ScriptedTranscriber) -> None:
    transcriber.held = True
    job_id = submit(base)
    wait_until(lambda: transcriber.jobs)
    assert post(f"{base}/cancel/{job_id}").json() == {"id": job_id, "status": "CANCELLED"}
    wait_until(lambda: transcriber.cancelled)
    cancelled = status(base, job_id)
    assert (cancelled["status"], cancelled.get("output"), cancelled.get("error")) == ("CANCELLED", None, None)


def test_cancel_leaves_a_finished_job_as_it_is(url: str) -> None:
    job_id = submit(url)
    result = ended(url, job_id)
    assert post(f"{url}/cancel/{job_id}").json() == {"id": job_id, "status": "COMPLETED"}
    assert status(url, job_id) == result


def test_a_job_ends_after_its_time_to_live(url: str, transcriber: ScriptedTranscriber) -> None:
    transcriber.held = True
    assert ended(url, submit(url, policy={"ttl": 50}))["status"] == "TIMED_OUT"
    assert transcriber.cancelled == 1


def test_policy_and_bucket_reach_the_job(url: str, transcriber: ScriptedTranscriber) -> None:
    fields = {"policy": {"executionTimeout": 60_000, "lowPriority": True}, "s3Config": {"bucketName": "b"}}
    ended(url, submit(url, **fields, webhook=None))
    assert transcriber.jobs[0].fields == fields


def test_what_has_no_effect_is_named(url: str) -> None:
    response = post(f"{url}/run", {**BODY, "policy": {"lowPriority": True}, "bad\r\nname": 2, "x" * 1000: 3})
    assert (response.status_code, response.headers["x-ignored-fields"]) == (
        200,
        f"bad??name, {'x' * 60}, policy.lowPriority",
    )


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (None, '"input"'),
        ([], '"input"'),
        ({}, '"input"'),
        ({"input": None}, '"input"'),
        ({"input": "https://example.org/a.mp3"}, '"input"'),
        ({"input": {}, "webhook": "https://example.org/hook"}, 'put it inside "input"'),
        ({"input": {"openai_route": "/v1/audio/transcriptions"}}, "send the request to that route of this server"),
        ({"input": {"openai_route": 1}}, "send the request to that route of this server"),
        ({"input": {}, "policy": []}, '"policy" should be an object'),
        ({"input": {}, "s3Config": "bucket"}, '"s3Config" should be an object'),
        *(({"input": {}, "policy": {"ttl": ttl}}, '"policy.ttl"') for ttl in ("1", True, 0, -1, 1e12, float("inf"))),
    ],
)
def test_a_wrong_body_is_refused_in_a_sentence(body: Any, sentence: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse_submission(body)
    assert (caught.value.status, sentence in str(caught.value)) == (400, True)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=20), values, max_size=3),
    max_leaves=8,
)
bodies = st.fixed_dictionaries(
    {"input": st.dictionaries(st.text(max_size=5), json_values, max_size=2)},
    optional={
        "policy": st.dictionaries(st.sampled_from(["ttl", "executionTimeout", "é\n"]), json_values),
        "webhook": json_values,
        "s3Config": json_values,
        "é\r\n": json_values,
    },
)


@given(json_values | bodies)
def test_any_body_is_taken_or_refused(body: Any) -> None:
    try:
        submission = parse_submission(body)
    except ApiError as error:
        assert (error.status, "\n" in str(error)) == (400, False)
    else:
        assert 0 < submission.ttl_s <= 7 * 24 * 3600
        for header in answer_headers(submission.ignored, {}).values():
            assert header.isascii()
            assert header.isprintable()


def test_refusals_have_runpods_form(url: str, transcriber: ScriptedTranscriber) -> None:
    response = post(f"{url}/v2/local/run", {"input": {}, "webhook": "https://example.org/hook"})
    assert (response.status_code, list(response.json())) == (400, ["error"])
    assert transcriber.jobs == []


@pytest.mark.parametrize("route", ["status", "stream", "cancel"])
def test_an_unknown_job_is_404(base: str, route: str) -> None:
    response = post(f"{base}/{route}/no-such-job")
    assert response.status_code == 404
    assert response.json() == {"error": "there is no such job, or its result is no longer kept"}


def test_more_jobs_than_the_limit_are_asked_to_come_back(url: str, transcriber: ScriptedTranscriber) -> None:
    transcriber.held = True
    for _ in range(4):
        submit(url)
    response = post(f"{url}/run", BODY)
    assert (response.status_code, response.headers["retry-after"]) == (429, "10")
    transcriber.held = False
    wait_until(lambda: requests.get(f"{url}/health", timeout=10).json()["jobs"]["completed"] == 4)
    assert post(f"{url}/run", BODY).status_code == 200


def test_a_job_counts_as_large_as_its_body_was(
    url: str, app: Starlette, transcriber: ScriptedTranscriber, monkeypatch: pytest.MonkeyPatch
) -> None:
    transcriber.held = True
    monkeypatch.setattr(uploads, "VALUE_BYTES", 0)
    body = json.dumps(BODY).encode()
    job_id = requests.post(f"{url}/run", data=iter([body]), timeout=10).json()["id"]  # in chunks
    assert app.state.jobs.get(job_id).input_bytes == len(body)
    monkeypatch.setattr(uploads, "VALUE_BYTES", 1000)
    job_id = submit(url, other=[[], [], {}])
    assert app.state.jobs.get(job_id).input_bytes >= 6000
    transcriber.held = False


def test_runpods_own_client_runs_and_streams_jobs(url: str, transcriber: ScriptedTranscriber) -> None:
    transcriber.segments = SEGMENTS
    endpoint = runpod.Endpoint("local", api_key="unused")
    endpoint.rp_client.endpoint_url_base = f"{url}/v2"
    assert endpoint.run_sync(INPUT) == ANSWER
    job = endpoint.run(INPUT)
    assert [list(piece) for piece in job.stream()] == [["segments"]] * 3 + [["transcription", "metadata"]]
    assert (job.status(), job.output()) == ("COMPLETED", ANSWER)
    assert endpoint.health()["jobs"]["completed"] == 2


def test_health_counts_jobs_and_the_worker(base: str, transcriber: ScriptedTranscriber) -> None:
    ended(base, submit(base))
    transcriber.held, transcriber.progress = True, [("transcribing", 0.0)]
    job_id = submit(base)
    wait_until(lambda: status(base, job_id)["status"] == "IN_PROGRESS")
    assert requests.get(f"{base}/health", timeout=10).json() == {
        "jobs": {"completed": 1, "failed": 0, "inProgress": 1, "inQueue": 0, "retried": 0},
        "workers": {"idle": 0, "initializing": 0, "ready": 0, "running": 1, "throttled": 0, "unhealthy": 0},
    }


def test_health_has_what_the_transcriber_adds(app: Starlette, url: str) -> None:
    app.state.door.health = lambda: {"model": "base"}
    assert requests.get(f"{url}/health", timeout=10).json()["model"] == "base"


# --- the store: what is kept, and for how long


async def answer_at_once(_: Listener) -> Answer:
    return {"transcription": {"text": "x" * 1000}}


async def run_for_ever(_: Listener) -> Answer:
    await asyncio.Event().wait()
    return {}


def start(store: JobStore, run: Any = answer_at_once, **fields: Any) -> Any:
    job = {"input_bytes": 10, "is_sync": False, "ttl_s": 60.0, "outlives_server": False}
    return store.submit(run, **{**job, **fields})


@pytest.mark.parametrize("is_sync", [True, False])
def test_a_result_is_forgotten_after_its_time(is_sync: bool) -> None:
    async def scenario() -> None:
        store = JobStore(result_s=60.0 if is_sync else 0.05, sync_result_s=0.05 if is_sync else 60.0)
        job = start(store, is_sync=is_sync)
        other = start(store, is_sync=not is_sync)
        await asyncio.gather(job.over.wait(), other.over.wait())
        assert store.get(job.id) is job
        await asyncio.sleep(0.1)
        with pytest.raises(NoSuchJob):
            store.get(job.id)
        assert store.get(other.id) is other

    asyncio.run(scenario())


@pytest.mark.parametrize("limits", [{"max_jobs": 3}, {"max_bytes": 3000}], ids=str)
def test_the_oldest_results_make_room_for_new_jobs(limits: dict[str, int]) -> None:
    async def scenario() -> None:
        store = JobStore(**limits)
        running = start(store, run_for_ever)
        jobs = []
        for _ in range(10):
            jobs.append(start(store))
            await jobs[-1].over.wait()
            assert store.get(jobs[-1].id).output is not None
        assert store.get(running.id) is running
        kept = sum(job.id in store._jobs for job in jobs)
        assert kept == 2
        await store.close()

    asyncio.run(scenario())


def test_a_job_without_room_is_refused_and_running_ones_stay() -> None:
    async def scenario() -> None:
        store = JobStore(max_bytes=100)
        running = start(store, run_for_ever, input_bytes=95)
        with pytest.raises(StoreFull):
            start(store)
        store.cancel(running)
        assert start(store) is not None
        await store.close()

    asyncio.run(scenario())


def test_closing_finishes_only_jobs_whose_results_go_elsewhere() -> None:
    async def finish_later(_: Listener) -> Answer:
        await asyncio.sleep(0.05)
        return {}

    async def scenario() -> None:
        store = JobStore()
        delivered = start(store, finish_later, outlives_server=True)
        asked_for = start(store, run_for_ever)
        await asyncio.sleep(0)
        await store.close()
        assert (delivered.status, asked_for.status) == ("COMPLETED", "CANCELLED")

    asyncio.run(scenario())


def test_a_server_that_stops_cancels_its_jobs(app: Starlette, transcriber: ScriptedTranscriber) -> None:
    transcriber.held = True
    with served(app) as port:
        submit(f"http://127.0.0.1:{port}")
        wait_until(lambda: transcriber.jobs)
    assert transcriber.cancelled == 1


@pytest.mark.parametrize(
    ("job_input", "outlives"),
    [(INPUT, False), ({**INPUT, "webhook": "https://example.org"}, True), ({**INPUT, "upload": True}, True)],
)
def test_a_webhook_or_an_upload_outlives_the_server(
    app: Starlette, url: str, job_input: dict[str, Any], outlives: bool
) -> None:
    job_id = post(f"{url}/run", {"input": job_input}).json()["id"]
    assert app.state.jobs.get(job_id).outlives_server is outlives


@pytest.mark.slow
def test_memory_of_results_is_that_of_their_json(url: str, app: Starlette, transcriber: ScriptedTranscriber) -> None:
    transcriber.answer = {"transcription": {"segments": SEGMENTS * 1000}}
    job_id = submit(url)
    ended(url, job_id)
    size = len(json.dumps(transcriber.answer))
    assert app.state.jobs.get(job_id).size == pytest.approx(size, rel=0.01)
