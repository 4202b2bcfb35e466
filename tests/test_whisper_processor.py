"""WhisperProcessor as a library: paths and dicts, several models, names of models, and closing."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from benchmarks.scoring import count_errors
from src import model_loading
from src.engine.engine import Engine
from src.errors import DownloadFailed, InvalidInput, ModelUnavailable
from src.job_control import JobControl
from src.rp_handler import handler
from src.settings import get_settings
from src.whisper_processor import WhisperProcessor
from tests.support.clips import CLIPS, ROOT, as_base64, spoken, words
from transcript.transcript import Transcript

DEMO = CLIPS / "demo.ogg"
pytestmark = [pytest.mark.model, pytest.mark.process]

SPOKEN = " ".join(spoken("demo.ogg"))


@pytest.fixture(scope="module")
def tiny() -> Iterator[WhisperProcessor]:
    processor = WhisperProcessor("tiny.en")
    yield processor
    processor.close()


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Sets environment variables and makes the settings read them."""

    def set_variables(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        get_settings.cache_clear()

    yield set_variables
    monkeypatch.undo()
    get_settings.cache_clear()


# --- Paths and dicts -------------------------------------------------------------------------------------------------


def test_a_script_may_give_a_str_path_and_a_dict_of_options(tiny: WhisperProcessor) -> None:
    output = tiny.process_audio(str(DEMO), {"language": "english", "output_format": "text,srt", "temperature": 0})
    assert count_errors(SPOKEN, output["text"], "en").edits <= 2
    assert output["srt"].startswith("1\n00:00:")
    assert "segments" not in output


def test_transcribe_takes_a_str_path_and_a_dict_too(tiny: WhisperProcessor) -> None:
    transcript = tiny.transcribe(str(DEMO), {"word_timestamps": True})
    assert count_errors(SPOKEN, transcript.text, "en").edits <= 2
    assert all(segment.words for segment in transcript.segments)


@pytest.mark.parametrize("options", [{"beam_sise": 5}, {"beam_size": "five"}, {"language": "klingon"}])
def test_wrong_options_have_the_same_error_as_in_a_job(tiny: WhisperProcessor, options: dict[str, Any]) -> None:
    job = {"input": {"audio": {"base64": as_base64(DEMO)}, "options": options}}
    expected = handler(job)["error"]
    assert expected.startswith("options.")
    for call in (tiny.process_audio, tiny.transcribe):
        with pytest.raises(InvalidInput) as caught:
            call(str(DEMO), options)
        assert str(caught.value) == expected


def test_the_nearest_option_is_suggested(tiny: WhisperProcessor) -> None:
    with pytest.raises(InvalidInput, match='unknown key, did you mean "beam_size"'):
        tiny.process_audio(str(DEMO), {"beam_sise": 5})


# --- Several models --------------------------------------------------------------------------------------------------


class NumberedEngine(Engine):
    """An engine whose device is named after the order of loading."""

    loads = 0

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        NumberedEngine.loads += 1
        self._number = NumberedEngine.loads

    @property
    def device(self) -> str:
        return f"device-{self._number}"


@pytest.fixture
def small_cache(monkeypatch: pytest.MonkeyPatch, configure: Callable[..., None]) -> Iterator[WhisperProcessor]:
    """The handler's processor with room for one of two models; the first one is loaded."""
    configure(MAX_LOADED_MODELS="1", WHISPER_MODELS="base")
    monkeypatch.setattr(model_loading, "Engine", NumberedEngine)
    NumberedEngine.loads = 0
    processor = WhisperProcessor("tiny.en")
    monkeypatch.setattr("src.rp_handler.get_processor", lambda: processor)
    yield processor
    processor.close()


def job_with(model: str) -> dict[str, Any]:
    return {"input": {"audio": {"base64": as_base64(DEMO)}, "options": {"model": model, "temperature": 0}}}


def test_each_job_loads_its_model_once_and_reports_its_device(
    small_cache: WhisperProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from src import download

    fetch = download.fetch

    def fetch_slowly(*args: Any, **options: Any) -> Path:
        time.sleep(0.3)  # the other job would evict this one's model, if it could
        return fetch(*args, **options)

    monkeypatch.setattr(download, "fetch", fetch_slowly)
    with ThreadPoolExecutor(2) as threads:
        tiny, base = (answer["metadata"] for answer in threads.map(lambda m: handler(job_with(m)), ["tiny.en", "base"]))
    assert NumberedEngine.loads <= 3  # the first model, and at most one load for each job
    assert (tiny["model"], base["model"]) == ("tiny.en", "base")
    assert tiny["device"] != base["device"]
    assert {tiny["device"], base["device"]} <= {"device-1", "device-2", "device-3"}
    assert tiny["compute_type"] == small_cache.compute_type


@pytest.mark.parametrize("stopped", [False, True])
def test_a_failed_or_cancelled_download_releases_the_model(
    small_cache: WhisperProcessor, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    control = JobControl()

    def fail(*args: Any, **options: Any) -> Path:
        if stopped:
            control.cancel("cancelled")
            control.check()
        raise DownloadFailed("the URL answers with HTTP status 500")

    with monkeypatch.context() as patch:
        patch.setattr("src.download.fetch", fail)
        assert handler(job_with("tiny.en"), control)["error_type"] == ("Cancelled" if stopped else "DownloadFailed")
    patience = JobControl()
    with patience.deadline(60, "the model was not released"):
        assert handler(job_with("base"), patience)["metadata"]["model"] == "base"


def test_a_wrong_model_is_refused_before_the_download(
    small_cache: WhisperProcessor, monkeypatch: pytest.MonkeyPatch
) -> None:
    downloads: list[Any] = []
    monkeypatch.setattr("src.download.fetch", lambda *args, **options: downloads.append(args))
    assert "WHISPER_MODELS, tiny.en, base" in handler(job_with("large"))["error"]
    job = job_with("tiny.en")
    job["input"]["options"]["language"] = "de"
    assert "the model tiny.en knows English only" in handler(job)["error"]
    assert downloads == []


# --- Names of models -------------------------------------------------------------------------------------------------


def test_callers_never_see_the_path_of_a_model(configure: Callable[..., None]) -> None:
    path = str(ROOT / "models" / "tiny.en")
    configure(WHISPER_MODEL=path, WHISPER_MODELS="/srv/secret/mine")
    processor = WhisperProcessor()
    try:
        assert processor.transcribe(DEMO, {"temperature": 0}).model == "tiny.en"
        assert processor.transcribe(DEMO, {"temperature": 0, "model": "tiny.en"}).model == "tiny.en"
        assert processor.transcribe(DEMO, {"temperature": 0, "model": path}).model == "tiny.en"
        refused = {
            "large-v3": "WHISPER_MODELS, tiny.en, mine",
            "tiny.em": 'did you mean "tiny.en"?',
        }
        for model, expected in refused.items():
            with pytest.raises(InvalidInput) as caught:
                processor.transcribe(DEMO, {"model": model})
            assert expected in str(caught.value)
            assert os.sep not in str(caught.value).replace("https://", "")
        with pytest.raises(InvalidInput, match=r"^the model tiny\.en knows English only"):
            processor.transcribe(DEMO, {"language": "de"})
        with pytest.raises(ModelUnavailable) as unavailable:
            processor.transcribe(DEMO, {"model": "mine"})
        assert "mine" in str(unavailable.value)
        assert "/srv" not in str(unavailable.value)
    finally:
        processor.close()


def test_a_repository_keeps_its_full_name(tiny: WhisperProcessor, configure: Callable[..., None]) -> None:
    configure(WHISPER_MODELS="openai/whisper-tiny, distil-whisper/distil-large-v3@main")
    expected = "tiny.en, openai/whisper-tiny, distil-whisper/distil-large-v3@main"
    with pytest.raises(InvalidInput, match=expected), tiny.reserve({"model": "medium"}):
        pass


# --- Closing ---------------------------------------------------------------------------------------------------------


def test_closing_while_jobs_run_ends_each_of_them_and_all_threads() -> None:
    before = {thread.name for thread in threading.enumerate()}
    processor = WhisperProcessor("tiny.en")
    running = threading.Barrier(5, timeout=60)

    def work(chunking: str) -> Transcript:
        control, announced = JobControl(), threading.Event()

        def announce(stage: str, done: float, total: float) -> None:
            if stage == "transcribing" and not announced.is_set():
                announced.set()
                running.wait()

        control.listen(announce)
        return processor.transcribe(CLIPS / "long.ogg", {"chunking": chunking, "diarize": True}, control)

    with ThreadPoolExecutor(4) as threads:
        jobs = [threads.submit(work, chunking) for chunking in ("vad", "vad", "vad", "sequential")]
        running.wait()
        processor.close()
        for job in jobs:
            error = job.exception(timeout=60)
            assert error is None or isinstance(error, CancelledError), error
            assert error is not None or words(job.result().text)
    with pytest.raises(RuntimeError, match="closed"):
        processor.transcribe(DEMO)
    left = {thread.name for thread in threading.enumerate()} - before
    assert not [name for name in left if name.startswith(("engine", "diarization", "sequential"))]


def test_closing_twice_is_no_error() -> None:
    processor = WhisperProcessor("tiny.en")
    processor.close()
    processor.close()
