"""The log, read from stderr: one line for each event, with its job's id and nothing of the job's content."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runpod.serverless.modules.rp_logger import RunPodLogger

from src.logs import event, job_scope, set_up
from tests.support.clips import CLIPS, ROOT, as_base64
from tests.support.properties import examples

SIGNED = "https://bucket.s3.amazonaws.com/talk.wav?X-Amz-Credential=AKIA&X-Amz-Signature=0123abcd"

ours = logging.getLogger("src.engine.placement")
theirs = logging.getLogger("urllib3.connectionpool")

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def put_back(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Restores the process's logging after each test."""
    root, src, sdk = logging.getLogger(), logging.getLogger("src"), RunPodLogger()
    handlers, levels = root.handlers, (root.level, src.level, sdk.level)
    monkeypatch.setenv("RUNPOD_LOG_LEVEL", "INFO")
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    yield
    root.handlers = handlers
    root.setLevel(levels[0])
    src.setLevel(levels[1])
    sdk.level = levels[2]


@pytest.fixture(params=["text", "json"])
def lines(request: pytest.FixtureRequest, capfd: pytest.CaptureFixture[str]) -> Lines:
    """Reads back what was logged since the last call, in both formats."""
    set_up(request.param)
    read = json.loads if request.param == "json" else from_text
    return lambda: [read(line) for line in capfd.readouterr().err.split("\n")[:-1]]


def from_text(line: str) -> dict[str, Any]:
    """The facts of a line of text, which must have the documented format."""
    found = re.fullmatch(r'(\S+) (\S+) (\S+)((?: \w+=(?:[\w.:/+@-]+|"(?:[^"\\]|\\.)*"))*)', line, re.ASCII)
    assert found, line
    facts = {name: parsed(value) for name, value in re.findall(r' (\w+)=("(?:[^"\\]|\\.)*"|\S+)', found[4])}
    return {"time": found[1], "level": found[2], "event": found[3], **facts}


def parsed(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def test_an_event_is_one_line_with_its_job_and_its_facts(lines: Lines) -> None:
    event(
        "job.finished",
        job="abc",
        audio_seconds=10.23456,
        windows=3,
        cached=True,
        task="transcribe",
        error_type=None,
    )
    [line] = lines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("time"))
    assert line == {
        "level": "INFO",
        "event": "job.finished",
        "job": "abc",
        "audio_seconds": 10.235,
        "windows": 3,
        "cached": True,
        "task": "transcribe",
    }


def test_the_text_format_is_as_documented(capfd: pytest.CaptureFixture[str]) -> None:
    set_up("text")
    event("job.finished", job="abc", seconds=1.3, ok=True, note="two words")
    line = capfd.readouterr().err
    assert line.partition(" ")[2] == 'INFO job.finished job=abc seconds=1.3 ok=true note="two words"\n'


def test_an_event_without_a_job_has_no_job_id(lines: Lines) -> None:
    event("worker.ready", model="tiny.en")
    assert "job" not in lines()[0]


def test_set_up_twice_logs_once_and_in_the_last_format(capfd: pytest.CaptureFixture[str]) -> None:
    set_up("text")
    set_up("json")
    set_up("json")
    event("worker.ready")
    assert json.loads(capfd.readouterr().err)["event"] == "worker.ready"


def test_nothing_is_logged_before_set_up(capfd: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("src").setLevel(logging.NOTSET)
    event("worker.ready")
    assert capfd.readouterr().err == ""


# --- The job around ---------------------------------------------------------------------------------------------------


def test_warnings_of_our_modules_have_the_same_format_and_the_job_id(lines: Lines) -> None:
    with job_scope("job-1"):
        ours.warning("compute type %s is not for %s", "float16", "cpu")
        event("job.decoded", seconds=2)
    ours.error("the engine is lost")
    warned, decoded, lost = lines()
    assert (warned["level"], warned["event"], warned["job"]) == ("WARNING", "engine.placement", "job-1")
    assert warned["message"] == "compute type float16 is not for cpu"
    assert (decoded["event"], decoded["job"]) == ("job.decoded", "job-1")
    assert (lost["level"], lost["message"], "job" in lost) == ("ERROR", "the engine is lost", False)


def test_messages_of_the_http_api_are_ours(lines: Lines) -> None:
    logging.getLogger("api.http.middleware").error("request %s failed", "req_1")
    [line] = lines()
    assert (line["event"], line["message"]) == ("api.http.middleware", "request req_1 failed")


def test_scopes_nest_and_end_with_an_error(lines: Lines) -> None:
    with job_scope("outer"):
        with contextlib.suppress(ValueError), job_scope("inner"):
            event("a")
            raise ValueError
        event("b")
        event("c", job="named")
    event("d")
    assert [line.get("job") for line in lines()] == ["inner", "outer", "named", None]


def test_concurrent_jobs_do_not_mix(lines: Lines) -> None:
    together = threading.Barrier(4)

    def work(job: str) -> None:
        with job_scope(job):
            together.wait(10)
            for _ in range(50):
                ours.warning("of %s", job)

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(work, ["a", "b", "c", "d"]))
    logged = lines()
    assert len(logged) == 200
    assert all(line["message"] == f"of {line['job']}" for line in logged)


def test_asyncio_threads_and_generators_keep_the_job_id(lines: Lines) -> None:
    async def work(job: str) -> None:
        with job_scope(job):
            await asyncio.sleep(0)
            await asyncio.to_thread(ours.warning, "of %s", job)

    async def stream() -> Any:
        with job_scope("streamed"):
            yield 1
            yield 2

    async def main() -> None:
        await asyncio.gather(work("a"), work("b"))
        streamed = stream()
        await anext(streamed)
        await asyncio.create_task(streamed.aclose())  # in a different context from the one it started in

    asyncio.run(main())
    assert {(line["job"], line["message"]) for line in lines()} == {("a", "of a"), ("b", "of b")}


# --- Hostile content --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "job",
    [
        "a\n2026-11-23T12:00:00.123Z INFO job.finished job=forged",
        'a" event="forged',
        "a\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029b",
        "\x1b[2J\x7f\x00",
        "\ud800\udfff lone",
        "\u202eright to left",
        "",
        " job=x",
        "a" * 1_000_000,
        "\n" * 1_000_000,
        SIGNED,
    ],
)
def test_a_hostile_id_stays_in_its_field(job: str, lines: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    # pytest-xdist cannot send what pytest's own handlers take down of a lone surrogate.
    monkeypatch.setattr(
        root, "handlers", [handler for handler in root.handlers if "_pytest" not in type(handler).__module__]
    )
    with job_scope(job):
        event("job.taken", size=1)
        event("job.named", job=job)
        ours.warning("of %s", job)
    logged = lines()
    assert [line["event"] for line in logged] == ["job.taken", "job.named", "engine.placement"]
    assert all(len(line["job"]) <= 100 for line in logged)
    assert all("Signature" not in json.dumps(line) for line in logged)
    assert all(set(line) <= {"time", "level", "event", "job", "size", "message"} for line in logged)


@examples(100)
@given(job=st.text(st.characters(exclude_categories=()), max_size=120))
def test_any_id_gives_one_line_of_printable_ascii(job: str, capfd: pytest.CaptureFixture[str]) -> None:
    for form in ("text", "json"):
        set_up(form)
        event("job.taken", job=job)
        written = capfd.readouterr().err
        assert written.endswith("\n")
        assert written[:-1].isascii()
        assert written[:-1].isprintable()


def test_a_short_ordinary_id_is_unchanged(lines: Lines) -> None:
    event("job.taken", job="sync-1a2b3c4d-5e6f-7a8b-9c0d-e1f2a3b4c5d6-u1")
    assert lines()[0]["job"] == "sync-1a2b3c4d-5e6f-7a8b-9c0d-e1f2a3b4c5d6-u1"


def test_facts_of_other_types_are_logged_as_their_type(lines: Lines) -> None:
    facts: dict[str, Any] = {"job": 7, "options": {"prompt": "secret"}, "raw": b"secret", "error": ValueError("secret")}
    event("job.taken", **facts, ratio=float("nan"), text="so " * 40)
    [line] = lines()
    assert line["job"] == 7
    assert (line["options"], line["raw"], line["error"]) == ("<dict>", "<bytes>", "<ValueError>")
    assert line["ratio"] == "nan"
    assert line["text"] == "so " * 32 + "s..."


@pytest.mark.parametrize(
    "private",
    [
        SIGNED,
        "HTTPSConnectionPool(host='a', port=443): Max retries exceeded with url: /talk.wav?X-Amz-Signature=0123abcd",
        as_base64(CLIPS / "demo.ogg"),
        "data:audio/ogg;base64," + as_base64(CLIPS / "demo.ogg"),
    ],
)
def test_urls_and_base64_are_removed_from_our_own_messages(private: str, lines: Lines) -> None:
    ours.warning("the download failed (%s)", private)
    [line] = lines()
    assert line["message"].startswith("the download failed (")
    assert "Signature" not in line["message"]
    assert as_base64(CLIPS / "demo.ogg")[:80] not in line["message"]


def test_an_error_with_its_traceback_is_one_line_with_type_and_location(lines: Lines) -> None:
    try:
        raise ValueError("the transcript says secret")
    except ValueError:
        ours.exception("the job failed")
    [line] = lines()
    assert (line["message"], line["error_type"]) == ("the job failed", "ValueError")
    assert re.fullmatch(r"test_logs\.py:\d+", line["raised_at"])
    assert "secret" not in json.dumps(line)


def test_a_line_that_cannot_be_written_raises_and_leaks_nothing(lines: Lines) -> None:
    record = ours.makeRecord(ours.name, logging.WARNING, __file__, 1, "%d windows", ("secret",), None)
    logging.getLogger().handlers[0].handle(record)  # not by way of the logger: pytest's own handler would raise
    assert lines() == []


# --- Libraries --------------------------------------------------------------------------------------------------------


def test_for_libraries_only_the_location_is_logged_from_warnings_on(lines: Lines) -> None:
    theirs.setLevel(logging.DEBUG)
    theirs.info("Starting new HTTPS connection: %s", SIGNED)
    with job_scope("job-1"):
        theirs.warning("Failed to parse headers (url=%s)", SIGNED)
    theirs.setLevel(logging.NOTSET)
    [line] = lines()
    assert (line["level"], line["event"], line["job"]) == ("WARNING", "library.log", "job-1")
    assert line["logger"] == "urllib3.connectionpool"
    assert re.fullmatch(r"test_logs\.py:\d+", line["at"])
    assert "amazonaws" not in json.dumps(line)


@pytest.mark.filterwarnings("always::UserWarning")
def test_a_python_warning_is_one_line_without_its_text(lines: Lines) -> None:
    warnings.warn("input_value='the transcript'", UserWarning, stacklevel=1)
    [line] = lines()
    assert (line["level"], line["event"], line["error_type"]) == ("WARNING", "library.warning", "UserWarning")
    assert re.fullmatch(r"test_logs\.py:\d+", line["at"])
    assert "transcript" not in json.dumps(line)


SDK = """
import asyncio, json, logging
import runpod
from runpod.serverless.modules.rp_job import run_job
from src.logs import event, job_scope, set_up
set_up("json")
def handler(job):
    with job_scope(job["id"]):
        event("job.finished", seconds=0.5)
    return {"text": "the transcript"}
asyncio.run(run_job(handler, {"id": "job-1", "input": {}}))
logging.getLogger("anything").info("the transcript")
"""


@pytest.mark.process
def test_the_sdk_logs_that_a_job_started_and_never_its_answer() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SDK],
        cwd=ROOT,
        env={**os.environ, "RUNPOD_LOG_LEVEL": "DEBUG", "RUNPOD_ENDPOINT_ID": "endpoint"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    [ours] = [json.loads(line) for line in ran.stderr.splitlines()]
    assert (ours["event"], ours["job"]) == ("job.finished", "job-1")
    assert json.loads(ran.stdout) == {"requestId": "job-1", "message": "Started.", "level": "INFO"}
