"""The emulated platform: its own rules, and that the SDK's real worker loop lives under it as under RunPod's."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.platform.emulator import Fault, Platform
from tests.platform.faults import Faults
from tests.platform.records import Job
from tests.platform.worker import ROOT, Worker

HANDLER = """
import asyncio, pathlib, runpod

async def handler(job):
    task = job["input"]
    if task.get("report"):
        runpod.serverless.progress_update(job, task["report"])
    try:
        while task.get("until") and not pathlib.Path(task["until"]).exists():
            await asyncio.sleep(0.02)
    except asyncio.CancelledError:
        pathlib.Path(task["until"]).write_text("stopped")
        raise
    if task.get("large"):
        return "x" * task["large"]
    if task.get("fail"):
        return {"error": task["fail"]}
    return {"echo": task, "extra": {name: job[name] for name in job if name not in ("id", "input")}}

if __name__ == "__main__":
    runpod.serverless.start({"handler": handler, "concurrency_modifier": lambda current: 4})
"""

GENERATOR = """
import runpod

async def handler(job):
    for word in job["input"]["words"]:
        yield word

if __name__ == "__main__":
    runpod.serverless.start({"handler": handler, "return_aggregate_stream": True})
"""


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("worker") / "worker.py"
    path.write_text(HANDLER)
    return path


@pytest.fixture(scope="module")
def served(script: Path) -> Iterator[tuple[Platform, Worker]]:
    """A platform with a worker that takes four jobs at a time."""
    with Platform(webhook_delays=(0.05, 0.05)) as platform, Worker(platform, script) as worker:
        worker.wait_ready()
        yield platform, worker


@pytest.fixture
def live(served: tuple[Platform, Worker]) -> Platform:
    return served[0]


@pytest.fixture
def platform() -> Iterator[Platform]:
    """A platform without a worker; the tests play it."""
    with Platform(hold=0.05, retention=(60.0, 0.2)) as platform:
        yield platform


def call(platform: Platform, method: str, path: str, **request: Any) -> requests.Response:
    return requests.request(method, platform.url + path, headers=platform.headers, timeout=30, **request)


class PlayedWorker:
    """The worker's requests, one by one."""

    def __init__(self, platform: Platform, key: str | None = None) -> None:
        self.platform = platform
        self.headers = {"Authorization": key or platform.worker_key}

    def get(self, route: str, **query: Any) -> requests.Response:
        return requests.get(f"{self.platform.url}/{route}/w1", params=query, headers=self.headers, timeout=10)

    def post(self, route: str, job: str, body: Any) -> requests.Response:
        text = body if isinstance(body, str) else json.dumps(body)
        return requests.post(
            f"{self.platform.url}/{route}/w1/{job}?gpu=SIM", data=text, headers=self.headers, timeout=10
        )

    def take(self) -> str:
        return self.get("job-take").json()["id"]


def started(platform: Platform) -> tuple[PlayedWorker, Job]:
    """A job in the hands of a played worker."""
    worker = PlayedWorker(platform)
    job = platform.job(platform.submit({"n": 1}))
    assert worker.take() == job.id
    return worker, job


# --- the SDK's worker loop


@pytest.mark.process
def test_a_run_job_is_answered_in_status(live: Platform) -> None:
    submitted = call(live, "POST", "/run", json={"input": {"a": 1}}).json()
    live.wait(submitted["id"])
    status = call(live, "GET", f"/status/{submitted['id']}").json()
    assert status["status"] == "COMPLETED"
    assert status["output"]["echo"] == {"a": 1}
    assert status["delayTime"] >= 0
    assert status["executionTime"] >= 0
    assert status["workerId"] in live.workers
    assert not live.job(submitted["id"]).answered_twice


@pytest.mark.process
def test_runsync_answers_with_the_output(live: Platform) -> None:
    answer = call(live, "POST", "/runsync", json={"input": {"a": 2}}).json()
    assert (answer["status"], answer["output"]["echo"]) == ("COMPLETED", {"a": 2})


@pytest.mark.slow
@pytest.mark.process
def test_runsync_answers_with_the_state_when_the_wait_is_over(live: Platform, tmp_path: Path) -> None:
    release = tmp_path / "release"
    answer = call(live, "POST", "/runsync?wait=50", json={"input": {"until": str(release)}}).json()
    assert answer["status"] in ("IN_QUEUE", "IN_PROGRESS")
    release.touch()
    assert live.wait(answer["id"])["status"] == "COMPLETED"


@pytest.mark.process
def test_an_error_of_the_handler_fails_the_job(live: Platform) -> None:
    answer = live.wait(live.submit({"fail": "no such audio"}))
    assert (answer["status"], answer["error"]) == ("FAILED", "no such audio")


@pytest.mark.slow
@pytest.mark.process
def test_the_fields_beside_the_input_reach_the_handler(live: Platform) -> None:
    extra: dict[str, Any] = {"policy": {"executionTimeout": 60_000}, "s3Config": {"bucketName": "b"}}
    assert live.wait(live.submit({}, **extra))["output"]["extra"] == extra


@pytest.mark.process
def test_progress_shows_in_status_while_the_job_runs(live: Platform, tmp_path: Path) -> None:
    release = tmp_path / "release"
    job = live.job(live.submit({"report": {"percent": 50}, "until": str(release)}))
    live.until(lambda: job.progress)
    status = call(live, "GET", f"/status/{job.id}").json()
    assert (status["status"], status["output"]) == ("IN_PROGRESS", {"percent": 50})
    release.touch()
    live.wait(job.id)
    assert [post.late for post in job.progress] == [False]
    assert job.output["echo"]["report"] == {"percent": 50}


@pytest.mark.process
def test_cancel_stops_the_handler_which_posts_nothing(served: tuple[Platform, Worker], tmp_path: Path) -> None:
    live, worker = served
    noted = tmp_path / "noted"
    job = live.job(live.submit({"report": "started", "until": str(noted)}))
    live.until(lambda: job.progress)
    assert call(live, "POST", f"/cancel/{job.id}").json() == {"id": job.id, "status": "CANCELLED"}
    live.until(lambda: job.id in live.workers[worker.id].stopped)
    assert live.wait(live.submit({"until": str(noted)}))["status"] == "COMPLETED"
    assert noted.read_text() == "stopped"
    assert job.results == []


@pytest.mark.slow
@pytest.mark.process
def test_a_job_over_its_execution_timeout_is_stopped(live: Platform, tmp_path: Path) -> None:
    noted = tmp_path / "noted"
    job = live.submit({"until": str(noted)}, policy={"executionTimeout": 200})
    assert live.wait(job)["status"] == "TIMED_OUT"
    assert live.wait(live.submit({"until": str(noted)}))["status"] == "COMPLETED"
    assert noted.read_text() == "stopped"


@pytest.mark.slow
@pytest.mark.process
def test_the_sdk_posts_a_result_again_after_a_500(live: Platform) -> None:
    live.faults.next("job-done", Fault.ERROR_500)
    job = live.job(live.submit({"a": 3}))
    assert live.wait(job.id)["output"]["echo"] == {"a": 3}
    assert len(job.results) == 1
    assert live.faults.count("job-done") == 1


@pytest.mark.slow
@pytest.mark.process
def test_the_sdk_loses_a_result_that_is_refused(live: Platform) -> None:
    live.faults.next("job-done", Fault.REFUSE)
    job = live.job(live.submit({"a": 4}, policy={"executionTimeout": 500}))
    assert live.wait(job.id)["status"] == "TIMED_OUT"
    assert job.results == []


@pytest.mark.slow
@pytest.mark.process
def test_the_sdk_survives_random_faults(live: Platform) -> None:
    live.faults.rate = 0.3
    jobs = [live.submit({"n": n}) for n in range(12)]
    answers = [live.wait(job) for job in jobs]
    live.faults.rate = 0.0
    assert [answer["output"]["echo"] for answer in answers] == [{"n": n} for n in range(12)]
    assert not any(live.job(job).answered_twice for job in jobs)
    assert live.faults.injected


@pytest.mark.slow
@pytest.mark.process
def test_a_result_over_the_limit_of_run_is_lost_and_fits_runsync(live: Platform) -> None:
    lost = live.job(live.submit({"large": 10_500_000}))
    kept = live.submit({"large": 10_500_000}, sync=True)
    answer = live.wait(lost.id)
    assert (answer["status"], "output" in answer) == ("COMPLETED", False)
    assert [result.accepted for result in lost.results] == [False]
    assert len(live.wait(kept)["output"]) == 10_500_000


@pytest.mark.slow
@pytest.mark.process
def test_a_webhook_that_refuses_is_tried_again(live: Platform) -> None:
    answers = [500, 200, 200]
    received: list[tuple[str, Any]] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            received.append((self.headers["User-Agent"], body))
            self.send_response(answers[len(received) - 1])
            self.end_headers()

        def log_message(self, *arguments: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/hook"
        job = live.job(live.submit({"a": 5}, webhook=url))
        live.until(lambda: len(job.webhooks) == 2)
        server.shutdown()
    assert job.webhooks == [500, 200]
    agent, body = received[1]
    assert agent.startswith("Go-http-client")
    assert (body["id"], body["status"], body["input"], body["webhook"]) == (job.id, "COMPLETED", {"a": 5}, url)
    assert body["output"]["echo"] == {"a": 5}


@pytest.mark.slow
@pytest.mark.process
def test_health_counts_jobs_and_workers(live: Platform, tmp_path: Path) -> None:
    release = tmp_path / "release"
    job = live.job(live.submit({"until": str(release)}))
    live.until(lambda: job.status == "IN_PROGRESS")
    health = call(live, "GET", "/health").json()
    assert (health["jobs"]["inProgress"], health["workers"]["running"], health["workers"]["idle"]) == (1, 1, 0)
    release.touch()
    live.wait(job.id)
    assert call(live, "GET", "/health").json()["jobs"]["inProgress"] == 0


@pytest.mark.slow
@pytest.mark.process
def test_pings_name_the_jobs_in_progress(served: tuple[Platform, Worker], tmp_path: Path) -> None:
    live, worker = served
    release = tmp_path / "release"
    job = live.submit({"until": str(release)})
    live.until(lambda: any(job in ping.jobs for ping in live.workers[worker.id].pings))
    release.touch()
    live.wait(job)


@pytest.mark.process
def test_the_chunks_of_a_generator_arrive_in_stream(tmp_path: Path) -> None:
    script = tmp_path / "generator.py"
    script.write_text(GENERATOR)
    with Platform() as platform, Worker(platform, script):
        job = platform.submit({"words": ["one", "two", "three"]})
        platform.wait(job)
        answer = call(platform, "GET", f"/stream/{job}").json()
        assert answer == {"status": "COMPLETED", "stream": [{"output": word} for word in ("one", "two", "three")]}
        assert call(platform, "POST", f"/stream/{job}").json()["stream"] == []
        assert platform.wait(job)["output"] == ["one", "two", "three"]


@pytest.mark.slow
@pytest.mark.process
def test_a_batch_is_taken_at_once_and_drained_at_sigterm(script: Path, tmp_path: Path) -> None:
    release = tmp_path / "release"
    with Platform() as platform:
        jobs = [platform.job(platform.submit({"until": str(release)})) for _ in range(5)]
        with Worker(platform, script) as worker:
            platform.until(lambda: sum(job.status == "IN_PROGRESS" for job in jobs) == 4)
            assert platform.workers[worker.id].takes == 1
            worker.stop()
            release.touch()
            assert worker.wait() == 0
        assert [job.status for job in jobs] == ["COMPLETED"] * 4 + ["IN_QUEUE"]


@pytest.mark.slow
@pytest.mark.process
def test_a_worker_that_ends_before_it_is_ready_shows_its_log(platform: Platform, tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text("raise SystemExit('no model')")
    with Worker(platform, script) as worker:
        with pytest.raises(RuntimeError, match="no model"):
            worker.wait_ready()
        assert worker.exit_code == 1
    assert "no model" in worker.log()


@pytest.mark.slow
@pytest.mark.process
def test_jobs_of_a_killed_worker_are_done_by_the_next_one(script: Path, tmp_path: Path) -> None:
    release = tmp_path / "release"
    with Platform() as platform, Worker(platform, script) as killed:
        jobs = [platform.job(platform.submit({"until": str(release), "n": n})) for n in range(6)]
        platform.until(lambda: sum(job.status == "IN_PROGRESS" for job in jobs) == 4)
        killed.kill()
        platform.until(lambda: all(job.status == "IN_QUEUE" for job in jobs))
        release.touch()
        with Worker(platform, script):
            answers = [platform.wait(job.id) for job in jobs]
    assert [answer["output"]["echo"]["n"] for answer in answers] == list(range(6))
    assert [job.attempt for job in jobs] == [2, 2, 2, 2, 1, 1]


KILLED_ONCE = """
import os, pathlib, runpod

async def handler(job):
    for path in map(pathlib.Path, job["input"].get("die_without", [])):
        if not path.exists():
            path.touch()
            os.kill(os.getpid(), 9)
    return "done"

if __name__ == "__main__":
    runpod.serverless.start({"handler": handler})
"""


@contextmanager
def command(script: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`make platform` with a worker of one's own: the process, and the endpoint's URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.platform", "--port", "0", "--script", str(script), *options],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout
    try:
        lines = iter(process.stdout.readline, "")
        yield process, next(line.split()[-1] for line in lines if line.startswith("Ready."))
    finally:
        process.terminate()
        process.communicate(timeout=60)


@pytest.mark.slow
@pytest.mark.process
def test_the_command_replaces_a_worker_that_ends(tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(KILLED_ONCE)
    headers = {"Authorization": "Bearer local"}
    with command(script) as (_, url):
        jobs = [{"die_without": [str(tmp_path / "once")]}, {}, {}]
        ids = [
            requests.post(f"{url}/run", json={"input": job}, headers=headers, timeout=10).json()["id"] for job in jobs
        ]
        answer = requests.post(f"{url}/runsync", json={"input": {}}, headers=headers, timeout=100).json()
        statuses = [requests.get(f"{url}/status/{id_}", headers=headers, timeout=10).json() for id_ in ids]
        health = requests.get(f"{url}/health", headers=headers, timeout=10).json()
    assert answer["output"] == "done"
    assert [status["status"] for status in statuses] == ["COMPLETED"] * 3
    assert health["jobs"]["retried"] == 1


@pytest.mark.process
@pytest.mark.slow
def test_the_command_ends_with_the_last_lines_of_a_worker_that_keeps_ending(tmp_path: Path) -> None:
    script, started_before = tmp_path / "worker.py", tmp_path / "started"
    script.write_text(f"""
import pathlib, runpod
if __name__ == "__main__":
    if pathlib.Path({str(started_before)!r}).exists():
        raise SystemExit("no model")
    pathlib.Path({str(started_before)!r}).touch()
    runpod.serverless.start({{"handler": lambda job: exec("import os; os._exit(1)")}})
""")
    with command(script) as (process, url):
        requests.post(f"{url}/run", json={"input": {}}, headers={"Authorization": "Bearer local"}, timeout=10)
        assert process.wait(60) == 1
        assert process.stdout
        assert "no model" in process.stdout.read().splitlines()[-1]


# --- the platform's own rules


def test_a_job_that_costs_three_workers_fails(platform: Platform) -> None:
    worker, job = started(platform)
    other = platform.submit({"n": 2})
    for attempt in (1, 2):
        platform.lose("w1")
        platform.until(lambda: job.status == "IN_QUEUE")
        assert job.attempt == attempt
        assert worker.take() == job.id
    platform.lose("w1")
    answer = platform.wait(job.id)
    assert (answer["status"], answer["error"]) == ("FAILED", "the worker ended while it ran the job, 3 times")
    assert worker.take() == other
    assert call(platform, "GET", "/health").json()["jobs"]["retried"] == 2


def test_a_lost_worker_costs_no_job_that_is_done(platform: Platform) -> None:
    worker, job = started(platform)
    worker.post("job-done", job.id, {"output": 1})
    platform.lose("w1")
    assert platform.wait(job.id)["output"] == 1
    assert call(platform, "GET", "/health").json()["jobs"]["completed"] == 1


def test_an_empty_poll_ends_without_content(platform: Platform) -> None:
    worker = PlayedWorker(platform)
    assert [worker.get(route).status_code for route in ("job-take", "job-take-batch", "job-stop")] == [204] * 3


def test_a_batch_holds_no_more_than_was_asked_for(platform: Platform) -> None:
    jobs = [platform.submit({"n": n}) for n in range(3)]
    worker = PlayedWorker(platform)
    assert [job["id"] for job in worker.get("job-take-batch", batch_size=2).json()] == jobs[:2]
    assert [job["id"] for job in worker.get("job-take-batch", batch_size=2).json()] == jobs[2:]


def test_nobody_gets_in_with_the_other_sides_key(platform: Platform) -> None:
    assert PlayedWorker(platform, platform.api_key).get("job-take").status_code == 401
    assert PlayedWorker(platform, platform.api_key).get("ping").status_code == 401
    wrong = requests.get(f"{platform.url}/health", headers={"Authorization": platform.api_key}, timeout=10)
    assert wrong.status_code == 401
    assert "Authorization" in wrong.json()["error"]


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"{}",
        b'{"input": NaN}',
        b'{"input": {}, "webhook": "me"}',
        b'{"input": {}, "policy": []}',
        b'{"input": {}, "policy": {"ttl": "long"}}',
        b'{"input": {}, "s3Config": "bucket"}',
    ],
)
def test_a_wrong_request_is_refused_with_a_sentence(platform: Platform, body: bytes) -> None:
    answer = call(platform, "POST", "/run", data=body)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert platform.jobs == {}


def test_payloads_above_the_limits_are_refused(platform: Platform) -> None:
    payload = {"input": {"audio": "x" * 10_500_000}}
    refused = call(platform, "POST", "/run", json=payload)
    assert refused.status_code == 413
    assert "10000000" in refused.json()["error"]
    assert call(platform, "POST", "/runsync?wait=1", json=payload).status_code == 200
    payload["input"]["audio"] *= 2
    assert call(platform, "POST", "/runsync?wait=1", json=payload).status_code == 413


@pytest.mark.parametrize("body", ["{", '{"output": NaN}', "[]", "null"])
def test_a_result_that_is_not_a_json_object_is_refused(platform: Platform, body: str) -> None:
    worker, job = started(platform)
    assert worker.post("job-done", job.id, body).status_code == 400
    assert job.status == "IN_PROGRESS"
    assert len(job.refused) == 1


@pytest.mark.parametrize("error", [{"message": "bad"}, ["bad"]])
def test_an_error_that_is_no_text_completes_without_output(platform: Platform, error: Any) -> None:
    worker, job = started(platform)
    worker.post("job-done", job.id, {"output": 1, "error": error})
    answer = platform.wait(job.id)
    assert answer["status"] == "COMPLETED"
    assert not {"output", "error"} & set(answer)


def test_an_empty_error_is_a_success(platform: Platform) -> None:
    worker, job = started(platform)
    worker.post("job-done", job.id, {"output": 1, "error": "", "stopPod": True})
    assert (job.status, job.output, job.stop_pod) == ("COMPLETED", 1, True)


def test_a_second_result_is_noticed_and_changes_nothing(platform: Platform) -> None:
    worker, job = started(platform)
    worker.post("job-done", job.id, {"output": 1})
    assert not job.answered_twice
    worker.post("job-done", job.id, {"output": 2})
    assert job.answered_twice
    assert [result.late for result in job.results] == [False, True]
    assert job.output == 1


def test_progress_after_the_result_is_noticed_and_changes_nothing(platform: Platform) -> None:
    worker, job = started(platform)
    worker.post("job-done", job.id, {"output": 1})
    worker.post("job-done", job.id, {"status": "IN_PROGRESS", "output": "half"})
    assert [post.late for post in job.progress] == [True]
    assert (job.status, job.output, job.answered_twice) == ("COMPLETED", 1, False)


def test_a_chunk_above_the_limit_is_split(platform: Platform) -> None:
    worker, job = started(platform)
    worker.post("job-stream", job.id, {"output": "x" * 2_500_000})
    chunks = call(platform, "GET", f"/stream/{job.id}").json()["stream"]
    assert [len(chunk["output"]) for chunk in chunks] == [1_000_000, 1_000_000, 500_000]
    assert job.chunks[0].size > 2_500_000


def test_failed_jobs_can_be_retried_and_completed_ones_cannot(platform: Platform) -> None:
    worker, job = started(platform)
    worker.post("job-done", job.id, {"error": "bad luck"})
    assert call(platform, "POST", f"/retry/{job.id}").json()["status"] == "IN_QUEUE"
    assert worker.take() == job.id
    worker.post("job-done", job.id, {"output": 1})
    assert (job.status, job.attempt, job.answered_twice) == ("COMPLETED", 2, False)
    assert call(platform, "POST", f"/retry/{job.id}").status_code == 400
    assert call(platform, "GET", "/health").json()["jobs"]["retried"] == 1


def test_a_purge_cancels_what_waits_and_nothing_else(platform: Platform) -> None:
    _, running = started(platform)
    waiting = platform.submit({})
    assert call(platform, "POST", "/purge-queue").json() == {"removed": 1, "status": "completed"}
    assert (platform.job(waiting).status, running.status) == ("CANCELLED", "IN_PROGRESS")


def test_a_cancelled_job_is_not_handed_out(platform: Platform) -> None:
    call(platform, "POST", f"/cancel/{platform.submit({})}")
    assert PlayedWorker(platform).get("job-take").status_code == 204


def test_results_of_runsync_expire_before_those_of_run(platform: Platform) -> None:
    kept, lost = platform.submit({}), platform.submit({}, sync=True)
    worker = PlayedWorker(platform)
    for _ in range(2):
        worker.post("job-done", worker.take(), {"output": 1})
    platform.until(lambda: lost not in platform.jobs)
    assert call(platform, "GET", f"/status/{lost}").status_code == 404
    assert call(platform, "GET", f"/status/{kept}").json()["output"] == 1
    assert worker.post("job-done", lost, {"output": 2}).status_code == 404
    assert len(platform.strays) == 1


def test_a_job_past_its_ttl_is_forgotten_and_stopped(platform: Platform) -> None:
    job = platform.submit({}, policy={"ttl": 100})
    worker = PlayedWorker(platform)
    worker.take()
    platform.until(lambda: job not in platform.jobs)
    assert worker.get("job-stop").json() == {"jobsToStop": [job]}


def test_a_retired_worker_gets_no_jobs_until_it_starts_again(platform: Platform) -> None:
    job = platform.submit({})
    worker = PlayedWorker(platform)
    platform.retire("w1")
    assert worker.get("job-take").status_code == 204
    platform.admit("w1")
    assert worker.take() == job


@pytest.mark.parametrize(
    ("fault", "seen"),
    [
        (Fault.ERROR_500, lambda answer: answer.status_code == 500),
        (Fault.ERROR_429, lambda answer: answer.status_code == 429),
        (Fault.REFUSE, lambda answer: answer.status_code == 400),
        (Fault.BROKEN_JSON, lambda answer: answer.text.startswith('{"id"') and not answer.text.endswith("}")),
        (Fault.SLOW, lambda answer: answer.elapsed.total_seconds() > 0.1 and answer.json()["input"] == {"n": 1}),
    ],
)
def test_a_fault_strikes_once_and_costs_no_job(
    platform: Platform, fault: Fault, seen: Callable[[requests.Response], bool]
) -> None:
    job = platform.submit({"n": 1})
    platform.faults.next("job-take", fault, seconds=0.15)
    worker = PlayedWorker(platform)
    assert seen(worker.get("job-take"))
    assert fault is Fault.SLOW or worker.take() == job


def test_a_dropped_connection_answers_nothing(platform: Platform) -> None:
    worker, job = started(platform)
    platform.faults.next("job-done", Fault.DROP)
    with pytest.raises(requests.ConnectionError):
        worker.post("job-done", job.id, {"output": 1})
    assert job.results == []


def test_the_same_seed_brings_the_same_faults() -> None:
    def drawn(seed: int) -> list[Any]:
        faults = Faults(seed=seed, rate=0.5)
        return [faults.draw("job-done", f"job-{n}") for n in range(30)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_random_faults_leave_the_third_try_of_a_post_alone() -> None:
    faults = Faults(rate=1.0)
    assert [faults.draw("job-done", "job") is None for _ in range(6)] == [False, False, True] * 2
