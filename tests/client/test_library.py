"""The client as a library, for plain programs and for asyncio, against the platform and a worker in HTTP mode."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from api.http.app import create_app
from api.http.door import DoorSettings
from client.known_voices import Voice, VoiceFolder, VoiceSample
from tests.client.conftest import CLIPS, ROOT, environment, settings_of, wait_until
from tests.client.scripted_worker import ScriptedWorker, make_answer
from tests.platform.emulator import Platform
from tests.support.http_api import SENTENCES, ScriptedTranscriber, served
from worker_whisper import (
    AsyncClient,
    BadAnswer,
    BadRecording,
    Client,
    ClientError,
    EndpointUnusable,
    JobFailed,
    OutputFailed,
    Stopped,
    Transcription,
    WrongUsage,
)

pytestmark = pytest.mark.process

CACHE = "XDG_CACHE_HOME"
DOCUMENTS = "".join((ROOT / path).read_text(encoding="utf-8") for path in ("docs/client.md", "README.md"))
BLOCKS = re.findall(r"^```python\n(.*?)^```", DOCUMENTS, re.DOTALL | re.MULTILINE)
EXAMPLES = [code for code in BLOCKS if "worker_whisper" in code]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
    return tmp_path / "cache" / "worker-whisper"


@pytest.fixture
def worker(platform: Platform) -> Iterator[ScriptedWorker]:
    with ScriptedWorker(platform, lambda _job: make_answer("Good morning.")) as worker:
        yield worker


@pytest.fixture
def place(platform: Platform) -> dict[str, Any]:
    """The arguments that lead a client to the platform."""
    settings = settings_of(platform)
    return {"endpoint_id": settings.endpoint_id, "api_key": settings.api_key, "base_url": settings.base_url}


def statuses(platform: Platform) -> list[str]:
    return [job.status for job in platform.jobs.values()]


@pytest.mark.usefixtures("worker")
def test_a_file_is_transcribed(place: dict[str, Any], recording: Path, cache: Path) -> None:
    progress: list[tuple[float, str]] = []
    segments: list[dict[str, Any]] = []
    with Client(**place) as client:
        result = client.transcribe(
            str(recording),
            {"output_format": ["srt", "json"], "language": "en"},
            on_progress=lambda fraction, stage: progress.append((fraction, stage)),
            on_segments=segments.extend,
        )
    assert (result.text, result.language) == ("Good morning.", "en")
    assert result.segments == segments
    assert result.metadata["model"] == "scripted"
    assert result.files == {}
    assert progress[-1] == (1.0, "done")
    assert list(cache.iterdir()) == []


def test_options_arrive_at_the_worker(place: dict[str, Any], worker: ScriptedWorker, recording: Path) -> None:
    client = Client(**place, timeout_s=77)
    client.transcribe(recording, {"beam_size": 3, "language": None, "speakers": {"Ada": str(recording)}})
    options = worker.jobs[0]["input"]["options"]
    assert options["beam_size"] == 3
    assert "language" not in options
    assert set(options["speakers"]["Ada"]) == {"base64"}


@pytest.mark.slow
@pytest.mark.parametrize("client_type", [Client, AsyncClient])
def test_known_voices_are_named_if_they_are_asked_for(
    place: dict[str, Any],
    worker: ScriptedWorker,
    recording: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    client_type: type[Client] | type[AsyncClient],
) -> None:
    for name, folder in (("Ada", "own"), ("प्रिया", "team")):
        sample = VoiceSample((1.0, *[0.0] * 191), 10.0, "2026-11-30")
        VoiceFolder(tmp_path / folder).save(Voice(name, None, (sample,)))
    monkeypatch.setenv("WORKER_WHISPER_VOICES", str(tmp_path / "own"))

    def names(options: dict[str, Any], **settings: Any) -> list[str]:
        done = client_type(**place, **settings).transcribe(recording, options)
        if not isinstance(done, Transcription):
            asyncio.run(wait(done))
        return [*worker.jobs[-1]["input"]["options"].get("speakers", {})]

    async def wait(done: Any) -> None:
        await done

    assert names({"diarize": True}) == []
    assert names({"diarize": True}, voices=True) == ["Ada"]
    assert names({"diarize": True}, voices=str(tmp_path / "team")) == ["प्रिया"]
    assert names({}, voices=True) == []


@pytest.mark.parametrize(
    ("recording", "audio"),
    [
        ("https://example.org/talk.mp3", {"url": "https://example.org/talk.mp3"}),
        ("s3://bucket/a talk.mp3", {"url": "s3://bucket/a talk.mp3"}),
        ("volume:in/talk.mp4", {"volume": "in/talk.mp4"}),
    ],
)
def test_an_address_is_fetched_by_the_worker(
    recording: str, audio: dict[str, str], place: dict[str, Any], worker: ScriptedWorker
) -> None:
    Client(**place).transcribe(recording)
    assert worker.jobs[0]["input"]["audio"] == audio


def test_a_worker_in_http_mode_is_a_place_too(recording: Path) -> None:
    transcriber = ScriptedTranscriber()
    with served(create_app(transcriber, DoorSettings(api_keys=frozenset({"secret"})))) as port:
        result = Client(base_url=f"http://127.0.0.1:{port}", api_key="secret").transcribe(recording)
    assert result.text == " ".join(SENTENCES)


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        (["nowhere.mp3"], WrongUsage, "there is no file nowhere.mp3"),
        ([""], WrongUsage, "the name of the recording is empty"),
        (["ftp://example.org/a.mp3"], WrongUsage, "begins with http:// or https://"),
        (["empty.mp3"], BadRecording, "empty.mp3 is not a recording: it is empty"),
        ([b"talk.ogg"], WrongUsage, "give a file's path or a URL as the recording, not an object of type bytes"),
        (["talk.ogg", ["srt"]], WrongUsage, "not an object of type list"),
        (["."], WrongUsage, "is a folder: use `worker-whisper batch`"),
        (["talk.ogg", {"beamsize": 3}], WrongUsage, "options: there is no 'beamsize': did you mean beam_size?"),
        (["talk.ogg", {"beam_size": 99}], WrongUsage, "options.beam_size must be smaller than or equal to"),
        (["talk.ogg", {"speakers": {"Ada": "ada.wav"}}], WrongUsage, "options.speakers.Ada: there is no file ada.wav"),
    ],
)
def test_wrong_arguments_send_nothing(
    platform: Platform,
    place: dict[str, Any],
    recording: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[Any],
    error: type[ClientError],
    sentence: str,
) -> None:
    monkeypatch.chdir(recording.parent)
    Path("empty.mp3").touch()
    with pytest.raises(error, match=re.escape(sentence)):
        Client(**place).transcribe(*arguments)
    assert platform.jobs == {}


def test_failures_are_exceptions_with_the_sentences_of_the_command(
    platform: Platform, place: dict[str, Any], recording: Path
) -> None:
    failure = {"error": "the audio is damaged", "output": {"error_type": "UnsupportedMedia"}}
    with ScriptedWorker(platform, lambda _job: failure), pytest.raises(JobFailed, match="the audio is damaged"):
        Client(**place).transcribe(recording)
    with pytest.raises(EndpointUnusable, match="the API key is wrong"):
        Client(**{**place, "api_key": "wrong"}).transcribe(recording)


@pytest.mark.slow
@pytest.mark.parametrize("by_exit", [False, True], ids=["cancel", "end of the block"])
def test_jobs_are_cancelled_from_another_thread(
    platform: Platform, place: dict[str, Any], recording: Path, by_exit: bool
) -> None:
    with ThreadPoolExecutor() as threads:
        with Client(**place) as client:
            call = threads.submit(client.transcribe, recording)
            wait_until(lambda: statuses(platform) == ["IN_QUEUE"])
            if not by_exit:
                client.cancel()
        with pytest.raises(Stopped):
            call.result(30)
    assert statuses(platform) == ["CANCELLED"]


def test_formats_are_saved_by_their_suffixes(tmp_path: Path) -> None:
    result = Transcription(make_answer("Grüße")["output"])
    result.save(tmp_path / "new" / "talk.srt")
    assert (tmp_path / "new" / "talk.srt").read_text("utf-8") == result.format("srt")
    result.save(str(tmp_path / "talk.v2.TXT"))
    assert (tmp_path / "talk.v2.TXT").read_text("utf-8") == "Grüße\n"
    with pytest.raises(WrongUsage, match=r"talk\.docx has no suffix of a format; known ones are \.txt"):
        result.save("talk.docx")
    with pytest.raises(BadAnswer, match=r'the answer has no vtt: request it, as by {"output_format": \["vtt"\]}'):
        result.save(tmp_path / "talk.vtt")
    with pytest.raises(OutputFailed, match="cannot be written: "):
        result.save(tmp_path / "talk.v2.TXT" / "talk.srt")
    with pytest.raises(WrongUsage, match="'docx' is not a format"):
        result.format("docx")


@pytest.mark.slow
def test_many_recordings_are_transcribed_at_once_up_to_the_limit(
    platform: Platform, place: dict[str, Any], folder: Path
) -> None:
    recordings = [copy_with_a_tail(folder, number) for number in range(5)]
    threads: list[threading.Thread] = []

    async def transcribe_all() -> list[Transcription]:
        async with AsyncClient(**place, limit=2) as client:
            calls = [asyncio.create_task(client.transcribe(path, on_progress=on_progress)) for path in recordings]
            await wait_for(lambda: len(platform.jobs) == 2)
            assert await asyncio.wait(calls, timeout=0.5) == (set(), set(calls))
            assert len(platform.jobs) == 2
            with ScriptedWorker(platform, lambda job: make_answer(str(len(job["input"]["audio"]["base64"])))):
                return await asyncio.gather(*calls)

    def on_progress(_fraction: float, _stage: str) -> None:
        threads.append(threading.current_thread())

    results = asyncio.run(transcribe_all())
    texts = [int(result.text) for result in results]
    assert texts == sorted(texts)
    assert len(set(texts)) == 5
    assert set(threads) == {threading.main_thread()}


@pytest.mark.slow
def test_cancelling_a_task_cancels_its_job_and_no_other(
    platform: Platform, place: dict[str, Any], folder: Path
) -> None:
    first, second = copy_with_a_tail(folder, 0), copy_with_a_tail(folder, 1)

    async def cancel_one() -> str:
        async with AsyncClient(**place) as client:
            cancelled = asyncio.create_task(client.transcribe(first))
            await wait_for(lambda: len(platform.jobs) == 1)
            other = asyncio.create_task(client.transcribe(second))
            await wait_for(lambda: len(platform.jobs) == 2)
            cancelled.cancel()
            with pytest.raises(asyncio.CancelledError):
                await cancelled
            assert statuses(platform) == ["CANCELLED", "IN_QUEUE"]
            with ScriptedWorker(platform, lambda _job: make_answer("Good evening.")):
                return (await other).text

    assert asyncio.run(cancel_one()) == "Good evening."


@pytest.mark.slow
def test_the_end_of_the_block_cancels_what_still_runs(platform: Platform, place: dict[str, Any], folder: Path) -> None:
    async def leave() -> list[Any]:
        async with AsyncClient(**place, limit=1) as client:
            paths = [copy_with_a_tail(folder, number) for number in range(2)]
            calls = [asyncio.create_task(client.transcribe(path)) for path in paths]
            await wait_for(lambda: len(platform.jobs) == 1)
        return await asyncio.gather(*calls, return_exceptions=True)

    assert [type(error) for error in asyncio.run(leave())] == [Stopped, Stopped]
    assert statuses(platform) == ["CANCELLED"]


def test_failures_are_raised_in_the_task(platform: Platform, place: dict[str, Any], recording: Path) -> None:
    failure = {"error": "the audio is damaged", "output": {"error_type": "UnsupportedMedia"}}
    with ScriptedWorker(platform, lambda _job: failure), pytest.raises(JobFailed, match="the audio is damaged"):
        asyncio.run(AsyncClient(**place).transcribe(recording))


@pytest.mark.slow
@pytest.mark.usefixtures("worker")
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: str(EXAMPLES.index(example)))
def test_the_documented_programs_run(platform: Platform, folder: Path, example: str) -> None:
    for name in ("talk.mp3", "talk.mp4", "one.mp3", "two.mp3", "ada.wav", "ben.wav"):
        shutil.copy(CLIPS / "demo.ogg", folder / name)
    env = environment(platform, folder.parent)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", example], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Good morning." in done.stdout


def test_the_documents_have_programs() -> None:
    assert sum("AsyncClient" in example for example in EXAMPLES) == 1
    assert sum("import Client" in example for example in EXAMPLES) >= 1


def test_names_that_it_lacks_are_an_error() -> None:
    import worker_whisper

    with pytest.raises(AttributeError, match="module 'worker_whisper' has no attribute 'Nothing'"):
        _ = worker_whisper.Nothing  # type: ignore[attr-defined]
    assert {"Client", "AsyncClient", "Transcription"} <= set(worker_whisper.__all__)


def copy_with_a_tail(folder: Path, length: int) -> Path:
    """Copy a recording, with bytes at its end that make it another one."""
    path = Path(shutil.copy(CLIPS / "demo.ogg", folder / f"{length}.ogg"))
    with path.open("ab") as file:
        file.write(b"\0" * 3 * length)
    return path


async def wait_for(condition: Callable[[], object]) -> None:
    """Wait for a condition while the event loop goes on."""
    await asyncio.to_thread(wait_until, condition)
