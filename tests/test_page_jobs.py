"""The page's jobs: they run without a tab, say how far they are, and begin again after the server's end."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from api.page import jobs, running_job
from api.page.events import MAX_STREAMS_OF_ONE, MAX_UNREAD, Events
from api.page.jobs import MAX_ATTEMPTS, PageJobs
from api.page.records import Record, Source
from api.page.running_job import Rate
from api.page.settings import KeptVoice, PageSettings
from api.page.store import NotWritten, Store
from api.transcriber import Answer, Job, Listener
from tests.support.disks import full_disk
from tests.support.http_api import ANSWER, SEGMENTS, ScriptedTranscriber, wait_until
from tests.support.page_api import Browser
from tests.support.servers import free_port

FAILURE: Answer = {"error": "options.language: no language", "error_type": "InvalidInput"}


def make_record(transcript_id: str = "one", **values: Any) -> Record:
    source = Source("url", "talk.mp3", url="https://example.org/talk.mp3")
    return Record(transcript_id, "anna", "Talk", source, **{"options": {"language": "en"}, **values})


VOICES = {"Ada": {"embedding": [1.0]}}


class ScriptedVoices:
    """Known voices that stay the same."""

    def for_job(self) -> dict[str, Any]:
        return VOICES

    def keep(self, name: str, answer: Answer) -> list[str]:
        raise NotImplementedError

    def list_all(self) -> list[KeptVoice]:
        raise NotImplementedError

    def forget(self, name: str) -> None:
        raise NotImplementedError


class Page:
    """The jobs of a store, and what the visitor Anna is told."""

    def __init__(self, folder: Path, transcriber: ScriptedTranscriber) -> None:
        self.store = Store(folder)
        self.events = Events()
        settings = PageSettings(folder, "worker", reserve_bytes=0, known_voices=ScriptedVoices())
        self.stream = self.events.open("anna")
        self.jobs = PageJobs(self.store, transcriber.run, self.events, settings)

    def begin(self, record: Record) -> None:
        self.store.add(record)
        self.jobs.start(record)

    async def until_true(self, condition: Callable[[], object]) -> None:
        for _ in range(1000):
            if condition():
                return
            await asyncio.sleep(0.005)
        raise AssertionError("still not true")

    async def until(self, state: str, transcript_id: str = "one") -> Record:
        """The record in this state; a job that has ended is gone, too."""
        is_over = state != "working"
        await self.until_true(
            lambda: (
                self.store.get(transcript_id).state == state and not (is_over and self.jobs.progress_of(transcript_id))
            )
        )
        return self.store.get(transcript_id)

    async def told_record(self, state: str) -> Any:
        """The record with this state, once the visitor is told of it."""
        while True:
            for name, data in await self.told():
                if name == "record" and data["state"] == state:
                    return data

    async def told(self) -> list[tuple[str, Any]]:
        """The unread events."""
        text = (await self.stream.read(0.001)).decode()
        events = [event.split("\n") for event in text.split("\n\n") if event and not event.startswith(":")]
        return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in events]


@pytest.fixture(autouse=True)
def no_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running_job, "_REPORT_S", 0.0)


def run(folder: Path, transcriber: ScriptedTranscriber, act: Callable[[Page], Awaitable[None]]) -> None:
    """Let a page act on a folder, as a server does from its start to its end."""

    async def serve() -> None:
        page = Page(folder, transcriber)
        try:
            await page.jobs.resume()
            await act(page)
        finally:
            await page.jobs.close()
            page.store.close()

    asyncio.run(serve())


def test_a_job_asks_for_words_as_json_whatever_the_options_say(tmp_path: Path) -> None:
    transcriber = ScriptedTranscriber()

    async def act(page: Page) -> None:
        page.begin(make_record())
        assert (await page.until("done")).preview == "Good morning. What is it? It is noon."

    run(tmp_path, transcriber, act)
    assert transcriber.jobs[0].input == {
        "audio": {"url": "https://example.org/talk.mp3"},
        "options": {"language": "en", "output_format": "json", "word_timestamps": True},
    }
    assert transcriber.jobs[0].resume == tmp_path / "media" / "one" / "resume"


@pytest.mark.parametrize(
    ("options", "speakers"),
    [
        ({}, None),
        ({"diarize": False}, None),
        ({"diarize": True}, VOICES),
        ({"diarize": True, "speakers": {}}, VOICES),
        ({"diarize": True, "speakers": {"Eve": {"url": "https://example.org/eve.wav"}}}, "as given"),
    ],
)
def test_known_voices_are_named_where_speakers_are_told_apart(tmp_path: Path, options: Any, speakers: Any) -> None:
    transcriber = ScriptedTranscriber()

    async def act(page: Page) -> None:
        page.begin(make_record(options=options))
        assert (await page.until("done")).options == options  # no voice is kept with a transcript

    run(tmp_path, transcriber, act)
    asked = transcriber.jobs[0].input["options"].get("speakers")
    assert asked == (options["speakers"] if speakers == "as given" else speakers)


def test_a_job_is_not_asked_for_what_the_page_makes_of_the_corrected_text(tmp_path: Path) -> None:
    """The worker would make a video that nobody gets, and warn that the subtitles' shape has no effect."""
    transcriber = ScriptedTranscriber()
    options = {
        "language": "en",
        "captions": "burn",
        "subtitle_preset": "broadcast",
        "max_line_width": 30,
        "stl_start": "10:00:00:00",
    }

    async def act(page: Page) -> None:
        page.begin(make_record(options=options))
        assert (await page.until("done")).options == options

    run(tmp_path, transcriber, act)
    assert transcriber.jobs[0].input["options"].keys() == {"language", "output_format", "word_timestamps"}


def test_the_visitor_is_told_of_progress_lines_and_the_end(tmp_path: Path) -> None:
    transcriber = ScriptedTranscriber(progress=[("transcribing, 0:10 of 1:00", 0.4)], segments=SEGMENTS, held=True)

    async def act(page: Page) -> None:
        page.begin(make_record())
        await page.until_true(lambda: len(page.jobs.lines_of("one")) == len(SEGMENTS))
        await asyncio.sleep(0.01)
        told = await page.told()
        assert [line["id"] for name, data in told if name == "lines" for line in data["lines"]] == [
            *("00000000", "00000001", "00000002")
        ]
        latest = [data for name, data in told if name == "record"][-1]
        assert (latest["state"], latest["stage"], latest["fraction"]) == ("working", "transcribing", 0.4)
        transcriber.held = False
        await page.until("done")
        last = await page.told_record("done")
        assert (last["fraction"], last["seconds_left"]) == (1.0, None)

    run(tmp_path, transcriber, act)


def test_lines_of_hours_that_come_at_once_are_told_a_few_at_once(tmp_path: Path) -> None:
    class Hours(ScriptedTranscriber):
        async def run(self, job: Job, listener: Listener) -> Answer:
            listener.on_segments([*SEGMENTS * 300])
            return await super().run(job, listener)

    async def act(page: Page) -> None:
        page.begin(make_record())
        await page.until_true(lambda: len(page.jobs.lines_of("one")) == 300 * len(SEGMENTS))
        counts: list[int] = []
        while sum(counts) < 300 * len(SEGMENTS):
            counts += [len(data["lines"]) for name, data in await page.told() if name == "lines"]
        assert (sum(counts), max(counts)) == (300 * len(SEGMENTS), 200)

    run(tmp_path, Hours(held=True), act)


@pytest.mark.parametrize(
    ("reports", "left"),
    [
        ([(0, 0.0), (10, 0.1)], 90),
        ([(0, 0.0), (10, 0.1), (20, 0.5)], 20),
        ([(0, 0.5), (10, 0.6)], 40),
        ([(0, 0.0), (1, 0.1)], None),
        ([(0, 0.0), (100, 0.0)], None),
        ([(0, 0.0), (10, 1.0)], 0),
    ],
)
def test_the_time_left_follows_from_the_rate_so_far(reports: Any, left: Any) -> None:
    rate = Rate()
    for now, fraction in reports:
        found = rate.seconds_left("transcribing", fraction, 1000.0 + now)
    assert found == left


def test_a_new_stage_has_a_rate_of_its_own() -> None:
    rate = Rate()
    for now, stage, fraction in [(0, "downloading", 0.0), (50, "transcribing", 0.0), (60, "transcribing", 0.5)]:
        found = rate.seconds_left(stage, fraction, 1000.0 + now)
    assert found == 10


def test_waiting_for_a_worker_is_no_work(tmp_path: Path) -> None:
    transcriber = ScriptedTranscriber(progress=[("waiting for a worker: does it have any?", 0.0)], held=True)

    async def act(page: Page) -> None:
        page.begin(make_record())
        await page.until_true(lambda: page.jobs.progress_of("one").stage)
        progress = page.jobs.progress_of("one")
        assert (progress.state, progress.stage) == ("waiting", "waiting for a worker")

    run(tmp_path, transcriber, act)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (FAILURE, {"type": "InvalidInput", "message": "options.language: no language"}),
        ({"transcription": {}}, {"type": "Internal", "message": "the output has no segments of the known form"}),
        (RuntimeError("/a/path"), {"type": "Internal", "message": "the server failed: try again"}),
        (
            {"transcription": {"segments": [{"start": 0, "end": 1, "text": 3}]}},
            {"type": "Internal", "message": "the output has no segments of the known form"},
        ),
    ],
    ids=["refused", "empty", "bug", "damaged"],
)
def test_a_failure_is_told_with_its_sentence(tmp_path: Path, answer: Any, error: Any) -> None:
    async def act(page: Page) -> None:
        page.begin(make_record())
        assert (await page.until("failed")).error == error
        assert (await page.told_record("failed"))["error"] == error

    run(tmp_path, ScriptedTranscriber(answer=answer), act)


def test_a_job_has_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MAX_JOB_S", 0.05)
    transcriber = ScriptedTranscriber(held=True)

    async def act(page: Page) -> None:
        page.begin(make_record())
        assert (await page.until("failed")).error["type"] == "Cancelled"

    run(tmp_path, transcriber, act)
    assert transcriber.cancelled == 1


def test_a_failed_or_cancelled_second_try_leaves_the_first_result(tmp_path: Path) -> None:
    transcriber = ScriptedTranscriber()

    async def act(page: Page) -> None:
        page.begin(make_record())
        first = await page.until("done")
        transcriber.answer = FAILURE
        await page.jobs.retry(first, {"language": "xx"})
        failed = await page.until("done")
        assert (failed.error["type"], failed.options) == ("InvalidInput", {"language": "xx"})
        transcriber.held = True
        await page.jobs.retry(failed, None)
        await page.until("working")
        assert (await page.jobs.cancel(failed)).state == "done"
        assert len(page.store.lines_of("one")) == 3

    run(tmp_path, transcriber, act)


def test_a_cancelled_job_ends_and_can_be_tried_again(tmp_path: Path) -> None:
    transcriber = ScriptedTranscriber(held=True)

    async def act(page: Page) -> None:
        page.begin(make_record())
        await page.until_true(lambda: transcriber.jobs)
        assert (await page.jobs.cancel(page.store.get("one"))).state == "cancelled"
        assert transcriber.cancelled == 1
        transcriber.held = False
        await page.jobs.retry(page.store.get("one"), None)
        await page.until("done")

    run(tmp_path, transcriber, act)


def test_a_job_that_is_started_twice_runs_once(tmp_path: Path) -> None:
    transcriber = ScriptedTranscriber(answer=FAILURE)

    async def act(page: Page) -> None:
        page.begin(make_record())
        record = await page.until("failed")
        transcriber.held = True
        await asyncio.gather(page.jobs.retry(record, None), page.jobs.retry(record, None))
        transcriber.held = False
        await page.until("failed")

    run(tmp_path, transcriber, act)
    assert len(transcriber.jobs) == 2


def delayed(write: Callable[..., Any], seconds: float, *, after: bool = False) -> Callable[..., Any]:
    """A write of the store whose thread is slow before it, or after it."""

    def write_slowly(*values: Any, **named: Any) -> Any:
        time.sleep(0 if after else seconds)
        written = write(*values, **named)
        time.sleep(seconds if after else 0)
        return written

    return write_slowly


def test_a_job_that_is_cancelled_while_it_begins_does_not_stay_at_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(page: Page) -> None:
        monkeypatch.setattr(page.store, "begin_attempt", delayed(page.store.begin_attempt, 0.3))
        page.begin(make_record())
        await asyncio.sleep(0.1)
        await page.jobs.cancel(page.store.get("one"))
        await asyncio.sleep(0.4)
        assert page.store.get("one").state == "cancelled"

    run(tmp_path, ScriptedTranscriber(held=True), act)


def test_a_job_that_is_tried_again_the_moment_its_end_is_written_runs_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    transcriber = ScriptedTranscriber()

    async def act(page: Page) -> None:
        monkeypatch.setattr(page.store, "finish", delayed(page.store.finish, 0.3, after=True))
        page.begin(make_record())
        await page.until_true(lambda: page.store.get("one").state == "done")
        await page.jobs.retry(page.store.get("one"), None)
        await page.until_true(lambda: len(transcriber.jobs) == 2)
        await page.until("done")

    run(tmp_path, transcriber, act)


@pytest.mark.parametrize("ended", ["removed", "cancelled"])
def test_a_job_does_not_begin_once_its_transcript_is_removed_or_cancelled(tmp_path: Path, ended: str) -> None:
    transcriber = ScriptedTranscriber()

    async def act(page: Page) -> None:
        record = make_record()
        page.store.add(record)
        page.store.remove("one") if ended == "removed" else page.store.update("one", state="cancelled")
        page.jobs.start(record)
        await page.until_true(lambda: page.jobs.progress_of("one") is None)
        assert not transcriber.jobs

    run(tmp_path, transcriber, act)


@asynccontextmanager
async def full_disk_at_the_end(
    page: Page, transcriber: ScriptedTranscriber, folder: Path, log: pytest.LogCaptureFixture
) -> AsyncIterator[None]:
    """Begin a job whose result cannot be written for the length of the block."""
    page.begin(make_record())
    await page.until_true(lambda: transcriber.jobs)
    with full_disk(folder):
        transcriber.held = False
        await page.until_true(lambda: "cannot be written" in log.text)
        yield


def test_a_result_is_kept_once_the_disk_has_space_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(jobs, "_WRITE_AGAIN_S", 0.05)
    transcriber = ScriptedTranscriber(held=True)

    async def act(page: Page) -> None:
        async with full_disk_at_the_end(page, transcriber, tmp_path, caplog):
            assert page.store.get("one").state == "working"
        await page.until("done")
        assert len(page.store.lines_of("one")) == len(SEGMENTS)

    run(tmp_path, transcriber, act)
    assert len(transcriber.jobs) == 1


def test_a_job_whose_result_finds_no_space_can_be_cancelled(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    transcriber = ScriptedTranscriber(held=True)

    async def act(page: Page) -> None:
        async with full_disk_at_the_end(page, transcriber, tmp_path, caplog):
            with pytest.raises(NotWritten):
                await asyncio.wait_for(page.jobs.cancel(page.store.get("one")), 20)
        assert (await page.jobs.cancel(page.store.get("one"))).state == "cancelled"

    run(tmp_path, transcriber, act)


def test_jobs_wait_in_order_for_a_turn(tmp_path: Path) -> None:
    transcriber = ScriptedTranscriber(held=True)
    names = [f"t{number}" for number in range(jobs.RUNNING_AT_ONCE + 2)]

    async def act(page: Page) -> None:
        for name in names:
            page.begin(make_record(name))
        await page.until_true(lambda: len(transcriber.jobs) == jobs.RUNNING_AT_ONCE)
        assert page.store.get(names[-1]).state == "waiting"
        transcriber.held = False
        for name in names:
            await page.until("done", name)

    run(tmp_path, transcriber, act)


def test_an_ended_server_puts_jobs_back_and_the_next_one_runs_them(tmp_path: Path) -> None:
    transcriber = ScriptedTranscriber(held=True)

    async def begin(page: Page) -> None:
        page.begin(make_record())
        await page.until("working")

    async def look(page: Page) -> None:
        transcriber.held = False
        await page.until("done")

    run(tmp_path, transcriber, begin)
    store = Store(tmp_path)
    assert (store.get("one").state, store.get("one").attempts) == ("waiting", 0)
    store.close()
    run(tmp_path, transcriber, look)


def test_a_job_that_was_running_when_the_server_was_killed_begins_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add(make_record(state="working", attempts=1))
    store.close()

    async def look(page: Page) -> None:
        await page.until("done")

    run(tmp_path, ScriptedTranscriber(), look)


def test_a_job_during_which_the_server_is_killed_again_and_again_is_given_up(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.add(make_record(state="working", attempts=MAX_ATTEMPTS))
    store.close()
    transcriber = ScriptedTranscriber()

    async def look(page: Page) -> None:
        record = await page.until("failed")
        assert record.error["message"].startswith("the server ended 3 times while it worked on this recording")

    run(tmp_path, transcriber, look)
    assert transcriber.jobs == []


def test_late_reports_of_a_cancelled_job_are_not_told(tmp_path: Path) -> None:
    listeners: list[Listener] = []

    async def run_job(job: Job, listener: Listener) -> Answer:
        listeners.append(listener)
        await asyncio.sleep(100)
        return ANSWER

    transcriber = ScriptedTranscriber()
    transcriber.run = run_job  # type: ignore[method-assign]

    async def act(page: Page) -> None:
        page.begin(make_record())
        await page.until_true(lambda: listeners)
        await page.jobs.cancel(page.store.get("one"))
        await page.told()
        listeners[0].on_progress("transcribing", 0.5)
        listeners[0].on_segments(SEGMENTS)
        await asyncio.sleep(0.05)
        assert await page.told() == []

    run(tmp_path, transcriber, act)


def test_damaged_segments_are_left_out_of_what_is_told(tmp_path: Path) -> None:
    class Damaged(ScriptedTranscriber):
        async def run(self, job: Job, listener: Listener) -> Answer:
            listener.on_segments([{"start": "x"}, {"text": 3}])
            return await super().run(job, listener)

    async def act(page: Page) -> None:
        page.begin(make_record())
        await page.until_true(lambda: len(page.jobs.lines_of("one")) == len(SEGMENTS))
        assert [line.id for line in page.jobs.lines_of("one")] == ["00000000", "00000001", "00000002"]

    run(tmp_path, Damaged(segments=SEGMENTS, held=True), act)


def test_a_reader_that_is_too_slow_is_cut_off() -> None:
    async def act() -> None:
        events = Events()
        stream = events.open("anna")
        for number in range(MAX_UNREAD + 10):
            events.publish("anna", "record", {"number": number})
        assert (await stream.read(1)).count(b"event: record") == MAX_UNREAD
        assert await stream.read(1) == b""

    asyncio.run(act())


def test_events_reach_their_visitor_alone_and_a_silent_stream_has_a_heartbeat() -> None:
    async def act() -> None:
        events = Events()
        anna, ben = events.open("anna"), events.open("ben")
        events.publish("anna", "removed", {"id": "a\nb"})
        assert await anna.read(1) == b'event: removed\ndata: {"id": "a\\nb"}\n\n'
        assert await ben.read(0.001) == b":\n\n"

    asyncio.run(act())


def test_the_oldest_of_too_many_streams_ends() -> None:
    async def act() -> None:
        events = Events()
        streams = [events.open("anna") for _ in range(MAX_STREAMS_OF_ONE + 1)]
        assert [stream.is_open for stream in streams] == [False, *[True] * MAX_STREAMS_OF_ONE]
        for stream in streams:
            events.forget("anna", stream)

    asyncio.run(act())


_SERVER = """
import sys
from pathlib import Path
from api.http.server import serve

def load():
    from api.http.app import create_app
    from api.http.door import DoorSettings
    from api.page.settings import KeptVoice, PageSettings
    from tests.support.http_api import ScriptedTranscriber
    transcriber = ScriptedTranscriber(held=sys.argv[3] == "held")
    return create_app(transcriber, DoorSettings(), page=PageSettings(Path(sys.argv[1]), "worker", reserve_bytes=0))

serve(load, host="127.0.0.1", ports=[int(sys.argv[2])])
"""


@contextmanager
def server(folder: Path, port: int, speed: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that serves the page, whose jobs do not end if they are `held`."""
    with subprocess.Popen([sys.executable, "-c", _SERVER, str(folder), str(port), speed]) as process:
        try:
            wait_until(lambda: answers(port), 60)
            yield process
        finally:
            process.kill()


def answers(port: int) -> bool:
    try:
        return Browser(port).session.status == 200
    except OSError:
        return False


@pytest.mark.process
@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
def test_a_transcript_survives_the_server_and_its_job_ends_with_the_next_one(
    tmp_path: Path, end: signal.Signals
) -> None:
    port = free_port()
    with server(tmp_path, port, "held") as process:
        browser = Browser(port)
        record = browser.post("/page/api/transcripts", {"url": "https://example.org/talk.mp3"}).json
        path = f"/page/api/transcripts/{record['id']}"
        wait_until(lambda: browser.get(path).json["state"] == "working")
        listening = HTTPConnection("127.0.0.1", port, timeout=20)
        listening.request(
            "GET", "/page/api/events", headers={"cookie": browser.cookie, "sec-fetch-site": "same-origin"}
        )
        events = listening.getresponse()
        assert events.readline() == b"event: hello\n"
        process.send_signal(end)
        assert process.wait(10) == (0 if end == signal.SIGTERM else -end)
        listening.close()
    with server(tmp_path, port, "quick"):
        browser.port = port
        wait_until(lambda: browser.get(path).json["state"] == "done")
        assert len(browser.get(f"{path}/document").json["lines"]) == 3
