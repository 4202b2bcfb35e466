"""The handler as a plain function, with the real model: a job in, words or a clear error out, nothing left behind."""

from __future__ import annotations

import errno
import json
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import srt
import torch
import webvtt

from media.sandbox import ffmpeg_executable
from src import whisper_processor
from src.engine.work import OutOfMemory as EngineOutOfMemory
from src.errors import explain_exhaustion
from src.job_control import JobControl
from src.rp_handler import handler
from src.settings import get_settings
from src.sources.transfer import RETRY_POLICY
from src.startup import get_processor
from src.whisper_processor import WhisperProcessor
from tests.support.clips import CLIPS, as_base64, assert_spoken, spoken, words
from tests.support.servers import serve_folder
from transcript.transcript import Segment, Transcript, Word

pytestmark = [pytest.mark.model, pytest.mark.process]


def job(clip: str, **options: Any) -> dict[str, Any]:
    return {"id": "job-1", "input": {"audio": {"base64": as_base64(CLIPS / clip)}, "options": options}}


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The clips on a web server of this machine."""
    with serve_folder(CLIPS) as url:
        yield url


@pytest.mark.parametrize("clip", ["demo.ogg", "video.mp4", "numbers.mp3"])
def test_sequential_decoding_returns_the_exact_words(clip: str, no_files_left: Path) -> None:
    """A smoke test: sequential decoding is in float32 on every CPU."""
    answer = handler(job(clip, chunking="sequential"))
    assert words(answer["transcription"]["text"]) == spoken(clip)


@pytest.mark.parametrize("clip", ["demo.ogg", "video.mp4"])
def test_batched_decoding_returns_the_words(clip: str, no_files_left: Path) -> None:
    assert_spoken(handler(job(clip, chunking="vad"))["transcription"]["text"], clip)


def test_every_format_and_the_metadata_stand_in_the_answer() -> None:
    answer = handler(job("demo.ogg"))
    assert set(answer) == {"transcription", "metadata"}
    transcription, metadata = answer["transcription"], answer["metadata"]
    assert {"text", "language", "segments", "srt", "vtt"} <= set(transcription)
    assert_spoken(" ".join(cue.content for cue in srt.parse(transcription["srt"])), "demo.ogg")
    cues = webvtt.from_string(transcription["vtt"])
    assert_spoken(" ".join(cue.text for cue in cues.captions), "demo.ogg")
    assert metadata["model"] == "tiny.en"
    assert metadata["language"] == "en"
    assert metadata["audio_duration"] == pytest.approx(transcription["segments"][-1]["end"], abs=1.5)
    assert 0 < metadata["processing_time"] == pytest.approx(sum(metadata["timings"].values()), abs=0.1)
    assert metadata["real_time_factor"] == pytest.approx(
        metadata["processing_time"] / metadata["audio_duration"], abs=0.001
    )


@pytest.mark.parametrize(
    ("output_format", "keys"),
    [
        ("text", {"text"}),
        ("srt", {"text", "srt"}),
        ("vtt", {"text", "vtt"}),
        ("tsv", {"text", "tsv"}),
        ("json", {"text", "language", "segments"}),
    ],
)
def test_one_format_brings_its_own_keys_only(output_format: str, keys: set[str]) -> None:
    assert set(handler(job("numbers.mp3", output_format=output_format))["transcription"]) == keys


@pytest.mark.parametrize("chunking", ["vad", "sequential"])
def test_segments_and_words_lie_in_order_within_the_recording(chunking: str) -> None:
    answer = handler(job("demo.ogg", word_timestamps=True, output_format="json", chunking=chunking))
    duration = answer["metadata"]["audio_duration"]
    segments = answer["transcription"]["segments"]
    assert [segment["id"] for segment in segments] == list(range(len(segments)))
    times = [time for segment in segments for word in segment["words"] for time in (word["start"], word["end"])]
    assert times == sorted(times)
    assert times[0] >= 0
    assert times[-1] <= duration + 0.1
    for segment in segments:
        assert "".join(word["word"] for word in segment["words"]).strip() == segment["text"].strip()


@pytest.mark.parametrize("audio", ["bare", "object"])
def test_a_url_is_fetched(audio: str, site: str, monkeypatch: pytest.MonkeyPatch, no_files_left: Path) -> None:
    monkeypatch.setenv("RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS", "true")
    url = f"{site}/demo.ogg"
    answer = handler({"input": {"audio": url if audio == "bare" else {"url": url}}})
    assert_spoken(answer["transcription"]["text"], "demo.ogg")


def test_a_url_of_this_machine_is_refused(site: str, no_files_left: Path) -> None:
    answer = handler({"input": {"audio": f"{site}/demo.ogg?signature=secret"}})
    assert answer["error_type"] == "DownloadFailed"
    assert "secret" not in answer["error"]
    assert "127.0.0.1" not in answer["error"]


def test_a_data_uri_is_taken() -> None:
    uri = "data:audio/ogg;base64," + as_base64(CLIPS / "demo.ogg")
    assert_spoken(handler({"input": {"audio": uri}})["transcription"]["text"], "demo.ogg")


@pytest.mark.parametrize(
    ("made", "error_type"),
    [
        ({}, "InvalidInput"),
        ({"input": None}, "InvalidInput"),
        ({"input": {"audio": {"base64": "not base64!"}}}, "InvalidInput"),
        ({"input": {"audio": {"base64": "AAAA"}}}, "UnsupportedMedia"),
        ({"input": {"audio": "ftp://example.com/a.mp3"}}, "InvalidInput"),
        ({"input": {"audio": "https://"}}, "InvalidInput"),
        ({"input": {"audio": "http://169.254.169.254/latest/meta-data"}}, "DownloadFailed"),
        (job("demo.ogg", language="de"), "InvalidInput"),
        (job("demo.ogg", task="translate"), "InvalidInput"),
        (job("demo.ogg", **{"\ud800": 1}), "InvalidInput"),
    ],
)
def test_a_wrong_job_gets_a_sentence_and_leaves_nothing(
    made: dict[str, Any], error_type: str, no_files_left: Path
) -> None:
    answer = handler(made)
    assert set(answer) == {"error", "error_type"}
    assert answer["error_type"] == error_type
    assert answer["error"]
    assert "\n" not in answer["error"]
    assert "/tmp" not in answer["error"]
    json.dumps(answer, ensure_ascii=False).encode("utf-8")


@pytest.mark.parametrize(
    "limit",
    [10**400, -(10**400), 1e308, *map(float, ("nan", "inf", "-inf")), -1, 0, True, False, "1000", None, [1], {"a": 1}],
    ids=lambda limit: str(limit)[:12],
)
def test_any_execution_timeout_is_read_without_a_fault(limit: Any, no_files_left: Path) -> None:
    answer = handler({"input": {"audio": "ftp://example.com/a.mp3"}, "policy": {"executionTimeout": limit}})
    assert answer["error_type"] == "InvalidInput"


def test_silence_is_an_answer_and_not_an_error(no_files_left: Path) -> None:
    answer = handler(job("silence.flac", output_format="json"))
    assert answer["transcription"]["text"] == ""
    assert answer["transcription"]["segments"] == []


def test_what_the_worker_did_not_expect_is_internal_and_leaves_nothing(
    monkeypatch: pytest.MonkeyPatch, no_files_left: Path
) -> None:
    def breaks(*_: Any) -> None:
        raise RuntimeError("a lone \ud800 surrogate")

    monkeypatch.setattr(WhisperProcessor, "transcribe", breaks)
    answer = handler(job("demo.ogg"))
    assert answer["error_type"] == "Internal"
    assert "RuntimeError" in answer["traceback"]
    json.dumps(answer, ensure_ascii=False).encode("utf-8")


@pytest.mark.parametrize(
    ("error", "error_type"),
    [
        (EngineOutOfMemory(), "OutOfMemory"),
        (torch.OutOfMemoryError(), "OutOfMemory"),
        (MemoryError(), "OutOfResources"),
        (
            RuntimeError(
                "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: you tried "
                "to allocate 1099511627776 bytes. Error code 12 (Cannot allocate memory)"
            ),
            "OutOfResources",
        ),
        (RuntimeError("can't start new thread"), "OutOfResources"),
        (RuntimeError("size mismatch"), "Internal"),
        (OSError(errno.ENOSPC, "No space left on device", "/tmp/job-1/media"), "OutOfResources"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "OutOfResources"),
        (OSError(errno.EMFILE, "Too many open files"), "OutOfResources"),
        (OSError(errno.EACCES, "Permission denied"), "Internal"),
    ],
)
def test_an_exhausted_resource_has_its_own_error_type(
    error: Exception, error_type: str, monkeypatch: pytest.MonkeyPatch, no_files_left: Path
) -> None:
    def breaks(*_: Any) -> None:
        raise error

    monkeypatch.setattr(WhisperProcessor, "transcribe", breaks)
    answer = handler(job("demo.ogg"))
    assert answer["error_type"] == error_type
    assert ("traceback" in answer) == (error_type == "Internal")
    assert "/tmp" not in answer["error"]


def test_memory_that_torch_lacks_has_the_words_that_are_looked_for() -> None:
    with pytest.raises(RuntimeError) as raised:
        torch.empty(1 << 50, dtype=torch.uint8)
    assert explain_exhaustion(raised.value) is not None


class Canceller:
    """Cancels a job at a report of a stage, and keeps the later reports."""

    def __init__(self, stage: str, *, under_way: bool = False) -> None:
        self.control = JobControl()
        self.later: list[tuple[str, float, float]] = []
        self._stage, self._under_way, self._is_cancelled = stage, under_way, False
        self.control.listen(self._watch)

    def _watch(self, stage: str, done: float, total: float) -> None:
        if self._is_cancelled:
            self.later.append((stage, done, total))
        elif stage == self._stage and (done > 0 or not self._under_way):
            self._is_cancelled = True
            self.control.cancel("the job was cancelled")


class CancelledAtLook(JobControl):
    """Cancels its job when the job looks for the given time whether to go on: one that does not look is done first."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.looks, self._number = 0, number

    def check(self) -> None:
        self.looks += 1
        if self.looks == self._number:
            self.cancel("the job was cancelled")
        super().check()


@pytest.mark.parametrize(
    ("stage", "under_way", "clip", "options"),
    [
        pytest.param("decoding the audio", False, "long.ogg", {}, id="decoding"),
        pytest.param("transcribing", False, "long.ogg", {}, id="before the first window"),
        pytest.param("transcribing", True, "long.ogg", {}, id="transcribing in windows"),
        pytest.param("transcribing", True, "long.ogg", {"chunking": "sequential"}, id="transcribing sequentially"),
        pytest.param("transcribing", True, "long.ogg", {"diarize": True}, id="diarizing"),
        pytest.param("captioning", False, "video.mp4", {"captions": "burn", "caption_size": 1.0}, id="captioning"),
    ],
)
def test_a_cancelled_job_does_not_finish_its_stage(
    stage: str, under_way: bool, clip: str, options: dict[str, Any], no_files_left: Path
) -> None:
    canceller = Canceller(stage, under_way=under_way)
    before = set(threading.enumerate())
    answer = handler(job(clip, **options), canceller.control)
    assert answer == {"error": "the job was cancelled", "error_type": "Cancelled"}
    assert not [report for report in canceller.later if report[0] != stage or report[1] >= report[2]]
    left = {thread.name for thread in set(threading.enumerate()) - before}
    assert not {name for name in left if name.startswith(("sequential", "diarization", "download", "upload"))}


@pytest.mark.parametrize("options", [{}, {"diarize": True}, {"vad": False, "diarize": True}])
def test_a_search_for_speech_in_silence_ends_with_its_job(
    options: dict[str, Any], tmp_path: Path, no_files_left: Path
) -> None:
    """No window interrupts it: there is no speech."""
    silence = tmp_path / "silence.flac"
    sound = "anullsrc=r=16000:cl=mono:d=1200"
    subprocess.run([ffmpeg_executable(), "-v", "error", "-f", "lavfi", "-i", sound, str(silence)], check=True)
    control = CancelledAtLook(15)
    answer = handler({"input": {"audio": {"base64": as_base64(silence)}, "options": options}}, control)
    assert answer == {"error": "the job was cancelled", "error_type": "Cancelled"}
    assert control.looks < 20


def test_a_download_ends_with_its_job(monkeypatch: pytest.MonkeyPatch, no_files_left: Path) -> None:
    monkeypatch.setenv("RUNPOD_ALLOW_PRIVATE_DOWNLOAD_URLS", "true")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        control = JobControl()
        threading.Timer(0.2, control.cancel, ["the job was cancelled"]).start()
        began = time.monotonic()
        answer = handler({"input": {"audio": f"http://127.0.0.1:{silent.getsockname()[1]}/a.mp3"}}, control)
    assert answer == {"error": "the job was cancelled", "error_type": "Cancelled"}
    assert time.monotonic() - began < 20 < RETRY_POLICY.timeouts[1]  # a silent server is given up after that


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"custom_vocabulary": {f"Term {n}": f"{'the ' * 40}{n}" for n in range(1666)}}, id="correcting"),
        pytest.param({"max_line_width": 200, "max_line_count": 100, "max_cue_duration": 600.0}, id="laying out"),
        pytest.param({"highlight_words": True, "max_line_width": 60, "max_line_count": 3}, id="rendering"),
        pytest.param({"word_timestamps": True, "output_format": "json"}, id="delivering"),
    ],
)
def test_a_job_with_a_long_transcript_looks_often_whether_to_go_on(
    options: dict[str, Any], hours_said: None, no_files_left: Path
) -> None:
    control = CancelledAtLook(60)
    answer = handler(job("demo.ogg", **options), control)
    assert answer == {"error": "the job was cancelled", "error_type": "Cancelled"}
    assert control.looks < 65


def test_a_job_ends_by_its_execution_timeout(hours_said: None, no_files_left: Path) -> None:
    answer = handler({**job("demo.ogg", output_format="all"), "policy": {"executionTimeout": 50}})
    assert answer["error_type"] == "Cancelled"
    assert "executionTimeout" in answer["error"]


@pytest.fixture
def hours_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the recording, it has 60,000 words."""
    made = long_transcript(60_000)
    model = SimpleNamespace(name="tiny.en", device="cpu", compute_type="float32")
    monkeypatch.setattr(WhisperProcessor, "acquire", lambda *_: nullcontext(model))
    monkeypatch.setattr(whisper_processor, "recognise_in_windows", lambda *_: made)


def long_transcript(count: int) -> Transcript:
    words = [Word(f" word{number % 97}", number * 0.4, number * 0.4 + 0.3, 0.9) for number in range(count)]
    segments = [
        Segment(
            number,
            0,
            part[0].start,
            part[-1].end,
            "".join(word.word for word in part),
            *([], 0.0, -0.2, 1.2, 0.0),
            part,
        )
        for number, part in enumerate(words[at : at + 12] for at in range(0, count, 12))
    ]
    return Transcript("en", 1.0, count * 0.4, segments)


def test_an_answer_over_the_platforms_limit_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from src import rp_handler

    small = get_settings().model_copy(update={"max_result_bytes": 500})
    monkeypatch.setattr(rp_handler, "get_settings", lambda: small)
    assert handler(job("demo.ogg"))["error_type"] == "TooLarge"


def test_a_recording_over_the_limit_of_duration_is_refused(
    monkeypatch: pytest.MonkeyPatch, no_files_left: Path
) -> None:
    short = get_settings().model_copy(update={"max_audio_seconds": 2.0})
    monkeypatch.setattr(whisper_processor, "get_settings", lambda: short)
    assert handler(job("demo.ogg"))["error_type"] == "TooLarge"


def test_process_audio_gives_the_transcription_of_a_file() -> None:
    assert_spoken(get_processor().process_audio(CLIPS / "demo.ogg")["text"], "demo.ogg")


@pytest.mark.parametrize("clip", ["demo.ogg", "silence.flac"])
def test_the_first_30_s_of_a_shorter_recording_are_no_reason_for_a_warning(clip: str) -> None:
    metadata = handler(job(clip, clip_timestamps=[[0, 30]], output_format="json"))["metadata"]
    assert (metadata["language"], metadata["language_probability"], metadata["warnings"]) == ("en", None, [])


def test_verbose_json_computes_words_only_on_request() -> None:
    without, having = (
        handler(job("demo.ogg", output_format="verbose_json", **options))["transcription"]["verbose_json"]
        for options in ({}, {"timestamp_granularities": ["word"]})
    )
    assert "words" not in without
    assert having["words"][-1]["end"] <= having["duration"]


def test_words_that_only_subtitles_need_stay_out_of_the_segments() -> None:
    options = {"subtitle_preset": "broadcast", "output_format": ["json", "srt"], "speaker_colors": True}
    answer = handler(job("demo.ogg", **options))
    assert [warning for warning in answer["metadata"]["warnings"] if warning.startswith("speaker_colors has no effect")]
    assert "words" not in answer["transcription"]["segments"][0]
    lines = answer["transcription"]["srt"].splitlines()
    assert any("over the lazy" in line for line in lines)
    assert all(len(line) <= 42 for line in lines)  # the segment is longer
    assert max(len(segment["text"]) for segment in answer["transcription"]["segments"]) > 42
