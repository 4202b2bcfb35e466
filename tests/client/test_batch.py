"""Batches: a folder tree is mirrored, finished files are skipped, and the next run repeats failed ones."""

from __future__ import annotations

import errno
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from client.batch import RECORD_FILE, BatchResult, CompletionRecord, transcribe_all
from client.console import ProgressBar
from client.errors import EndpointUnusable
from client.folder import BatchItem, find_recordings
from client.job_request import RunSettings
from client.settings import EndpointSettings
from client.transport.endpoint import Endpoint
from tests.client.conftest import CLIPS, run_command, start_command, wait_until
from tests.client.scripted_worker import ScriptedWorker, make_answer
from tests.platform.emulator import Platform

pytestmark = pytest.mark.process

FORMATS = ["--format", "json,srt"]


@pytest.fixture
def worker(platform: Platform) -> Iterator[ScriptedWorker]:
    """A worker that fails jobs whose audio is too short to be audio."""
    refusal = {"error": "not a recording", "output": {"error_type": "UnsupportedMedia"}}
    with ScriptedWorker(
        platform, lambda job: refusal if len(job["input"]["audio"]["base64"]) < 100 else make_answer("hello", 3600.0)
    ) as worker:
        yield worker


@pytest.fixture
def tree(folder: Path) -> Path:
    """Two recordings that differ only in the suffix, one in a subfolder, a damaged one, and a text file."""
    root = folder / "audio"
    (root / "deep" / "er").mkdir(parents=True)
    shutil.copy(CLIPS / "demo.ogg", root / "talk.ogg")
    shutil.copy(CLIPS / "video.mp4", root / "talk.MP4")
    shutil.copy(CLIPS / "numbers.mp3", root / "deep" / "er" / "numbers.mp3")
    (root / "deep" / "bad.wav").write_bytes(b"nothing")
    (root / "notes.txt").write_text("not to be sent")
    return root


def list_files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.mark.usefixtures("tree")
def test_a_tree_is_mirrored_and_a_second_run_repeats_only_failures(
    platform: Platform, folder: Path, worker: ScriptedWorker
) -> None:
    first = run_command("batch", "audio", "out", *FORMATS, "--price", 0.1, where=platform, folder=folder, code=6)
    done = ["deep/er/numbers.json", "deep/er/numbers.srt"]
    done += ["talk.MP4.json", "talk.MP4.srt", "talk.ogg.json", "talk.ogg.srt"]
    assert list_files(folder / "out") == [RECORD_FILE, *done]
    assert "deep/bad.wav" in first.stdout
    assert "not a recording" in first.stdout
    row = next(line for line in first.stdout.splitlines() if "3.000" in line)
    assert row.split()[1:6:2] == ["3", "0", "1"]
    assert "$0.3000" in row
    assert "Left out: 1 other file (notes.txt: text)" in first.stderr
    assert "Failed: deep/bad.wav: bad.wav is not a recording: it is text" in first.stderr
    assert "1 of 4 files failed; run the same command again" in first.stderr
    assert len(worker.jobs) == 3

    second = run_command("batch", "audio", "out", *FORMATS, where=platform, folder=folder, code=6)
    assert len(worker.jobs) == 3
    assert "cost" not in second.stdout

    shutil.copy(CLIPS / "demo.ogg", folder / "audio" / "deep" / "bad.wav")
    run_command("batch", "audio", "out", *FORMATS, where=platform, folder=folder)
    assert len(worker.jobs) == 4


@pytest.mark.slow
def test_a_file_is_repeated_if_its_content_options_or_transcript_changed(
    platform: Platform, folder: Path, worker: ScriptedWorker, tree: Path
) -> None:
    shutil.rmtree(tree / "deep")
    (tree / "talk.MP4").unlink()

    def count_jobs(*flags: str) -> int:
        before = len(worker.jobs)
        run_command("batch", "audio", "out", *flags, where=platform, folder=folder)
        return len(worker.jobs) - before

    assert count_jobs(*FORMATS) == 1
    (tree / "talk.ogg").touch()
    assert count_jobs(*FORMATS) == 0
    shutil.copy(CLIPS / "long.ogg", tree / "talk.ogg")
    assert count_jobs(*FORMATS) == 1
    assert count_jobs(*FORMATS, "--language", "de") == 1
    (folder / "out" / "talk.srt").unlink()
    assert count_jobs(*FORMATS, "--language", "de") == 1


@pytest.mark.slow
def test_each_recording_has_its_own_text(platform: Platform, folder: Path, worker: ScriptedWorker, tree: Path) -> None:
    shutil.rmtree(tree / "deep")
    (tree / "talk.MP4.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nOne,\ntwo.\n")
    command = ["batch", "audio", "out", "-f", "json", "--align", "audio"]
    first = run_command(*command, where=platform, folder=folder, code=6)
    assert "Failed: talk.ogg: --align: audio has no text of it: talk.txt is missing" in first.stderr
    assert [job["input"]["options"]["align"] for job in worker.jobs] == ["One, two."]

    (tree / "talk.txt").write_text("Three.")
    run_command(*command, where=platform, folder=folder)
    (tree / "talk.txt").write_text("Four.")
    run_command(*command, where=platform, folder=folder)
    assert [job["input"]["options"]["align"] for job in worker.jobs[1:]] == ["Three.", "Four."]


@pytest.mark.slow
def test_files_that_were_not_made_from_a_recording_are_replaced_only_on_demand(
    platform: Platform, folder: Path, worker: ScriptedWorker, tree: Path
) -> None:
    shutil.rmtree(tree / "deep")
    (tree / "talk.MP4").unlink()
    run_command("batch", "audio", "out", "-f", "srt", where=platform, folder=folder)
    other = folder / "other"
    other.mkdir()
    shutil.copy(CLIPS / "numbers.mp3", other / "talk.mp3")
    shutil.copy(CLIPS / "numbers.mp3", other / "own.mp3")
    (other / "talk.mp3").rename(other / "talk.ogg")
    (folder / "out" / "own.srt").write_text("mine")

    refused = run_command("batch", "other", "out", "-f", "srt", where=platform, folder=folder, code=6)
    assert refused.stderr.count("was not made from this recording: use --overwrite to replace it") == 2
    assert (folder / "out" / "own.srt").read_text() == "mine"
    assert len(worker.jobs) == 1

    run_command("batch", "other", "out", "-f", "srt", "--overwrite", where=platform, folder=folder)
    assert "hello" in (folder / "out" / "own.srt").read_text()
    assert len(worker.jobs) == 3


@pytest.mark.slow
def test_the_worker_s_warnings_are_shown_with_the_name_of_the_file(
    platform: Platform, folder: Path, tree: Path
) -> None:
    shutil.rmtree(tree / "deep")
    (tree / "talk.MP4").unlink()
    answer = make_answer("hello", 11.0)
    answer["output"]["metadata"]["warnings"] = ["the recording is cut off after its first 0.2 s"]
    with ScriptedWorker(platform, lambda _: answer):
        done = run_command("batch", "audio", "out", *FORMATS, where=platform, folder=folder)
    assert "Note: talk.ogg: the recording is cut off after its first 0.2 s" in done.stderr


@pytest.mark.slow
@pytest.mark.usefixtures("tree")
def test_ctrl_c_cancels_the_jobs_and_leaves_no_partial_files(
    platform: Platform, folder: Path, worker: ScriptedWorker
) -> None:
    worker.held_after = 0
    stopped = start_command("batch", "audio", "out", *FORMATS, where=platform, folder=folder)
    wait_until(lambda: len(platform.jobs) == 3)
    stopped.send_signal(signal.SIGINT)
    stopped.communicate(timeout=20)
    assert stopped.returncode == 130
    assert {job.status for job in platform.jobs.values()} == {"CANCELLED"}
    assert not (folder / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "sentence"),
    [(["--api-key", "wrong"], "the API key is wrong"), (["--endpoint", "other"], "there is no such endpoint")],
)
def test_a_refusing_endpoint_ends_the_run(
    platform: Platform, folder: Path, tree: Path, flags: list[str], sentence: str
) -> None:
    (tree / "deep" / "bad.wav").unlink()
    refused = run_command("batch", "audio", "out", *flags, where=platform, folder=folder, code=5)
    assert refused.stderr.count(sentence) == 1
    assert "3 of 3 files are left" in refused.stderr
    assert refused.stdout == ""


@pytest.mark.slow
def test_an_option_that_the_worker_refuses_ends_the_run(platform: Platform, folder: Path, tree: Path) -> None:
    for number in range(6):
        shutil.copy(CLIPS / "demo.ogg", tree / f"{number}.ogg")
    refusal = {"error": "options.model: unknown", "output": {"error_type": "InvalidInput"}}
    with ScriptedWorker(platform, lambda _: refusal) as worker:
        flags = ["--model", "huge", "--max-workers", 2]
        refused = run_command("batch", "audio", "out", *flags, where=platform, folder=folder, code=2)
    assert len(worker.jobs) <= 2
    assert refused.stderr.count("options.model: unknown") == 1
    assert "files are left" in refused.stderr


@pytest.mark.slow
def test_an_unreachable_endpoint_costs_the_retries_of_one_file(tree: Path, folder: Path) -> None:
    asked: list[object] = []

    class CountingEndpoint(Endpoint):
        def submit(self, *arguments: Any, **options: Any) -> Any:
            asked.append(arguments)
            return super().submit(*arguments, **options)

    endpoint = CountingEndpoint(EndpointSettings("http://127.0.0.1:9"), retry_timeout_s=0.5)
    items, _ = find_recordings(tree, folder / "out", ["srt"])
    bar = ProgressBar(Console(), "audio", quiet=True)
    record = CompletionRecord(folder / "out", {})
    result = transcribe_all(endpoint, items * 5, record, {}, RunSettings(), max_workers=2, bar=bar)
    assert isinstance(result.fatal, EndpointUnusable)
    assert 1 <= len(asked) <= 2 < len(items * 5)
    assert len(result.failed) <= 1


@pytest.mark.slow
def test_a_video_that_could_not_be_captioned_fails_and_is_repeated(
    platform: Platform, folder: Path, tree: Path
) -> None:
    shutil.rmtree(tree / "deep")
    (tree / "talk.ogg").unlink()
    answer = make_answer("hello")
    answer["output"]["captioned_video"] = {"error": "no font has the letters", "error_type": "CaptionsFailed"}
    with ScriptedWorker(platform, lambda _: answer) as worker:
        for number in (1, 2):
            done = run_command(
                "batch", "audio", "out", "-f", "srt", "--captions", "burn", where=platform, folder=folder, code=6
            )
            assert "the captioned video could not be made: no font has the letters" in done.stderr
            assert len(worker.jobs) == number
    assert (folder / "out" / "talk.srt").read_text().endswith("hello\n")


@pytest.mark.slow
@pytest.mark.usefixtures("tree")
def test_the_folder_of_the_recordings_is_refused_for_the_transcripts(platform: Platform, folder: Path) -> None:
    refused = run_command("batch", "audio", "./audio/", where=platform, folder=folder, code=2)
    assert "would mix transcripts into the recordings: give another folder, such as audio/transcripts" in refused.stderr


@pytest.mark.parametrize(
    "flags", [["--format", "docx"], ["--temperature", "2"], ["--speakers", "Ada=nowhere.wav"], ["--align", "The text."]]
)
@pytest.mark.usefixtures("tree")
def test_options_are_checked_before_anything_is_sent(platform: Platform, folder: Path, flags: list[str]) -> None:
    assert flags[0] in run_command("batch", "audio", "out", *flags, where=platform, folder=folder, code=2).stderr
    assert platform.jobs == {}


@pytest.mark.slow
@pytest.mark.usefixtures("tree")
def test_a_place_that_cannot_be_written_is_found_before_anything_is_sent(platform: Platform, folder: Path) -> None:
    (folder / "file").touch()
    refused = run_command("batch", "audio", "file/out", where=platform, folder=folder, code=2)
    assert "cannot be written (not a directory)" in refused.stderr
    assert platform.jobs == {}


@pytest.mark.slow
@pytest.mark.usefixtures("tree")
@pytest.mark.parametrize("content", ["", "[1]", '{"talk.ogg": 1}', '"text"', "7"])
def test_a_damaged_record_is_wrong_usage(platform: Platform, folder: Path, content: str) -> None:
    (folder / "out").mkdir()
    (folder / "out" / RECORD_FILE).write_text(content)
    refused = run_command("batch", "audio", "out", where=platform, folder=folder, code=2)
    assert "is damaged: remove it to transcribe all files again" in refused.stderr
    assert platform.jobs == {}


@pytest.mark.slow
@pytest.mark.usefixtures("worker")
def test_names_of_files_send_nothing_to_the_terminal(platform: Platform, folder: Path, tree: Path) -> None:
    (tree / "\x1b[2Jbad\n.wav").write_bytes(b"")
    (tree / "\x1b]0;x\x07").write_bytes(b"text")
    shutil.copy(CLIPS / "demo.ogg", tree / os.fsdecode(b"\xff.ogg"))
    done = run_command("batch", "audio", "out", *FORMATS, where=platform, folder=folder, code=6)
    assert "\x1b" not in done.stdout + done.stderr
    assert "Failed: \ufffd[2Jbad\ufffd.wav" in done.stderr
    assert (folder / "out" / os.fsdecode(b"\xff.srt")).exists()


def test_a_folder_without_recordings_is_wrong_usage(platform: Platform, folder: Path) -> None:
    refused = run_command("batch", folder, "out", where=platform, folder=folder, code=2)
    assert "there are no recordings" in refused.stderr


@pytest.mark.slow
def test_a_transcript_is_not_paid_for_again_if_the_record_could_not_be_written(
    endpoint: Endpoint, folder: Path, tree: Path, worker: ScriptedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree / "deep" / "bad.wav").unlink()
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    items, _ = find_recordings(tree, folder / "out", ["srt"])

    def run(record: CompletionRecord) -> BatchResult:
        bar = ProgressBar(Console(stderr=True), "audio", quiet=True)
        return transcribe_all(endpoint, items, record, {}, RunSettings(), max_workers=3, bar=bar)

    class FullDisk(CompletionRecord):
        def add(self, item: BatchItem, content_hash: str, video: Path | None, text: str | None = None) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    stopped = run(FullDisk(folder / "out", {}))
    assert "the same command writes it without another job" in str(stopped.fatal)
    assert stopped.done == 0
    assert run(CompletionRecord(folder / "out", {})).done == 3
    assert len(worker.jobs) == 3
